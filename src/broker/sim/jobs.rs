//! A handler as a backend behaves: it keeps the id of an item beside its effect, refuses, asks for another try, forgets to
//! answer, fails as a whole, before or after it has applied, fails or crashes with some packets, and is away for a while.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use hashbrown::HashSet;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::handler::testing::draft;
use crate::handler::{Batch, CallError, Failure, Handled, Handler, ItemId};
use crate::types::{Action, Answer, Outcome, Reason};

/// Whoever sees what is applied.
pub(super) trait Effects: fmt::Debug + Send + Sync {
    fn applied(&self, content: &[u8]);
}

/// Keys of packets that it fails with, and that it crashes with.
pub(super) const POISON: &str = "poison";
pub(super) const CRASH: &str = "crash";

/// Where it publishes, with its answer, what it has done.
pub(super) const DONE: &str = "done";

/// It outlives the gateway.
#[derive(Debug)]
pub(super) struct Jobs {
    state: Mutex<State>,
    effects: Arc<dyn Effects>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    done: HashSet<ItemId>,
    /// Those of calls that failed though nothing is wrong with them: by chance an item has that once at most, and not after
    /// the handler was away, else nobody could tell it from one that is to blame.
    unlucky: HashSet<ItemId>,
    /// How every call fails at present.
    away: Option<CallError>,
}

impl Jobs {
    pub(super) fn new(seed: u64, effects: Arc<dyn Effects>) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            done: HashSet::new(),
            unlucky: HashSet::new(),
            away: None,
        };
        Self {
            state: Mutex::new(state),
            effects,
        }
    }

    /// From now on every call fails, or none does.
    pub(super) fn set_away(&self, away: Option<CallError>) {
        self.state.lock().away = away;
    }

    fn work(&self, batch: &Batch) -> Result<Vec<Handled>, CallError> {
        let mut state = self.state.lock();
        if let Some(error) = state.away.clone() {
            state.unlucky.extend(batch.items.iter().map(|item| item.id));
            return Err(error);
        }
        if batch.items.iter().any(|item| item.packet.key == POISON) {
            return Err(CallError {
                failure: Failure::Items,
                reached: true,
                message: "it cannot stand this".into(),
            });
        }
        if state.is_unlucky(batch) {
            return Err(CallError::passing("it is not there"));
        }
        let mut answers = Vec::new();
        let mut stopped: Vec<u32> = Vec::new();
        for item in &batch.items {
            let answer = if item.packet.key == CRASH {
                return Err(CallError::passing("it crashed"));
            } else if stopped.contains(&item.chain) {
                Answer::earlier_refused()
            } else if item.packet.if_version.is_some() {
                Answer::rejected(Reason::VersionMismatch, "it has no versions")
            } else if state.rng.random_ratio(1, 20) {
                stopped.push(item.chain);
                Answer::retry(Reason::HandlerUnavailable, "later")
            } else {
                if state.done.insert(item.id) {
                    self.effects.applied(&item.packet.content.items[0]);
                }
                Answer::ok()
            };
            let messages = match answer.outcome {
                // Every time that it answers.
                Outcome::Ok => vec![draft(DONE, &item.packet.content.items[0])],
                _ => Vec::new(),
            };
            answers.push(Handled {
                id: item.id,
                answer,
                messages,
            });
        }
        if state.is_unlucky(batch) {
            return Err(CallError::passing("its answer was lost"));
        }
        Ok(answers)
    }
}

impl State {
    fn is_unlucky(&mut self, batch: &Batch) -> bool {
        let spared = batch
            .items
            .iter()
            .any(|item| self.unlucky.contains(&item.id));
        if spared || !self.rng.random_ratio(1, 30) {
            return false;
        }
        self.unlucky.extend(batch.items.iter().map(|item| item.id));
        true
    }
}

impl Handler for Arc<Jobs> {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        ready(self.work(&batch)).boxed()
    }

    fn actions(&self) -> &[Action] {
        &[Action::Create, Action::Put]
    }

    fn publishes(&self) -> bool {
        true
    }
}
