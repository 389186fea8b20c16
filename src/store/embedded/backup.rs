//! A copy of a store that goes on working.
//!
//! Nothing is held back for it. A checkpoint puts everything that was told into parts and table; parts never change, and the
//! table gives a view of one moment while it is written. So the copy is made of those two as the keeping thread has them
//! right after the checkpoint, and its log is empty: commits go on to the log, and further checkpoints to other pages and
//! parts. A part that is removed meanwhile is read on, as it is open.
//!
//! `FORMAT` comes last: before that, no gateway takes the directory for a store.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::directory::{FORMAT, FORMAT_TEXT, UNFINISHED, sign};
use super::disk::{self, Disk, RealDisk};
use super::keeper::{PARTS, Wake};
use super::levels::Shared;
use super::meta::{self, COPY, FRAME};
use super::open::{LOG, TABLE, number};
use super::parts::Part;
use super::rows::Space;
use super::table::{self, Op, Snapshot, Table};
use super::{Options, log};

/// How much the table may grow while it is copied: as much as it has, and so many bytes. Pages that the copy still needs are
/// not written over meanwhile.
const GROWTH: u64 = 1 << 30;

/// Makes copies of a store that is open, and does not keep it open.
#[derive(Debug, Clone)]
pub struct Backups {
    /// The store's directory.
    source: PathBuf,
    asks: Sender<Ask>,
    wake: SyncSender<Wake>,
    /// One at a time. A lock and not a task: whoever finds it taken is refused, and the store is closed when it is free.
    one: Arc<Mutex<()>>,
    stop: CancellationToken,
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Of its files.
    pub bytes: u64,
    pub files: u64,
    pub took: Duration,
}

/// Why there is no backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It cannot be where it was asked for.
    #[error("{0}")]
    Place(String),
    #[error("another backup is being made: one at a time")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<table::Error> for BackupError {
    fn from(error: table::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Who waits for what a copy is made of.
pub(super) type Ask = oneshot::Sender<Result<Moment, BackupError>>;

/// A store at one moment, right after a checkpoint.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) shared: Arc<Shared>,
    pub(super) rows: Snapshot,
    /// Those that the rows name.
    pub(super) parts: Arc<[Arc<Part>]>,
}

impl Backups {
    pub(super) fn new(source: &Path, asks: Sender<Ask>, wake: SyncSender<Wake>) -> Self {
        Self {
            source: source.to_owned(),
            asks,
            wake,
            one: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Copies the store, with everything that was told until now, to a directory that is empty or not there yet. It is
    /// durable when this ends. Given up when this is dropped; what was written is removed then, as after an error.
    pub async fn make(&self, path: &Path) -> Result<Copied, BackupError> {
        let stop = self.stop.child_token();
        let _gone = stop.clone().drop_guard();
        let (backups, path) = (self.clone(), path.to_owned());
        let making = tokio::task::spawn_blocking(move || backups.make_at(&path, &stop));
        let made = making.await;
        made.unwrap_or_else(|error| Err(BackupError::Failed(error.to_string())))
    }

    /// Gives up the one that is being made, and makes none any more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Until none is being made. Blocks.
    pub(super) fn wait(&self) {
        drop(self.one.lock());
    }

    fn make_at(&self, path: &Path, stop: &CancellationToken) -> Result<Copied, BackupError> {
        let _one = self.one.try_lock().ok_or(BackupError::Busy)?;
        let place = NewPlace::at(path, &self.source)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(path));
        let copied = self.copy_to(&disk, stop);
        if copied.is_err() {
            place.clear();
        }
        copied
    }

    /// On a disk of whatever kind, that has nothing.
    pub(super) fn copy_to(
        &self,
        disk: &Arc<dyn Disk>,
        stop: &CancellationToken,
    ) -> Result<Copied, BackupError> {
        let began = Instant::now();
        let (ask, answer) = oneshot::channel();
        let closed = |()| BackupError::Failed("the store is closed".into());
        self.asks.send(ask).map_err(|_| closed(()))?;
        // One that is woken anyway looks for who asks as well.
        let _ = self.wake.try_send(Wake::Checkpoint);
        let moment = answer.blocking_recv().map_err(|_| closed(()))??;
        let (bytes, files) = copy(moment, disk, stop)?;
        Ok(Copied {
            bytes,
            files,
            took: began.elapsed(),
        })
    }
}

/// Gives the bytes and the number of its files.
fn copy(
    moment: Moment,
    disk: &Arc<dyn Disk>,
    stop: &CancellationToken,
) -> Result<(u64, u64), BackupError> {
    let Moment {
        shared,
        rows,
        parts,
    } = moment;
    let frame = rows.get(Space::Meta as u8, FRAME.as_bytes())?;
    let mut bytes = copy_rows(&rows, &shared.table, disk, stop)?;
    // Its pages are free again.
    drop((rows, shared));
    disk.make_dir(Path::new(PARTS))?;
    for part in parts.iter() {
        let to = disk.create(Path::new(part.path()))?;
        bytes += disk::copy(part.file(), &*to, &mut || goes_on(stop))?;
    }
    disk.sync_dir(Path::new(PARTS))?;
    log::begin(&**disk, Path::new(LOG), frame.map_or(0, |row| number(&row)))?;
    bytes += disk.open(&Path::new(LOG).join(log::MARKER_NAME))?.len()?;
    goes_on(stop)?;
    sign(&**disk)?;
    // The table, the log's marker, and the format.
    let files = parts.len() as u64 + 3;
    Ok((bytes + FORMAT_TEXT.len() as u64, files))
}

/// Gives the bytes of the new table.
fn copy_rows(
    rows: &Snapshot,
    from: &Table,
    disk: &Arc<dyn Disk>,
    stop: &CancellationToken,
) -> Result<u64, BackupError> {
    let to = Table::create(
        disk.clone(),
        Path::new(TABLE),
        Options::default().cache_bytes,
    )?;
    let least = from.bytes()?;
    for space in Space::ALL.map(|space| space as u8) {
        let mut after = Bound::Unbounded;
        loop {
            goes_on(stop)?;
            let grown = from.bytes()?.saturating_sub(least);
            if grown > least + GROWTH {
                let why = format!(
                    "the table of rows has grown by {grown} bytes while it was copied: try again when less is written"
                );
                return Err(BackupError::Failed(why));
            }
            let some = rows.rows(space, after.as_ref().map(Vec::as_slice))?;
            let Some((last, _)) = some.last() else { break };
            let ops = some.iter().map(|(key, value)| Op {
                space,
                key,
                value: Some(value),
            });
            to.apply(&ops.collect::<Vec<_>>())?;
            after = Bound::Excluded(last.clone());
        }
    }
    meta::apply(&to, &[meta::op(COPY, &[1])])?;
    Ok(to.bytes()?)
}

fn goes_on(stop: &CancellationToken) -> io::Result<()> {
    match stop.is_cancelled() {
        true => Err(io::Error::other(
            "it was given up: the gateway stops, or nobody waits for it",
        )),
        false => Ok(()),
    }
}

/// Where a backup is to be.
#[derive(Debug)]
struct NewPlace<'a> {
    path: &'a Path,
    /// It was not there.
    is_made: bool,
}

impl<'a> NewPlace<'a> {
    /// Makes it, for its owner alone.
    fn at(path: &'a Path, source: &Path) -> Result<Self, BackupError> {
        let wrong = |why: &str| BackupError::Place(format!("{}: {why}", path.display()));
        let failed = |error: io::Error| wrong(&error.to_string());
        if !path.is_absolute() {
            return Err(wrong(
                "say it from the root of the file system on: the gateway may be in another directory than you",
            ));
        }
        let above = path.parent().unwrap_or(path);
        let above = above.canonicalize().map_err(|error| {
            let why = format!("the directory above it cannot be used: {error}");
            wrong(&why)
        })?;
        if source
            .canonicalize()
            .is_ok_and(|source| above.starts_with(source))
        {
            return Err(wrong("it is inside the directory that is to be copied"));
        }
        let made = DirBuilder::new().mode(0o700).create(path);
        let is_made = match made {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed(error)),
        };
        if !is_made {
            if fs::read_dir(path).map_err(failed)?.next().is_some() {
                return Err(wrong(
                    "it is not empty: give an empty directory, or one that is not there",
                ));
            }
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let synced = File::open(above).and_then(|above| above.sync_all());
        synced.map_err(failed)?;
        Ok(Self { path, is_made })
    }

    /// Removes what a backup that failed has written. What cannot be removed is no store either.
    fn clear(&self) {
        let new_table = format!("{TABLE}.new");
        for name in [FORMAT, UNFINISHED, TABLE, &new_table] {
            let _ = fs::remove_file(self.path.join(name));
        }
        for name in [PARTS, LOG] {
            let _ = fs::remove_dir_all(self.path.join(name));
        }
        if self.is_made {
            let _ = fs::remove_dir(self.path);
        }
    }
}
