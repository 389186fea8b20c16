//! What a called handler gets and gives.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Origin;
use crate::types::{Action, Answer, HandlerName, Packet};

/// Unique across all clients, made by the gateway: two clients that both count 1, 2, 3 never get each other's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u64);

/// One consolidated batch.
#[derive(Debug)]
pub struct Batch {
    pub handler: HandlerName,
    /// Set when all items have the same one.
    pub action: Option<Action>,
    pub items: Vec<Item>,
}

/// One packet of a batch, with its own principal and its own time.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: ItemId,
    /// Items with the same number are one order; 0: no order.
    pub chain: u32,
    pub origin: Arc<Origin>,
    pub packet: Arc<Packet>,
    /// What is left of its time.
    pub remaining: Option<Duration>,
}

/// The answer to one item.
#[derive(Debug)]
pub struct Handled {
    pub id: ItemId,
    /// OK, REJECTED or RETRY.
    pub answer: Answer,
}

/// The call failed as a whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);
