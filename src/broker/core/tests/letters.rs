//! Dead letters that are here and held.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::bench::{Bench, durable, ids, packet};
use crate::broker::core::{Decision, Restored, RestoredPacket, RunFinish, RunKind, Undecided};
use crate::broker::{Ack, Selection, Settings};
use crate::handler::{HandlerSettings, ItemId, Ordering};
use crate::store::{Cause, Origin, TakenId};
use crate::types::{
    Action, Answer, ClientKey, Content, HandlerName, OnDead, Outcome, Principal, Reason, Retry,
};

const SECOND: Duration = Duration::from_secs(1);

/// Gives up at the first failure.
pub(super) fn strict(name: &str, on_dead: OnDead) -> HandlerSettings {
    let retry = Retry {
        attempts: 1,
        budget: Duration::ZERO,
        on_dead,
        ..Retry::default()
    };
    HandlerSettings {
        retry,
        ..durable(name)
    }
}

pub(super) fn no() -> Answer {
    Answer::retry(Reason::Application, "not this")
}

/// Takes what `client` sends, `1`, `2` …, and fails the first of it: the answer to that is on its way to the disk.
fn fail_first(bench: &mut Bench, client: &str, count: u64) -> crate::broker::core::CallId {
    let packets = (1..=count).map(|seq| packet("h", format!("{client}{seq}")).seq(seq));
    let call = bench.offer(client, packets.collect());
    bench.run_take();
    let run = bench.run();
    assert_eq!(ids(&run).len() as u64, count);
    let answers = (0..count).map(|_| no());
    bench.complete(run.batch, answers.collect());
    call
}

/// The same, and it is held.
fn hold_first(
    bench: &mut Bench,
    client: &str,
    count: u64,
) -> (crate::broker::core::CallId, TakenId) {
    let call = fail_first(bench, client, count);
    let [finish] = &bench.run_finish()[..] else {
        panic!("one is given up");
    };
    assert!(finish.answer.is_none() && finish.death.is_some());
    (call, finish.taken)
}

pub(super) fn outcome(finish: &RunFinish) -> Option<Outcome> {
    finish.answer.as_ref().map(|answer| answer.outcome)
}

#[test]
fn what_is_given_up_is_kept_with_its_answer() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    let call = fail_first(&mut bench, "a", 2);
    let finishes = bench.run_finish();
    assert_eq!(outcome(&finishes[0]), Some(Outcome::Rejected));
    let death = finishes[0].death.as_ref().unwrap();
    assert_eq!((death.cause, death.attempts), (Cause::Spent, 1));
    assert_eq!(&*death.message, "not this", "what its handler said");
    bench.advance(SECOND);
    assert_eq!(bench.run_ok(), ["a2"]);
    bench.run_finish();
    let told = bench.answers_to(call);
    assert_eq!(
        (told[0].outcome, told[1].outcome),
        (Outcome::Rejected, Outcome::Ok)
    );
    assert_eq!(bench.dead.len(), 1);
}

#[test]
fn what_is_held_stops_its_chain_and_no_other_until_it_is_tried_again() {
    for ordering in [Ordering::Client, Ordering::Key] {
        let mut bench = Bench::new(vec![HandlerSettings {
            ordering,
            ..strict("h", OnDead::Stop)
        }]);
        let of = |name: &str, seq| packet("h", name).seq(seq).key("k");
        let call = bench.offer("a", vec![of("a1", 1), of("a2", 2)]);
        bench.run_take();
        let run = bench.run();
        let item = run.items[0].id;
        bench.complete(run.batch, vec![no(), no()]);
        let taken = bench.run_finish()[0].taken;
        bench.advance(100 * SECOND);
        assert!(bench.runs.is_empty(), "nothing of the chain is called");
        let told = bench.answers_to(call);
        assert!(
            told.iter()
                .all(|answer| answer.outcome == Outcome::Accepted)
        );
        let other = bench.offer("b", vec![packet("h", "b1").seq(1).key("other")]);
        bench.run_take();
        assert_eq!(bench.run_ok(), ["b1"]);
        bench.run_finish();
        assert_eq!(bench.answers_to(other)[0].outcome, Outcome::Ok);
        bench.offer_as("a", "a", Ack::Accepted, vec![of("a3", 3)]);
        bench.run_take();
        assert!(bench.runs.is_empty(), "it waits behind");
        let number = bench
            .core
            .decide(bench.now, taken, Decision::Retry)
            .unwrap();
        let twice = bench.core.decide(bench.now, taken, Decision::Discard);
        assert_eq!(twice, Err(Undecided::Decided));
        bench.poll();
        assert_eq!(bench.runs[0].kind, RunKind::Finish);
        let finish = &bench.runs[0].finishes[0];
        assert!(finish.answer.is_none() && finish.death.is_none());
        assert!(bench.decided.is_empty(), "it is not on disk");
        bench.run_finish();
        assert_eq!(bench.decided, [number]);
        let run = bench.run();
        assert_eq!(ids(&run), ["a1", "a2", "a3"]);
        assert_eq!((run.items[0].id, run.items[0].attempt), (item, 1));
        bench.complete(run.batch, vec![Answer::ok(); 3]);
        bench.run_finish();
        assert!(bench.core.is_idle());
        let gone = bench.core.decide(bench.now, taken, Decision::Retry);
        assert_eq!(gone, Err(Undecided::NotHere));
    }
}

#[test]
fn what_is_held_and_fails_again_is_held_again() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let (_, taken) = hold_first(&mut bench, "a", 1);
    for _ in 0..3 {
        bench
            .core
            .decide(bench.now, taken, Decision::Retry)
            .unwrap();
        bench.poll();
        bench.run_finish();
        let run = bench.run();
        bench.complete(run.batch, vec![no()]);
        let finishes = bench.run_finish();
        let death = finishes[0].death.as_ref().unwrap();
        assert_eq!(death.attempts, 1, "a budget of its own");
        assert!(finishes[0].answer.is_none());
    }
    assert_eq!(bench.dead.len(), 4);
}

#[test]
fn what_is_discarded_is_rejected_and_its_chain_goes_on() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let (call, taken) = hold_first(&mut bench, "a", 2);
    bench
        .core
        .decide(bench.now, taken, Decision::Discard)
        .unwrap();
    bench.poll();
    let finishes = bench.run_finish();
    assert_eq!(outcome(&finishes[0]), Some(Outcome::Rejected));
    assert!(finishes[0].death.is_none() && finishes[0].awaited);
    bench.advance(SECOND);
    assert_eq!(bench.run_ok(), ["a2"]);
    bench.run_finish();
    let told = bench.answers_to(call);
    let told: Vec<_> = told
        .iter()
        .map(|answer| (answer.outcome, answer.reason))
        .collect();
    let rejected = (Outcome::Rejected, Reason::HandlerFailed);
    assert_eq!(told, [rejected, (Outcome::Ok, Reason::Unspecified)]);
    assert!(bench.core.is_idle());
}

#[test]
fn what_is_held_is_cleared_with_its_lane() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let (call, taken) = hold_first(&mut bench, "a", 2);
    let (_, cleared) = bench.core.clear_lanes(bench.now, &Selection::default());
    bench.poll();
    assert_eq!(cleared.cleared.packets, 2);
    let finishes = bench.run_finish();
    let outcomes: Vec<_> = finishes.iter().map(outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Rejected); 2]);
    let told = bench.answers_to(call);
    assert!(told.iter().all(|answer| answer.reason == Reason::Cleared));
    assert_eq!(bench.cleared.len(), 1);
    let gone = bench.core.decide(bench.now, taken, Decision::Retry);
    assert_eq!(gone, Err(Undecided::NotHere));
    assert!(bench.core.is_idle());
}

#[test]
fn outside_every_order_it_holds_only_itself() {
    let mut bench = Bench::new(vec![HandlerSettings {
        ordering: Ordering::None,
        ..strict("h", OnDead::Stop)
    }]);
    let call = bench.offer("a", vec![packet("h", "1"), packet("h", "2").unordered()]);
    bench.run_take();
    let run = bench.run();
    assert_eq!(ids(&run), ["1", "2"]);
    bench.complete(run.batch, vec![no(), Answer::ok()]);
    let finishes = bench.run_finish();
    let held: Vec<_> = finishes.iter().map(|one| one.answer.is_none()).collect();
    assert_eq!(held, [true, false]);
    let taken = finishes[0].taken;
    bench.offer("a", vec![packet("h", "3")]);
    bench.run_take();
    assert_eq!(bench.run_ok(), ["3"]);
    bench.run_finish();
    bench
        .core
        .decide(bench.now, taken, Decision::Retry)
        .unwrap();
    bench.poll();
    bench.run_finish();
    assert_eq!(bench.run_ok(), ["1"]);
    bench.run_finish();
    assert!(
        bench
            .answers_to(call)
            .iter()
            .all(|answer| answer.outcome == Outcome::Ok)
    );
    assert!(bench.core.is_idle());
}

#[test]
fn a_stop_does_not_wait_for_a_person() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let (call, _) = hold_first(&mut bench, "a", 2);
    let read = bench.offer("a", vec![packet("h", "r").action(Action::Read)]);
    assert!(bench.answers.is_empty() && !bench.core.is_idle());
    let late = fail_first(&mut bench, "b", 1);
    bench.core.drain();
    bench.poll();
    let told = bench.answers_to(call);
    assert!(
        told.iter()
            .all(|answer| answer.outcome == Outcome::Accepted)
    );
    let told = &bench.answers_to(read)[0];
    assert_eq!(
        (told.outcome, told.reason),
        (Outcome::Retry, Reason::Draining)
    );
    assert!(!bench.core.is_idle(), "it is not on disk yet");
    bench.run_finish();
    assert_eq!(bench.answers_to(late)[0].outcome, Outcome::Accepted);
    assert!(bench.core.is_idle());
}

#[test]
fn a_stopped_chain_takes_no_room_of_its_lane() {
    let settings = Settings {
        lane_packets: 4,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![strict("h", OnDead::Stop)], settings);
    let mut held = Vec::new();
    // Four find room beside the lane, then four in it.
    for client in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (_, taken) = hold_first(&mut bench, client, 1);
        held.push(taken);
    }
    let full = bench.offer("i", vec![packet("h", "i1").seq(1)]);
    assert_eq!(bench.answers_to(full)[0].reason, Reason::Overloaded);
    let mut discard = |bench: &mut Bench| {
        let taken = held.pop().unwrap();
        let decided = bench.core.decide(bench.now, taken, Decision::Discard);
        decided.unwrap();
        bench.poll();
        bench.run_finish();
        held.is_empty()
    };
    discard(&mut bench);
    bench.answers.clear();
    let fits = bench.offer("i", vec![packet("h", "i1").seq(1)]);
    bench.run_take();
    assert_eq!(bench.run_ok(), ["i1"]);
    bench.run_finish();
    assert_eq!(bench.answers_to(fits)[0].outcome, Outcome::Ok);
    while !discard(&mut bench) {}
    assert!(bench.core.is_idle());
    // And the lanes go, as those of a handler without any.
    bench.advance(200 * SECOND);
    bench.advance(200 * SECOND);
    assert_eq!(bench.core.next_deadline(), None);
}

#[test]
fn what_was_held_before_this_start_is_not_called_until_a_person_says_so() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    let held = TakenId { run: 1, at: 0 };
    let run = Restored {
        origin: origin("a", "h"),
        age: SECOND,
        packets: vec![
            restored(held, packet("h", "1").seq(1), true),
            restored(TakenId { run: 1, at: 1 }, packet("h", "2").seq(2), false),
            restored(
                TakenId { run: 1, at: 2 },
                packet("h", "3").unordered(),
                true,
            ),
            restored(
                TakenId { run: 1, at: 3 },
                packet("h", "4").unordered(),
                false,
            ),
        ],
    };
    assert!(bench.core.restore(bench.now, run));
    bench.poll();
    assert_eq!(bench.run_ok(), ["4"]);
    bench.run_finish();
    bench.advance(100 * SECOND);
    assert!(bench.runs.is_empty());
    bench.core.decide(bench.now, held, Decision::Retry).unwrap();
    bench.poll();
    bench.run_finish();
    let run = bench.run();
    assert_eq!(ids(&run), ["1", "2"]);
    assert_eq!(run.items[0].id, ItemId::of_taken(held));
    bench.complete(run.batch, vec![Answer::ok(); 2]);
    bench.run_finish();
    bench.core.drain();
    assert!(bench.core.is_idle());
}

fn restored(taken: TakenId, draft: super::bench::Draft, held: bool) -> RestoredPacket {
    RestoredPacket {
        taken,
        packet: Arc::new(draft.0),
        letter: None,
        held,
    }
}

pub(super) fn origin(client: &str, handler: &str) -> Arc<Origin> {
    let key = ClientKey {
        tenant: "".into(),
        subject: client.into(),
        client_id: client.into(),
    };
    Arc::new(Origin {
        principal: Arc::new(Principal {
            subject: client.into(),
            ..Principal::default()
        }),
        client: Some(Arc::new(key)),
        handler: HandlerName::new(handler).unwrap(),
    })
}

#[test]
fn what_waits_for_a_person_keeps_no_request() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let request = Bytes::from(vec![b'x'; 10_000]);
    let packets = (1..=4).map(|seq| {
        let mut draft = packet("h", seq.to_string()).seq(seq);
        draft.0.raw = request.slice(1_000..2_000);
        draft.0.content = Content::bytes(request.slice(1_100..1_200));
        draft
    });
    bench.offer_as("a", "a", Ack::Accepted, packets.collect());
    bench.answers.clear();
    bench.run_take();
    bench.answers.clear();
    let run = bench.run();
    bench.complete(run.batch, vec![Answer::ok(), no(), no(), no()]);
    drop(run.items);
    for _ in 0..2 {
        bench.run_finish();
    }
    assert!(bench.dead.pop().is_some_and(|dead| dead.held));
    assert_eq!(bench.core.sizes().packets, 3, "one is held, two wait");
    assert!(request.is_unique(), "and nothing else of their request");
}

#[test]
fn what_is_not_held_yet_is_nobody_elses_to_finish() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Stop)]);
    let taken = bench.next_taken();
    let unknown = bench.core.decide(bench.now, taken, Decision::Discard);
    assert_eq!(unknown, Err(Undecided::NotHere));
    bench.offer("a", vec![packet("h", "1").seq(1)]);
    bench.run_take();
    let early = bench.core.decide(bench.now, taken, Decision::Discard);
    assert_eq!(early, Err(Undecided::Decided), "its handler has it");
}
