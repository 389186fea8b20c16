//! What a person sees of the streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Subscription;
use crate::store::Position;
use crate::types::{ClientKey, Pattern, Principal};

/// One stream as it is at a moment.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Unlike that of any other stream since the start.
    pub number: u64,
    pub principal: Arc<Principal>,
    pub client: Option<Arc<ClientKey>>,
    pub patterns: Arc<[Pattern]>,
    pub peer: Option<SocketAddr>,
    pub age: Duration,
    /// Entries of the log behind the place that it has reached.
    pub lag: u64,
    /// Handed to its connection.
    pub events: u64,
    pub bytes: u64,
}

/// Some of the streams, and how many there are.
#[derive(Debug, Clone)]
pub struct StreamsView {
    pub streams: Vec<StreamView>,
    pub open: usize,
}

/// What is told of a stream. Its session alone writes the counts, so that they need no more than to be read whole.
#[derive(Debug)]
pub(super) struct About {
    pub(super) number: u64,
    principal: Arc<Principal>,
    client: Option<Arc<ClientKey>>,
    patterns: Arc<[Pattern]>,
    peer: Option<SocketAddr>,
    since: Instant,
    events: AtomicU64,
    bytes: AtomicU64,
    reached: AtomicU64,
    /// Whether it reads the ring, and not the store.
    follows: AtomicBool,
}

impl About {
    pub(super) fn new(number: u64, subscription: &Subscription) -> Self {
        Self {
            number,
            principal: subscription.principal.clone(),
            client: subscription.client.clone(),
            patterns: subscription.patterns.as_slice().into(),
            peer: subscription.peer,
            since: Instant::now(),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            follows: AtomicBool::new(false),
        }
    }

    /// An event was handed over.
    pub(super) fn sent(&self, bytes: usize) {
        let more = |count: &AtomicU64, by: u64| {
            count.store(count.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        };
        more(&self.events, 1);
        more(&self.bytes, bytes as u64);
    }

    pub(super) fn reached(&self, messages: Position, follows: bool) {
        self.reached.store(messages.0, Ordering::Relaxed);
        self.follows.store(follows, Ordering::Relaxed);
    }

    /// `unread`: whether the ring has something for it.
    pub(super) fn view(&self, now: Instant, tail: Position, unread: bool) -> StreamView {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What passed it by in the ring was not for it.
        let is_at_tail = self.follows.load(Ordering::Relaxed) && !unread;
        StreamView {
            number: self.number,
            principal: self.principal.clone(),
            client: self.client.clone(),
            patterns: self.patterns.clone(),
            peer: self.peer,
            age: now.saturating_duration_since(self.since),
            lag: match is_at_tail {
                true => 0,
                false => tail.0.saturating_sub(read(&self.reached)),
            },
            events: read(&self.events),
            bytes: read(&self.bytes),
        }
    }
}
