//! What a person clears and flushes, and sees of the lanes: one rule, one test.

use std::time::Duration;

use super::bench::{Bench, called, durable, ids, packet, planned};
use super::letters::strict;
use super::service::{batch_of, fail, wait};
use crate::broker::core::{Class, Decision, Done, RunItem, RunKind, Took};
use crate::broker::lanes::{Amount, CircuitView, Cleared, Flushed};
use crate::broker::{Ack, Selection};
use crate::handler::{BatchLimits, Failure, HandlerSettings, Ordering};
use crate::types::{Action, Answer, HandlerName, OnDead, Outcome, Reason};

const MS: Duration = Duration::from_millis(1);

/// One packet a call, one call at a time.
fn one_by_one(settings: HandlerSettings) -> HandlerSettings {
    let batch = BatchLimits {
        max_packets: 1,
        calls: 1,
        ..settings.batch
    };
    HandlerSettings { batch, ..settings }
}

fn of(handler: &str) -> Selection {
    Selection {
        handler: HandlerName::new(handler),
        ..Selection::default()
    }
}

fn of_action(handler: &str, action: Action) -> Selection {
    Selection {
        action: Some(action),
        ..of(handler)
    }
}

fn told(answer: &Answer) -> (Outcome, Reason) {
    (answer.outcome, answer.reason)
}

const CLEARED: (Outcome, Reason) = (Outcome::Rejected, Reason::Cleared);

impl Bench {
    /// How many packets were cleared, and how many are in flight.
    pub(super) fn clear(&mut self, selection: &Selection) -> (u64, u64) {
        let (_, Cleared { cleared, in_flight }) = self.core.clear_lanes(self.now, selection);
        self.poll();
        (cleared.packets, in_flight.packets)
    }

    /// One client's packets, all of them taken; one is called.
    fn taken(&mut self, count: u64) {
        let packets = (1..=count).map(|seq| packet("h", seq.to_string()).seq(seq));
        self.offer_as("a", "a", Ack::Accepted, packets.collect());
        self.run_take();
    }
}

#[test]
fn what_was_not_handed_over_is_told_at_once_and_what_is_in_flight_goes_on() {
    // Where something is kept, without a req_id: no repeat of these is known.
    for (handler, req_ids) in [
        (called("h"), ["1", "2", "3"]),
        (planned("h"), ["1", "", ""]),
    ] {
        let mut bench = Bench::new(vec![one_by_one(handler)]);
        let call = bench.offer("a", req_ids.map(|id| packet("h", id)).into());
        let read = bench.offer("a", vec![packet("h", "read").action(Action::Read)]);
        assert_eq!(bench.clear(&of("h")), (3, 1), "2, 3 and the READ");
        assert_eq!(bench.cleared.len(), 1, "nothing is waited for");
        assert_eq!(told(&bench.answers_to(read)[0]), CLEARED);
        assert_eq!(bench.run_ok(), ["1"]);
        let answers = bench.answers_to(call);
        assert_eq!(answers[0].outcome, Outcome::Ok);
        assert_eq!(told(&answers[1]), CLEARED);
        assert_eq!(told(&answers[2]), CLEARED);
        assert!(bench.runs.is_empty() && bench.core.is_idle());
    }
}

#[test]
fn what_may_be_a_repeat_has_the_store_say_how_it_ended() {
    for handler in [durable("h"), planned("h")] {
        let mut bench = Bench::new(vec![one_by_one(handler)]);
        bench.offer("a", vec![packet("h", "1")]);
        let call = bench.offer("a", vec![packet("h", "2"), packet("h", "3")]);
        let joined = bench.offer("a", vec![packet("h", "2")]);
        assert_eq!(bench.clear(&of("h")), (2, 1));
        assert!(bench.answers.is_empty(), "they may have their outcome");
        while let Some(at) = bench.runs.iter().position(|run| run.kind != RunKind::Call) {
            let run = bench.runs.remove(at);
            let judge = |item: &RunItem| match (&*item.packet.req_id, &item.packet.refusal) {
                ("2", _) => Answer::ok().replay(),
                (_, Some(refusal)) => (**refusal).clone(),
                _ => Answer::ok(),
            };
            let answers = run.items.iter().map(judge);
            let done = match run.kind {
                RunKind::Take => Done::Took(answers.map(Took::Answered).collect()),
                _ => Done::Answered(answers.collect()),
            };
            bench.complete_with(run.batch, done);
        }
        assert_eq!(bench.answers_to(joined)[0].outcome, Outcome::Ok);
        let answers = bench.answers_to(call);
        assert_eq!(answers[0].outcome, Outcome::Ok, "that is what was told");
        assert_eq!(told(&answers[1]), CLEARED);
        assert!(bench.cleared.len() == 1 && bench.core.is_idle());
    }
}

#[test]
fn a_place_that_is_not_taken_is_used_up_in_its_turn_before_it_is_told() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer("a", vec![packet("h", "1").seq(1)]);
    let second = bench.offer("a", vec![packet("h", "2").seq(2)]);
    let joined = bench.offer("a", vec![packet("h", "2").seq(2)]);
    assert_eq!(bench.clear(&of("h")), (1, 1));
    assert_eq!(bench.clear(&of("h")), (0, 1), "it is refused already");
    assert_eq!(bench.run_take(), ["1"]);
    assert!(bench.answers.is_empty(), "it is not on disk yet");
    assert_eq!(bench.cleared.len(), 1, "only that of the second");
    let take = bench.runs.iter().position(|run| run.kind == RunKind::Take);
    let take = bench.runs.remove(take.expect("its turn has come"));
    let refusal = take.items[0].packet.refusal.as_deref();
    assert_eq!(refusal.map(told), Some(CLEARED));
    bench.take(take);
    for call in [second, joined] {
        assert_eq!(told(&bench.answers_to(call)[0]), CLEARED);
    }
    assert_eq!(bench.cleared.len(), 2);
    assert_eq!(bench.run_ok(), ["1"], "it goes on");
}

#[test]
fn what_was_taken_is_told_once_its_answer_is_on_disk_and_its_chain_waits_for_that() {
    let mut bench = Bench::new(vec![one_by_one(durable("h"))]);
    bench.taken(3);
    let first = bench.run();
    bench.answers.clear();
    let joined = bench.offer("a", vec![packet("h", "3").seq(3)]);
    assert_eq!(bench.clear(&of("h")), (2, 1));
    let cleared = bench.run();
    assert_eq!(cleared.kind, RunKind::Finish);
    let finishes = cleared.finishes.iter();
    let finishes: Vec<_> = finishes
        .map(|finish| {
            let answer = finish.answer.as_ref().map(|answer| told(answer));
            (finish.taken.at, answer, finish.awaited)
        })
        .collect();
    let expected = [(2, Some(CLEARED), false), (3, Some(CLEARED), true)];
    assert_eq!(finishes, expected);
    bench.complete(first.batch, vec![Answer::ok()]);
    bench.run_finish();
    bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "4").seq(4)]);
    bench.run_take();
    assert!(bench.runs.is_empty(), "a restart might call 2 after 4");
    assert!(bench.cleared.is_empty());
    // The store did not take one of them.
    bench.complete_with(cleared.batch, Done::Finished(vec![true, false]));
    assert!(bench.cleared.is_empty() && bench.runs.is_empty());
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.run_finish().len(), 1);
    assert_eq!(told(&bench.answers_to(joined)[0]), CLEARED);
    assert_eq!(bench.cleared.len(), 1);
    assert_eq!(bench.run_ok(), ["4"]);
    bench.run_finish();
    assert!(bench.core.is_idle() && bench.core.chains.is_empty());
}

#[test]
fn what_waits_for_a_pause_is_cleared_and_the_pause_is_over() {
    for ordering in [Ordering::Client, Ordering::Key, Ordering::None] {
        let handler = HandlerSettings {
            ordering,
            ..one_by_one(durable("h"))
        };
        let mut bench = Bench::new(vec![handler]);
        let packets = ["1", "2"].map(|id| packet("h", id).key("k"));
        bench.offer_as("a", "a", Ack::Accepted, packets.into());
        bench.run_take();
        let run = bench.run();
        let later = Answer::retry(Reason::HandlerUnavailable, "later");
        bench.complete(run.batch, vec![later]);
        // Without an order the other one was called meanwhile.
        let in_flight = bench.runs.len() as u64;
        assert_eq!(bench.clear(&of("h")), (2 - in_flight, in_flight));
        let finish = bench
            .runs
            .iter()
            .position(|run| run.kind == RunKind::Finish);
        let finish = bench.runs.remove(finish.expect("it is cleared"));
        let durable = vec![true; finish.finishes.len()];
        bench.complete_with(finish.batch, Done::Finished(durable));
        while !bench.runs.is_empty() {
            bench.run_ok();
            bench.run_finish();
        }
        assert!(bench.core.is_idle() && bench.core.chains.is_empty());
        bench.advance(Duration::from_secs(60));
        bench.offer("a", vec![packet("h", "3").key("k")]);
        bench.run_take();
        assert_eq!(bench.run_ok(), ["3"], "{ordering:?}");
    }
}

#[test]
fn who_may_have_applied_it_is_told() {
    let mut bench = Bench::new(vec![durable("h")]);
    let call = bench.offer("a", vec![packet("h", "1")]);
    bench.run_take();
    let run = bench.run();
    let doubt = Answer::with(Outcome::InDoubt, Reason::HandlerFailed, "lost");
    bench.complete(run.batch, vec![doubt]);
    assert_eq!(bench.clear(&of("h")), (1, 0));
    bench.run_finish();
    let answer = &bench.answers_to(call)[0];
    assert_eq!(told(answer), CLEARED);
    assert!(answer.message.contains("may have applied it"), "{answer:?}");
}

#[test]
fn what_is_behind_a_dead_letter_that_is_held_can_be_cleared_without_it() {
    for decision in [Decision::Retry, Decision::Discard] {
        let handler = HandlerSettings {
            mixed_actions: true,
            ..strict("h", OnDead::Stop)
        };
        let mut bench = Bench::new(vec![handler]);
        let packets = [
            packet("h", "1").seq(1),
            packet("h", "2").seq(2).action(Action::Update),
        ];
        bench.offer_as("a", "a", Ack::Accepted, packets.into());
        bench.run_take();
        let run = bench.run();
        let no = Answer::retry(Reason::Application, "not this");
        bench.complete(run.batch, vec![no.clone(), no]);
        let letter = bench.run_finish()[0].taken;
        assert_eq!(bench.clear(&of_action("h", Action::Update)), (1, 0));
        assert_eq!(bench.run_finish().len(), 1);
        assert_eq!(bench.cleared.len(), 1);
        let decided = bench.core.decide(bench.now, letter, decision);
        assert!(decided.is_ok(), "{decided:?}");
        bench.poll();
        bench.run_finish();
        if decision == Decision::Retry {
            assert_eq!(bench.run_ok(), ["1"]);
            bench.run_finish();
        }
        // Nothing is left of the pause that the one behind it had.
        bench.advance(Duration::from_secs(60));
        assert!(bench.core.is_idle() && bench.core.chains.is_empty());
        assert_eq!(bench.core.shares.held.both(), 0);
    }
}

#[test]
fn what_is_searched_is_cleared_but_for_what_is_being_called() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 8);
    fail(&mut bench, Failure::Items);
    let run = bench.run();
    assert_eq!(ids(&run), ["0", "1", "2", "3"]);
    assert_eq!(bench.core.lanes(bench.now, &of("h"))[1].searches, 1);
    assert_eq!(bench.clear(&of("h")), (4, 4));
    assert_eq!(bench.run_finish().len(), 4);
    bench.complete(run.batch, vec![Answer::ok(); 4]);
    assert_eq!(bench.run_finish().len(), 4);
    assert!(bench.core.is_idle() && bench.core.searches.is_empty());
}

#[test]
fn a_search_that_pauses_is_over_when_all_of_it_is_cleared() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 4);
    fail(&mut bench, Failure::Passing);
    assert!(bench.runs.is_empty(), "it pauses");
    assert_eq!(bench.clear(&of("h")), (4, 0));
    assert!(bench.core.searches.is_empty());
    bench.run_finish();
    assert!(bench.core.is_idle() && bench.core.chains.is_empty());
    bench.advance(Duration::from_secs(60));
    assert!(bench.runs.is_empty());
}

#[test]
fn what_is_not_named_stays_in_its_search_and_in_its_order() {
    let handler = HandlerSettings {
        mixed_actions: true,
        ..durable("h")
    };
    let mut bench = Bench::new(vec![handler]);
    let packets = [
        packet("h", "1"),
        packet("h", "2").action(Action::Update),
        packet("h", "3"),
    ];
    bench.offer_as("a", "a", Ack::Accepted, packets.into());
    bench.run_take();
    // 1 is suspected, and the others are behind it.
    fail(&mut bench, Failure::Items);
    assert_eq!(fail(&mut bench, Failure::Items), ["1"]);
    assert_eq!(bench.clear(&of_action("h", Action::Update)), (1, 0));
    assert_eq!(bench.run_finish().len(), 1);
    assert_eq!(bench.clear(&of_action("h", Action::Create)), (2, 0));
    assert_eq!(bench.run_finish().len(), 2);
    let suspects: usize = bench.core.backends.iter().map(|one| one.suspects).sum();
    assert_eq!(suspects, 0);
    assert!(bench.core.is_idle() && bench.core.searches.is_empty());
}

#[test]
fn only_what_is_named_is_cleared() {
    let mut bench = Bench::new(vec![one_by_one(called("h")), one_by_one(called("g"))]);
    let packets = vec![
        packet("h", "1"),
        packet("h", "2").action(Action::Update),
        packet("h", "3").method("sum"),
        packet("h", "4").method("max"),
        packet("h", "5"),
    ];
    bench.offer("a", packets);
    bench.offer("a", vec![packet("g", "6"), packet("g", "7")]);
    assert_eq!(bench.clear(&of_action("h", Action::Update)), (1, 0));
    let method = Selection {
        method: Some("sum".into()),
        ..of_action("h", Action::Call)
    };
    assert_eq!(bench.clear(&method), (1, 0));
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.run_ok(), ["6"]);
    assert_eq!(bench.run_ok(), ["4"]);
    assert_eq!(bench.clear(&of("g")), (0, 1));
}

#[test]
fn a_backlog_behind_an_open_circuit_can_be_cleared() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 50);
    fail(&mut bench, Failure::Handler);
    let lane = &bench.core.lanes(bench.now, &of("h"))[1];
    assert!(matches!(lane.circuit, CircuitView::Open(left) if left > Duration::ZERO));
    assert_eq!(bench.clear(&of("h")), (50, 0));
    assert_eq!(bench.run_finish().len(), 50);
    assert!(bench.core.is_idle());
}

#[test]
fn who_waited_for_what_is_cleared_to_be_tried_goes_on() {
    let mut bench = Bench::new(vec![durable("h")]);
    for (client, action) in [("a", Action::Create), ("b", Action::Update)] {
        let packets = vec![packet("h", client).action(action)];
        bench.offer_as(client, client, Ack::Accepted, packets);
        let take = bench.runs.iter().position(|run| run.kind == RunKind::Take);
        let take = bench.runs.remove(take.expect("it is to be taken"));
        bench.take(take);
    }
    assert_eq!(fail(&mut bench, Failure::Handler), ["a"]);
    assert_eq!(fail(&mut bench, Failure::Handler), ["b"]);
    assert!(bench.runs.is_empty(), "the circuit is open");
    assert_eq!(bench.clear(&of_action("h", Action::Create)), (1, 0));
    bench.run_finish();
    wait(&mut bench);
    assert_eq!(bench.run_ok(), ["b"]);
}

#[test]
fn what_clients_are_done_with_is_not_cleared() {
    let mut bench = Bench::new(vec![durable("h")]);
    for _ in 0..4 {
        bench.offer_settled("a", "h", &["x"]);
    }
    bench.core.clear_lanes(bench.now, &of("h"));
    bench.offer_settled("a", "h", &["y"]);
    let settles: usize = bench.runs.iter().map(|run| run.settles.len()).sum();
    assert!(settles > 0);
}

#[test]
fn a_lane_shows_what_is_in_it_and_what_went_through() {
    let mut bench = Bench::new(vec![one_by_one(durable("h"))]);
    bench.taken(3);
    bench.advance(5 * MS);
    bench.offer("b", vec![packet("h", "4").size(7)]);
    let lanes = bench.core.lanes(bench.now, &of("h"));
    let [intake, lane] = &lanes[..] else {
        panic!("{lanes:?}")
    };
    assert_eq!(intake.class, Class::Intake);
    let amount = |packets, bytes| Amount { packets, bytes };
    assert_eq!(intake.in_flight, amount(1, 7));
    assert_eq!(intake.waiting, amount(0, 0));
    assert_eq!((intake.counts.batches, intake.counts.packets), (2, 4));
    assert_eq!(lane.class, Class::Action(Action::Create));
    assert_eq!(lane.in_flight, amount(1, 100));
    assert_eq!(lane.waiting, amount(2, 200));
    assert_eq!(lane.held, amount(4, 307), "with what is being taken");
    assert_eq!(lane.oldest, Some(5 * MS));
    assert_eq!(lane.calls_in_flight, 1);
    assert_eq!((lane.counts.idle, lane.counts.whole), (0, 1));
    assert_eq!(lane.circuit, CircuitView::Closed);
    let all = bench.core.lanes(bench.now, &Selection::default());
    assert_eq!(all.len(), 2);
    assert!(bench.core.lanes(bench.now, &of("g")).is_empty());
}

#[test]
fn a_flush_is_of_the_lanes_that_are_named() {
    let batch = BatchLimits {
        window: Duration::from_secs(10),
        ..BatchLimits::default()
    };
    let windowed = |name| HandlerSettings {
        batch,
        ordering: Ordering::None,
        ..called(name)
    };
    let mut bench = Bench::new(vec![windowed("h"), windowed("g")]);
    let packets = vec![
        packet("h", "1"),
        packet("h", "2").action(Action::Update),
        packet("h", "3"),
        packet("g", "4"),
    ];
    bench.offer("", packets);
    let flush = |bench: &mut Bench, selection: &Selection| {
        let flushed = bench.core.flush(selection);
        bench.poll();
        flushed
    };
    let flushed = flush(&mut bench, &of_action("h", Action::Create));
    let expected = |lanes, packets| Flushed { lanes, packets };
    assert_eq!(flushed, expected(1, 2));
    assert_eq!(bench.run_ok(), ["1", "3"]);
    assert!(bench.runs.is_empty());
    assert_eq!(flush(&mut bench, &of("h")), expected(1, 1));
    assert_eq!(bench.run_ok(), ["2"]);
    assert_eq!(flush(&mut bench, &Selection::default()), expected(1, 1));
    assert_eq!(bench.run_ok(), ["4"]);
    let counts = bench.core.lanes(bench.now, &of("g"))[0].counts;
    assert_eq!((counts.flush, counts.window), (1, 0));
}
