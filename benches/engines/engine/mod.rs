//! What the bench asks of an engine, and the checksum for those that verify none on read.

mod fjall;
mod redb;
mod sqlite;

use std::path::Path;

use clap::ValueEnum;
use xxhash_rust::xxh3::Xxh3;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The tables of the embedded store. Keys of `Runs` and `Messages` are a u64 in big-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Runs,
    Queues,
    Results,
    Records,
    Messages,
    Topics,
}

impl Table {
    pub(crate) const ALL: [Table; 6] = [
        Table::Runs,
        Table::Queues,
        Table::Results,
        Table::Records,
        Table::Messages,
        Table::Topics,
    ];

    pub(crate) fn name(self) -> &'static str {
        ["runs", "queues", "results", "records", "messages", "topics"][self as usize]
    }
}

/// A row to be put, or to be deleted when there is no value.
pub(crate) struct Row {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What is done with each row of a scan: key and value.
pub(crate) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

pub(crate) trait Engine {
    /// All rows or none; returns once they would survive a loss of power.
    fn commit(&mut self, rows: &[Row]) -> Result<()>;

    /// The values of the keys, all from one snapshot.
    fn get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Every row of the table in the order of its keys, until `each` fails.
    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<()>;

    /// One step of giving space back to the file system by the engine's own means; false when there is nothing left to
    /// do. Commits wait for as long as a step takes.
    fn shrink(&mut self) -> Result<bool>;

    /// The engine's own check of everything that it keeps, where it has one.
    fn check(&mut self) -> Result<()>;

    fn close(self: Box<Self>) -> Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    Fjall,
    Redb,
    Sqlite,
}

/// How much an engine holds back in memory. `Small` makes a directory of a few MiB have every kind of file.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    Usual,
    Small,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Fjall, Kind::Redb, Kind::Sqlite];

    pub(crate) fn name(self) -> &'static str {
        ["fjall", "redb", "sqlite"][self as usize]
    }

    pub(crate) fn open(self, dir: &Path, size: Size) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Kind::Fjall => Box::new(fjall::Fjall::open(dir, size)?),
            Kind::Redb => Box::new(redb::Redb::open(dir)?),
            Kind::Sqlite => Box::new(sqlite::Sqlite::open(dir)?),
        })
    }
}

/// The same for every engine; what the store could afford within 256 MiB.
const CACHE: usize = 64 << 20;

/// The value with a checksum over key and value behind it, for an engine that verifies none when it reads.
fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(value.len() + 8);
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&checksum(key, value).to_le_bytes());
    sealed
}

fn unsealed<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8]> {
    match sealed.split_last_chunk::<8>() {
        Some((value, sum)) if checksum(key, value) == u64::from_le_bytes(*sum) => Ok(value),
        _ => Err("a row's checksum is wrong".into()),
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(key);
    hasher.update(value);
    hasher.digest()
}
