//! Other settings of a handler while it has packets: in lanes, in flight and in pauses.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::bench::{Bench, called, durable, ids, packet, planned};
use super::service::{batch_of, fail, wait};
use crate::broker::core::{Done, Run, RunKind};
use crate::handler::{BatchLimits, Failure, HandlerSettings};
use crate::types::{Answer, OnDead, Outcome, Retry};

const MS: Duration = Duration::from_millis(1);

fn with(mut settings: HandlerSettings, batch: BatchLimits) -> HandlerSettings {
    settings.batch = batch;
    settings
}

fn bounds(max_packets: usize, calls: usize) -> BatchLimits {
    BatchLimits {
        max_packets,
        calls,
        ..BatchLimits::default()
    }
}

impl Bench {
    fn reload(&mut self, settings: HandlerSettings) {
        self.core.reload(settings);
        self.poll();
    }
}

#[test]
fn what_waits_goes_by_the_new_bounds_and_what_is_in_flight_ends_as_it_began() {
    let mut bench = Bench::new(vec![with(called("h"), bounds(500, 1))]);
    let call = bench.offer("a", vec![packet("h", "0"), packet("h", "1")]);
    let more = (2..9).map(|at| packet("h", at.to_string()).unordered());
    let others = bench.offer("b", more.collect());
    assert_eq!(bench.runs.len(), 1, "one call at a time");
    bench.reload(with(called("h"), bounds(2, 3)));
    let found: Vec<_> = bench.runs.iter().map(ids).collect();
    let expected = [["0", "1"], ["2", "3"], ["4", "5"]];
    assert_eq!(found, expected, "two more whole batches may leave");

    bench.reload(with(called("h"), bounds(3, 1)));
    assert_eq!(bench.run_ok(), ["0", "1"]);
    assert_eq!(bench.run_ok(), ["2", "3"]);
    assert!(
        bench.runs.len() == 1,
        "three calls were allowed, and one is"
    );
    assert_eq!(bench.run_ok(), ["4", "5"]);
    assert_eq!(bench.run_ok(), ["6", "7", "8"]);
    assert_eq!(bench.answers_to(call).len(), 2);
    assert!(
        bench
            .answers_to(others)
            .iter()
            .all(|answer| answer.outcome == Outcome::Ok)
    );
    assert!(bench.core.is_idle());
}

/// A chain's head run is counted up to a whole batch; with a larger one it is counted anew, and nothing overtakes.
#[test]
fn a_chain_that_waits_fills_a_larger_batch_in_its_order() {
    let mut bench = Bench::new(vec![with(planned("h"), bounds(2, 1))]);
    bench.offer("z", vec![packet("h", "first")]);
    let seven = (1..=7).map(|at| packet("h", at.to_string()).seq(at));
    bench.offer("a", seven.collect());
    bench.reload(with(planned("h"), bounds(5, 1)));
    assert_eq!(bench.run_ok(), ["first"]);
    bench.reload(with(planned("h"), bounds(1, 1)));
    assert_eq!(bench.run_ok(), ["1", "2", "3", "4", "5"]);
    assert_eq!(bench.run_ok(), ["6"]);
    assert_eq!(bench.run_ok(), ["7"]);
}

#[test]
fn a_window_counts_from_when_its_first_packet_was_ready_whatever_it_was() {
    let window = |window| BatchLimits {
        window,
        ..BatchLimits::default()
    };
    let mut bench = Bench::new(vec![with(called("h"), window(100 * MS))]);
    bench.offer("a", vec![packet("h", "1")]);
    bench.advance(40 * MS);
    bench.reload(with(called("h"), window(50 * MS)));
    bench.advance(9 * MS);
    assert!(bench.runs.is_empty());
    bench.advance(MS);
    assert_eq!(bench.run_ok(), ["1"]);

    bench.offer("a", vec![packet("h", "2")]);
    bench.reload(with(called("h"), window(Duration::ZERO)));
    assert_eq!(bench.run_ok(), ["2"]);
}

#[test]
fn what_failed_before_is_tried_by_the_new_rules() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 1);
    for _ in 0..3 {
        fail(&mut bench, Failure::Passing);
        wait(&mut bench);
    }
    assert!(bench.dead.is_empty());
    let mut settings = durable("h");
    settings.retry = Retry {
        attempts: 2,
        budget: MS,
        on_dead: OnDead::Stop,
        ..Retry::default()
    };
    bench.reload(settings);
    fail(&mut bench, Failure::Passing);
    assert!(bench.dead.len() == 1 && bench.dead[0].held);
}

#[test]
fn one_that_is_not_there_stays_unknown() {
    let mut bench = Bench::new(vec![called("h")]);
    bench.reload(called("other"));
    let call = bench.offer("a", vec![packet("other", "1")]);
    assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Rejected);
}

/// Whatever the bounds become in between: each packet is called with once, and each client's in order.
#[test]
fn nothing_is_lost_doubled_or_reordered_by_any_reload() {
    for seed in 0..200 {
        Story::new(seed).run();
    }
}

struct Story {
    seed: u64,
    rng: StdRng,
    bench: Bench,
    /// By handler and client, in order: what was offered, and what was handed over.
    offered: BTreeMap<(String, String), Vec<String>>,
    applied: BTreeMap<(String, String), Vec<String>>,
    calls: usize,
}

impl Story {
    fn new(seed: u64) -> Self {
        let handlers = vec![called("called"), durable("durable"), planned("planned")];
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            bench: Bench::new(handlers),
            offered: BTreeMap::new(),
            applied: BTreeMap::new(),
            calls: 0,
        }
    }

    fn run(mut self) {
        for _ in 0..200 {
            match self.rng.random_range(0..10) {
                0..4 => self.offer(),
                4..7 => self.complete(),
                7 => {
                    let pause = self.rng.random_range(0..20);
                    self.bench.advance(pause * MS);
                }
                _ => {
                    let settings = self.settings();
                    self.bench.reload(settings);
                }
            }
        }
        while !self.bench.core.is_idle() {
            if self.bench.runs.is_empty() {
                let due = self.bench.core.next_deadline();
                let due = due.unwrap_or_else(|| panic!("seed {}: it hangs", self.seed));
                self.bench.advance(due - self.bench.now);
            } else {
                self.complete();
            }
        }
        let Self {
            seed,
            offered,
            applied,
            calls,
            bench,
            ..
        } = self;
        assert_eq!(applied, offered, "seed {seed}");
        assert_eq!(bench.answers.len(), calls, "seed {seed}");
        let mut answers = bench
            .answers
            .iter()
            .flat_map(|(_, response)| &response.answers);
        assert!(
            answers.all(|(_, answer)| answer.outcome == Outcome::Ok),
            "seed {seed}"
        );
    }

    fn handler(&mut self) -> HandlerSettings {
        match self.rng.random_range(0..3) {
            0 => called("called"),
            1 => durable("durable"),
            _ => planned("planned"),
        }
    }

    fn settings(&mut self) -> HandlerSettings {
        let batch = BatchLimits {
            max_packets: self.rng.random_range(1..9),
            max_bytes: self.rng.random_range(1..1_000),
            window: self.rng.random_range(0..15) * MS,
            calls: self.rng.random_range(1..4),
        };
        let settings = self.handler();
        with(settings, batch)
    }

    fn offer(&mut self) {
        let handler = self.handler().name.to_string();
        let client = format!("c{}", self.rng.random_range(0..4));
        let count = self.rng.random_range(1..12);
        let key = (handler.clone(), client.clone());
        let known = self.offered.entry(key).or_default();
        let mut packets = Vec::new();
        for _ in 0..count {
            let place = known.len() + 1;
            let id = format!("{client}-{place}");
            known.push(id.clone());
            packets.push(packet(&handler, id).seq(place as u64));
        }
        self.calls += 1;
        self.bench.offer(&client, packets);
    }

    fn complete(&mut self) {
        if self.bench.runs.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.bench.runs.len());
        let run = self.bench.runs.remove(at);
        match run.kind {
            RunKind::Take => drop(self.bench.take(run)),
            RunKind::Finish => {
                let durable = vec![true; run.finishes.len()];
                self.bench.complete_with(run.batch, Done::Finished(durable));
            }
            RunKind::Call | RunKind::Plan => self.apply(&run),
        }
    }

    fn apply(&mut self, run: &Run) {
        let most = run.settings.batch.max_packets;
        assert!(
            run.items.len() <= most,
            "seed {}: its own bounds",
            self.seed
        );
        for item in &run.items {
            let client = item.origin.client.as_ref().unwrap();
            let key = (
                item.packet.handler.to_string(),
                client.client_id.to_string(),
            );
            let applied = self.applied.entry(key).or_default();
            applied.push(item.packet.req_id.to_string());
        }
        let answers = vec![Answer::ok(); run.items.len()];
        self.bench.complete(run.batch, answers);
    }
}
