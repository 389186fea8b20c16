//! A disk in memory that forgets: beside what readers see it keeps what a power loss would leave.
//!
//! Harsher than file systems are, and never kinder: an unsynced write is kept, lost or torn by itself; a name is as old as
//! its directory's last sync; a file that does not fit takes what is left before it fails; after a sync that failed the
//! writes are still read, and never reach the disk.

mod content;
mod file;
mod names;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::content::Content;
use self::file::SimulatedFile;
use self::names::{Change, Names, Node, clean, parent};
use self::state::State;
use super::{Disk, DiskFile};

/// A clone is the same disk.
#[derive(Debug, Clone)]
pub(in super::super) struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    /// How many bytes can be written.
    pub(in super::super) fn free(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.free())
    }

    pub(in super::super) fn new(seed: u64) -> Self {
        Self::with(State {
            random: StdRng::seed_from_u64(seed),
            files: BTreeMap::new(),
            next_file: 0,
            names: Names::new(),
            durable_names: Names::new(),
            changes: Vec::new(),
            capacity: u64::MAX,
            syncs: true,
            operations: 0,
            off_at: None,
            fails_at: None,
        })
    }

    /// The same disk, where [`DiskFile::sync`] says that it did and does nothing: what a test must fail on. Names still
    /// become durable, so that it is the files' syncs alone that are missed.
    pub(in super::super) fn without_sync(self) -> Self {
        self.state.lock().syncs = false;
        self
    }

    /// The same disk, with so much room for the contents of files.
    pub(in super::super) fn capacity(self, bytes: u64) -> Self {
        self.set_capacity(bytes);
        self
    }

    /// Less than what is in use is a full disk.
    pub(in super::super) fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// What a power loss at this moment may leave; every call gives another one. This disk goes on as it was.
    pub(in super::super) fn crash(&self) -> Self {
        Self::with(self.state.lock().crash())
    }

    /// What is there when the process is killed at this moment: the system writes everything by and by.
    pub(in super::super) fn killed(&self) -> Self {
        let mut state = self.state.lock();
        let files = state.files.iter().map(|(id, file)| {
            let file = Content {
                now: file.now.clone(),
                synced: file.now.clone(),
                allocated: file.now.len() as u64,
                named: file.named,
                ..Content::default()
            };
            (*id, file)
        });
        let files = files.collect();
        let seed = state.random.random();
        Self::with(State {
            random: StdRng::seed_from_u64(seed),
            files,
            next_file: state.next_file,
            names: state.names.clone(),
            durable_names: state.names.clone(),
            changes: Vec::new(),
            capacity: state.capacity,
            syncs: state.syncs,
            operations: 0,
            off_at: None,
            fails_at: None,
        })
    }

    /// The `n`-th operation from now (1 is the next one) is the one in which the power fails: it may or may not have
    /// happened, and it and all that follow, reads too, fail.
    pub(in super::super) fn crash_at(&self, n: u64) {
        let mut state = self.state.lock();
        state.off_at = Some(state.operations + n.max(1));
    }

    /// The `n`-th operation from now fails, that one alone: a write may have got a part done, a sync has lost the writes
    /// that it was to make durable, though they are still read.
    pub(in super::super) fn fail_at(&self, n: u64) {
        let mut state = self.state.lock();
        state.fails_at = Some(state.operations + n.max(1));
    }

    /// Nothing fails any more that has not failed yet.
    pub(in super::super) fn disarm(&self) {
        let mut state = self.state.lock();
        if state.powered().is_ok() {
            state.off_at = None;
        }
        state.fails_at = None;
    }

    /// The operations so far that change something: what [`Self::crash_at`] counts.
    pub(in super::super) fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Flips bits of a byte on the medium. `false` if there is no such byte.
    pub(in super::super) fn flip(&self, path: &Path, at: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let Some(file) = state.file_named(path) else {
            return false;
        };
        let at = at as usize;
        if let Some(byte) = file.synced.get_mut(at) {
            *byte ^= mask;
        }
        let Some(byte) = file.now.get_mut(at) else {
            return false;
        };
        *byte ^= mask;
        true
    }

    /// Cuts a file on the medium. `false` if it is not there or not longer than that.
    pub(in super::super) fn cut(&self, path: &Path, len: u64) -> bool {
        let mut state = self.state.lock();
        let Some(file) = state.file_named(path) else {
            return false;
        };
        if file.now.len() as u64 <= len {
            return false;
        }
        file.now.truncate(len as usize);
        file.synced = file.now.clone();
        file.pending.clear();
        file.allocated = len;
        true
    }

    /// How long a file is; 0 if it is not there.
    pub(in super::super) fn len_of(&self, path: &Path) -> u64 {
        let mut state = self.state.lock();
        state
            .file_named(path)
            .map_or(0, |file| file.now.len() as u64)
    }

    /// The room that the files below a directory take.
    pub(in super::super) fn bytes_of(&self, dir: &str) -> u64 {
        let mut paths = self.paths();
        paths.retain(|path| path.starts_with(dir));
        let mut state = self.state.lock();
        let files = paths.iter();
        files
            .filter_map(|path| Some(state.file_named(path)?.allocated))
            .sum()
    }

    /// The files that are there, sorted.
    pub(in super::super) fn paths(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        let files = state.names.iter();
        files
            .filter(|(_, node)| matches!(node, Node::File(_)))
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn with(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn handle(&self, state: &mut State, id: u64) -> Arc<dyn DiskFile> {
        if let Some(file) = state.files.get_mut(&id) {
            file.handles += 1;
        }
        Arc::new(SimulatedFile {
            state: self.state.clone(),
            id,
        })
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.powered()?;
        match state.names.get(&clean(path)) {
            Some(Node::File(id)) => {
                let id = *id;
                Ok(self.handle(&mut state, id))
            }
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let path = clean(path);
        let fate = state.begin()?;
        state.has_dir(&parent(&path))?;
        if state.names.contains_key(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.free() == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        fate.or_failed()?;
        let id = state.next_file;
        state.next_file += 1;
        let file = Content {
            named: true,
            ..Content::default()
        };
        state.files.insert(id, file);
        state.change(Change::Put(path, Node::File(id)));
        fate.or_off()?;
        Ok(self.handle(&mut state, id))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock();
        state.powered()?;
        Ok(state.names.contains_key(&clean(path)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.powered()?;
        let dir = clean(dir);
        state.has_dir(&dir)?;
        let names = state.names.keys().filter(|path| parent(path) == dir);
        Ok(names
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let mut path = PathBuf::new();
        for part in clean(dir).components() {
            path.push(part);
            match state.names.get(&path) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => state.change(Change::Put(path.clone(), Node::Dir)),
            }
        }
        fate.or_off()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let path = clean(path);
        state.unname(&path)?;
        state.change(Change::Remove(path));
        fate.or_off()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let (from, to) = (clean(from), clean(to));
        state.has_dir(&parent(&to))?;
        let Some(Node::File(id)) = state.names.get(&from).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if state.names.contains_key(&to) && from != to {
            state.unname(&to)?;
        }
        if parent(&from) != parent(&to) {
            // One operation of two directories: what came before it in the first one cannot come after it.
            state.harden_names(&parent(&from));
        }
        state.change(Change::Move(from, to, Node::File(id)));
        fate.or_off()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let dir = clean(dir);
        state.has_dir(&dir)?;
        fate.or_off()?;
        state.harden_names(&dir);
        state.forget_unreachable();
        Ok(())
    }
}
