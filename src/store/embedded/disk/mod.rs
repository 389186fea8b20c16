//! What the engine asks of a file system, so that tests can put one under it that loses what was not synced.
//!
//! Everything blocks: only threads of the engine's own, and readers on threads for blocking work, come here.

mod real;
#[cfg(test)]
pub(super) mod simulated;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(super) use real::RealDisk;

/// What is copied of a file at once.
const COPIED: usize = 1 << 20;

/// How much of a copy may not be on the disk yet.
const UNSYNCED: u64 = 8 << 20;

/// The files of one store. Paths are relative to its directory.
pub(super) trait Disk: Debug + Send + Sync {
    /// Opens a file that is there.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a file, which must not be there, and opens it. It is there after a crash once [`Disk::sync_dir`] has returned.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory and those above it. No error if it is there.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Replaces what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// What was created, removed or renamed in a directory is so after a crash.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Reads and writes say where; there is no position.
pub(super) trait DiskFile: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;

    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file at least so long, of zeros, and makes sure that writing there needs no more room.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Fills the buffer, or fails with `UnexpectedEof`.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// What was written before is there after a crash, and so is the length.
    fn sync(&self) -> io::Result<()>;
}

/// Copies a whole file into an empty one, and syncs it. `gate` is asked before each piece: its error ends the copy.
pub(super) fn copy(
    from: &dyn DiskFile,
    to: &dyn DiskFile,
    gate: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<u64> {
    let len = from.len()?;
    let mut buffer = vec![0; COPIED.min(len as usize)];
    let (mut at, mut synced) = (0, 0);
    while at < len {
        gate()?;
        let piece = buffer.len().min((len - at) as usize);
        from.read_at(at, &mut buffer[..piece])?;
        to.write_at(at, &buffer[..piece])?;
        at += piece as u64;
        // A sync of another file may wait for all that is not written yet, as that of the commit log does on ext4.
        if at - synced >= UNSYNCED {
            to.sync()?;
            synced = at;
        }
    }
    to.sync()?;
    Ok(len)
}
