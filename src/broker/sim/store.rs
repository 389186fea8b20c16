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

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Steady,
    /// Some commits fail.
    Unsteady,
    /// All do.
    Away,
}

/// What is between the broker and the engine.
#[derive(Debug)]
pub(super) struct Unsteady {
    places: Places,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    disk: Disk,
    /// Who asks has been replaced, and it is known: a term is not given to it any more.
    deposed: bool,
}

impl Unsteady {
    pub(super) fn store(
        seed: u64,
        places: Places,
        disk: Disk,
        tail: Arc<dyn Tail>,
    ) -> Hooked<Self> {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            disk,
            deposed: false,
        };
        Hooked {
            memory: Memory::new(Keep::default(), tail),
            hook: Self {
                places,
                state: Mutex::new(state),
            },
        }
    }

    pub(super) fn set_disk(&self, disk: Disk) {
        self.state.lock().disk = disk;
    }

    /// Until told otherwise, who asks is an owner that was replaced.
    pub(super) fn set_deposed(&self, deposed: bool) {
        self.state.lock().deposed = deposed;
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
        match self.draw() {
            0 => Err(unavailable()),
            1 => Ok(unknown()),
            2 => {
                let _applied = memory.commit(commit).await?;
                Ok(unknown())
            }
            _ => memory.commit(commit).await,
        }
    }

    fn draw(&self) -> u32 {
        let state = &mut *self.state.lock();
        match state.disk {
            Disk::Steady => u32::MAX,
            Disk::Unsteady => state.rng.random_range(0..60),
            Disk::Away => state.rng.random_range(0..3),
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
        if self.state.lock().deposed {
            return ready(Err(Error::Fenced(Term(u64::MAX)))).boxed();
        }
        if self.draw() == 0 {
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
