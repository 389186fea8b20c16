//! Opening a directory: what is there is read, what cannot be read is told, and the threads start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};

use super::damage::{self, Damages};
use super::directory::{Directory, format};
use super::disk::{Disk, RealDisk};
use super::frame::{self, Header, Op};
use super::keep::{Floors, Keep};
use super::keeper::{Keeper, PARTS};
use super::levels::{Levels, Mem, Shared};
use super::log::{self, Log};
use super::meta::{self, EPOCHS, FLOORS, FRAME, HEADER, SEED};
use super::parts::{Blocks, Part};
use super::rows::{Seed, Space};
use super::state::State;
use super::syncer::{Reopen, Syncer};
use super::table::{self, Direction, Limit, Table};
use super::writer::Writer;
use super::{Embedded, Options, Terms};
use crate::store::Tail;

pub(super) const TABLE: &str = "rows.table";
pub(super) const LOG: &str = "log";

/// Where what is damaged is put aside.
pub(super) const QUARANTINE: &str = "quarantine";

/// Commits in line at most.
const IN_LINE: usize = 4_096;

/// Why there is no store. The text says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process{1}: stop that one, or give another directory")]
    InUse(PathBuf, String),
    #[error("{0} is no store of this gateway: {1}")]
    Foreign(PathBuf, String),
    #[error("{0} cannot be used: {1}")]
    Io(PathBuf, String),
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
}

/// What is there, before the threads start.
pub(super) struct Found {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) shared: Arc<Shared>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) seed: Seed,
    pub(super) log: Log,
    pub(super) log_options: log::Options,
    /// The next start's row.
    epochs: Vec<crate::store::Epoch>,
}

pub(super) fn open(
    path: &Path,
    options: Options,
    tail: Arc<dyn Tail>,
) -> Result<Embedded, OpenError> {
    let directory = Directory::lock(path)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
    start(Some(directory), path, disk, options, tail)
}

/// On a disk of whatever kind.
pub(super) fn start(
    directory: Option<Directory>,
    path: &Path,
    disk: Arc<dyn Disk>,
    options: Options,
    tail: Arc<dyn Tail>,
) -> Result<Embedded, OpenError> {
    let found = find(path, disk, &options)?;
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    let row = meta::epochs_row(&found.epochs);
    found
        .shared
        .table
        .apply(&[meta::op(EPOCHS, &row)])
        .map_err(|error| failed(&error))?;
    let state = State::load(found.shared.clone(), options.keep.clone(), found.seed)
        .map_err(|error| failed(&error))?;

    let header = found.shared.levels.read().active.header;
    let last = found.log.next() - 1;
    let position = Arc::new(AtomicU64::new(header.tail));
    let (commits, inbox) = mpsc::channel(IN_LINE);
    let (jobs, to_do) = std::sync::mpsc::channel();
    let (wake, woken) = std::sync::mpsc::sync_channel(1);
    let writer = Writer::new(inbox, jobs.clone(), state, last);
    let syncer = Syncer {
        jobs: to_do,
        done: commits.clone(),
        log: Some(found.log),
        reopened: false,
        reopen: Reopen {
            disk: found.disk.clone(),
            options: found.log_options,
        },
        shared: found.shared.clone(),
        position: position.clone(),
        tail,
        keeper: wake.clone(),
        checkpoint_bytes: options.checkpoint_bytes,
    };
    let keeper = Keeper {
        wake: woken,
        jobs,
        disk: found.disk,
        blocks: found.blocks,
        shared: found.shared.clone(),
        keep: options.keep,
    };
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let named = std::thread::Builder::new().name(name.to_owned());
        named.spawn(run).map_err(|error| failed(&error))
    };
    let threads: Vec<JoinHandle<()>> = vec![
        spawn("store-write", Box::new(move || writer.run()))?,
        spawn("store-keep", Box::new(move || keeper.run()))?,
        spawn("store-sync", Box::new(move || syncer.run()))?,
    ];
    Ok(Embedded {
        shared: found.shared,
        seed: found.seed,
        position,
        epochs: found.epochs.into(),
        commits,
        in_line: Arc::new(Semaphore::new(super::IN_LINE_PERMITS)),
        terms: Mutex::new(Terms::from(header.term)),
        wake,
        threads: Mutex::new(threads),
        _directory: directory,
    })
}

fn find(path: &Path, disk: Arc<dyn Disk>, options: &Options) -> Result<Found, OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    format(path, &*disk)?;
    disk.make_dir(Path::new(PARTS))
        .map_err(|error| failed(&error))?;
    let damages = Damages::default();
    let table = open_table(path, &disk, options, &damages)?;
    let row = |name: &str| {
        let row = table.get(Space::Meta as u8, name.as_bytes());
        row.map(|row| row.map(Bytes::from))
            .map_err(|error| failed(&error))
    };
    let seed = match row(SEED)? {
        Some(seed) => Seed(number(&seed)),
        None => {
            let seed: u64 = rand::random();
            let row = seed.to_le_bytes();
            table
                .apply(&[meta::op(SEED, &row)])
                .map_err(|error| failed(&error))?;
            Seed(seed)
        }
    };
    let frame = row(FRAME)?.map_or(0, |row| number(&row));
    let header = row(HEADER)?.map_or_else(Header::default, Header::read);
    let mut floors = row(FLOORS)?.map_or_else(Floors::default, Floors::read);
    let epochs = row(EPOCHS)?;
    let blocks = Blocks::new(options.cache_bytes);
    let parts = open_parts(&disk, &table, &blocks, &damages, &mut floors)
        .map_err(|error| failed(&error))?;

    let mut active = Mem {
        header,
        frame,
        start: header.tail,
        ..Mem::default()
    };
    let log_options = log::Options {
        segment_bytes: options.segment_bytes,
        ..log::Options::new(Path::new(LOG))
    };
    let mut missing = Vec::new();
    let (log, recovered) = Log::open(
        disk.clone(),
        log_options.clone(),
        frame,
        &mut |number, payload| {
            if number > active.frame + 1 {
                missing.push((active.header.tail + 1, before(&payload)));
            }
            active.apply(number, payload);
        },
    )
    .map_err(|error| failed(&error))?;
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.bytes,
            "the commit log ends with what was being written when the process or the machine stopped: it was removed, and nobody had been told of it"
        );
    }
    for damaged in &recovered.damaged {
        damages.tell(damage::of_log(damaged));
        put_aside(
            &*disk,
            &Path::new(LOG).join(format!("{:016}.log", damaged.segment)),
        );
    }
    for (first, last) in missing {
        if first <= last && floors.damage(first, last) {
            damages.tell(format!("missing are the positions {first} to {last}"));
        }
    }
    // Numbers of frames that are missing at the end are not used again.
    active.frame = active.frame.max(log.next() - 1);
    let epochs = meta::next_epochs(epochs, active.header.tail);
    let shared = Shared {
        levels: RwLock::new(Levels {
            active,
            frozen: None,
            parts: parts.into(),
            floors: Arc::new(floors),
        }),
        table,
        damages,
    };
    Ok(Found {
        disk,
        shared: Arc::new(shared),
        blocks,
        seed,
        log,
        log_options,
        epochs,
    })
}

/// Opens the table, or what can be read of it.
fn open_table(
    path: &Path,
    disk: &Arc<dyn Disk>,
    options: &Options,
    damages: &Damages,
) -> Result<Table, OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    let name = Path::new(TABLE);
    if !disk.exists(name).map_err(|error| failed(&error))? {
        let table = Table::create(disk.clone(), name, options.cache_bytes);
        return table.map_err(|error| failed(&error));
    }
    let opened = Table::open(disk.clone(), name, options.cache_bytes);
    let readable =
        opened.and_then(|table| table.get(Space::Meta as u8, SEED.as_bytes()).map(|_| table));
    match readable {
        Ok(table) => Ok(table),
        Err(table::Error::Damaged(what)) => {
            damages.tell(what);
            salvage(path, disk, options, damages)
        }
        Err(error) => Err(failed(&error)),
    }
}

/// Puts the table aside, and makes a new one of what can be read of it.
fn salvage(
    path: &Path,
    disk: &Arc<dyn Disk>,
    options: &Options,
    damages: &Damages,
) -> Result<Table, OpenError> {
    let failed =
        |error: &dyn std::fmt::Display| OpenError::Damaged(path.to_owned(), error.to_string());
    let (old, new) = (Path::new(TABLE), Path::new("rows.salvaged"));
    if disk.exists(new).map_err(|error| failed(&error))? {
        disk.remove(new).map_err(|error| failed(&error))?;
    }
    let salvaged =
        table::salvage(disk, old, new, options.cache_bytes).map_err(|error| failed(&error))?;
    for missing in &salvaged.missing {
        damages.tell(damage::of_table(missing));
    }
    disk.make_dir(Path::new(QUARANTINE))
        .map_err(|error| failed(&error))?;
    let aside = Path::new(QUARANTINE).join(format!("rows-{:08x}.table", rand::random::<u32>()));
    disk.rename(old, &aside).map_err(|error| failed(&error))?;
    disk.rename(new, old).map_err(|error| failed(&error))?;
    disk.sync_dir(Path::new(""))
        .map_err(|error| failed(&error))?;
    Table::open(disk.clone(), old, options.cache_bytes).map_err(|error| failed(&error))
}

fn open_parts(
    disk: &Arc<dyn Disk>,
    table: &Table,
    blocks: &Arc<Blocks>,
    damages: &Damages,
    floors: &mut Floors,
) -> Result<Vec<Arc<Part>>, super::keeper::Failure> {
    let all = Limit {
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    let any = std::ops::Bound::Unbounded;
    let rows = table.range(Space::Part as u8, any, any, Direction::Forward, all)?;
    let mut parts = Vec::with_capacity(rows.len());
    let mut known = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let path = meta::part_path(&key);
        let info = meta::read_part(row.into());
        match Part::open(&**disk, Path::new(&path), blocks.clone()) {
            Ok(part) => {
                for damage in part.damage() {
                    tell_part(&damage, damages, floors);
                }
                parts.push(Arc::new(part));
            }
            Err(error) => {
                damages.tell(format!(
                    "{path}: {error}; missing are {} messages from position {} to {}",
                    info.messages, info.first, info.last
                ));
                floors.damage(info.first, info.last);
                put_aside(&**disk, Path::new(&path));
            }
        }
        known.push(path);
    }
    // What a checkpoint that did not come to its end has left.
    for name in disk.list(Path::new(PARTS))? {
        let path = format!("{PARTS}/{name}");
        if !known.contains(&path) {
            disk.remove(Path::new(&path))?;
        }
    }
    parts.sort_by_key(|part| part.info().first);
    Ok(parts)
}

fn tell_part(damage: &super::parts::Damage, damages: &Damages, floors: &mut Floors) {
    if let Some(positions) = &damage.positions {
        floors.damage(*positions.start(), *positions.end());
    }
    damages.tell(damage::of_part(damage));
}

/// A copy of what is damaged, for whoever wants to look at it. That it cannot be made changes nothing.
fn put_aside(disk: &dyn Disk, path: &Path) {
    let copy = || -> io::Result<()> {
        let from = disk.open(path)?;
        let name = path.file_name().unwrap_or_default();
        let aside = Path::new(QUARANTINE).join(name);
        disk.make_dir(Path::new(QUARANTINE))?;
        if disk.exists(&aside)? {
            return Ok(());
        }
        let to = disk.create(&aside)?;
        let len = from.len()?;
        let mut at = 0;
        let mut buffer = vec![0; 1 << 20];
        while at < len {
            let some = buffer.len().min((len - at) as usize);
            from.read_at(at, &mut buffer[..some])?;
            to.write_at(at, &buffer[..some])?;
            at += some as u64;
        }
        to.sync()
    };
    if let Err(error) = copy() {
        tracing::warn!(path = %path.display(), %error, "what is damaged could not be put aside");
    }
}

/// The position before the first entry that a frame brings.
pub(super) fn before(payload: &Bytes) -> u64 {
    let (header, ops) = frame::read(payload.clone());
    let mut first = None;
    for op in ops {
        if let Op::Message(position, _) = op {
            first = Some(position);
            break;
        }
    }
    let entries = super::state::entries(payload.clone(), Vec::new());
    let result = entries.first().map(|entry| entry.position.0);
    let first = first.into_iter().chain(result).min();
    first.map_or(header.tail, |first| first - 1)
}

pub(super) fn number(row: &[u8]) -> u64 {
    let mut number = [0; 8];
    let len = row.len().min(8);
    number[..len].copy_from_slice(&row[..len]);
    u64::from_le_bytes(number)
}
