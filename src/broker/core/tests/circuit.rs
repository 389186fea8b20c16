//! When no calls are made, and how that ends: one rule, one test.

use std::time::Duration;

use super::bench::{Bench, called, durable, ids, packet};
use super::service::{Service, batch_of, error, fail, wait};
use crate::broker::Ack;
use crate::broker::core::{Done, RunKind};
use crate::handler::Failure;
use crate::store::Cause;
use crate::types::{Action, Answer, Outcome, Reason};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_wrong_handler_opens_the_circuit_and_no_packet_is_to_blame() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 3);
    fail(&mut bench, Failure::Handler);
    assert!(bench.runs.is_empty(), "what is taken waits");
    let call = bench.offer("new", vec![packet("h", "new")]);
    let answer = bench.answers_to(call).remove(0);
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Retry, Reason::HandlerUnavailable));
    assert!(
        answer.retry_after.is_some() && bench.runs.is_empty(),
        "it is not taken"
    );
    let mut tried = Vec::new();
    for _ in 0..3 {
        wait(&mut bench);
        assert_eq!(bench.runs.len(), 1, "one at a time");
        tried.extend(fail(&mut bench, Failure::Handler));
    }
    tried.sort_unstable();
    assert_eq!(tried, ["0", "1", "2"], "not always the same chain");
    let pause = wait(&mut bench);
    assert!(pause > 300 * MS, "{pause:?}");
    let through = bench.run_ok();
    let mut rest = Vec::new();
    for run in bench.runs.iter().filter(|run| run.kind == RunKind::Call) {
        rest.extend(ids(run));
    }
    assert_eq!((through.len(), rest.len()), (1, 2), "all of them go out");
    assert!(bench.dead.is_empty());
    assert_eq!(
        bench.turned,
        [true, false],
        "told once each, however many probes fail"
    );
}

#[test]
fn not_always_the_same_lane_is_tried() {
    let mut bench = Bench::new(vec![durable("h")]);
    for action in [Action::Create, Action::Update, Action::Delete] {
        let name = action.name();
        let packets = vec![packet("h", name).action(action)];
        bench.offer_as(name, name, Ack::Accepted, packets);
        let run = bench.runs.pop().unwrap();
        bench.take(run);
    }
    assert_eq!(bench.runs.len(), 3);
    for _ in 0..3 {
        fail(&mut bench, Failure::Handler);
    }
    let mut tried = Vec::new();
    for _ in 0..3 {
        wait(&mut bench);
        assert_eq!(bench.runs.len(), 1);
        tried.extend(fail(&mut bench, Failure::Handler));
    }
    tried.sort_unstable();
    tried.dedup();
    assert_eq!(tried.len(), 3, "{tried:?}");
}

#[test]
fn calls_that_fail_in_a_row_open_the_circuit_of_what_is_kept_nowhere_too() {
    let mut bench = Bench::new(vec![called("h")]);
    let away = || Answer::retry(Reason::HandlerUnavailable, "away");
    for _ in 0..5 {
        bench.offer("a", vec![packet("h", "1")]);
        let run = bench.run();
        let error = error(Failure::Passing, false);
        bench.complete_with(run.batch, Done::Failed(error, vec![away()]));
    }
    bench.answers.clear();
    let call = bench.offer("a", vec![packet("h", "1")]);
    assert_eq!(bench.answers_to(call)[0].reason, Reason::HandlerUnavailable);
    assert!(bench.runs.is_empty());
    bench.advance(100 * MS);
    bench.offer("a", vec![packet("h", "1"), packet("h", "2")]);
    assert_eq!(bench.run_ok(), ["1"], "one shows that calls go through");
    assert_eq!(bench.run_ok(), ["2"]);
}

#[test]
fn a_lone_packet_that_fails_does_not_keep_everybody_else_out() {
    let mut bench = Bench::new(vec![durable("h")]);
    // What stands behind it in its chain cannot be called either.
    let packets = vec![packet("h", "bad").seq(1), packet("h", "behind").seq(2)];
    bench.offer_as("a", "a", Ack::Accepted, packets);
    bench.run_take();
    let mut service = Service::default();
    service.poison.insert("bad".to_owned());
    // Nobody else comes until nothing is called any more.
    while !bench
        .core
        .backends
        .iter()
        .all(|backend| backend.is_probed())
    {
        wait(&mut bench);
        bench.serve(&mut service, 0);
    }
    let start = bench.now;
    let come_in = |bench: &mut Bench| {
        bench.answers.clear();
        bench.offer("b", vec![packet("h", "good")]);
        bench.answers.is_empty()
    };
    let mut came_in = 0;
    while bench.dead.is_empty() {
        came_in += usize::from(come_in(&mut bench));
        bench.advance(MS);
        if !bench.runs.is_empty() {
            bench.serve(&mut service, 0);
        }
        let passed = bench.now - start;
        assert!(passed < Duration::from_secs(5), "the handler works");
    }
    assert_eq!(bench.dead[0].cause, Cause::Poison);
    assert!(came_in > 0 && come_in(&mut bench), "all come in again");
}

#[test]
fn while_nobody_is_there_one_packet_comes_in_and_no_more() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 1);
    let forever = (
        bench.now,
        bench.now + Duration::from_secs(60),
        error(Failure::Items, true),
    );
    let mut service = Service::default();
    service.away = vec![forever];
    let mut came_in = 0;
    for number in 0..10_000 {
        bench.answers.clear();
        let circuit_open = bench
            .core
            .backends
            .iter()
            .all(|backend| backend.is_probed());
        bench.offer(&number.to_string(), vec![packet("h", "new")]);
        came_in += usize::from(circuit_open && bench.answers.is_empty());
        bench.advance(MS);
        if !bench.runs.is_empty() {
            bench.serve(&mut service, 0);
        }
    }
    assert!(came_in <= 1, "{came_in} came in");
    assert!(bench.dead.is_empty());
}
