//! After a failed call: one rule, one test.

use std::time::Duration;

use super::bench::{Bench, called, durable, ids, packet};
use super::service::{Service, batch_of, error, fail, wait};
use crate::broker::Ack;
use crate::broker::core::{Done, RunKind};
use crate::handler::{BatchLimits, Failure, HandlerSettings, Ordering};
use crate::store::Cause;
use crate::types::{Action, Answer, Outcome, Reason, Retry};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn one_call(settings: HandlerSettings) -> HandlerSettings {
    let batch = BatchLimits {
        calls: 1,
        ..settings.batch
    };
    HandlerSettings { batch, ..settings }
}

#[test]
fn what_is_kept_nowhere_is_called_once() {
    for (reached, outcome) in [(true, Outcome::InDoubt), (false, Outcome::Retry)] {
        let mut bench = Bench::new(vec![called("h")]);
        let call = bench.offer("a", vec![packet("h", "1"), packet("h", "2")]);
        let run = bench.run();
        let answer = Answer::with(outcome, Reason::HandlerUnavailable, "failed");
        let error = error(Failure::Items, reached);
        bench.complete_with(run.batch, Done::Failed(error, vec![answer; 2]));
        let answers = bench.answers_to(call);
        assert!(answers.iter().all(|answer| answer.outcome == outcome));
        assert!(answers.iter().all(|answer| answer.retry_after.is_some()));
        assert!(bench.core.is_idle() && bench.runs.is_empty());
    }
}

#[test]
fn what_may_pass_is_called_again_as_it_was_and_the_third_time_in_halves() {
    let mut bench = Bench::new(vec![one_call(durable("h"))]);
    batch_of(&mut bench, 4);
    let all = ["0", "1", "2", "3"];
    for _ in 0..2 {
        assert_eq!(fail(&mut bench, Failure::Passing), all);
        assert!(bench.runs.is_empty(), "after a pause");
        let pause = wait(&mut bench);
        assert!(pause <= 200 * MS, "{pause:?}");
    }
    assert_eq!(bench.run_ok(), ["0", "1"]);
    let left: Vec<_> = bench.runs.iter().flat_map(ids).collect();
    assert_eq!(left, ["2"], "what is left must be in the other half");
}

#[test]
fn what_an_item_is_to_blame_for_is_halved_at_once_one_after_the_other_and_in_order() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 4);
    assert_eq!(fail(&mut bench, Failure::Items).len(), 4);
    assert_eq!(bench.runs.len(), 1, "one at a time");
    assert_eq!(fail(&mut bench, Failure::Items), ["0", "1"]);
    assert_eq!(fail(&mut bench, Failure::Items), ["0"]);
    assert_eq!(bench.run_ok(), ["1"], "depth first");
}

#[test]
fn poison_is_found_with_few_calls_wherever_it_stands() {
    let (mut most, mut of) = (0, 0.0);
    let sizes = (2..=64).chain([100, 257, 499, 500]);
    for size in sizes {
        let step = (size / 64).max(1);
        for at in (0..size).step_by(step).chain([size - 1]) {
            let mut bench = Bench::new(vec![durable("h")]);
            batch_of(&mut bench, size);
            let mut service = Service::default();
            service.poison.insert(at.to_string());
            bench.serve_all(&mut service);
            let [dead] = &bench.dead[..] else {
                panic!("{at} of {size}: {:?}", bench.dead);
            };
            let named = (dead.packet.req_id.to_string(), dead.cause);
            assert_eq!(named, (at.to_string(), Cause::Poison));
            assert_eq!(service.applied.len(), size - 1);
            let more = service.calls.len() - 1;
            let bound = 2.0 * (size as f64).log2() + 2.0;
            assert!(more as f64 <= bound, "{at} of {size}: {more} more calls");
            if more > most {
                (most, of) = (more, bound);
            }
        }
    }
    println!("at most {most} more calls, where {of:.1} are allowed");
}

#[test]
fn what_crashes_its_handler_is_found_with_few_crashes_wherever_it_stands() {
    let mut most = 0;
    let sizes = (2..=64).chain([100, 257, 499, 500]);
    for size in sizes {
        let step = (size / 64).max(1);
        for at in (0..size).step_by(step).chain([size - 1]) {
            let mut bench = Bench::new(vec![durable("h")]);
            batch_of(&mut bench, size);
            let mut service = Service::default();
            service.crashing.insert(at.to_string());
            bench.serve_all(&mut service);
            assert_eq!(bench.dead.len(), 1, "{at} of {size}");
            assert_eq!(bench.dead[0].packet.req_id, at.to_string());
            let crashes = service.failed_calls();
            let bound = (size as f64).log2() + 3.0;
            assert!(crashes as f64 <= bound, "{at} of {size}: {crashes} crashes");
            most = most.max(crashes);
        }
    }
    println!("at most {most} crashes");
}

#[test]
fn nobody_is_rejected_for_an_outage_and_everything_is_applied_once() {
    for failure in [Failure::Items, Failure::Passing, Failure::Handler] {
        for reached in [true, false] {
            let mut bench = Bench::new(vec![durable("h")]);
            batch_of(&mut bench, 300);
            let mut service = Service::default();
            let until = bench.now + 60 * SECOND;
            service.away = vec![(bench.now, until, error(failure, reached))];
            let took = bench.serve_all(&mut service);
            assert!(bench.dead.is_empty(), "{failure:?}: {:?}", bench.dead);
            let applied: usize = service.applied.values().map(Vec::len).sum();
            assert_eq!(applied, 300, "{failure:?}");
            assert!(took < 120 * SECOND, "{failure:?}: {took:?}");
            let failed = service.failed_calls();
            assert!(failed < 60, "{failure:?}: {failed} calls in an outage");
        }
    }
}

#[test]
fn a_failed_single_holds_up_its_chain_and_no_other() {
    let mut bench = Bench::new(vec![one_call(durable("h"))]);
    let of = |client: &str| {
        let packets = (1..=3).map(|seq| packet("h", format!("{client}{seq}")).seq(seq));
        packets.collect::<Vec<_>>()
    };
    bench.offer_as("a", "a", Ack::Accepted, of("a"));
    bench.run_take();
    let first = bench.run();
    bench.answers.clear();
    let call = bench.offer("b", of("b"));
    bench.run_take();
    bench.offer_as("d", "d", Ack::Accepted, of("d"));
    bench.run_take();
    bench.complete(first.batch, vec![Answer::ok(); 3]);
    let mut service = Service::default();
    service.poison.insert("b2".to_owned());
    while !service.calls.iter().any(|(ids, _)| *ids == ["b2"]) {
        bench.serve(&mut service, 0);
    }
    assert!(
        !service
            .calls
            .iter()
            .any(|(ids, through)| *through && ids.contains(&"b3".to_owned()))
    );
    bench.serve_all(&mut service);
    assert_eq!(service.applied["b"], ["b1", "b3"]);
    assert_eq!(service.applied["d"], ["d1", "d2", "d3"]);
    let answers = bench.answers_to(call);
    let told = answers.iter().map(|answer| (answer.outcome, answer.reason));
    let dead = (Outcome::Rejected, Reason::HandlerFailed);
    let ok = (Outcome::Ok, Reason::Unspecified);
    assert_eq!(told.collect::<Vec<_>>(), [ok, dead, ok]);
}

#[test]
fn what_fails_alone_is_not_to_blame_until_another_call_went_through() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "bad")]);
    bench.run_take();
    let mut service = Service::default();
    service.poison.insert("bad".to_owned());
    for _ in 0..4 {
        wait(&mut bench);
        assert_eq!(bench.runs[0].items.len(), 1);
        bench.serve(&mut service, 0);
        assert!(
            bench.dead.is_empty(),
            "nothing shows that it is not the handler"
        );
    }
    // Let in once it is tried whether calls go through.
    let good = loop {
        bench.advance(MS);
        let call = bench.offer("b", vec![packet("h", "good")]);
        if bench.answers.is_empty() {
            break call;
        }
        bench.answers.clear();
        while !bench.runs.is_empty() {
            bench.serve(&mut service, 0);
        }
    };
    bench.serve_all(&mut service);
    assert_eq!(bench.answers_to(good)[0].outcome, Outcome::Ok);
    assert_eq!(bench.dead.len(), 1);
}

#[test]
fn a_lone_packet_that_fails_while_others_go_through_opens_no_circuit() {
    let mut bench = Bench::new(vec![durable("h")]);
    bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "bad")]);
    bench.run_take();
    bench.answers.clear();
    fail(&mut bench, Failure::Items);
    let call = bench.offer("b", vec![packet("h", "good")]);
    bench.run_take();
    assert_eq!(bench.run_ok(), ["good"]);
    bench.run_finish();
    assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Ok);
    wait(&mut bench);
    assert_eq!(fail(&mut bench, Failure::Items), ["bad"]);
    assert_eq!(bench.dead[0].cause, Cause::Poison);
}

#[test]
fn a_packet_is_given_up_when_its_attempts_and_its_time_are_over_and_not_before() {
    for (attempts, budget) in [(3, 60 * SECOND), (20, SECOND)] {
        let retry = Retry {
            attempts,
            budget,
            ..Retry::default()
        };
        let mut bench = Bench::new(vec![HandlerSettings {
            retry,
            ..durable("h")
        }]);
        let packets = vec![packet("h", "1").seq(1), packet("h", "2").seq(2)];
        bench.offer_as("a", "a", Ack::Accepted, packets);
        bench.run_take();
        let start = bench.now;
        let mut tries = 0;
        while bench.dead.is_empty() {
            wait(&mut bench);
            let run = bench.run();
            assert_eq!(ids(&run), ["1", "2"]);
            let retry = || Answer::retry(Reason::Application, "later");
            tries += 1;
            let failed = bench.now - start;
            bench.complete(run.batch, vec![retry(), retry()]);
            let over = tries >= attempts && failed >= budget;
            assert_eq!(bench.dead.len(), usize::from(over), "{tries} in {failed:?}");
        }
        let dead = &bench.dead[0];
        assert_eq!((dead.attempts, dead.cause), (tries, Cause::Spent));
        let finishes = bench.run_finish();
        let answer = finishes[0].answer.as_ref().unwrap();
        let told = (finishes.len(), answer.outcome, answer.reason);
        assert_eq!(told, (1, Outcome::Rejected, Reason::HandlerFailed));
        wait(&mut bench);
        assert_eq!(bench.run_ok(), ["2"], "what was behind it did not count");
    }
}

#[test]
fn a_call_that_the_handler_did_not_get_counts_against_nobody() {
    let retry = Retry {
        attempts: 2,
        budget: SECOND,
        ..Retry::default()
    };
    let mut bench = Bench::new(vec![HandlerSettings {
        retry,
        ..durable("h")
    }]);
    bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "1")]);
    bench.run_take();
    let mut service = Service::default();
    let until = bench.now + 1_000 * SECOND;
    service.away = vec![(bench.now, until, error(Failure::Passing, false))];
    bench.serve_all(&mut service);
    assert!(bench.dead.is_empty() && service.failed_calls() > 20);
}

#[test]
fn a_handler_that_asks_for_a_pause_gets_it() {
    let hour = 3_600 * SECOND;
    for (asked, given) in [(7 * SECOND, 7 * SECOND), (100 * hour, hour)] {
        let mut bench = Bench::new(vec![durable("h")]);
        let packets = vec![packet("h", "1").seq(1), packet("h", "2").seq(2)];
        bench.offer_as("a", "a", Ack::Accepted, packets);
        bench.run_take();
        let run = bench.run();
        let later = |pause| Answer {
            retry_after: Some(pause),
            ..Answer::retry(Reason::Application, "later")
        };
        bench.complete(run.batch, vec![later(SECOND), later(asked)]);
        assert_eq!(wait(&mut bench), given);
        assert_eq!(bench.run_ok(), ["1", "2"]);
    }
}

#[test]
fn a_search_leaves_the_others_of_its_lane_their_calls() {
    let mut bench = Bench::new(vec![one_call(durable("h"))]);
    batch_of(&mut bench, 64);
    let others: Vec<_> = (0..8).map(|at| format!("o{at}")).collect();
    for other in &others {
        bench.offer_as(other, other, Ack::Accepted, vec![packet("h", other)]);
    }
    let mut service = Service::default();
    service.poison.insert("0".to_owned());
    bench.serve_all(&mut service);
    let at = |id: &str| {
        let calls = service.calls.iter();
        calls
            .clone()
            .position(|(ids, through)| *through && ids.contains(&id.to_owned()))
            .unwrap()
    };
    let last = others.iter().map(|other| at(other)).max().unwrap();
    assert!(
        last < service.calls.len() / 2,
        "{last} of {}",
        service.calls.len()
    );
}

#[test]
fn who_crashes_its_handler_is_called_with_nothing_beside_it() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 2);
    let long = {
        bench.offer_as(
            "l",
            "l",
            Ack::Accepted,
            vec![packet("h", "long").action(Action::Update)],
        );
        let at = bench
            .runs
            .iter()
            .position(|run| run.kind == RunKind::Take)
            .unwrap();
        let run = bench.runs.remove(at);
        bench.take(run);
        let at = bench
            .runs
            .iter()
            .position(|run| ids(run) == ["long"])
            .unwrap();
        bench.runs.remove(at)
    };
    for _ in 0..2 {
        fail(&mut bench, Failure::Passing);
        if bench.runs.is_empty() {
            bench.advance(250 * MS);
        }
    }
    assert!(bench.runs.is_empty(), "a call is in flight");
    bench.complete(long.batch, vec![Answer::ok()]);
    let run = bench.runs.iter().find(|run| run.kind == RunKind::Call);
    assert_eq!(ids(run.unwrap()), ["0"]);
    bench.offer_as(
        "m",
        "m",
        Ack::Accepted,
        vec![packet("h", "more").action(Action::Delete)],
    );
    while bench.runs.iter().any(|run| run.kind != RunKind::Call) {
        let at = bench
            .runs
            .iter()
            .position(|run| run.kind != RunKind::Call)
            .unwrap();
        bench.serve(&mut Service::default(), at);
    }
    assert_eq!(bench.runs.len(), 1, "others wait");
    bench.advance(SECOND);
    assert_eq!(bench.runs.len(), 2, "and not for long");
}

#[test]
fn a_stop_does_not_wait_for_a_search_that_waits() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 4);
    bench.core.drain();
    bench.poll();
    fail(&mut bench, Failure::Passing);
    assert!(bench.core.is_idle() && bench.runs.is_empty());
}

#[test]
fn what_may_have_been_applied_does_not_expire_in_a_search() {
    let mut bench = Bench::new(vec![durable("h")]);
    let packets = vec![packet("h", "1").ttl(50 * MS)];
    bench.offer_as("a", "a", Ack::Accepted, packets);
    bench.run_take();
    fail(&mut bench, Failure::Passing);
    bench.advance(SECOND);
    assert_eq!(bench.run_ok(), ["1"]);
    assert_eq!(
        bench.run_finish()[0].answer.as_ref().unwrap().outcome,
        Outcome::Ok
    );
}

#[test]
fn a_read_that_fails_is_asked_for_again_and_blames_nobody() {
    let mixed = HandlerSettings {
        mixed_actions: true,
        ordering: Ordering::None,
        ..one_call(durable("h"))
    };
    let mut bench = Bench::new(vec![mixed]);
    bench.offer_as("z", "z", Ack::Accepted, vec![packet("h", "first")]);
    bench.run_take();
    let first = bench.run();
    bench.offer_as("a", "a", Ack::Accepted, vec![packet("h", "write")]);
    bench.run_take();
    bench.answers.clear();
    let read = bench.offer("b", vec![packet("h", "read").action(Action::Read)]);
    bench.complete(first.batch, vec![Answer::ok()]);
    if bench.runs[0].kind == RunKind::Finish {
        bench.run_finish();
    }
    assert_eq!(bench.runs[0].items.len(), 2);
    fail(&mut bench, Failure::Items);
    let answer = bench.answers_to(read).remove(0);
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Retry, Reason::HandlerUnavailable));
    bench.runs.retain(|run| run.kind == RunKind::Call);
    assert_eq!(bench.run_ok(), ["write"], "at once");
    assert!(bench.dead.is_empty());
}
