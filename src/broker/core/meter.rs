//! What is counted of a lane: plain integers, which the lane has to itself.

use crate::handler::{CallError, Failure};
use crate::metrics::Powers;

/// What a lane has done since it is there; of a handler and a class, what lanes that are gone did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// Packets of each batch that left, those of searches too.
    pub(crate) fill: Powers,
    /// Batches with packets by why they left, as [`Why::ALL`] has them.
    pub(crate) left: [u64; Why::ALL.len()],
    /// Batches that a search had called.
    pub(crate) searched: u64,
    /// How long packets waited before they left for the first time, in microseconds.
    pub(crate) waited: Powers,
    /// How long batches were away, in microseconds.
    pub(crate) took: Powers,
    /// Calls of its handler by what became of them, as [`Fate::ALL`] has them.
    pub(crate) calls: [u64; Fate::ALL.len()],
    /// Packets that left not for the first time.
    pub(crate) again: u64,
    /// Packets that were given up: those that were poison, and those that were tried for as long as they may be.
    pub(crate) poison: u64,
    pub(crate) spent: u64,
}

/// Why a batch left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The handler was idle.
    Idle,
    /// A whole batch was ready.
    Whole,
    /// Its oldest packet was ready for longer than the handler takes.
    Latency,
    Window,
    Flush,
    Drain,
}

impl Why {
    pub(crate) const ALL: [Self; 6] = [
        Self::Idle,
        Self::Whole,
        Self::Latency,
        Self::Window,
        Self::Flush,
        Self::Drain,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Whole => "whole",
            Self::Latency => "latency",
            Self::Window => "window",
            Self::Flush => "flush",
            Self::Drain => "drain",
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It went through, whatever its items were answered.
    Answered,
    /// The same may go through a moment later.
    Passing,
    /// One of its items may be to blame.
    Items,
    /// The handler is wrong, and no item is.
    Handler,
    /// It did not get there.
    NotReached,
}

impl Fate {
    pub(crate) const ALL: [Self; 5] = [
        Self::Answered,
        Self::Passing,
        Self::Items,
        Self::Handler,
        Self::NotReached,
    ];

    pub(crate) fn of(error: &CallError) -> Self {
        match error.failure {
            _ if !error.reached => Self::NotReached,
            Failure::Passing => Self::Passing,
            Failure::Items => Self::Items,
            Failure::Handler => Self::Handler,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Passing => "passing",
            Self::Items => "items",
            Self::Handler => "handler",
            Self::NotReached => "not_reached",
        }
    }
}

impl Meter {
    pub(crate) fn leaves(&mut self, why: Why) {
        self.left[why as usize] += 1;
    }

    pub(crate) fn is_back(&mut self, fate: Fate) {
        self.calls[fate as usize] += 1;
    }

    /// What another lane of the same did.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.fill.merge(&other.fill);
        self.waited.merge(&other.waited);
        self.took.merge(&other.took);
        for (own, more) in self.left.iter_mut().zip(other.left) {
            *own += more;
        }
        for (own, more) in self.calls.iter_mut().zip(other.calls) {
            *own += more;
        }
        self.searched += other.searched;
        self.again += other.again;
        self.poison += other.poison;
        self.spent += other.spent;
    }
}
