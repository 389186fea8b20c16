//! Handlers that are called with what was taken before: one rule, one test.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, called, durable, ids, packet};
use crate::broker::core::{
    Completed, Done, Messages, Restored, RestoredPacket, RunFinish, RunKind, Took,
};
use crate::broker::{Ack, Settings};
use crate::handler::testing::draft;
use crate::handler::{HandlerSettings, ItemId, Ordering};
use crate::store::{Origin, TakenId};
use crate::types::{Action, Answer, ClientKey, HandlerName, Outcome, Principal, Reason, Retry};

const MS: Duration = Duration::from_millis(1);

fn retry() -> Answer {
    Answer::retry(Reason::HandlerUnavailable, "later")
}

fn outcomes(answers: &[Answer]) -> Vec<Outcome> {
    answers.iter().map(|answer| answer.outcome).collect()
}

#[test]
fn a_packet_is_taken_then_called_then_finished_then_told() {
    let mut bench = Bench::new(vec![durable("h")]);
    let call = bench.offer("a", vec![packet("h", "1").seq(1)]);
    assert_eq!(bench.run_take(), ["1"]);
    let run = bench.run();
    assert_eq!(
        (run.kind, run.action),
        (RunKind::Call, Some(Action::Create))
    );
    let taken = TakenId { run: 7, at: 1 };
    assert_eq!(run.items[0].id, ItemId::of_taken(taken));
    bench.complete(run.batch, vec![Answer::ok()]);
    assert!(bench.answers.is_empty(), "it is not on disk yet");
    let finishes = bench.run_finish();
    assert_eq!((finishes[0].taken, finishes[0].awaited), (taken, true));
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok]);
    assert!(bench.core.is_idle() && bench.runs.is_empty());
}

#[test]
fn who_waits_until_it_is_taken_is_told_then_and_the_answer_is_for_streams() {
    let mut bench = Bench::new(vec![durable("h")]);
    let packets = || vec![packet("h", "1").seq(1)];
    let call = bench.offer_as("a", "a", Ack::Accepted, packets());
    assert!(bench.answers.is_empty());
    bench.run_take();
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Accepted]);
    let again = bench.offer_as("a", "a", Ack::Accepted, packets());
    assert_eq!(outcomes(&bench.answers_to(again)), [Outcome::Accepted]);
    bench.run_ok();
    assert!(!bench.run_finish()[0].awaited);
    assert!(
        bench.core.is_idle() && bench.runs.is_empty(),
        "nothing is owed"
    );
}

#[test]
fn a_repeat_joins_what_is_taken() {
    let mut bench = Bench::new(vec![durable("h")]);
    let packets = || vec![packet("h", "1").seq(1)];
    let first = bench.offer_as("a", "a", Ack::Accepted, packets());
    bench.run_take();
    bench.answers_to(first);
    let joined = bench.offer("a", packets());
    let other = bench.offer("a", vec![packet("h", "1").seq(1).content(2)]);
    let answer = &bench.answers_to(other)[0];
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Rejected, Reason::ReqIdReused));
    bench.run_ok();
    assert!(bench.run_finish()[0].awaited, "the repeat waits for it");
    assert_eq!(outcomes(&bench.answers_to(joined)), [Outcome::Ok]);
}

#[test]
fn actions_are_taken_together_and_called_one_after_the_other() {
    let mut bench = Bench::new(vec![durable("h")]);
    let packets = vec![
        packet("h", "1").seq(1),
        packet("h", "2").seq(2).action(Action::Update),
        packet("h", "3").seq(3),
    ];
    let call = bench.offer("a", packets);
    assert_eq!(bench.run_take(), ["1", "2", "3"]);
    for id in ["1", "2", "3"] {
        assert_eq!(bench.runs.len(), 1, "the chain is busy");
        assert_eq!(bench.run_ok(), [id]);
        bench.run_finish();
    }
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok; 3]);
}

#[test]
fn keys_are_in_order_across_clients_once_they_are_taken() {
    let by_key = HandlerSettings {
        ordering: Ordering::Key,
        ..durable("h")
    };
    let mut bench = Bench::new(vec![by_key]);
    bench.offer(
        "a",
        vec![
            packet("h", "a1").seq(1).key("k"),
            packet("h", "a2").seq(2).key("l"),
        ],
    );
    bench.offer("b", vec![packet("h", "b1").seq(1).key("k")]);
    assert_eq!(bench.run_take(), ["a1", "a2"]);
    let first = bench.run();
    assert_eq!(ids(&first), ["a1", "a2"]);
    assert_eq!(bench.run_take(), ["b1"]);
    assert!(bench.runs.is_empty(), "b1 waits for a1");
    bench.complete(first.batch, vec![retry(), Answer::ok()]);
    assert_eq!(bench.run_finish().len(), 1, "only a2 is done");
    bench.advance(100 * MS);
    assert_eq!(bench.run_ok(), ["a1", "b1"]);
}

#[test]
fn what_gets_no_final_answer_is_called_again_and_its_chain_waits() {
    for answer in [
        retry(),
        Answer::with(Outcome::InDoubt, Reason::HandlerFailed, "panicked"),
    ] {
        let mut bench = Bench::new(vec![durable("h")]);
        let packets = ["1", "2", "3"].iter().zip(1..);
        let packets = packets.map(|(id, seq)| packet("h", *id).seq(seq));
        let call = bench.offer("a", packets.collect());
        bench.run_take();
        let run = bench.run();
        let refused = vec![Answer::ok(), answer, Answer::earlier_refused()];
        bench.complete(run.batch, refused);
        assert_eq!(bench.run_finish().len(), 1);
        assert!(bench.runs.is_empty() && bench.answers.is_empty());
        bench.advance(100 * MS);
        let again = bench.run();
        assert_eq!(ids(&again), ["2", "3"]);
        assert_eq!(again.items[0].id, run.items[1].id, "the same id");
        bench.complete(again.batch, vec![Answer::ok(); 2]);
        assert_eq!(bench.run_finish().len(), 2);
        assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok; 3]);
    }
}

#[test]
fn pauses_grow_and_end() {
    let unordered = HandlerSettings {
        ordering: Ordering::None,
        ..durable("h")
    };
    for handler in [durable("h"), unordered] {
        let patient = Retry {
            attempts: 100,
            ..Retry::default()
        };
        let handler = HandlerSettings {
            retry: patient,
            ..handler
        };
        let mut bench = Bench::new(vec![handler]);
        bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "1")]);
        bench.run_take();
        let mut longest = Duration::ZERO;
        for attempt in 0..20 {
            let run = bench.run();
            bench.complete(run.batch, vec![retry()]);
            let failed = bench.now;
            while bench.runs.is_empty() {
                let due = bench.core.next_deadline();
                let due = due.expect("it goes on by itself");
                bench.advance(due - bench.now);
            }
            let pause = bench.now - failed;
            let bound = (100 * MS * 2_u32.pow(attempt)).min(Duration::from_secs(30));
            assert!(pause <= bound, "{pause:?} after attempt {attempt}");
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
        bench.run_ok();
        bench.run_finish();
        assert!(bench.core.is_idle());
    }
}

#[test]
fn one_that_is_called_again_holds_up_nobody_else() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer("a", vec![packet("h", "a")]);
    bench.run_take();
    let run = bench.run();
    bench.complete(run.batch, vec![retry()]);
    bench.offer("b", vec![packet("h", "b")]);
    bench.run_take();
    assert_eq!(bench.run_ok(), ["b"]);
}

#[test]
fn when_the_wait_ends_each_is_told_how_far_it_is() {
    let mut bench = Bench::new(vec![durable("h")]);
    let first = bench.offer("a", vec![packet("h", "1").seq(1)]);
    bench.run_take();
    let second = bench.offer("a", vec![packet("h", "2").seq(2)]);
    let third = bench.offer("a", vec![packet("h", "3").seq(3)]);
    bench.advance(Duration::from_secs(10));
    assert_eq!(outcomes(&bench.answers_to(first)), [Outcome::Accepted]);
    let in_doubt = &bench.answers_to(second)[0];
    let told = (in_doubt.outcome, in_doubt.reason);
    assert_eq!(told, (Outcome::InDoubt, Reason::HandlerTimeout));
    let answer = &bench.answers_to(third)[0];
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Retry, Reason::HandlerTimeout));
    let call = bench.run();
    assert_eq!(call.kind, RunKind::Call);
    assert_eq!(bench.run_take(), ["2"]);
    bench.complete(call.batch, vec![Answer::ok()]);
    assert!(!bench.run_finish()[0].awaited);
    assert_eq!(bench.run_ok(), ["2"]);
    bench.run_finish();
    assert!(bench.core.is_idle(), "3 was withdrawn");
}

#[test]
fn a_refused_take_ends_its_chain_in_its_request() {
    let mut bench = Bench::new(vec![durable("h")]);
    let packets = (1..=3).map(|seq| packet("h", seq.to_string()).seq(seq));
    let call = bench.offer("a", packets.collect());
    let run = bench.run();
    let took = vec![
        Took::Taken(TakenId { run: 1, at: 0 }),
        Took::Answered(Answer::earlier_missing(2, 1)),
        Took::Answered(Answer::earlier_refused()),
    ];
    bench.complete_with(run.batch, Done::Took(took));
    bench.run_ok();
    bench.run_finish();
    let expected = [Outcome::Ok, Outcome::Retry, Outcome::Retry];
    assert_eq!(outcomes(&bench.answers_to(call)), expected);
    assert!(bench.core.is_idle());
}

#[test]
fn a_take_in_doubt_is_found_out_before_anything_goes_past_it() {
    let doubt = || Answer::with(Outcome::InDoubt, Reason::StoreUnavailable, "unknown");
    let mut bench = Bench::new(vec![durable("h")]);
    let first = bench.offer("a", vec![packet("h", "1").seq(1), packet("h", "2").seq(2)]);
    let run = bench.run();
    let unknown = vec![Took::Unknown(doubt()), Took::Unknown(doubt())];
    bench.complete_with(run.batch, Done::Took(unknown));
    bench.offer("a", vec![packet("h", "3").seq(3)]);
    assert!(bench.runs.is_empty() && bench.answers.is_empty());
    bench.advance(100 * MS);
    let run = bench.run();
    assert_eq!(ids(&run), ["1", "2", "3"]);
    let refused = || Took::NotApplied(retry());
    bench.complete_with(run.batch, Done::Took(vec![refused(), refused(), refused()]));
    let [third] = &bench.answers[..] else {
        panic!("only 3 is known not to be taken");
    };
    assert_eq!(third.1.answers[0].1.outcome, Outcome::Retry);
    bench.answers.clear();
    bench.advance(Duration::from_millis(200));
    let run = bench.run();
    bench.advance(Duration::from_secs(10));
    assert_eq!(outcomes(&bench.answers_to(first)), [Outcome::InDoubt; 2]);
    let judged = vec![
        Took::Taken(TakenId { run: 1, at: 0 }),
        Took::Taken(TakenId { run: 1, at: 1 }),
    ];
    bench.complete_with(run.batch, Done::Took(judged));
    assert_eq!(bench.run_ok(), ["1", "2"]);
    bench.run_finish();
    let alone = bench.offer("", vec![packet("h", "")]);
    let run = bench.run();
    bench.complete_with(run.batch, Done::Took(vec![Took::Unknown(doubt())]));
    assert_eq!(outcomes(&bench.answers_to(alone)), [Outcome::InDoubt]);
    assert!(bench.core.is_idle());
}

#[test]
fn refusals_of_packets_with_a_place_are_recorded_and_go_no_further() {
    let mut bench = Bench::new(vec![durable("h")]);
    let refused = packet("h", "1").refused(Answer::rejected(Reason::InvalidPacket, "wrong"));
    let call = bench.offer("a", vec![refused.clone().seq(1), refused]);
    let run = bench.run();
    assert_eq!((run.kind, ids(&run)), (RunKind::Take, vec!["1".to_owned()]));
    assert!(bench.answers.is_empty(), "its place is not used up yet");
    let answer = Answer::rejected(Reason::InvalidPacket, "wrong");
    bench.complete_with(run.batch, Done::Took(vec![Took::Answered(answer)]));
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Rejected; 2]);
    assert!(bench.core.is_idle() && bench.runs.is_empty());
}

#[test]
fn what_expires_after_it_was_taken_is_finished_in_its_turn() {
    let mut bench = Bench::new(vec![durable("h")]);
    let second = packet("h", "2").seq(2).action(Action::Update);
    let third = packet("h", "3").seq(3).action(Action::Update);
    let packets = vec![packet("h", "1").seq(1), second.ttl(50 * MS), third];
    let call = bench.offer("a", packets);
    bench.run_take();
    bench.advance(60 * MS);
    assert!(bench.answers.is_empty(), "not before its turn");
    bench.run_ok();
    bench.run_finish();
    assert_eq!(bench.runs.len(), 1, "3 waits until that is on disk");
    let finishes = bench.run_finish();
    let ended = (finishes.len(), finishes[0].answer.as_ref().unwrap().outcome);
    assert_eq!(ended, (1, Outcome::Expired), "its handler does not get it");
    assert_eq!(bench.run_ok(), ["3"]);
    bench.run_finish();
    let expected = [Outcome::Ok, Outcome::Expired, Outcome::Ok];
    assert_eq!(outcomes(&bench.answers_to(call)), expected);
}

#[test]
fn what_its_handler_did_not_answer_never_expires() {
    let mut bench = Bench::new(vec![durable("h")]);
    let first = packet("h", "1").seq(1).ttl(50 * MS);
    let call = bench.offer_as("a", "a", Ack::Applied, vec![first]);
    bench.run_take();
    let run = bench.run();
    let unanswered = Answer::with(Outcome::InDoubt, Reason::HandlerFailed, "no answer");
    bench.complete(run.batch, vec![unanswered]);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.run_ok(), ["1"], "it may have been applied");
    bench.run_finish();
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok]);
}

#[test]
fn what_expires_before_it_is_taken_is_not_taken() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer("a", vec![packet("h", "1")]);
    let packets = vec![packet("h", "2").ttl(50 * MS), packet("h", "3")];
    let call = bench.offer("a", packets);
    bench.advance(60 * MS);
    bench.run_take();
    assert_eq!(bench.run_take(), ["2", "3"], "its EXPIRED is kept");
    assert_eq!(bench.run_ok(), ["1"]);
    bench.run_finish();
    assert_eq!(bench.run_ok(), ["3"]);
    bench.run_finish();
    let expected = [Outcome::Expired, Outcome::Ok];
    assert_eq!(outcomes(&bench.answers_to(call)), expected);
}

#[test]
fn messages_go_with_their_answer_until_that_is_durable() {
    let mut bench = Bench::new(vec![durable("h")]);
    let call = bench.offer("a", vec![packet("h", "1").seq(1), packet("h", "2").seq(2)]);
    bench.run_take();
    let run = bench.run();
    let published = Messages {
        at: 1,
        drafts: vec![draft("t", b"m")],
    };
    let completed = Completed {
        messages: vec![published],
        ..Done::Answered(vec![Answer::ok(); 2]).into()
    };
    bench.core.complete(bench.now, run.batch, completed);
    bench.poll();
    let count = |finishes: &[RunFinish]| -> Vec<usize> {
        let messages = finishes.iter().map(|finish| finish.messages.len());
        messages.collect()
    };
    let run = bench.run();
    assert_eq!(count(&run.finishes), [0, 1]);
    bench.complete_with(run.batch, Done::Finished(vec![true, false]));
    bench.advance(100 * MS);
    assert_eq!(count(&bench.run_finish()), [1]);
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok; 2]);
}

#[test]
fn answers_that_the_store_does_not_take_are_committed_again() {
    let mut bench = Bench::new(vec![durable("h")]);
    let call = bench.offer("a", vec![packet("h", "1").seq(1), packet("h", "2").seq(2)]);
    bench.run_take();
    bench.run_ok();
    let run = bench.run();
    bench.complete_with(run.batch, Done::Finished(vec![true, false]));
    bench.offer("a", vec![packet("h", "3").seq(3)]);
    bench.run_take();
    assert!(bench.runs.is_empty(), "the chain waits");
    bench.advance(100 * MS);
    let finishes = bench.run_finish();
    assert_eq!((finishes.len(), finishes[0].taken.at), (1, 2));
    assert_eq!(outcomes(&bench.answers_to(call)), [Outcome::Ok; 2]);
    assert_eq!(bench.run_ok(), ["3"]);
}

#[test]
fn what_clients_are_done_with_goes_with_what_is_taken() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer_settled("a", "h", &["1", "2"]);
    let run = bench.run();
    assert_eq!((run.kind, run.settles.len()), (RunKind::Take, 1));
    bench.complete_with(run.batch, Done::Took(Vec::new()));
    assert!(bench.core.is_idle());
}

#[test]
fn a_stop_does_not_wait_for_what_is_to_be_called_again() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer_as(
        "a",
        "a",
        Ack::Accepted,
        vec![packet("h", "1"), packet("h", "2")],
    );
    bench.run_take();
    let run = bench.run();
    bench.core.drain();
    bench.poll();
    assert!(!bench.core.is_idle(), "a call is in flight");
    bench.complete(run.batch, vec![retry(), Answer::earlier_refused()]);
    assert!(bench.core.is_idle());
}

#[test]
fn what_was_open_at_the_start_is_called_first_and_in_order() {
    let settings = Settings {
        lane_packets: 1,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![durable("h"), called("gone")], settings);
    let origin = |handler| {
        let client = ClientKey {
            tenant: "".into(),
            subject: "a".into(),
            client_id: "a".into(),
        };
        Arc::new(Origin {
            principal: Arc::new(Principal {
                subject: "a".into(),
                ..Principal::default()
            }),
            client: Some(Arc::new(client)),
            handler: HandlerName::new(handler).unwrap(),
        })
    };
    let run = |number, handler, seqs: &[u64]| Restored {
        origin: origin(handler),
        age: 40 * MS,
        packets: seqs
            .iter()
            .map(|&seq| {
                let taken = TakenId {
                    run: number,
                    at: seq as u32,
                };
                let packet = packet(handler, seq.to_string()).seq(seq).ttl(100 * MS);
                RestoredPacket {
                    taken,
                    packet: Arc::new(packet.0),
                    letter: None,
                    held: false,
                }
            })
            .collect(),
    };
    let now = bench.now;
    assert!(bench.core.restore(now, run(1, "h", &[4, 5])));
    assert!(bench.core.restore(now, run(2, "h", &[6])));
    assert!(!bench.core.restore(now, run(3, "gone", &[1])));
    assert!(!bench.core.restore(now, run(4, "unknown", &[1])));
    let joined = bench.offer("a", vec![packet("h", "5").seq(5)]);
    let full = bench.offer("a", vec![packet("h", "7").seq(7)]);
    assert_eq!(bench.answers_to(full)[0].reason, Reason::Overloaded);
    let first = bench.run();
    assert_eq!(ids(&first), ["4", "5", "6"]);
    assert_eq!(
        first.items[0].id,
        ItemId::of_taken(TakenId { run: 1, at: 4 })
    );
    assert_eq!(first.items[0].expires, Some(now + 60 * MS));
    bench.complete(first.batch, vec![Answer::ok(); 3]);
    let awaited: Vec<_> = bench.run_finish().iter().map(|one| one.awaited).collect();
    assert_eq!(awaited, [false, true, false]);
    assert_eq!(outcomes(&bench.answers_to(joined)), [Outcome::Ok]);
    assert!(bench.core.is_idle());
}
