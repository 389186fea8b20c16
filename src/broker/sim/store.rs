//! The store in memory, with a disk that is not always there, and without the rule of places where the model must fail.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use crate::store::hooked::{Hook, Hooked};
use crate::store::memory::{Keep, Memory};
use crate::store::{Commit, Committing, Domain, Error, Place, Store, Tail, Term};

/// What becomes of the places in what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    Judged,
    /// Every sending is a packet of its own.
    Ignored,
}

/// What is between the broker and the engine.
#[derive(Debug)]
pub(super) struct Unsteady {
    places: Places,
    rng: Mutex<StdRng>,
}

impl Unsteady {
    pub(super) fn store(seed: u64, places: Places, tail: Arc<dyn Tail>) -> Hooked<Self> {
        Hooked {
            memory: Memory::new(Keep::default(), tail),
            hook: Self {
                places,
                rng: Mutex::new(StdRng::seed_from_u64(seed)),
            },
        }
    }

    /// A commit is refused, or applied, or one of the two and nobody knows which.
    async fn unsteadily(&self, memory: &Memory, mut commit: Commit) -> Result<Committing, Error> {
        if self.places == Places::Ignored {
            for unit in &mut commit.units {
                if matches!(unit.place, Place::Seq(_)) {
                    unit.place = Place::None;
                }
            }
        }
        let drawn = self.rng.lock().random_range(0..60);
        match drawn {
            0 => Err(unavailable()),
            1 => Ok(unknown()),
            2 => {
                let _applied = memory.commit(commit).await?;
                Ok(unknown())
            }
            _ => memory.commit(commit).await,
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the disk is away".into())
}

fn unknown() -> Committing {
    let (reply, waiting) = oneshot::channel();
    reply.send(Err(unavailable())).expect("it is held below");
    Committing::Waiting(waiting)
}

impl Hook for Unsteady {
    fn take_over<'a>(
        &'a self,
        memory: &'a Memory,
        domain: Domain,
    ) -> BoxFuture<'a, Result<Term, Error>> {
        if self.rng.lock().random_ratio(1, 60) {
            return ready(Err(unavailable())).boxed();
        }
        memory.take_over(domain)
    }

    fn commit<'a>(
        &'a self,
        memory: &'a Memory,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Committing, Error>> {
        self.unsteadily(memory, commit).boxed()
    }
}
