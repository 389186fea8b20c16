//! The event stream: every subscriber is a cursor over the log. Behind, it reads the store; at the tail it follows a live
//! ring; lagging past the ring it reads the store again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::store::{Entry, Store, Tail};
use crate::types::{ClientKey, Pattern, Principal};

/// What a stream asks for, checked.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub principal: Arc<Principal>,
    /// Whose results come first.
    pub client: Option<Arc<ClientKey>>,
    pub patterns: Vec<Pattern>,
    /// Resume after this one; wins over `start`.
    pub cursor: Option<String>,
    pub start: Start,
    /// Not what this client published.
    pub skip_own: bool,
}

/// Where a stream without a cursor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Now,
    Earliest,
    /// The last kept message of each matching topic, then on.
    Latest,
    /// The last so many kept messages that match, then on.
    Last(u32),
}

/// How streams behave.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    pub node: String,
    pub heartbeat: Duration,
    /// How long a stream lives before it is told to go, give or take a tenth.
    pub age: Duration,
    /// Of the live ring.
    pub ring_entries: usize,
    pub ring_bytes: usize,
}

/// Follows the store's tail and opens sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {}

impl Hub {
    /// The store is told about the hub when it is built (as its tail), and the hub about the store here.
    pub fn new(_settings: StreamSettings) -> Self {
        todo!()
    }

    /// A cursor for whoever subscribes later and must miss nothing that is not durable yet.
    pub fn cursor(&self, _store: &dyn Store) -> String {
        todo!()
    }

    /// Opens a stream. The error is for a person: a cursor that cannot be read.
    pub fn open(
        &self,
        _store: Arc<dyn Store>,
        _subscription: Subscription,
    ) -> Result<Session, CursorError> {
        todo!()
    }

    /// Every stream is told to go, each with its own delay within `spread`, and ends.
    pub fn drain(&self, _spread: Duration) {
        todo!()
    }
}

impl Tail for Hub {
    fn committed(&self, _entries: &[Entry]) {
        todo!()
    }
}

/// A cursor that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CursorError(pub String);

/// One stream.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// The next event, encoded as `tidegate.v1.Event`. `None` after a GoAway.
    pub async fn next(&mut self) -> Option<Bytes> {
        todo!()
    }
}
