//! Chains: what is applied in order.

use std::collections::VecDeque;

use bytestring::ByteString;
use tokio::time::Instant;

use super::arena::Id;
use super::fair::PartyId;
use super::job::Job;
use super::lane::Lane;
use super::queue::Queue;
use crate::types::HandlerName;

/// Packets that are applied one after the other, whatever lanes they go through. Exists while it has packets.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) kind: ChainKind,
    /// Waiting ones, in order. Those in flight are with their batch.
    pub(crate) jobs: VecDeque<Id<Job>>,
    /// A chain with packets in flight is busy: nothing more of it leaves (a free one is never busy).
    pub(crate) in_flight: usize,
    /// Its head is to be called again, and not before its time.
    pub(crate) held: bool,
    /// Set while its head run is ready in a lane.
    pub(crate) ready: Option<Ready>,
}

/// What a chain is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ChainKind {
    /// One client's packets to one handler.
    Queue(Id<Queue>),
    /// The packets of one key, across clients.
    Key(KeyChain),
    /// The same of packets that are taken and not finished: those before them in the queue are on their way there.
    Taken(Id<Queue>),
    /// No order at all: one client's packets that any batch of one lane may take.
    Free(Id<Queue>, Id<Lane>),
}

/// Which key's chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyChain {
    pub(crate) handler: HandlerName,
    pub(crate) tenant: ByteString,
    pub(crate) key: ByteString,
}

/// A chain's head run: the packets at its head that go through one lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) lane: Id<Lane>,
    pub(crate) client: PartyId,
    /// Since when its head has been ready.
    pub(crate) since: Instant,
    /// How many packets of the run are counted in the lane; counting ends at a whole batch.
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
}

impl Chain {
    pub(crate) fn new(kind: ChainKind) -> Self {
        Self {
            kind,
            jobs: VecDeque::new(),
            in_flight: 0,
            held: false,
            ready: None,
        }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        !matches!(self.kind, ChainKind::Free(..))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.held || self.in_flight > 0 && self.is_ordered()
    }
}
