//! What was found to be damaged: told in the log as it is found, and kept for whoever asks.

use parking_lot::Mutex;

use super::table;
use crate::store::Error;

/// How many findings are kept; more are only counted.
const KEPT: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Damages {
    /// A lock and not a task: taken when something is damaged.
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    told: Vec<String>,
    more: usize,
}

impl Damages {
    pub(super) fn tell(&self, what: String) {
        tracing::error!("damage in the store: {what}");
        let mut found = self.found.lock();
        if found.told.len() < KEPT {
            found.told.push(what);
        } else {
            found.more += 1;
        }
    }

    /// Everything found so far, for a person.
    pub(super) fn all(&self) -> Vec<String> {
        let found = self.found.lock();
        let mut all = found.told.clone();
        if found.more > 0 {
            all.push(format!("and {} more", found.more));
        }
        all
    }

    /// The table could not be read.
    pub(super) fn unreadable(&self, error: &table::Error) -> Error {
        if let table::Error::Damaged(what) = error {
            self.tell(what.clone());
        }
        Error::Unavailable(error.to_string())
    }
}
