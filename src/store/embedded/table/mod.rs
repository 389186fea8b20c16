//! Rows in order of their keys, in one file, over redb: what is not a message is kept here.
//!
//! A table has spaces, each an order of its own. [`Table::apply`] is the only way to write, and is all or nothing: two
//! phases, so that a torn commit is never taken for a whole one, and with what redb needs to reopen quickly after a crash.
//! Every page is verified when it is read ([`pages`]); a row is never wrong, it is there or it is [`Error::Damaged`].
//!
//! After any error of its file redb refuses everything until it is opened again. That is done here, inside: an error is
//! told to whoever ran into it, and the table works on for everything else.

mod pages;
mod salvage;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, StorageBackend, TableDefinition,
    TableError,
};

use super::damage::put_aside;
use super::disk::Disk;
use pages::Pages;
pub(super) use salvage::{Looked, Missing, look, salvage};
pub(super) use snapshot::Snapshot;

/// A row to write: `None` deletes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op<'a> {
    pub(super) space: u8,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
}

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// From which end a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// How much of a range is read: it ends with the row that reaches either bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Error {
    /// What was asked for is, or may be, on a page that cannot be read. Asking for other rows works.
    #[error("the table is damaged: {0}")]
    Damaged(String),
    /// There is no room. Nothing was applied; it works again when there is.
    #[error("no room on the disk")]
    Full,
    /// Anything else. Whether an `apply` was applied is not known: applying it again is right in either case.
    #[error("the table cannot be used: {0}")]
    Io(String),
}

/// A table that is open. Everything blocks.
pub(super) struct Table {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache: usize,
    /// A lock, as readers and the one that writes come from different threads; written to when redb is opened again, and
    /// when the file is compacted.
    open: RwLock<Opened>,
    /// Held by whoever writes, so that a write that fails and is tried again is still one write.
    writing: Mutex<()>,
}

struct Opened {
    /// `None` after it could not be opened again: the next one tries.
    db: Option<Database>,
    /// How often it was opened: who saw it fail asks whether someone else has opened it since.
    times: u64,
}

/// How often one call opens the table again for errors that others ran into.
const ATTEMPTS: usize = 8;

impl Table {
    /// Makes a new table, which must not be there. It is there after a crash as a whole, or not at all.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, Error> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let unfinished = path.with_file_name(name);
        if disk.exists(path)? {
            return Err(Error::Io(format!("{} is there already", path.display())));
        }
        if disk.exists(&unfinished)? {
            disk.remove(&unfinished)?;
        }
        let file = disk.create(&unfinished)?;
        let db = database(Pages::create(file), cache_bytes)?;
        let definitions = db.begin_write();
        definitions
            .map_err(redb::Error::from)
            .and_then(|write| commit(write, &[]))
            .map_err(|err| Failure::from(err).told)?;
        drop(db);
        disk.rename(&unfinished, path)?;
        disk.sync_dir(path.parent().unwrap_or_else(|| Path::new("")))?;
        Self::open(disk, path, cache_bytes)
    }

    /// A table that is there and cannot be opened: only [`Table::mend`] is of use.
    pub(super) fn broken(disk: Arc<dyn Disk>, path: &Path, cache_bytes: usize) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            cache: cache_bytes,
            open: RwLock::new(Opened { db: None, times: 0 }),
            writing: Mutex::new(()),
        }
    }

    /// Opens a table that is there. If it is too damaged for that, [`salvage`] reads what is left.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, Error> {
        let table = Self::broken(disk, path, cache_bytes);
        table.reopen(0)?;
        Ok(table)
    }

    pub(super) fn get(&self, space: u8, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.run(&mut |db| {
            let read = db.begin_read()?;
            match opened(read.open_table(definition(&name(space))))? {
                Some(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
                None => Ok(None),
            }
        })
    }

    /// Rows of a space, in order of keys or against it. What follows is read by asking again from the last key.
    pub(super) fn range(
        &self,
        space: u8,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        direction: Direction,
        limit: Limit,
    ) -> Result<Vec<Row>, Error> {
        if is_empty(from, to) {
            return Ok(Vec::new());
        }
        self.run(&mut |db| rows(&db.begin_read()?, space, (from, to), direction, limit))
    }

    /// All rows as they are now, whatever is written later.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        let read = self.run(&mut |db| Ok(db.begin_read()?))?;
        Ok(Snapshot::new(read))
    }

    /// Writes rows, all or none. They are durable when this returns. Of two that write one key, the later one counts.
    pub(super) fn apply(&self, ops: &[Op<'_>]) -> Result<(), Error> {
        let _one = self.writing.lock();
        self.run(&mut |db| commit(db.begin_write()?, ops))
    }

    /// How many rows a space has.
    #[cfg(test)]
    pub(super) fn len(&self, space: u8) -> Result<u64, Error> {
        use redb::ReadableTableMetadata as _;

        self.run(&mut |db| {
            let read = db.begin_read()?;
            match opened(read.open_table(definition(&name(space))))? {
                Some(table) => Ok(table.len()?),
                None => Ok(0),
            }
        })
    }

    /// How long the file is. Where nothing was written yet it takes no room.
    pub(super) fn bytes(&self) -> Result<u64, Error> {
        Ok(self.disk.open(&self.path)?.len()?)
    }

    /// Gives room back that deleted rows took. Nothing else is done meanwhile.
    pub(super) fn compact(&self) -> Result<(), Error> {
        let _one = self.writing.lock();
        let (result, times) = {
            let mut open = self.open.write();
            let times = open.times;
            let Some(db) = &mut open.db else {
                drop(open);
                return self.reopen(times);
            };
            (caught(|| Ok(db.compact()?)), times)
        };
        match result {
            Ok(_) => Ok(()),
            Err(failure) => {
                self.reopen(times)?;
                Err(failure.told)
            }
        }
    }

    /// Puts the file aside, and goes on with what can be read of it; tells what is missing. What `again` gives for it is
    /// written to the new one before anything else. Readers wait only while the files change places.
    pub(super) fn mend(
        &self,
        aside: &Path,
        again: &dyn Fn(&Table) -> Result<(), Error>,
    ) -> Result<Vec<Missing>, Error> {
        let _one = self.writing.lock();
        let new = self.path.with_extension("salvaged");
        if self.disk.exists(&new)? {
            self.disk.remove(&new)?;
        }
        let salvaged = salvage(&self.disk, &self.path, &new, self.cache)?;
        again(&Table::open(self.disk.clone(), &new, self.cache)?)?;
        let times = {
            let mut open = self.open.write();
            if let Some(old) = open.db.take() {
                let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
            }
            put_aside(&*self.disk, &self.path, aside);
            self.disk.rename(&new, &self.path)?;
            let above = self.path.parent().unwrap_or_else(|| Path::new(""));
            self.disk.sync_dir(above)?;
            open.times
        };
        self.reopen(times)?;
        tracing::info!(
            rows = salvaged.rows,
            "the damaged table was replaced by what can be read of it"
        );
        Ok(salvaged.missing)
    }

    /// Reads every page that anything depends on from the file, and tells what cannot be read. Nothing is written
    /// meanwhile.
    #[cfg(test)]
    pub(super) fn verify(&self) -> Result<Vec<Missing>, Error> {
        let _one = self.writing.lock();
        let open = self.open.read();
        let file = self.disk.open(&self.path)?;
        let missing = salvage::missing(&Pages::read_only(file)?);
        drop(open);
        missing
    }

    /// Runs something on the open database, and opens it again when its file had an error.
    fn run<T>(
        &self,
        work: &mut dyn FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (result, times) = {
                let open = self.open.read();
                let result = match &open.db {
                    Some(db) => caught(|| work(db)),
                    None => Err(Failure::closed()),
                };
                (result, open.times)
            };
            let failure = match result {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if failure.reopen {
                self.reopen(times)?;
            }
            if !failure.of_others || attempt == ATTEMPTS {
                return Err(failure.told);
            }
        }
    }

    /// Opens redb again, unless someone has since it was opened for the `times`th time.
    fn reopen(&self, times: u64) -> Result<(), Error> {
        let mut open = self.open.write();
        if open.times != times && open.db.is_some() {
            return Ok(());
        }
        open.times += 1;
        // The old one goes first: closing it may write.
        if let Some(old) = open.db.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        }
        let file = self.disk.open(&self.path)?;
        let pages = Pages::open(file)?;
        if pages.len()? < tree::least_len(&pages)? {
            return Err(Error::Damaged("the file was cut".to_owned()));
        }
        open.db = Some(database(pages, self.cache)?);
        Ok(())
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl From<io::Error> for Error {
    fn from(err: io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::InvalidData => Self::Damaged(err.to_string()),
            _ => Self::Io(err.to_string()),
        }
    }
}

/// An error of redb, and what to do about it.
struct Failure {
    told: Error,
    /// redb refuses everything until it is opened again.
    reopen: bool,
    /// Someone else ran into the error: this one tries again.
    of_others: bool,
}

impl Failure {
    fn closed() -> Self {
        Self {
            told: Error::Io("it could not be opened again".to_owned()),
            reopen: true,
            of_others: true,
        }
    }
}

impl From<redb::Error> for Failure {
    fn from(err: redb::Error) -> Self {
        let of_others = matches!(
            err,
            redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_)
        );
        let reopen = !matches!(err, redb::Error::ValueTooLarge(_));
        let told = match err {
            redb::Error::Io(err) => err.into(),
            redb::Error::Corrupted(what) => Error::Damaged(what),
            err => Error::Io(err.to_string()),
        };
        Self {
            told,
            reopen,
            of_others,
        }
    }
}

/// Runs something of redb's. It should never panic, whatever is in the file; if it does, that is damage.
fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied());
            let what = what.unwrap_or("no message");
            Err(Failure {
                told: Error::Damaged(format!("redb panicked: {what}")),
                reopen: true,
                of_others: false,
            })
        }
    }
}

fn database(pages: Pages, cache: usize) -> Result<Database, Error> {
    let open = move || {
        let mut builder = Database::builder();
        Ok(builder.set_cache_size(cache).create_with_backend(pages)?)
    };
    caught(open).map_err(|failure| failure.told)
}

fn commit(mut write: redb::WriteTransaction, ops: &[Op<'_>]) -> Result<(), redb::Error> {
    write.set_durability(Durability::Immediate)?;
    write.set_two_phase_commit(true);
    write.set_quick_repair(true);
    // A table is opened once, and its rows are written in order of keys, which touches each page once.
    let mut spaces: BTreeMap<u8, BTreeMap<&[u8], Option<&[u8]>>> = BTreeMap::new();
    for op in ops {
        spaces.entry(op.space).or_default().insert(op.key, op.value);
    }
    for (space, rows) in spaces {
        let mut table = write.open_table(definition(&name(space)))?;
        for (key, value) in rows {
            match value {
                Some(value) => drop(table.insert(key, value)?),
                None => drop(table.remove(key)?),
            }
        }
    }
    Ok(write.commit()?)
}

fn rows(
    read: &ReadTransaction,
    space: u8,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    direction: Direction,
    limit: Limit,
) -> Result<Vec<Row>, redb::Error> {
    let mut rows = Vec::new();
    let Some(table) = opened(read.open_table(definition(&name(space))))? else {
        return Ok(rows);
    };
    let mut range = table.range::<&[u8]>(range)?;
    let mut bytes = 0;
    while rows.len() < limit.rows && bytes < limit.bytes {
        let next = match direction {
            Direction::Forward => range.next(),
            Direction::Backward => range.next_back(),
        };
        let Some(row) = next else { break };
        let (key, value) = row?;
        bytes += key.value().len() + value.value().len();
        rows.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(rows)
}

/// A table that nothing was written to is not there, which is the same as empty.
fn opened<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// The name of a space's table. The names are in the order of the spaces.
fn name(space: u8) -> String {
    format!("space-{space:03}")
}

fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}
