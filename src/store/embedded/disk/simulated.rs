//! A disk in memory that forgets: beside what readers see it keeps what a power loss would leave.
//!
//! Harsher than file systems are, and never kinder: an unsynced write is kept, lost or torn by itself; a name is as old as
//! its directory's last sync; a file that does not fit takes what is left before it fails; after a sync that failed the
//! writes are still read, and never reach the disk.
//!
//! The file has over 500 lines because two traits, what a crash leaves of each of their operations, and the tests that hold
//! that belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Disk, DiskFile};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

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

#[derive(Debug)]
struct SimulatedFile {
    state: Arc<Mutex<State>>,
    id: u64,
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.powered()?;
        Ok(state.file(self.id)?.now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        if state.grow(self.id, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.file(self.id)?;
        file.allocated = len;
        file.write(Pending::SetLen(len));
        fate.or_off()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let reached = state.grow(self.id, len);
        let file = state.file(self.id)?;
        if reached > file.now.len() as u64 {
            file.write(Pending::SetLen(reached));
        }
        if reached < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        fate.or_off()
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.powered()?;
        let file = state.file(self.id)?;
        let bytes = usize::try_from(at)
            .ok()
            .and_then(|at| file.now.get(at..at.checked_add(buffer.len())?));
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        let end = at + bytes.len() as u64;
        let reached = state.grow(self.id, end);
        let mut done = reached.saturating_sub(at).min(bytes.len() as u64) as usize;
        if matches!(fate, Fate::Fails) {
            done = state.random.random_range(0..=done);
        }
        if done > 0 {
            let written = bytes[..done].to_vec();
            state.file(self.id)?.write(Pending::Write(at, written));
        }
        fate.or_failed()?;
        fate.or_off()?;
        if done < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        if matches!(fate, Fate::Fails) {
            // As kernels do it: the pages are clean afterwards, still read, and never written.
            state.file(self.id)?.pending.clear();
        }
        fate.or_failed()?;
        fate.or_off()?;
        if state.syncs {
            state.file(self.id)?.harden();
        }
        Ok(())
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if let Some(file) = self.state.lock().files.get_mut(&self.id) {
            file.handles -= 1;
        }
    }
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug)]
struct State {
    /// Decides what a crash leaves.
    random: StdRng,
    /// Also those without a name, as long as a handle or a crash could find them.
    files: BTreeMap<u64, Content>,
    next_file: u64,
    /// What is seen.
    names: Names,
    /// What is there after a crash at least.
    durable_names: Names,
    /// What turned the second into the first, in order.
    changes: Vec<Change>,
    capacity: u64,
    /// Whether a file's sync does anything.
    syncs: bool,
    operations: u64,
    /// The operation in which the power fails.
    off_at: Option<u64>,
    /// The one that fails alone.
    fails_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Dir,
}

#[derive(Debug, Clone)]
enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Move(PathBuf, PathBuf, Node),
}

/// What becomes of an operation that has begun.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Goes,
    /// It is done and not told: the power fails in it.
    Off,
    Fails,
}

impl Fate {
    fn or_off(self) -> io::Result<()> {
        match self {
            Self::Off => Err(off()),
            Self::Goes | Self::Fails => Ok(()),
        }
    }

    fn or_failed(self) -> io::Result<()> {
        match self {
            Self::Fails => Err(io::Error::other("simulated input/output error")),
            Self::Goes | Self::Off => Ok(()),
        }
    }
}

impl State {
    /// Counts an operation that changes something, and says what becomes of it.
    fn begin(&mut self) -> io::Result<Fate> {
        self.powered()?;
        self.operations += 1;
        if self.off_at == Some(self.operations) {
            return Ok(Fate::Off);
        }
        if self.fails_at == Some(self.operations) {
            return Ok(Fate::Fails);
        }
        Ok(Fate::Goes)
    }

    fn powered(&self) -> io::Result<()> {
        match self.off_at {
            Some(at) if self.operations >= at => Err(off()),
            _ => Ok(()),
        }
    }

    fn file(&mut self, id: u64) -> io::Result<&mut Content> {
        let file = self.files.get_mut(&id);
        file.ok_or_else(|| io::Error::other("no such simulated file"))
    }

    fn file_named(&mut self, path: &Path) -> Option<&mut Content> {
        match self.names.get(&clean(path))? {
            Node::File(id) => self.files.get_mut(id),
            Node::Dir => None,
        }
    }

    fn has_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || self.names.get(dir) == Some(&Node::Dir) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn unname(&mut self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::File(id)) => {
                if let Some(file) = self.files.get_mut(id) {
                    file.named = false;
                }
                Ok(())
            }
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn harden_names(&mut self, dir: &Path) {
        for change in std::mem::take(&mut self.changes) {
            if change.dir() == dir {
                change.apply(&mut self.durable_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    fn forget_unreachable(&mut self) {
        let changed = self.changes.iter().filter_map(Change::node);
        let named = self.names.values().chain(self.durable_names.values());
        let kept: BTreeSet<u64> = named
            .copied()
            .chain(changed)
            .filter_map(|node| match node {
                Node::File(id) => Some(id),
                Node::Dir => None,
            })
            .collect();
        self.files
            .retain(|id, file| kept.contains(id) || file.handles > 0);
    }

    /// As on a real disk, a file without a name takes room until its last handle is gone.
    fn free(&self) -> u64 {
        let files = self.files.values();
        let used: u64 = files
            .filter(|file| file.named || file.handles > 0)
            .map(|file| file.allocated)
            .sum();
        self.capacity.saturating_sub(used)
    }

    /// Takes room for a file up to `len`, or what there is; how far it can be written then.
    fn grow(&mut self, id: u64, len: u64) -> u64 {
        let free = self.free();
        let Ok(file) = self.file(id) else {
            return 0;
        };
        file.allocated += len.saturating_sub(file.allocated).min(free);
        file.allocated.min(len)
    }

    fn crash(&mut self) -> State {
        let mut names = self.durable_names.clone();
        let mut happened: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for change in &self.changes {
            *happened.entry(change.dir()).or_default() += 1;
        }
        for count in happened.values_mut() {
            *count = self.random.random_range(0..=*count);
        }
        for change in &self.changes {
            if let Some(left @ 1..) = happened.get_mut(&change.dir()) {
                *left -= 1;
                change.apply(&mut names);
            }
        }
        let dirs: BTreeSet<PathBuf> = names
            .iter()
            .filter(|(_, node)| **node == Node::Dir)
            .map(|(path, _)| path.clone())
            .collect();
        names.retain(|path, _| {
            let mut above = path.ancestors().skip(1);
            above.all(|dir| dir.as_os_str().is_empty() || dirs.contains(dir))
        });
        let mut files = BTreeMap::new();
        for node in names.values() {
            let Node::File(id) = node else { continue };
            if let Some(file) = self.files.get(id) {
                files.insert(*id, file.crash(&mut self.random));
            }
        }
        State {
            random: StdRng::seed_from_u64(self.random.random()),
            files,
            next_file: self.next_file,
            durable_names: names.clone(),
            names,
            changes: Vec::new(),
            capacity: self.capacity,
            syncs: self.syncs,
            operations: 0,
            off_at: None,
            fails_at: None,
        }
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Move(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }

    fn node(&self) -> Option<Node> {
        match self {
            Self::Put(_, node) | Self::Move(_, _, node) => Some(*node),
            Self::Remove(_) => None,
        }
    }

    /// The directory whose sync makes it durable.
    fn dir(&self) -> PathBuf {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Move(_, path, _) => parent(path),
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    /// What is read.
    now: Vec<u8>,
    /// What a crash leaves at least.
    synced: Vec<u8>,
    /// What turned the second into the first, in order.
    pending: Vec<Pending>,
    /// The room that it has, written or not.
    allocated: u64,
    named: bool,
    handles: usize,
}

#[derive(Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Content {
    fn write(&mut self, write: Pending) {
        write.apply(&mut self.now);
        self.pending.push(write);
    }

    fn harden(&mut self) {
        for write in self.pending.drain(..) {
            write.apply(&mut self.synced);
        }
    }

    fn crash(&self, random: &mut StdRng) -> Content {
        let mut content = self.synced.clone();
        for write in &self.pending {
            match random.random_range(0..3) {
                0 => write.apply(&mut content),
                1 => write.tear(&mut content, random),
                _ => {}
            }
        }
        Content {
            allocated: content.len() as u64,
            synced: content.clone(),
            now: content,
            named: true,
            ..Content::default()
        }
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => put(content, *at, bytes),
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }

    fn tear(&self, content: &mut Vec<u8>, random: &mut StdRng) {
        match self {
            Self::Write(at, bytes) => {
                for sector in sectors(*at, bytes.len() as u64) {
                    if random.random() {
                        let part = (sector.start - at) as usize..(sector.end - at) as usize;
                        put(content, sector.start, &bytes[part]);
                    }
                }
            }
            Self::SetLen(len) => {
                let was = content.len() as u64;
                let (low, high) = (was.min(*len), was.max(*len));
                let torn = random.random_range(low / SECTOR..=high / SECTOR) * SECTOR;
                let torn = torn.clamp(low, high);
                content.resize(torn as usize, 0);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (start, end) = (at as usize, at as usize + bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

/// The parts of a write that are in one sector each.
fn sectors(at: u64, len: u64) -> Vec<Range<u64>> {
    let end = at + len;
    let mut parts = Vec::new();
    let mut start = at;
    while start < end {
        let next = ((start / SECTOR + 1) * SECTOR).min(end);
        parts.push(start..next);
        start = next;
    }
    parts
}

fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn off() -> io::Error {
    io::Error::other("the simulated power is off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> &Path {
        Path::new(name)
    }

    fn content(disk: &SimulatedDisk, path: &str) -> Vec<u8> {
        let file = disk.open(name(path)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let disk = SimulatedDisk::new(1);
        let file = disk.create(name("a")).unwrap();
        disk.sync_dir(name("")).unwrap();
        file.write_at(0, &[1; 2048]).unwrap();
        file.sync().unwrap();
        file.write_at(1000, &[2; 1048]).unwrap();
        file.write_at(2048, &[3; 100]).unwrap();
        assert_eq!(content(&disk, "a").len(), 2148);

        let mut images = BTreeSet::new();
        for _ in 0..200 {
            let after = content(&disk.crash(), "a");
            assert_eq!(after[..1000], [1; 1000]);
            for sector in sectors(1000, 1048) {
                let part = &after[sector.start as usize..sector.end as usize];
                assert!(
                    part.iter().all(|byte| *byte == part[0]),
                    "a sector is whole"
                );
            }
            images.insert(after);
        }
        // Three sectors that are the one or the other, and the write behind them there or not.
        assert_eq!(images.len(), 16);
    }

    #[test]
    fn a_name_is_as_durable_as_its_directory() {
        let disk = SimulatedDisk::new(2);
        disk.make_dir(name("d")).unwrap();
        disk.sync_dir(name("")).unwrap();
        for path in ["d/a", "d/b"] {
            let file = disk.create(name(path)).unwrap();
            file.write_at(0, path.as_bytes()).unwrap();
            file.sync().unwrap();
        }
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            seen.insert(disk.crash().paths());
        }
        let (a, b) = (PathBuf::from("d/a"), PathBuf::from("d/b"));
        let prefixes = BTreeSet::from([vec![], vec![a.clone()], vec![a.clone(), b.clone()]]);
        assert_eq!(seen, prefixes);

        disk.sync_dir(name("d")).unwrap();
        disk.rename(name("d/a"), name("d/b")).unwrap();
        for _ in 0..100 {
            let after = disk.crash();
            if after.paths().len() == 1 {
                assert_eq!(content(&after, "d/b"), b"d/a");
            } else {
                assert_eq!(content(&after, "d/b"), b"d/b");
            }
        }
        disk.sync_dir(name("d")).unwrap();
        assert_eq!(disk.crash().paths(), std::slice::from_ref(&b));
        disk.remove(&b).unwrap();
        disk.sync_dir(name("d")).unwrap();
        assert!(disk.crash().paths().is_empty());
        assert!(
            disk.state.lock().files.is_empty(),
            "nothing finds it any more"
        );
    }

    #[test]
    fn a_directory_that_is_lost_takes_its_files_along() {
        let disk = SimulatedDisk::new(3);
        disk.make_dir(name("d")).unwrap();
        disk.create(name("d/a")).unwrap();
        disk.sync_dir(name("d")).unwrap();
        let lost = (0..50).filter(|_| disk.crash().paths().is_empty()).count();
        assert!((1..50).contains(&lost), "{lost}");
    }

    #[test]
    fn the_power_fails_in_the_operation_that_was_asked_for() {
        let disk = SimulatedDisk::new(4);
        let file = disk.create(name("a")).unwrap();
        disk.sync_dir(name("")).unwrap();
        disk.crash_at(2);
        file.write_at(0, b"one").unwrap();
        assert!(file.write_at(3, b"two").is_err());
        assert!(file.sync().is_err());
        assert!(file.len().is_err(), "reads too");
        assert!(disk.list(name("")).is_err());
        let seen: BTreeSet<Vec<u8>> = (0..200).map(|_| content(&disk.crash(), "a")).collect();
        assert!(seen.contains(b"onetwo".as_slice()), "it may have happened");
        assert!(seen.contains(b"one".as_slice()) && seen.contains(b"".as_slice()));
        let after = disk.crash();
        after.open(name("a")).unwrap().write_at(0, b"on").unwrap();
    }

    #[test]
    fn a_failed_sync_loses_what_is_still_read() {
        let disk = SimulatedDisk::new(5);
        let file = disk.create(name("a")).unwrap();
        disk.sync_dir(name("")).unwrap();
        file.write_at(0, b"lost").unwrap();
        disk.fail_at(1);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(content(&disk, "a"), b"lost");
        assert_eq!(content(&disk.crash(), "a"), b"");
    }

    #[test]
    fn without_sync_nothing_is_durable() {
        let disk = SimulatedDisk::new(6).without_sync();
        let file = disk.create(name("a")).unwrap();
        disk.sync_dir(name("")).unwrap();
        file.write_at(0, b"told").unwrap();
        file.sync().unwrap();
        let lost = (0..50).filter(|_| content(&disk.crash(), "a").is_empty());
        assert!(lost.count() > 0);
    }

    #[test]
    fn a_full_disk_says_so_and_reserved_room_can_be_written() {
        let disk = SimulatedDisk::new(7).capacity(1000);
        let file = disk.create(name("a")).unwrap();
        file.reserve(600).unwrap();
        assert_eq!(disk.free().unwrap(), 400);
        let other = disk.create(name("b")).unwrap();
        let full = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        };
        full(other.write_at(0, &[1; 500]));
        assert_eq!(other.len().unwrap(), 400, "what there was room for");
        full(other.set_len(401));
        full(other.reserve(401));
        full(disk.create(name("c")).map(drop));
        file.write_at(0, &[1; 600]).unwrap();
        disk.set_capacity(1100);
        other.write_at(0, &[1; 500]).unwrap();
        disk.remove(name("b")).unwrap();
        assert_eq!(disk.free().unwrap(), 0, "its handle keeps it");
        drop(other);
        assert_eq!(disk.free().unwrap(), 500);
    }

    #[test]
    fn damage_is_read_and_stays() {
        let disk = SimulatedDisk::new(8);
        let file = disk.create(name("a")).unwrap();
        disk.sync_dir(name("")).unwrap();
        file.write_at(0, b"abc").unwrap();
        file.sync().unwrap();
        assert!(disk.flip(name("a"), 1, 3));
        assert!(!disk.flip(name("a"), 3, 3));
        assert_eq!(content(&disk.crash(), "a"), b"aac");
        assert!(disk.cut(name("a"), 1));
        assert!(!disk.cut(name("a"), 1));
        assert_eq!(content(&disk.crash(), "a"), b"a");
        assert_eq!(disk.operations(), 4);
    }
}
