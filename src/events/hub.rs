//! The hub: told every durable entry, it hands out streams.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;

use super::about::StreamsView;
use super::cursor::{Cursor, Place};
use super::figures::{Levels, Sent};
use super::live::{Found, Live, StreamId, Wakers};
use super::reader::Reader;
use super::session::{Batch, Origin, Session};
use super::{CursorError, StreamSettings, Subscription};
use crate::store::{Entry, Position, Store, Tail};

/// Entries that are told under one lock: streams read in between.
const TOGETHER: usize = 128;

/// Wildcard scans of the store at the same time. Others wait their turn, page by page.
const SCANS: usize = 4;

/// Follows the store's tail and opens sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: StreamSettings,
    /// A lock and not a task: the committer must not wait for one, and streams read it without a hop. Held for at most
    /// `TOGETHER` entries by the committer and one batch by a stream.
    live: Mutex<Live>,
    scans: Arc<Semaphore>,
    jitter: Mutex<StdRng>,
    sent: Arc<Sent>,
}

impl Hub {
    /// The store is told about the hub when it is built (as its tail), and the hub about the store with each stream.
    pub fn new(settings: StreamSettings) -> Self {
        Self::seeded(settings, rand::random())
    }

    /// The same with a known source of jitter.
    pub fn seeded(settings: StreamSettings, seed: u64) -> Self {
        Self(Arc::new(Shared {
            live: Mutex::new(Live::new(settings.ring_entries, settings.ring_bytes)),
            scans: Arc::new(Semaphore::new(SCANS)),
            jitter: Mutex::new(StdRng::seed_from_u64(seed)),
            sent: Arc::default(),
            settings,
        }))
    }

    /// A cursor for whoever subscribes later and must miss nothing that is not durable yet.
    pub fn cursor(&self, store: &dyn Store) -> String {
        let epoch = epoch(store);
        let place = Place::at(store.tail());
        Cursor { epoch, place }.to_string()
    }

    /// Opens a stream. The error is for a person: a cursor that cannot be read.
    pub fn open(
        &self,
        store: Arc<dyn Store>,
        subscription: Subscription,
    ) -> Result<Session, CursorError> {
        let cursor = subscription
            .cursor
            .as_deref()
            .map(Cursor::parse)
            .transpose()?;
        let epoch = epoch(&*store);
        let joined = self.0.live.lock().join(&subscription, epoch);
        // The ring has everything after `told`; the store may have more than the hub was told since it was made.
        let tail = joined.told.max(store.tail());
        let origin = match cursor {
            Some(cursor) if is_known(&*store, cursor, tail) => Origin::Resumed(cursor.place),
            Some(_) => Origin::Lost,
            None => Origin::Fresh(subscription.start),
        };
        let reader = Reader::new(
            store,
            &subscription,
            self.0.scans.clone(),
            self.0.sent.clone(),
        );
        Ok(Session::new(
            self.clone(),
            joined,
            epoch,
            reader,
            subscription,
            origin,
            tail,
        ))
    }

    /// Every stream is told to go, each with its own delay within `spread`, and ends; so does every stream that is opened
    /// later.
    pub fn drain(&self, spread: Duration) {
        let mut wake = Wakers::new();
        self.0.live.lock().drain(spread, &mut wake);
        wake.into_iter().for_each(Waker::wake);
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.0.live.lock().streams()
    }

    /// The streams of a higher number than this, so many at most, the lowest first.
    pub fn look_at(&self, store: &dyn Store, number: u64, limit: usize) -> StreamsView {
        let tail = store.tail();
        let live = self.0.live.lock();
        StreamsView {
            streams: live.after(number, limit, tail),
            open: live.streams(),
        }
    }

    pub(super) fn levels(&self) -> Levels {
        self.0.live.lock().levels()
    }

    pub(super) fn sent(&self) -> &Sent {
        &self.0.sent
    }

    pub(super) fn settings(&self) -> &StreamSettings {
        &self.0.settings
    }

    pub(super) fn read(
        &self,
        stream: StreamId,
        reached: &mut Place,
        batch: &mut Batch,
        waker: &Waker,
    ) -> Found {
        self.0.live.lock().read(stream, reached, batch, waker)
    }

    pub(super) fn look(&self, stream: StreamId, waker: &Waker) -> (Position, Option<Duration>) {
        self.0.live.lock().look(stream, waker)
    }

    pub(super) fn leave(&self, stream: StreamId) {
        self.0.live.lock().leave(stream);
    }

    /// Anything up to `most`.
    pub(super) fn jitter(&self, most: Duration) -> Duration {
        most.mul_f64(self.0.jitter.lock().random_range(0.0..=1.0))
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.0.live.lock().is_idle()
    }
}

impl Tail for Hub {
    fn committed(&self, entries: &[Entry]) {
        let mut wake = Wakers::new();
        for some in entries.chunks(TOGETHER) {
            self.0.live.lock().publish(some, &mut wake);
            wake.drain(..).for_each(Waker::wake);
        }
    }
}

fn epoch(store: &dyn Store) -> u64 {
    store.epochs().last().map_or(0, |epoch| epoch.id)
}

/// Whether a cursor is of this history, and of a part of it that is still there: an epoch holds up to where the next one
/// started, the present one up to the tail.
fn is_known(store: &dyn Store, cursor: Cursor, tail: Position) -> bool {
    let epochs = store.epochs();
    let Some(at) = epochs.iter().position(|epoch| epoch.id == cursor.epoch) else {
        return false;
    };
    let end = epochs.get(at + 1).map_or(tail, |next| next.start);
    cursor.place.farthest() <= end
}
