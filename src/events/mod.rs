//! The event stream: every subscriber is a cursor over the log. Behind, it reads the store; at the tail it follows a live
//! ring; lagging past the ring it reads the store again. So a slow one costs a scan, not memory.
//!
//! A stream is spliced together without a seam: it joins the ring first, so that everything from then on is counted for it,
//! then reads the store up to the tail that it joined at, then the ring, where it drops what it has by position.

mod about;
mod cursor;
mod figures;
mod hub;
mod interest;
mod live;
mod reader;
mod ring;
mod session;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use about::{StreamView, StreamsView};
pub use hub::Hub;
pub use session::Session;

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
    /// From where its connection comes, if that is known.
    pub peer: Option<SocketAddr>,
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

/// A cursor that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CursorError(pub String);
