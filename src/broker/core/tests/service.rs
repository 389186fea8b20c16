//! A service as it fails: packets that it cannot stand, times at which it is away, and answers that get lost. It keeps the
//! id of an item beside its effect.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::bench::{Bench, ids, packet};
use crate::broker::Ack;
use crate::broker::core::{Done, Run, RunKind};
use crate::handler::{CallError, Failure, ItemId};
use crate::types::{Answer, Outcome, Reason};

/// What it does with the calls that it gets, and what calls it got.
#[derive(Default)]
pub(super) struct Service {
    /// It fails any batch with one of these, by req_id.
    pub(super) poison: HashSet<String>,
    /// It crashes with any of these.
    pub(super) crashing: HashSet<String>,
    /// When it is away, until when, and how that shows.
    pub(super) away: Vec<(Instant, Instant, CallError)>,
    /// Answers get lost, for each item once at most.
    pub(super) lossy: Option<StdRng>,
    /// So often they did.
    pub(super) lost: usize,
    missed: HashSet<ItemId>,
    done: HashSet<ItemId>,
    /// By client, in the order in which it applied them.
    pub(super) applied: BTreeMap<String, Vec<String>>,
    /// What was in each call, and whether it went through.
    pub(super) calls: Vec<(Vec<String>, bool)>,
}

pub(super) fn error(failure: Failure, reached: bool) -> CallError {
    CallError {
        failure,
        reached,
        message: "it fails".into(),
    }
}

/// As what is called once is told of it.
pub(super) fn failed(run: &Run, error: CallError) -> Done {
    let doubt = Answer::with(Outcome::InDoubt, Reason::HandlerFailed, "it may have been");
    Done::Failed(error, vec![doubt; run.items.len()])
}

/// So many clients' packets in one batch, named by numbers; nobody waits for them.
pub(super) fn batch_of(bench: &mut Bench, count: usize) {
    bench.offer_as("z", "z", Ack::Accepted, vec![packet("h", "first")]);
    while bench.runs[0].kind != RunKind::Call {
        bench.run_take();
    }
    for at in 0..count {
        let client = format!("c{at:04}");
        let packets = vec![packet("h", at.to_string()).seq(1)];
        bench.offer_as(&client, &client, Ack::Accepted, packets);
    }
    while bench.runs.iter().any(|run| run.kind == RunKind::Take) {
        let at = bench.runs.iter().position(|run| run.kind == RunKind::Take);
        let run = bench.runs.remove(at.unwrap());
        bench.take(run);
    }
    assert_eq!(bench.run_ok(), ["first"]);
    let at = bench
        .runs
        .iter()
        .position(|run| run.kind == RunKind::Finish);
    let finish = bench.runs.remove(at.unwrap());
    bench.complete_with(finish.batch, Done::Finished(vec![true]));
    assert_eq!(bench.runs[0].items.len(), count, "one batch");
    bench.answers.clear();
}

pub(super) fn fail(bench: &mut Bench, failure: Failure) -> Vec<String> {
    let run = bench.run();
    assert_eq!(run.kind, RunKind::Call);
    let done = failed(&run, error(failure, true));
    bench.complete_with(run.batch, done);
    ids(&run)
}

/// Waits until something leaves.
pub(super) fn wait(bench: &mut Bench) -> Duration {
    let start = bench.now;
    while bench.runs.is_empty() {
        let due = bench.core.next_deadline().expect("it goes on by itself");
        bench.advance(due - bench.now);
    }
    bench.now - start
}

impl Service {
    pub(super) fn failed_calls(&self) -> usize {
        self.calls.iter().filter(|(_, through)| !through).count()
    }

    /// What becomes of a call at this time.
    pub(super) fn call(&mut self, now: Instant, run: &Run) -> Done {
        let ids = ids(run);
        let away = self.away.iter();
        let mut away = away.filter(|(from, until, _)| *from <= now && now < *until);
        let failure = if let Some((_, _, error)) = away.next() {
            Some(error.clone())
        } else if ids.iter().any(|id| self.poison.contains(id)) {
            Some(error(Failure::Items, true))
        } else if ids.iter().any(|id| self.crashing.contains(id)) {
            // What was before it was applied, and nobody heard of it.
            let crashes = |id: &String| self.crashing.contains(id);
            let at = ids.iter().position(crashes).unwrap_or(0);
            run.items[..at].iter().for_each(|item| self.apply(item));
            Some(error(Failure::Passing, true))
        } else {
            None
        };
        self.calls.push((ids, failure.is_none()));
        if failure.is_some() {
            // Nor is an answer lost after another failure.
            self.missed.extend(run.items.iter().map(|item| item.id));
        }
        match failure {
            Some(error) => failed(run, error),
            None => {
                run.items.iter().for_each(|item| self.apply(item));
                if self.loses(run) {
                    return failed(run, error(Failure::Passing, true));
                }
                Done::Answered(vec![Answer::ok(); run.items.len()])
            }
        }
    }

    /// Whether it is gone after this call.
    pub(super) fn crashes(&self, now: Instant, run: &Run) -> bool {
        let away = self
            .away
            .iter()
            .any(|(from, until, _)| *from <= now && now < *until);
        let has = |of: &HashSet<String>| ids(run).iter().any(|id| of.contains(id));
        !away && has(&self.crashing) && !has(&self.poison)
    }

    /// Whether its answer gets lost.
    fn loses(&mut self, run: &Run) -> bool {
        let Some(rng) = &mut self.lossy else {
            return false;
        };
        let spared = run.items.iter().any(|item| self.missed.contains(&item.id));
        if spared || !rng.random_ratio(1, 15) {
            return false;
        }
        self.missed.extend(run.items.iter().map(|item| item.id));
        self.lost += 1;
        true
    }

    fn apply(&mut self, item: &crate::broker::core::RunItem) {
        if self.done.insert(item.id) {
            let client = item.origin.client.as_ref();
            let client = client.map_or("", |client| &client.client_id);
            let applied = self.applied.entry(client.to_owned()).or_default();
            applied.push(item.packet.req_id.to_string());
        }
    }
}

impl Bench {
    /// Answers a batch as the store and the service do.
    pub(super) fn serve(&mut self, service: &mut Service, at: usize) {
        let run = self.runs.remove(at);
        match run.kind {
            RunKind::Take => drop(self.take(run)),
            RunKind::Finish => {
                let durable = vec![true; run.finishes.len()];
                self.complete_with(run.batch, Done::Finished(durable));
            }
            RunKind::Call | RunKind::Plan => {
                let done = service.call(self.now, &run);
                self.complete_with(run.batch, done);
            }
        }
    }

    /// Goes on until everything has its answer, each call taking a millisecond. Gives how long that took.
    pub(super) fn serve_all(&mut self, service: &mut Service) -> Duration {
        let start = self.now;
        while !self.core.is_idle() {
            if !self.runs.is_empty() {
                self.now += Duration::from_millis(1);
                self.serve(service, 0);
                continue;
            }
            let due = self.core.next_deadline().expect("it goes on by itself");
            self.advance(due - self.now);
            assert!(
                self.now - start < Duration::from_secs(3_600),
                "it does not end"
            );
        }
        self.now - start
    }
}
