//! What was found to be damaged: told in the log as it is found, and kept for whoever asks.

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use parking_lot::Mutex;

use super::disk::{self, Disk};
use super::keeper::Wake;
use super::rows::{Space, shown};
use super::table::{Direction, Limit, Op, Table};
use super::{parts, table};
use crate::store::Error;

/// Where what is damaged is put aside.
pub(super) const QUARANTINE: &str = "quarantine";

/// How many findings are kept; more are only counted.
const KEPT: usize = 1_000;

/// Rows that are read at once.
const SOME: Limit = Limit {
    rows: 256,
    bytes: 4 << 20,
};

#[derive(Debug, Default)]
pub(super) struct Damages {
    /// A lock and not a task: taken when something is damaged.
    found: Mutex<Found>,
    /// Something of the table could not be read, and it was not mended since.
    is_table_damaged: AtomicBool,
    /// Something was told that the next checkpoint should take care of.
    unsettled: AtomicBool,
    /// Who mends it.
    keeper: OnceLock<SyncSender<Wake>>,
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

    /// How many findings there are.
    pub(super) fn count(&self) -> u64 {
        let found = self.found.lock();
        (found.told.len() + found.more) as u64
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

    /// Who is to be woken when the table is found to be damaged.
    pub(super) fn wake(&self, keeper: SyncSender<Wake>) {
        // There is one.
        let _ = self.keeper.set(keeper);
    }

    /// The table could not be read.
    pub(super) fn unreadable(&self, error: &table::Error) -> Error {
        if let table::Error::Damaged(what) = error {
            self.table_is_damaged(what);
        }
        Error::Unavailable(error.to_string())
    }

    pub(super) fn table_is_damaged(&self, what: &str) {
        if self.is_table_damaged.swap(true, Ordering::AcqRel) {
            return;
        }
        self.tell(format!("the table of rows: {what}"));
        if let Some(keeper) = self.keeper.get() {
            // Whatever it is woken for, it looks.
            let _ = keeper.try_send(Wake::Mend);
        }
    }

    pub(super) fn is_table_damaged(&self) -> bool {
        self.is_table_damaged.load(Ordering::Acquire)
    }

    /// Whether something was told since it was asked last.
    pub(super) fn take_unsettled(&self) -> bool {
        self.unsettled.swap(false, Ordering::AcqRel)
    }
}

/// Puts a damaged table aside, goes on with what can be read of it, and tells what is missing.
pub(super) fn mend(table: &Table, damages: &Damages) -> Result<(), table::Error> {
    let aside = format!("{QUARANTINE}/rows-{:08x}.table", rand::random::<u32>());
    let again = |new: &Table| {
        super::meta::restore(new)?;
        delete_orphans(new)
    };
    let missing = table.mend(Path::new(&aside), &again)?;
    damages.is_table_damaged.store(false, Ordering::Release);
    damages.unsettled.store(true, Ordering::Release);
    for missing in &missing {
        damages.tell(of_table(missing));
    }
    Ok(())
}

/// The packets of dead letters whose own rows are missing: nothing would ever find them, nor have them go. Both rows of a
/// letter are written together, so what is not in the table is nowhere.
fn delete_orphans(table: &Table) -> Result<(), table::Error> {
    let mut after = Bound::Unbounded;
    loop {
        let from = after.as_ref().map(Vec::as_slice);
        let packets = Space::DeadPacket as u8;
        let rows = table.range(packets, from, Bound::Unbounded, Direction::Forward, SOME)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        let mut orphans = Vec::new();
        for (key, _) in &rows {
            if table.get(Space::Dead as u8, key)?.is_none() {
                orphans.push(Op {
                    space: packets,
                    key,
                    value: None,
                });
            }
        }
        table.apply(&orphans)?;
        after = Bound::Excluded(last.clone());
    }
}

/// A copy of what is damaged, for whoever wants to look at it. That it cannot be made changes nothing.
pub(super) fn put_aside(disk: &dyn Disk, path: &Path, aside: &Path) {
    let copy = || -> io::Result<()> {
        let from = disk.open(path)?;
        disk.make_dir(Path::new(QUARANTINE))?;
        if disk.exists(aside)? {
            return Ok(());
        }
        let to = disk.create(aside)?;
        disk::copy(&*from, &*to, &mut || Ok(()))?;
        Ok(())
    };
    if let Err(error) = copy() {
        tracing::warn!(path = %path.display(), %error, "what is damaged could not be put aside");
    }
}

/// For a person, as the next one.
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
