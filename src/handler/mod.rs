//! What does the work: the traits that handlers implement, the registry, and the handlers that are there.

mod batch;
mod echo;
mod fields;
mod page;
mod records;
mod registry;
mod remote;
#[cfg(test)]
pub(crate) mod testing;
mod topics;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use crate::types::{BatchLimits, Ordering, Retry};
pub use batch::{Batch, CallError, Failure, Fence, Handled, Item, ItemId};
pub use echo::Echo;
pub use records::Records;
pub use registry::{HandlerSettings, Kind, Registry, Unlisted};
pub use remote::{Publishing, Remote, RemoteSettings};
pub use topics::{TopicRules, Topics};

use crate::store::{Effect, Origin, Store};
use crate::types::{Action, Answer, Packet};

/// A handler that is called with batches and does its work outside the store.
pub trait Handler: std::fmt::Debug + Send + Sync {
    /// Applies one batch. Answers are by item id, in any order; an item without one counts as `RETRY`, an answer to no item
    /// is ignored. Items of one chain are applied as listed; at the first that is neither OK nor REJECTED the rest of that
    /// chain is answered `RETRY`.
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>>;

    /// What it does; a packet with another action is refused without being handed over.
    fn actions(&self) -> &[Action];

    /// Names for CALL. Empty: any.
    fn methods(&self) -> &[String] {
        &[]
    }

    /// Whether its answers may bring messages.
    fn publishes(&self) -> bool {
        false
    }

    /// Messages of its results that were not published since the start: out of bounds, or where it may not publish.
    fn dropped_messages(&self) -> u64 {
        0
    }

    /// Whether its items carry a [`Fence`]: what works elsewhere may still be at an attempt that was given up here.
    fn is_fenced(&self) -> bool {
        false
    }
}

/// A handler whose effects are in the store, so that taking a packet and applying it are one unit of one commit.
pub trait Planner: std::fmt::Debug + Send + Sync {
    /// What a packet is to do. A refusal is an [`Effect::Answer`]. Never called for READ and LIST.
    fn plan(&self, origin: &Origin, packet: &Packet) -> Effect;

    /// Answers READ and LIST.
    fn read<'a>(
        &'a self,
        store: &'a dyn Store,
        origin: &'a Origin,
        packet: &'a Packet,
    ) -> BoxFuture<'a, Answer>;

    fn actions(&self) -> &[Action];
}

/// How a handler is driven.
#[derive(Debug, Clone)]
pub enum Drive {
    Called(Arc<dyn Handler>),
    Planned(Arc<dyn Planner>),
}

impl Drive {
    /// Whether it is called, and keeps nothing in the store.
    pub fn is_called(&self) -> bool {
        matches!(self, Self::Called(_))
    }

    pub fn actions(&self) -> &[Action] {
        match self {
            Self::Called(handler) => handler.actions(),
            Self::Planned(planner) => planner.actions(),
        }
    }

    pub fn methods(&self) -> &[String] {
        match self {
            Self::Called(handler) => handler.methods(),
            Self::Planned(_) => &[],
        }
    }
}
