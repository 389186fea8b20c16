//! What is counted of commits, and of what handlers answer beside what they were asked.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::metrics::Powers;
use crate::types::HandlerName;

/// Shared by all who commit and call. A lock and not a task: held for a few additions, once a commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Counts>>);

/// Since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Commits by what became of them, as [`Fate::ALL`] has them.
    pub(crate) commits: [u64; Fate::ALL.len()],
    /// How long they took until they were durable, or failed, in microseconds.
    pub(crate) took: Powers,
    /// Their packets: those that came, and those whose answers came.
    pub(crate) units: Powers,
    /// Only handlers that ever did.
    pub(crate) odd: HashMap<HandlerName, Odd>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Durable,
    /// Nothing of it was applied: the store cannot take it now.
    Refused,
    /// Nothing of it was applied: its domain has another writer.
    Fenced,
    /// Nobody knows yet.
    Unknown,
}

impl Fate {
    pub(crate) const ALL: [Self; 4] = [Self::Durable, Self::Refused, Self::Fenced, Self::Unknown];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Refused => "refused",
            Self::Fenced => "fenced",
            Self::Unknown => "unknown",
        }
    }
}

/// What a handler answers that the contract does not know, in items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Odd {
    /// Those without an answer: they are called again, or told RETRY.
    pub(crate) missing: u64,
    /// Answers under ids that no item of the call has, and second ones: they count for nothing.
    pub(crate) ignored: u64,
    /// `OK`s behind an item of their order that was not finished: they stand, and the order is broken.
    pub(crate) overtaking: u64,
}

impl Tally {
    pub(super) fn commit(&self, fate: Fate, took: Duration, units: usize) {
        let mut counts = self.0.lock();
        counts.commits[fate as usize] += 1;
        counts.took.add_time(took, 1);
        counts.units.add(units as u64);
    }

    pub(super) fn odd(&self, handler: &HandlerName, odd: Odd) {
        if odd == Odd::default() {
            return;
        }
        let mut counts = self.0.lock();
        let before = counts.odd.entry(handler.clone()).or_default();
        before.missing += odd.missing;
        before.ignored += odd.ignored;
        before.overtaking += odd.overtaking;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}
