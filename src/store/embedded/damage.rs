//! What was found to be damaged: told in the log as it is found, and kept for whoever asks.

use parking_lot::Mutex;

use super::rows::{Space, shown};
use super::{log, parts, table};
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

/// For a person, as the next two.
pub(super) fn of_part(damage: &parts::Damage) -> String {
    let (part, what) = (&damage.part, &damage.what);
    match &damage.positions {
        None => format!("{part}: {what}; no message is missing"),
        Some(positions) => format!(
            "{part}: {what}; missing are its messages from position {} to {}",
            positions.start(),
            positions.end()
        ),
    }
}

pub(super) fn of_log(damaged: &log::Damaged) -> String {
    let (segment, offset, bytes) = (damaged.segment, damaged.offset, damaged.bytes);
    let numbers = &damaged.numbers;
    let missing = match numbers.is_empty() {
        true => "no frame is missing that is not in parts and table".to_owned(),
        false => format!(
            "missing are the frames {} to {}",
            numbers.start,
            numbers.end - 1
        ),
    };
    format!(
        "the commit log, segment {segment} at {offset}: {bytes} bytes cannot be read; {missing}"
    )
}

pub(super) fn of_table(missing: &table::Missing) -> String {
    let Some(space) = missing.space else {
        return format!("the table of rows: {}; no row is missing", missing.why);
    };
    let name = space_name(space);
    let key = |key: &Option<Vec<u8>>, none: &str| match key {
        Some(key) => shown(space, key),
        None => none.to_owned(),
    };
    format!(
        "the table of rows: {}; missing are {name}, after {} up to {}",
        missing.why,
        key(&missing.after, "the first"),
        key(&missing.through, "the last"),
    )
}

/// So that the names of keys are used where rows are told of.
pub(super) fn space_name(space: u8) -> &'static str {
    let known = Space::ALL.iter().find(|known| **known as u8 == space);
    known.map_or("unknown rows", |space| space.name())
}
