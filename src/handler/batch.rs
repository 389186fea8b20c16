//! What a called handler gets and gives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::store::{Domain, Draft, Origin, TakenId, Term};
use crate::types::{Action, Answer, HandlerName, Packet};

/// Unique across all clients and starts, made by the gateway: two clients that both count 1, 2, 3 never get each other's
/// answers. The same on every attempt; of a packet that was taken, also after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u128);

impl ItemId {
    /// The first bit tells the two kinds apart.
    const PASSING: u128 = 1 << 127;

    /// What no item is called: for an answer under something that is no id.
    pub(crate) const NONE: Self = Self(u128::MAX);

    /// Of a packet that is kept nowhere. `start` is random for each start of the process.
    pub(crate) fn passing(start: u64, number: u64) -> Self {
        Self(Self::PASSING | u128::from(start) << 64 | u128::from(number))
    }

    pub(crate) fn of_taken(taken: TakenId) -> Self {
        Self(u128::from(taken.run) << 32 | u128::from(taken.at))
    }

    /// Whether it is of a packet that was taken.
    pub(crate) fn is_of_taken(self) -> bool {
        self.0 & Self::PASSING == 0
    }

    /// As it is written; `None` for what no item is called.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase();
        let fits = text.len() == 32 && text.bytes().all(digit);
        let number = u128::from_str_radix(text, 16).ok();
        number.filter(|_| fits).map(Self)
    }
}

/// 32 digits.
impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One consolidated batch.
#[derive(Debug)]
pub struct Batch {
    pub handler: HandlerName,
    /// Set when all items have the same one.
    pub action: Option<Action>,
    pub items: Vec<Item>,
    /// The trace that its handler continues, as a `traceparent`. `None`: none of it is traced by this gateway.
    pub trace: Option<String>,
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
    /// From 1; a restart begins anew.
    pub attempt: u32,
    /// When it was let in, or taken.
    pub received_at: SystemTime,
    /// `None`: its handler asks for none.
    pub fence: Option<Fence>,
}

/// What lets a handler refuse an attempt that outlived its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The part of the state that the item belongs to.
    pub domain: Domain,
    /// The term of that part's owner.
    pub term: Term,
}

/// The answer to one item.
#[derive(Debug)]
pub struct Handled {
    pub id: ItemId,
    /// OK, REJECTED or RETRY.
    pub answer: Answer,
    /// Published in the commit of the answer; of one that is not final none are.
    pub messages: Vec<Draft>,
}

impl Handled {
    /// An answer that publishes nothing.
    pub fn new(id: ItemId, answer: Answer) -> Self {
        Self {
            id,
            answer,
            messages: Vec::new(),
        }
    }
}

/// The call failed as a whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub failure: Failure,
    /// Whether the handler may have got it. Where not, nothing of it was applied, and it counts against no item.
    pub reached: bool,
    /// For a person.
    pub message: String,
}

/// What a failed call says about its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing yet: the same ones may go through a moment later.
    Passing,
    /// One of them may be to blame.
    Items,
    /// The handler is wrong, and no item is.
    Handler,
}

impl CallError {
    /// The handler may have got it.
    pub fn passing(message: impl Into<String>) -> Self {
        Self {
            failure: Failure::Passing,
            reached: true,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        for id in [
            ItemId::passing(u64::MAX, u64::MAX),
            ItemId::passing(0, 0),
            ItemId::of_taken(TakenId { run: 7, at: 9 }),
        ] {
            assert_eq!(ItemId::parse(&id.to_string()), Some(id));
        }
        let written = ItemId(0xabc).to_string();
        for wrong in [
            "",
            "abc",
            &written.to_uppercase(),
            &format!("+{}", &written[1..]),
        ] {
            assert_eq!(ItemId::parse(wrong), None, "{wrong}");
        }
    }
}
