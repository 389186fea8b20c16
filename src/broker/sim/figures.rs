//! What runs are counted by.

use std::collections::BTreeMap;
use std::fmt;

/// What was done in the runs, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<&'static str, u64>);

impl Figures {
    pub(super) fn count(&mut self, what: &'static str) {
        self.more(what, 1);
    }

    pub(super) fn more(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.more(what, *count);
        }
    }

    pub(super) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().map(|(what, count)| format!("{count} {what}"));
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}
