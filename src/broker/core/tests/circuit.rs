//! When no calls are made, and how that ends: one rule, one test.

use std::time::Duration;

use super::bench::{Bench, called, durable, ids, packet};
use super::service::{batch_of, error, fail, wait};
use crate::broker::Ack;
use crate::broker::core::{Done, RunKind};
use crate::handler::Failure;
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
