//! Opening a directory: what is there is read, what cannot be read is told, and the threads start.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::backup::Backups;
use super::damage::{self, Damages, QUARANTINE, mend, put_aside};
use super::directory::{Directory, format};
use super::disk::{Disk, RealDisk};
use super::frame::{self, Header, Op};
use super::keep::{Floors, Keeping};
use super::keeper::{Keeper, PARTS, Unsure, Wake};
use super::levels::{Levels, Mem, Shared};
use super::log::{self, Log};
use super::meta::{self, COPY, EPOCHS, FLOORS, FRAME, HEADER, SEED};
use super::parts::{Blocks, Part};
use super::rows::{Seed, Space};
use super::state::State;
use super::syncer::{Done, Reopen, Syncer};
use super::table::{self, Direction, Limit, Table};
use super::writer::Writer;
use super::{Embedded, Options, Terms};
use crate::store::Tail;
use crate::store::clock::{Clock, Wall};

pub(super) const TABLE: &str = "rows.table";
pub(super) const LOG: &str = "log";

/// How far the names of runs leap over those that may have been in frames that are lost.
const LEAP: u64 = 1 << 32;

/// How far those of a copy leap, at random: over those that the store gave on, or another gateway on the same copy. Handlers
/// know packets by them.
const FAR: Range<u64> = LEAP..1 << 48;

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
    /// It is a copy that was not opened before.
    is_copy: bool,
}

pub(super) fn open(
    path: &Path,
    options: Options,
    tail: Arc<dyn Tail>,
) -> Result<Embedded, OpenError> {
    let directory = Directory::lock(path)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
    start(Some(directory), path, disk, options, Wall::now(), tail)
}

pub(super) fn compact(path: &Path) -> Result<(u64, u64), OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    if !path.is_dir() {
        return Err(failed(&"there is no such directory"));
    }
    let _directory = Directory::lock(path)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
    let cache = Options::default().cache_bytes;
    let table = Table::open(disk, Path::new(TABLE), cache).map_err(|error| failed(&error))?;
    let before = table.bytes().map_err(|error| failed(&error))?;
    table.compact().map_err(|error| failed(&error))?;
    let after = table.bytes().map_err(|error| failed(&error))?;
    Ok((before, after))
}

/// On a disk of whatever kind.
pub(super) fn start(
    directory: Option<Directory>,
    path: &Path,
    disk: Arc<dyn Disk>,
    options: Options,
    wall: Wall,
    tail: Arc<dyn Tail>,
) -> Result<Embedded, OpenError> {
    let mut found = find(path, disk, &options)?;
    // So that it has its marker before the start is remembered. Without room it is refused later, and told.
    let _ = found.log.reserve(0);
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    let row = meta::epochs_row(&found.epochs);
    let header = found.shared.levels.read().active.header;
    let header_row = header.to_bytes();
    let mut ops = vec![meta::op(EPOCHS, &row)];
    if found.is_copy {
        // Its log has nothing yet, so this is the header behind what the table has.
        ops.extend([meta::op(HEADER, &header_row), meta::gone(COPY)]);
    }
    meta::apply(&found.shared.table, &ops).map_err(|error| failed(&error))?;
    let reached = (header.time > SystemTime::UNIX_EPOCH).then_some(header.time);
    let clock = Clock::start(wall, reached, Instant::now());
    let load = || {
        let (shared, keep) = (found.shared.clone(), options.keep.clone());
        State::load(shared, keep, found.seed, clock.clone())
    };
    let state = load().or_else(|error| match found.shared.damages.is_table_damaged() {
        true => {
            mend(&found.shared.table, &found.shared.damages)
                .map_err(|error| OpenError::Damaged(path.to_owned(), error.to_string()))?;
            load().map_err(|error| failed(&error))
        }
        false => Err(failed(&error)),
    })?;

    let last = found.log.next() - 1;
    let position = Arc::new(AtomicU64::new(header.tail));
    let (commits, inbox) = mpsc::channel(IN_LINE);
    let (jobs, to_do) = std::sync::mpsc::channel();
    let (synced, done) = std::sync::mpsc::channel();
    let (wake, woken) = std::sync::mpsc::sync_channel(1);
    let is_closed = Arc::new(AtomicBool::new(false));
    let (asks, asked) = std::sync::mpsc::channel();
    found.shared.damages.wake(wake.clone());
    let writer = Writer::new(inbox, jobs.clone(), done, state, last, is_closed.clone());
    let syncer = Syncer {
        jobs: to_do,
        done: Done {
            synced,
            wake: commits.clone(),
        },
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
    let keeping = Keeping::new(options.keep);
    let keeper = Keeper {
        wake: woken,
        is_closed: is_closed.clone(),
        jobs,
        disk: found.disk,
        blocks: found.blocks,
        shared: found.shared.clone(),
        keep: keeping.clone(),
        asked,
        unsure: Unsure::default(),
    };
    if !keeper.shared.damages.all().is_empty() {
        // What was told need not be told at the next start.
        let _ = wake.try_send(Wake::Settle);
    }
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
        began: header.number,
        position,
        epochs: found.epochs.into(),
        commits,
        in_line: Arc::new(Semaphore::new(super::IN_LINE_PERMITS)),
        // Above those that were given and never used, too: they were no later than now.
        terms: Mutex::new(Terms::from(header.term.max(super::millis_now()))),
        backups: Backups::new(path, asks, wake.clone()),
        wake,
        is_closed,
        keeping,
        threads: Mutex::new(threads),
        _directory: directory,
    })
}

pub(super) fn find(
    path: &Path,
    disk: Arc<dyn Disk>,
    options: &Options,
) -> Result<Found, OpenError> {
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
            // Without it nothing of the rest can be found.
            if let Some(other) = others(&*disk).map_err(|error| failed(&error))? {
                let why = format!(
                    "its table {TABLE} has lost the rows that say what {other} belongs to: put a backup back"
                );
                return Err(OpenError::Damaged(path.to_owned(), why));
            }
            let seed: u64 = rand::random();
            let row = seed.to_le_bytes();
            meta::apply(&table, &[meta::op(SEED, &row)]).map_err(|error| failed(&error))?;
            Seed(seed)
        }
    };
    let frame = row(FRAME)?.map_or(0, |row| number(&row));
    let header = row(HEADER)?.map_or_else(Header::default, Header::read);
    let mut floors = row(FLOORS)?.map_or_else(Floors::default, Floors::read);
    let epochs = row(EPOCHS)?;
    let is_copy = row(COPY)?.is_some();
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
    // Every start but the first finds the marker that the log made with its first segment.
    let marker = Path::new(LOG).join(log::MARKER_NAME);
    if epochs.is_some() && !disk.exists(&marker).map_err(|error| failed(&error))? {
        damages.tell(no_marker(frame));
    }
    let mut missing = Vec::new();
    let (log, recovered) = Log::open(
        disk.clone(),
        log_options.clone(),
        frame,
        &mut |number, payload| {
            if number > active.frame + 1 {
                let frames = (active.frame + 1, number - 1);
                missing.push((frames, active.header.tail + 1, before(&payload)));
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
        damages.tell(log::describe(damaged));
        let name = format!("{:016}.log", damaged.segment);
        put_aside(
            &*disk,
            &Path::new(LOG).join(&name),
            &Path::new(QUARANTINE).join(&name),
        );
    }
    for (frames, first, last) in missing {
        let (from, to) = frames;
        if recovered.damaged.is_empty() {
            damages.tell(format!(
                "the commit log: missing are the frames {from} to {to}, which the table of rows does not have"
            ));
        }
        if first <= last && floors.damage(first, last) {
            damages.tell(format!(
                "the commit log: missing are the positions {first} to {last}"
            ));
        }
    }
    // The last frames are gone, and what they counted on is not known: no name of theirs is given again.
    if log.next() - 1 > active.frame {
        active.header.number += LEAP;
    }
    if is_copy {
        active.header.number += rand::random_range(FAR);
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
        meter: Mutex::default(),
        letters: Mutex::default(),
    };
    Ok(Found {
        disk,
        shared: Arc::new(shared),
        blocks,
        seed,
        log,
        log_options,
        epochs,
        is_copy,
    })
}

/// Opens the table, or what can be read of it.
fn open_table(
    path: &Path,
    disk: &Arc<dyn Disk>,
    options: &Options,
    damages: &Damages,
) -> Result<Table, OpenError> {
    let name = Path::new(TABLE);
    let failed = |error: &dyn std::fmt::Display| OpenError::Io(path.to_owned(), error.to_string());
    if !disk.exists(name).map_err(|error| failed(&error))? {
        let others = others(&**disk).map_err(|error| failed(&error))?;
        if let Some(other) = others {
            let why = format!("it has {other}, and not the table {TABLE} that belongs to it");
            return Err(OpenError::Damaged(path.to_owned(), why));
        }
        let table = Table::create(disk.clone(), name, options.cache_bytes);
        return table.map_err(|error| failed(&error));
    }
    let table = match Table::open(disk.clone(), name, options.cache_bytes) {
        Err(table::Error::Damaged(what)) => {
            damages.tell(format!("the table of rows: {what}"));
            Table::broken(disk.clone(), name, options.cache_bytes)
        }
        opened => {
            let table = opened.map_err(|error| failed(&error))?;
            match own_rows(&table) {
                Ok(()) => return Ok(table),
                Err(table::Error::Damaged(what)) => {
                    damages.tell(format!("the table of rows: {what}"));
                    table
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    };
    mend(&table, damages)
        .map_err(|error| OpenError::Damaged(path.to_owned(), error.to_string()))?;
    Ok(table)
}

/// Everything that is read before the threads start can be read.
fn own_rows(table: &Table) -> Result<(), table::Error> {
    let any = std::ops::Bound::Unbounded;
    for space in [Space::Meta, Space::Part] {
        table.range(space as u8, any, any, Direction::Forward, EVERYTHING)?;
    }
    Ok(())
}

const EVERYTHING: Limit = Limit {
    rows: usize::MAX,
    bytes: usize::MAX,
};

/// Something that a new directory does not have.
fn others(disk: &dyn Disk) -> std::io::Result<Option<String>> {
    for dir in [LOG, PARTS] {
        if !disk.exists(Path::new(dir))? {
            continue;
        }
        if let Some(name) = disk.list(Path::new(dir))?.first() {
            return Ok(Some(format!("{dir}/{name}")));
        }
    }
    Ok(None)
}

/// For a person.
pub(super) fn no_marker(frame: u64) -> String {
    format!(
        "the commit log: {LOG}/{} is not there; what came after frame {frame} may be missing",
        log::MARKER_NAME
    )
}

fn open_parts(
    disk: &Arc<dyn Disk>,
    table: &Table,
    blocks: &Arc<Blocks>,
    damages: &Damages,
    floors: &mut Floors,
) -> Result<Vec<Arc<Part>>, super::keeper::Failure> {
    let any = std::ops::Bound::Unbounded;
    let rows = table.range(Space::Part as u8, any, any, Direction::Forward, EVERYTHING)?;
    let mut parts = Vec::with_capacity(rows.len());
    let mut known = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let path = meta::part_path(&key);
        let info = meta::read_part(row.into());
        match Part::open(&**disk, Path::new(&path), blocks.clone(), Some(&info)) {
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
                let aside =
                    Path::new(QUARANTINE).join(Path::new(&path).file_name().unwrap_or_default());
                put_aside(&**disk, Path::new(&path), &aside);
            }
        }
        known.push(path);
    }
    // What a checkpoint that did not come to its end has left; or, where the table was damaged, what its row is missing of.
    for name in disk.list(Path::new(PARTS))? {
        let path = format!("{PARTS}/{name}");
        if known.contains(&path) {
            continue;
        }
        if !damages.all().is_empty() {
            put_aside(
                &**disk,
                Path::new(&path),
                &Path::new(QUARANTINE).join(&name),
            );
        }
        disk.remove(Path::new(&path))?;
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
