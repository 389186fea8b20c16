//! Where rows and messages are: in memory since the last checkpoint, in memory while one is being made, or in the table and
//! the parts. Only what is durable is here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::damage::Damages;
use super::frame::{self, Header, Op};
use super::keep::Floors;
use super::meter::Meter;
use super::parts::Part;
use super::rows::Key;
use super::table::{self, Direction, Limit, Table};
use crate::store::memory::log::Log;
use crate::store::{Error, LetterCounts};

/// What is read of a level at once.
const PAGE: Limit = Limit {
    rows: 256,
    bytes: 4 << 20,
};

/// What changed since a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Mem {
    pub(super) rows: BTreeMap<Key, Option<Bytes>>,
    pub(super) log: Log,
    /// Behind the last frame in it.
    pub(super) header: Header,
    /// The position behind which its entries begin.
    pub(super) start: u64,
    /// The last frame in it.
    pub(super) frame: u64,
    /// Of all frames in it.
    pub(super) bytes: usize,
}

impl Mem {
    /// Puts a frame in. Its rows share its buffer.
    pub(super) fn apply(&mut self, number: u64, payload: Bytes) {
        self.bytes += payload.len();
        let (header, ops) = frame::read(payload);
        for op in ops {
            match op {
                Op::Row(key, row) => drop(self.rows.insert(key, row)),
                Op::Message(position, message) => self.log.append(position, message),
            }
        }
        self.header = header;
        self.frame = number;
    }

    /// The next one, once this is frozen.
    fn after(&self) -> Self {
        Self {
            header: self.header,
            start: self.header.tail,
            frame: self.frame,
            ..Self::default()
        }
    }
}

/// What readers look through, from the newest down.
#[derive(Debug)]
pub(super) struct Levels {
    pub(super) active: Mem,
    pub(super) frozen: Option<Arc<Mem>>,
    /// In order of their first position.
    pub(super) parts: Arc<[Arc<Part>]>,
    pub(super) floors: Arc<Floors>,
}

/// What readers and the threads of the engine share.
#[derive(Debug)]
pub(super) struct Shared {
    /// A lock and not a task: readers hold it for a look-up in memory, the syncing thread while it puts a frame in.
    pub(super) levels: RwLock<Levels>,
    pub(super) table: Table,
    pub(super) damages: Damages,
    /// A lock and not a task: held for a few additions, once a frame.
    pub(super) meter: Mutex<Meter>,
    /// A lock and not a task: held to write or read three numbers.
    pub(super) letters: Mutex<LetterCounts>,
}

/// Rows in the order of their keys, and whether there may be more.
pub(super) type Rows = (Vec<(Key, Bytes)>, bool);

impl Levels {
    /// The next checkpoint's level; `None` while one is under way.
    pub(super) fn freeze(&mut self) -> Option<Arc<Mem>> {
        if self.frozen.is_some() {
            return None;
        }
        let next = self.active.after();
        let frozen = Arc::new(std::mem::replace(&mut self.active, next));
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }

    fn row(&self, key: &Key) -> Option<Option<Bytes>> {
        let frozen = || self.frozen.as_ref()?.rows.get(key);
        self.active.rows.get(key).or_else(frozen).cloned()
    }
}

impl Shared {
    /// A row that is in memory, or known to be gone.
    pub(super) fn in_memory(&self, key: &Key) -> Option<Option<Bytes>> {
        self.levels.read().row(key)
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        if let Some(row) = self.in_memory(key) {
            return Ok(row);
        }
        let row = self.table.get(key.space(), key.rest());
        let row = row.map_err(|error| self.damages.unreadable(&error))?;
        Ok(row.map(Bytes::from))
    }

    /// Rows from `from` up to, not including, `to`: so many at most. `over`: rows that come before everything here.
    pub(super) fn range(
        &self,
        over: &BTreeMap<Key, Option<Bytes>>,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Rows, Error> {
        let mut found = Vec::new();
        let mut from = from.clone();
        while from < *to {
            let (rows, end) = self.stretch(over, &from, to)?;
            found.extend(rows.into_iter().filter_map(|(key, row)| Some((key, row?))));
            if found.len() > limit {
                found.truncate(limit);
                return Ok((found, true));
            }
            from = end;
        }
        Ok((found, false))
    }

    /// The last row up to and including `to` that is not below `from`.
    pub(super) fn last(
        &self,
        over: &BTreeMap<Key, Option<Bytes>>,
        from: &Key,
        to: &Key,
    ) -> Result<Option<(Key, Bytes)>, Error> {
        let mut upper = Bound::Included(to.clone());
        loop {
            let range = (Bound::Included(from.clone()), upper.clone());
            let newest = |rows: &BTreeMap<Key, Option<Bytes>>| {
                rows.range(range.clone())
                    .next_back()
                    .map(|(key, row)| (key.clone(), row.clone()))
            };
            let levels = self.levels.read();
            let in_memory = [
                newest(over),
                newest(&levels.active.rows),
                levels
                    .frozen
                    .as_ref()
                    .and_then(|frozen| newest(&frozen.rows)),
            ];
            drop(levels);
            let below = match &upper {
                Bound::Excluded(key) => Bound::Excluded(key.rest()),
                _ => Bound::Included(to.rest()),
            };
            let one = Limit { rows: 1, ..PAGE };
            let from = Bound::Included(from.rest());
            let in_table = self
                .table
                .range(to.space(), from, below, Direction::Backward, one)
                .map_err(|error| self.damages.unreadable(&error))?;
            let in_table = in_table.into_iter().next();
            let in_table = in_table
                .map(|(rest, row)| (Key::joined(to.space(), &rest), Some(Bytes::from(row))));
            // Of the same key, the first counts: it is the newest.
            let mut best: Option<(Key, Option<Bytes>)> = None;
            for candidate in in_memory.into_iter().chain([in_table]).flatten() {
                if best.as_ref().is_none_or(|(key, _)| candidate.0 > *key) {
                    best = Some(candidate);
                }
            }
            match best {
                None => return Ok(None),
                Some((key, Some(row))) => return Ok(Some((key, row))),
                Some((key, None)) => upper = Bound::Excluded(key),
            }
        }
    }

    /// All rows of a stretch that starts at `from`, as the newest level has them, and where it ends: at `to`, or where one of
    /// the levels has more than it gives at once.
    fn stretch(
        &self,
        over: &BTreeMap<Key, Option<Bytes>>,
        from: &Key,
        to: &Key,
    ) -> Result<(BTreeMap<Key, Option<Bytes>>, Key), Error> {
        let levels = self.levels.read();
        let mut stretches: Vec<Vec<(Key, Option<Bytes>)>> = Vec::with_capacity(4);
        let frozen = levels.frozen.as_ref().map(|frozen| &frozen.rows);
        for rows in frozen.into_iter().chain([&levels.active.rows, over]) {
            let some = rows.range(from.clone()..to.clone()).take(PAGE.rows);
            stretches.push(some.map(|(key, row)| (key.clone(), row.clone())).collect());
        }
        // Until here: what leaves memory later is in the table then, and what is read twice is the same.
        drop(levels);
        let upper = match to.space() == from.space() {
            true => Bound::Excluded(to.rest()),
            false => Bound::Unbounded,
        };
        let lower = Bound::Included(from.rest());
        let in_table = self
            .table
            .range(from.space(), lower, upper, Direction::Forward, PAGE)
            .map_err(|error| self.damages.unreadable(&error))?;
        let is_page = in_table.len() >= PAGE.rows || size(&in_table) >= PAGE.bytes;
        let in_table = in_table.into_iter();
        let in_table =
            in_table.map(|(rest, row)| (Key::joined(from.space(), &rest), Some(Bytes::from(row))));
        stretches.insert(0, in_table.collect());

        let is_full = |(at, some): &(usize, &Vec<(Key, Option<Bytes>)>)| match at {
            0 => is_page,
            _ => some.len() >= PAGE.rows,
        };
        let full = stretches.iter().enumerate().filter(is_full);
        let ends = full
            .filter_map(|(_, some)| some.last())
            .map(|(key, _)| key.next());
        let end = ends.min().unwrap_or_else(|| to.clone());
        let mut merged = BTreeMap::new();
        for some in stretches {
            merged.extend(some.into_iter().filter(|(key, _)| *key < end));
        }
        Ok((merged, end))
    }
}

fn size(rows: &[table::Row]) -> usize {
    rows.iter().map(|(key, row)| key.len() + row.len()).sum()
}
