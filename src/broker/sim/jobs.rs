//! A handler as a backend behaves: it keeps the id of an item beside its effect, refuses, asks for another try, forgets to
//! answer, and fails as a whole, before or after it has applied.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use hashbrown::HashSet;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::handler::{Batch, CallError, Handled, Handler, ItemId};
use crate::types::{Action, Answer, Reason};

/// Whoever sees what is applied.
pub(super) trait Effects: fmt::Debug + Send + Sync {
    fn applied(&self, content: &[u8]);
}

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
}

impl Jobs {
    pub(super) fn new(seed: u64, effects: Arc<dyn Effects>) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            done: HashSet::new(),
        };
        Self {
            state: Mutex::new(state),
            effects,
        }
    }

    fn work(&self, batch: &Batch) -> Result<Vec<Handled>, CallError> {
        let mut state = self.state.lock();
        if state.rng.random_ratio(1, 30) {
            return Err(CallError::passing("it is not there"));
        }
        let mut answers = Vec::new();
        let mut stopped: Vec<u32> = Vec::new();
        for item in &batch.items {
            let answer = if stopped.contains(&item.chain) {
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
            answers.push(Handled::new(item.id, answer));
        }
        if state.rng.random_ratio(1, 30) {
            return Err(CallError::passing("its answer was lost"));
        }
        Ok(answers)
    }
}

impl Handler for Jobs {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        ready(self.work(&batch)).boxed()
    }

    fn actions(&self) -> &[Action] {
        &[Action::Create, Action::Put]
    }
}
