//! One rule, one test.

use std::time::Duration;

use super::bench::{Bench, called, ids, packet, planned};
use crate::broker::{Ack, Selection, Settings};
use crate::handler::{BatchLimits, HandlerSettings, Ordering};
use crate::types::{Action, Answer, Outcome, Reason};

const MS: Duration = Duration::from_millis(1);

fn with_batch(settings: HandlerSettings, batch: BatchLimits) -> HandlerSettings {
    HandlerSettings { batch, ..settings }
}

/// One call in flight at most, so that what comes later waits.
fn one_call(settings: HandlerSettings) -> HandlerSettings {
    let batch = BatchLimits {
        calls: 1,
        ..settings.batch
    };
    with_batch(settings, batch)
}

#[test]
fn a_lone_packet_leaves_without_a_second_one() {
    let mut bench = Bench::new(vec![called("h")]);
    let call = bench.offer("a", vec![packet("h", "1")]);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Ok);
}

#[test]
fn what_comes_while_the_handler_is_busy_leaves_together_when_it_is_free() {
    let mut bench = Bench::new(vec![called("h")]);
    for client in ["a", "b", "c"] {
        bench.offer(client, vec![packet("h", client)]);
    }
    assert_eq!(bench.run_ok(), ["a"]);
    assert_eq!(bench.run_ok(), ["b", "c"]);
    assert!(bench.core.is_idle());
}

#[test]
fn the_window_counts_from_when_the_first_was_ready() {
    let batch = BatchLimits {
        window: 50 * MS,
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
    bench.offer("a", vec![packet("h", "1")]);
    bench.advance(30 * MS);
    bench.offer("b", vec![packet("h", "2")]);
    bench.advance(19 * MS);
    assert!(bench.runs.is_empty(), "49 ms after the first");
    assert_eq!(bench.core.next_deadline(), Some(bench.now + MS));
    bench.advance(MS);
    assert_eq!(bench.run_ok(), ["1", "2"]);
}

#[test]
fn a_whole_batch_does_not_wait_for_its_window() {
    for (count, left) in [(3, 0), (4, 1), (5, 1)] {
        let batch = BatchLimits {
            max_packets: 4,
            window: 50 * MS,
            ..BatchLimits::default()
        };
        let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
        for client in 0..count {
            bench.offer(&format!("c{client}"), vec![packet("h", "1")]);
        }
        assert_eq!(bench.runs.len(), left, "{count} packets");
        assert!(bench.runs.iter().all(|run| run.items.len() == 4));
    }
}

#[test]
fn a_batch_ends_at_the_first_packet_that_does_not_fit() {
    for (last, first_batch) in [(399, 2), (400, 2), (401, 1)] {
        let batch = BatchLimits {
            max_bytes: 1000,
            ..BatchLimits::default()
        };
        let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
        let sizes = [600, last];
        let packets = sizes
            .iter()
            .map(|&size| packet("h", "").size(size))
            .collect();
        bench.offer("", packets);
        assert_eq!(
            bench.run().items.len(),
            first_batch,
            "600 and {last} of 1000"
        );
    }
}

#[test]
fn a_packet_larger_than_a_batch_travels_alone() {
    let batch = BatchLimits {
        max_bytes: 1000,
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
    let packets = vec![
        packet("h", "1"),
        packet("h", "big").size(5000),
        packet("h", "3"),
    ];
    bench.offer("a", packets);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.run_ok(), ["big"]);
    assert_eq!(bench.run_ok(), ["3"]);
}

#[test]
fn a_chain_crosses_lanes_in_order() {
    let mut bench = Bench::new(vec![called("h")]);
    let packets = vec![
        packet("h", "create"),
        packet("h", "update").action(Action::Update),
        packet("h", "create again"),
    ];
    bench.offer("a", packets);
    assert_eq!(bench.runs.len(), 1, "the chain is busy");
    assert_eq!(bench.run_ok(), ["create"]);
    assert_eq!(bench.run_ok(), ["update"]);
    assert_eq!(bench.run_ok(), ["create again"]);
}

#[test]
fn actions_share_a_batch_only_where_they_may() {
    for (mixed, batches) in [(false, 2), (true, 1)] {
        let handler = HandlerSettings {
            mixed_actions: mixed,
            ordering: Ordering::None,
            ..one_call(called("h"))
        };
        let mut bench = Bench::new(vec![handler]);
        bench.offer(
            "",
            vec![packet("h", "1"), packet("h", "2").action(Action::Update)],
        );
        assert_eq!(bench.runs.len(), batches, "mixed_actions = {mixed}");
    }
}

#[test]
fn a_read_waits_for_its_clients_writes_and_holds_up_nobody() {
    let mut bench = Bench::new(vec![called("h")]);
    let packets = vec![
        packet("h", "write"),
        packet("h", "read").action(Action::Read),
        packet("h", "write later"),
    ];
    bench.offer("a", packets);
    bench.offer("b", vec![packet("h", "other read").action(Action::Read)]);
    let write = bench.run();
    assert_eq!(
        ids(&write),
        ["write", "write later"],
        "a read holds up nobody"
    );
    assert_eq!(bench.run_ok(), ["other read"]);
    assert!(bench.runs.is_empty(), "the read waits");
    bench.complete(write.batch, vec![Answer::ok(), Answer::ok()]);
    assert_eq!(bench.run_ok(), ["read"]);
}

#[test]
fn an_unordered_packet_neither_waits_nor_holds() {
    let mut bench = Bench::new(vec![called("h")]);
    bench.offer("a", vec![packet("h", "1")]);
    let first = bench.run();
    bench.offer("a", vec![packet("h", "2"), packet("h", "free").unordered()]);
    bench.core.flush(&Selection::default());
    bench.poll();
    assert_eq!(bench.run_ok(), ["free"]);
    bench.complete(first.batch, vec![Answer::ok()]);
    assert_eq!(bench.run_ok(), ["2"]);
}

#[test]
fn one_key_is_in_order_across_clients_and_other_keys_are_not() {
    let handler = HandlerSettings {
        ordering: Ordering::Key,
        ..called("h")
    };
    let mut bench = Bench::new(vec![handler]);
    bench.offer("a", vec![packet("h", "a1").key("k")]);
    bench.offer(
        "b",
        vec![packet("h", "b1").key("k"), packet("h", "b2").key("other")],
    );
    bench.core.flush(&Selection::default());
    bench.poll();
    let first = bench.run();
    assert_eq!(bench.run_ok(), ["b2"]);
    bench.complete(first.batch, vec![Answer::ok()]);
    assert_eq!(bench.run_ok(), ["b1"]);
}

#[test]
fn a_repeat_of_what_is_under_way_joins_it() {
    let mut bench = Bench::new(vec![planned("h")]);
    let first = bench.offer("a", vec![packet("h", "1").seq(1)]);
    let again = bench.offer("a", vec![packet("h", "1").seq(1)]);
    let other = bench.offer("a", vec![packet("h", "1").seq(1).content(2)]);
    // Which of the two has the place is the store's to say: the first one may be the one that is wrong.
    let answer = &bench.answers_to(other)[0];
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Retry, Reason::ReqIdReused));
    assert!(answer.retry_after.is_some());
    assert_eq!(bench.run_ok(), ["1"]);
    assert!(bench.runs.is_empty());
    assert_eq!(bench.answers_to(first)[0].outcome, Outcome::Ok);
    assert_eq!(bench.answers_to(again)[0].outcome, Outcome::Ok);
}

#[test]
fn the_same_packet_twice_in_one_request_is_one() {
    let mut bench = Bench::new(vec![planned("h")]);
    let call = bench.offer("a", vec![packet("h", "1").seq(1), packet("h", "1").seq(1)]);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.answers_to(call).len(), 2);
}

#[test]
fn a_packet_has_sixteen_waiters() {
    let mut bench = Bench::new(vec![planned("h")]);
    let calls: Vec<_> = (0..17)
        .map(|_| bench.offer("a", vec![packet("h", "1")]))
        .collect();
    let refused = bench.answers_to(calls[16]).remove(0);
    assert_eq!(
        (refused.outcome, refused.reason),
        (Outcome::Retry, Reason::Overloaded)
    );
    assert!(refused.retry_after.is_some());
    bench.run_ok();
    assert_eq!(bench.answers.len(), 16);
}

#[test]
fn who_the_store_refuses_is_told_when_to_come_back() {
    let mut bench = Bench::new(vec![planned("h")]);
    let mut pauses = Vec::new();
    for outcome in [Outcome::Retry, Outcome::InDoubt].repeat(10) {
        let call = bench.offer("a", vec![packet("h", "")]);
        let run = bench.run();
        let refused = Answer::with(outcome, Reason::StoreUnavailable, "no room on the disk");
        bench.complete(run.batch, vec![refused]);
        let told = bench.answers_to(call).remove(0);
        assert_eq!(told.outcome, outcome);
        pauses.push(told.retry_after.unwrap());
    }
    let bounds = Duration::from_millis(500)..Duration::from_millis(1_500);
    assert!(pauses.iter().all(|pause| bounds.contains(pause)));
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 10, "jittered: {pauses:?}");
}

#[test]
fn what_was_not_taken_ends_its_chain_in_its_request_only() {
    let batch = BatchLimits {
        max_packets: 2,
        calls: 1,
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
    let packets = (1..=4).map(|n| packet("h", n.to_string())).collect();
    let call = bench.offer("a", packets);
    let next = bench.offer("a", vec![packet("h", "5")]);
    let run = bench.run();
    let busy = Answer::retry(Reason::HandlerUnavailable, "busy");
    bench.complete(run.batch, vec![Answer::ok(), busy]);
    let answers = bench.answers_to(call);
    let reasons: Vec<_> = answers.iter().map(|answer| answer.reason).collect();
    assert_eq!(
        reasons[1..],
        [
            Reason::HandlerUnavailable,
            Reason::EarlierRefused,
            Reason::EarlierRefused
        ]
    );
    assert_eq!(bench.run_ok(), ["5"]);
    assert_eq!(bench.answers_to(next)[0].outcome, Outcome::Ok);
}

#[test]
fn a_refusal_without_a_place_stops_nothing() {
    let mut bench = Bench::new(vec![planned("h")]);
    let wrong = Answer::rejected(Reason::InvalidPacket, "wrong");
    let call = bench.offer("a", vec![packet("h", "1").refused(wrong), packet("h", "2")]);
    assert_eq!(bench.run_ok(), ["2"]);
    let answers = bench.answers_to(call);
    assert_eq!(answers[0].reason, Reason::InvalidPacket);
    assert_eq!(answers[1].outcome, Outcome::Ok);
}

#[test]
fn a_refusal_with_a_place_goes_to_the_store_in_its_turn() {
    let mut bench = Bench::new(vec![planned("h")]);
    let wrong = Answer::rejected(Reason::InvalidPacket, "wrong");
    bench.offer(
        "a",
        vec![
            packet("h", "1").seq(1).refused(wrong),
            packet("h", "2").seq(2),
        ],
    );
    let run = bench.run();
    assert_eq!(ids(&run), ["1", "2"]);
    assert!(run.items[0].packet.refusal.is_some());
}

#[test]
fn an_unknown_handler_leaves_its_neighbours_alone() {
    let mut bench = Bench::new(vec![called("h")]);
    let call = bench.offer("a", vec![packet("nobody", "1"), packet("h", "2")]);
    bench.run_ok();
    let answers = bench.answers_to(call);
    assert_eq!(answers[0].reason, Reason::UnknownHandler);
    assert_eq!(answers[1].outcome, Outcome::Ok);
}

#[test]
fn a_call_without_packets_is_answered_at_once() {
    let mut bench = Bench::new(vec![called("h")]);
    let call = bench.offer("a", vec![]);
    assert!(bench.answers_to(call).is_empty());
    assert!(bench.core.is_idle());
}

#[test]
fn what_keeps_nothing_cannot_be_accepted() {
    let mut bench = Bench::new(vec![called("h")]);
    let call = bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "1")]);
    assert_eq!(bench.answers_to(call)[0].reason, Reason::InvalidPacket);
}

#[test]
fn at_the_end_of_the_wait_what_was_handed_over_is_in_doubt_and_the_rest_was_not_taken() {
    let mut bench = Bench::new(vec![one_call(called("h"))]);
    let first = bench.offer("a", vec![packet("h", "1"), packet("h", "2")]);
    let second = bench.offer("b", vec![packet("h", "3")]);
    let run = bench.run();
    bench.advance(Duration::from_secs(10));
    assert_eq!(bench.answers_to(first)[1].outcome, Outcome::InDoubt);
    assert_eq!(bench.answers_to(second)[0].outcome, Outcome::Retry);
    bench.complete(run.batch, vec![Answer::ok(), Answer::ok()]);
    assert!(bench.runs.is_empty(), "what was refused is not applied");
    assert!(bench.core.is_idle());
}

#[test]
fn hanging_up_drops_a_waiter_and_no_packet() {
    let mut bench = Bench::new(vec![one_call(called("h"))]);
    bench.offer("a", vec![packet("h", "1")]);
    let gone = bench.offer("b", vec![packet("h", "2")]);
    bench.core.hang_up(gone);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.run_ok(), ["2"]);
    assert!(bench.core.is_idle());
}

#[test]
fn a_read_that_waits_for_nobody_is_not_called() {
    let mut bench = Bench::new(vec![called("h")]);
    bench.offer("a", vec![packet("h", "write")]);
    let write = bench.run();
    let gone = bench.offer("a", vec![packet("h", "read").action(Action::Read)]);
    bench.core.hang_up(gone);
    bench.complete(write.batch, vec![Answer::ok()]);
    assert!(bench.runs.is_empty(), "nobody would hear it");
    assert!(bench.core.is_idle());
}

#[test]
fn a_ttl_ends_the_wait_in_a_lane() {
    let mut bench = Bench::new(vec![one_call(called("h"))]);
    bench.offer("a", vec![packet("h", "1")]);
    let call = bench.offer("b", vec![packet("h", "2").ttl(5 * MS), packet("h", "3")]);
    bench.advance(5 * MS);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(bench.run_ok(), ["3"]);
    let answers = bench.answers_to(call);
    assert_eq!(answers[0].outcome, Outcome::Expired);
    assert!(bench.core.is_idle());
}

#[test]
fn a_ttl_with_a_place_uses_the_place_up_and_a_repeat_may_have_its_outcome() {
    let placed = packet("h", "2").seq(1);
    for packet_with in [placed, packet("h", "2")] {
        let mut bench = Bench::new(vec![one_call(planned("h"))]);
        bench.offer("b", vec![packet("h", "1")]);
        let call = bench.offer("a", vec![packet_with.ttl(5 * MS)]);
        bench.advance(5 * MS);
        assert!(bench.answers.is_empty(), "it is for the store to say");
        bench.run_ok();
        let run = bench.run();
        let refusal = run.items[0].packet.refusal.clone();
        assert_eq!(refusal.expect("told in its turn").outcome, Outcome::Expired);
        bench.complete(run.batch, vec![Answer::ok().replay()]);
        assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Ok);
    }
}

#[test]
fn flush_sends_what_waits_and_no_empty_batch() {
    let batch = BatchLimits {
        window: Duration::from_secs(60),
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
    bench.core.flush(&Selection::default());
    bench.poll();
    assert!(bench.runs.is_empty());
    bench.offer("a", vec![packet("h", "1")]);
    assert!(bench.runs.is_empty());
    bench.core.flush(&Selection::default());
    bench.poll();
    assert_eq!(bench.run_ok(), ["1"]);
    bench.offer("a", vec![packet("h", "2")]);
    assert!(
        bench.runs.is_empty(),
        "a flush is over when nothing is ready"
    );
}

#[test]
fn a_lane_goes_a_minute_after_its_last_packet() {
    let mut bench = Bench::new(vec![called("h")]);
    bench.offer("a", vec![packet("h", "1")]);
    bench.run_ok();
    assert_eq!(bench.core.lanes.ids().len(), 1);
    bench.advance(Duration::from_secs(59));
    assert_eq!(bench.core.lanes.ids().len(), 1);
    bench.advance(Duration::from_secs(1));
    assert!(bench.core.lanes.ids().is_empty());
    assert_eq!(bench.core.next_deadline(), None);
}

#[test]
fn a_subject_that_floods_leaves_room_for_others() {
    let settings = Settings {
        lane_packets: 100,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![one_call(called("h"))], settings);
    for client in 0..20 {
        let packets = (0..10).map(|_| packet("h", "")).collect();
        bench.offer_as("flood", &format!("c{client}"), Ack::Applied, packets);
    }
    let held: usize = bench
        .core
        .lanes
        .ids()
        .iter()
        .map(|&id| bench.core.lanes[id].packets)
        .sum();
    assert_eq!(held, 50, "half of the bound for one of two");
    bench.answers.clear();
    let call = bench.offer("other", vec![packet("h", "1")]);
    assert!(
        bench.answers.iter().all(|(answered, _)| *answered != call),
        "it was let in"
    );
}

#[test]
fn shares_go_by_subject_whatever_they_send() {
    let batch = BatchLimits {
        max_packets: 40,
        calls: 1,
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with_batch(called("h"), batch)]);
    bench.offer("first", vec![packet("h", "")]);
    for client in 0..9 {
        let packets = (0..100).map(|n| packet("h", format!("much {n}"))).collect();
        bench.offer_as("much", &format!("c{client}"), Ack::Applied, packets);
    }
    let packets = (0..20).map(|n| packet("h", format!("few {n}"))).collect();
    bench.offer("few", packets);
    bench.run_ok();
    let batch = bench.run_ok();
    let few = batch.iter().filter(|id| id.starts_with("few")).count();
    assert!((16..=20).contains(&few), "{few} of 40");
}
