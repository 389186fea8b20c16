//! A store in memory whose commits go through something first: what a test does to them.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::memory::Memory;
use super::{
    Commit, Committing, DeadLetter, Domain, Entry, Epoch, Error, Figures, Filter, KeptResult,
    LetterCounts, LetterId, OpenRun, Page, PageOf, Placed, Position, ResultsPage, ScanLimit, Store,
    Term, Unheard, Which,
};
use crate::types::{ClientKey, HandlerName, Record, Topic};

/// What comes between.
pub(crate) trait Hook: Debug + Send + Sync {
    fn commit<'a>(
        &'a self,
        memory: &'a Memory,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Committing, Error>>;

    fn take_over<'a>(
        &'a self,
        memory: &'a Memory,
        domain: Domain,
    ) -> BoxFuture<'a, Result<Term, Error>> {
        memory.take_over(domain)
    }
}

#[derive(Debug)]
pub(crate) struct Hooked<H> {
    pub(crate) memory: Memory,
    pub(crate) hook: H,
}

impl<H: Hook> Store for Hooked<H> {
    fn take_over(&self, domain: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        self.hook.take_over(&self.memory, domain)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        self.hook.commit(&self.memory, commit)
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

    fn figures(&self) -> BoxFuture<'_, Figures> {
        self.memory.figures()
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

    fn dead_letters<'a>(
        &'a self,
        handler: Option<&'a HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<DeadLetter>, Error>> {
        self.memory.dead_letters(handler, after, limit)
    }

    fn letter_counts(&self) -> LetterCounts {
        self.memory.letter_counts()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}
