//! Everything in memory, for tests and `--ephemeral`.
//!
//! A commit is applied under one lock and is as durable as it gets at once. Readers take what they need out of the lock still
//! packed, and unpack it outside.

mod clients;
mod collections;
mod letters;
pub(super) mod log;
mod once;
mod runs;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::RwLock;
use tokio::time::Instant;

use self::state::State;
use super::clock::{Clock, Wall};
use super::packed::PackedMessage;
use super::read::Room;
use super::{
    Commit, Committing, DeadLetter, Domain, Entry, EntryKind, Epoch, Error, Figures, Filter,
    KeptResult, LetterCounts, LetterId, OpenRun, Page, PageOf, Placed, Position, ResultsPage,
    ScanLimit, Store, Tail, Term, Unheard, Which,
};
use crate::types::{ClientKey, HandlerName, Record, Topic, limits};

/// How much the engine keeps.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Of messages, in bytes.
    pub message_bytes: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            message_bytes: 256 << 20,
        }
    }
}

/// The engine.
#[derive(Debug)]
pub struct Memory {
    /// A lock and not a task, because what is done under it is short, and readers do not wait for each other.
    state: RwLock<State>,
    /// The state's, for those who ask with every answer.
    position: AtomicU64,
    epochs: Arc<[Epoch]>,
    tail: Arc<dyn Tail>,
}

/// All bounds on what is kept.
#[derive(Debug, Clone)]
struct Bounds {
    message_bytes: usize,
    message_age: Duration,
    result_bytes: usize,
    result_age: Duration,
    places: usize,
    place_age: Duration,
    /// Packets without a place.
    once: usize,
    once_bytes: usize,
    once_age: Duration,
    deletion_age: Duration,
    /// Dead letters whose packets are finished.
    letters: usize,
    letter_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            message_bytes: Keep::default().message_bytes,
            message_age: 7 * DAY,
            result_bytes: 1 << 30,
            result_age: 7 * DAY,
            places: 10_000_000,
            place_age: 90 * DAY,
            once: 1_000_000,
            once_bytes: 256 << 20,
            once_age: DAY,
            deletion_age: 7 * DAY,
            letters: limits::DEAD_LETTERS,
            letter_bytes: 256 << 20,
        }
    }
}

impl Memory {
    pub fn new(keep: Keep, tail: Arc<dyn Tail>) -> Self {
        let bounds = Bounds {
            message_bytes: keep.message_bytes,
            ..Bounds::default()
        };
        Self::bounded(bounds, Wall::now(), tail)
    }

    fn bounded(bounds: Bounds, wall: Wall, tail: Arc<dyn Tail>) -> Self {
        Self {
            state: RwLock::new(State::new(bounds, Clock::start(wall, None, Instant::now()))),
            position: AtomicU64::new(0),
            epochs: Arc::new([Epoch {
                id: rand::random(),
                start: Position(0),
            }]),
            tail,
        }
    }

    /// The tail is told under the lock, so that it hears commits in their order; it promises not to call back.
    fn apply(&self, commit: Commit) -> Result<Committing, Error> {
        let mut state = self.state.write();
        let (judged, told) = state.apply(commit)?;
        self.position.store(state.tail, Ordering::Release);
        if !told.is_empty() {
            self.tail.committed(&told);
        }
        Ok(Committing::Durable(judged))
    }

    fn page(&self, filter: &Filter, from: Position, limit: ScanLimit) -> Page {
        let state = self.state.read();
        let found = state.log.scan(filter, from.0, state.tail, limit);
        let loss = state.log.loss(filter, from.0);
        drop(state);
        Page {
            entries: entries(found.messages),
            through: Position(found.through),
            loss,
        }
    }

    /// Walks back a stretch at a time, so that writers get the lock in between.
    async fn first_of_last(&self, filter: &Filter, count: usize) -> Position {
        let tail = self.tail();
        if count == 0 {
            return tail;
        }
        if let Some(first) = self.state.read().log.last_exact(filter, count) {
            return first.map_or(tail, before);
        }
        let (mut first, mut left) = (None, count);
        let mut on = Some(tail.0.saturating_add(1));
        while let Some(from) = on {
            let (found, next) = self.state.read().log.walk_back(filter, from);
            if let Some(position) = found.get(left - 1) {
                return before(*position);
            }
            left -= found.len();
            first = found.last().copied().or(first);
            on = next;
            tokio::task::yield_now().await;
        }
        first.map_or(tail, before)
    }

    fn unsent(&self, client: &ClientKey, from: Position, limit: ScanLimit) -> ResultsPage {
        let state = self.state.read();
        let mut page = ResultsPage::default();
        let mut room = Room::new(limit);
        for (position, result) in state.clients.unsent(client, from.0) {
            if !room.takes(result.size()) {
                page.more = true;
                break;
            }
            page.entries.push(Entry {
                position: Position(position),
                kind: EntryKind::Result(result.unpack()),
            });
        }
        let last = page.entries.last().map(|entry| entry.position.0);
        let through = last.filter(|_| page.more).unwrap_or(u64::MAX);
        let lost = state.clients.lost(client);
        page.lost = from.0 < lost && lost <= through;
        page
    }

    fn kept_results(
        &self,
        client: &ClientKey,
        which: &Which,
        limit: ScanLimit,
    ) -> PageOf<KeptResult> {
        let client = Arc::new(client.clone());
        let state = self.state.read();
        let mut room = Room::new(limit);
        let mut page = PageOf {
            items: Vec::new(),
            more: false,
        };
        for result in state.clients.kept(&client, which) {
            if !room.takes(result.size()) {
                page.more = true;
                break;
            }
            page.items.push(result.unpack());
        }
        page
    }
}

impl Store for Memory {
    fn take_over(&self, domain: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        let now = Term(u64::try_from(millis).unwrap_or(u64::MAX));
        let term = self.state.write().take_over(domain, now);
        ready(Ok(term)).boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        ready(self.apply(commit)).boxed()
    }

    fn record<'a>(
        &'a self,
        collection: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        let record = self
            .state
            .read()
            .collections
            .record(collection, key)
            .cloned();
        ready(Ok(record)).boxed()
    }

    fn list<'a>(
        &'a self,
        collection: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>> {
        let state = self.state.read();
        let page = state.collections.list(collection, prefix, after, limit);
        ready(Ok(page)).boxed()
    }

    fn collections(&self, limit: usize) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let names = self.state.read().collections.names(limit);
        ready(Ok(names)).boxed()
    }

    fn figures(&self) -> BoxFuture<'_, Figures> {
        let state = self.state.read();
        let (queues, req_ids, results) = state.clients.counts();
        let figures = Figures {
            tail: state.tail,
            queues: Some(queues as u64),
            req_ids: Some(req_ids as u64),
            results: Some(results as u64),
            memory_bytes: state.log.bytes() as u64,
            ..Figures::default()
        };
        ready(figures).boxed()
    }

    fn tail(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    fn epochs(&self) -> Arc<[Epoch]> {
        self.epochs.clone()
    }

    fn scan<'a>(
        &'a self,
        filter: &'a Filter,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        ready(Ok(self.page(filter, from, limit))).boxed()
    }

    fn last<'a>(
        &'a self,
        filter: &'a Filter,
        count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        self.first_of_last(filter, count).map(Ok).boxed()
    }

    fn latest<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>> {
        let state = self.state.read();
        let (found, tail) = (state.log.latest(filter), Position(state.tail));
        drop(state);
        ready(Ok((entries(found), tail))).boxed()
    }

    fn history<'a>(
        &'a self,
        tenant: &'a str,
        topic: &'a Topic,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Placed>, Error>> {
        let state = self.state.read();
        let found = state.log.history(tenant, topic, from.0, state.tail, limit);
        drop(state);
        let unpack = |(position, message): (u64, PackedMessage)| {
            (Position(position), Arc::new(message.unpack()))
        };
        let page = PageOf {
            items: found.messages.into_iter().map(unpack).collect(),
            more: found.more,
        };
        ready(Ok(page)).boxed()
    }

    fn results<'a>(
        &'a self,
        client: &'a ClientKey,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<ResultsPage, Error>> {
        ready(Ok(self.unsent(client, from, limit))).boxed()
    }

    fn kept<'a>(
        &'a self,
        client: &'a ClientKey,
        which: &'a Which,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<KeptResult>, Error>> {
        ready(Ok(self.kept_results(client, which, limit))).boxed()
    }

    /// What an earlier start had is gone with it.
    fn unheard<'a>(
        &'a self,
        _: &'a ClientKey,
        _: u64,
        _: usize,
    ) -> BoxFuture<'a, Result<Unheard, Error>> {
        ready(Ok(Unheard::default())).boxed()
    }

    fn open_runs(&self) -> BoxFuture<'_, Result<Vec<OpenRun>, Error>> {
        ready(Ok(self.state.read().open_runs())).boxed()
    }

    fn dead_letters<'a>(
        &'a self,
        handler: Option<&'a HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<DeadLetter>, Error>> {
        let page = self.state.read().letters.page(handler, after, limit);
        ready(Ok(page)).boxed()
    }

    fn letter_counts(&self) -> LetterCounts {
        self.state.read().letters.counts()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.state.write().closed = true;
        ready(()).boxed()
    }
}

fn entries(found: Vec<(u64, PackedMessage)>) -> Vec<Entry> {
    let entry = |(position, message): (u64, PackedMessage)| Entry {
        position: Position(position),
        kind: EntryKind::Message(Arc::new(message.unpack())),
    };
    found.into_iter().map(entry).collect()
}

/// From where a scan finds this one first.
fn before(position: u64) -> Position {
    Position(position - 1)
}
