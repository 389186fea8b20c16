//! The store in memory, with a disk that is not always there, and without the rule of places where the model must fail.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

use crate::store::memory::{Keep, Memory};
use crate::store::{
    Commit, Committing, Domain, Entry, Epoch, Error, Filter, KeptResult, OpenRun, Page, PageOf,
    Place, Placed, Position, ResultsPage, ScanLimit, Store, Tail, Term, Unheard, Which,
};
use crate::types::{ClientKey, Record, Topic};

/// What becomes of the places in what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    Judged,
    /// Every sending is a packet of its own.
    Ignored,
}

/// The engine.
#[derive(Debug)]
pub(super) struct Unsteady {
    memory: Memory,
    places: Places,
    rng: Mutex<StdRng>,
}

impl Unsteady {
    pub(super) fn new(seed: u64, places: Places, tail: Arc<dyn Tail>) -> Self {
        Self {
            memory: Memory::new(Keep::default(), tail),
            places,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// A commit is refused, or applied, or one of the two and nobody knows which.
    async fn unsteadily(&self, mut commit: Commit) -> Result<Committing, Error> {
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
                let _applied = self.memory.commit(commit).await?;
                Ok(unknown())
            }
            _ => self.memory.commit(commit).await,
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

impl Store for Unsteady {
    fn take_over(&self, domain: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        if self.rng.lock().random_ratio(1, 60) {
            return ready(Err(unavailable())).boxed();
        }
        self.memory.take_over(domain)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        self.unsteadily(commit).boxed()
    }

    fn record<'a>(
        &'a self,
        collection: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        self.memory.record(collection, key)
    }

    fn list<'a>(
        &'a self,
        collection: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>> {
        self.memory.list(collection, prefix, after, limit)
    }

    fn collections(&self, limit: usize) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        self.memory.collections(limit)
    }

    fn tail(&self) -> Position {
        self.memory.tail()
    }

    fn epochs(&self) -> Arc<[Epoch]> {
        self.memory.epochs()
    }

    fn scan<'a>(
        &'a self,
        filter: &'a Filter,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        self.memory.scan(filter, from, limit)
    }

    fn last<'a>(
        &'a self,
        filter: &'a Filter,
        count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        self.memory.last(filter, count)
    }

    fn latest<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>> {
        self.memory.latest(filter)
    }

    fn history<'a>(
        &'a self,
        tenant: &'a str,
        topic: &'a Topic,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Placed>, Error>> {
        self.memory.history(tenant, topic, from, limit)
    }

    fn results<'a>(
        &'a self,
        client: &'a ClientKey,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<ResultsPage, Error>> {
        self.memory.results(client, from, limit)
    }

    fn kept<'a>(
        &'a self,
        client: &'a ClientKey,
        which: &'a Which,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<KeptResult>, Error>> {
        self.memory.kept(client, which, limit)
    }

    fn unheard<'a>(
        &'a self,
        client: &'a ClientKey,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Unheard, Error>> {
        self.memory.unheard(client, from, limit)
    }

    fn open_runs(&self) -> BoxFuture<'_, Result<Vec<OpenRun>, Error>> {
        self.memory.open_runs()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}
