//! Everything in memory, for tests and `--ephemeral`.

use std::sync::Arc;

use super::{
    Commit, Committing, Domain, Entry, Error, Filter, Page, PageOf, Position, ScanLimit, Store,
    Tail, Term,
};
use crate::types::{ClientKey, Message, Record, Topic};
use futures_util::future::BoxFuture;

/// How much the engine keeps.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Of messages, in bytes.
    pub message_bytes: usize,
}

/// The engine.
#[derive(Debug)]
pub struct Memory {}

impl Memory {
    pub fn new(_keep: Keep, _tail: Arc<dyn Tail>) -> Self {
        todo!()
    }
}

impl Store for Memory {
    fn take_over(&self, _domain: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        todo!()
    }
    fn commit(&self, _commit: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        todo!()
    }
    fn record<'a>(
        &'a self,
        _collection: &'a str,
        _key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        todo!()
    }
    fn list<'a>(
        &'a self,
        _collection: &'a str,
        _prefix: &'a str,
        _after: Option<&'a str>,
        _limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>> {
        todo!()
    }
    fn tail(&self) -> Position {
        todo!()
    }
    fn epochs(&self) -> Arc<[u64]> {
        todo!()
    }
    fn scan<'a>(
        &'a self,
        _filter: &'a Filter,
        _from: Position,
        _limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        todo!()
    }
    fn last<'a>(
        &'a self,
        _filter: &'a Filter,
        _count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        todo!()
    }
    fn latest<'a>(
        &'a self,
        _filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>> {
        todo!()
    }
    fn history<'a>(
        &'a self,
        _tenant: &'a str,
        _topic: &'a Topic,
        _from: Position,
        _limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<(Position, Arc<Message>)>, Error>> {
        todo!()
    }
    fn results<'a>(
        &'a self,
        _client: &'a ClientKey,
        _from: Position,
        _limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Entry>, Error>> {
        todo!()
    }
}
