//! Everything that a disk is, and what a crash leaves of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::content::Content;
use super::names::{Change, Names, Node, clean};

#[derive(Debug)]
pub(super) struct State {
    /// Decides what a crash leaves.
    pub(super) random: StdRng,
    /// Also those without a name, as long as a handle or a crash could find them.
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) next_file: u64,
    /// What is seen.
    pub(super) names: Names,
    /// What is there after a crash at least.
    pub(super) durable_names: Names,
    /// What turned the second into the first, in order.
    pub(super) changes: Vec<Change>,
    pub(super) capacity: u64,
    /// Whether a file's sync does anything.
    pub(super) syncs: bool,
    pub(super) operations: u64,
    /// The operation in which the power fails.
    pub(super) off_at: Option<u64>,
    /// The one that fails alone.
    pub(super) fails_at: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Goes,
    /// It is done and not told: the power fails in it.
    Off,
    Fails,
}

impl Fate {
    pub(super) fn or_off(self) -> io::Result<()> {
        match self {
            Self::Off => Err(off()),
            Self::Goes | Self::Fails => Ok(()),
        }
    }

    pub(super) fn or_failed(self) -> io::Result<()> {
        match self {
            Self::Fails => Err(io::Error::other("simulated input/output error")),
            Self::Goes | Self::Off => Ok(()),
        }
    }
}

impl State {
    /// Counts an operation that changes something, and says what becomes of it.
    pub(super) fn begin(&mut self) -> io::Result<Fate> {
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

    pub(super) fn powered(&self) -> io::Result<()> {
        match self.off_at {
            Some(at) if self.operations >= at => Err(off()),
            _ => Ok(()),
        }
    }

    pub(super) fn file(&mut self, id: u64) -> io::Result<&mut Content> {
        let file = self.files.get_mut(&id);
        file.ok_or_else(|| io::Error::other("no such simulated file"))
    }

    pub(super) fn file_named(&mut self, path: &Path) -> Option<&mut Content> {
        match self.names.get(&clean(path))? {
            Node::File(id) => self.files.get_mut(id),
            Node::Dir => None,
        }
    }

    pub(super) fn has_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.as_os_str().is_empty() || self.names.get(dir) == Some(&Node::Dir) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    pub(super) fn unname(&mut self, path: &Path) -> io::Result<()> {
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

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn harden_names(&mut self, dir: &Path) {
        for change in std::mem::take(&mut self.changes) {
            if change.dir() == dir {
                change.apply(&mut self.durable_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    pub(super) fn forget_unreachable(&mut self) {
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
    pub(super) fn free(&self) -> u64 {
        let files = self.files.values();
        let used: u64 = files
            .filter(|file| file.named || file.handles > 0)
            .map(|file| file.allocated)
            .sum();
        self.capacity.saturating_sub(used)
    }

    /// Takes room for a file up to `len`, or what there is; how far it can be written then.
    pub(super) fn grow(&mut self, id: u64, len: u64) -> u64 {
        let free = self.free();
        let Ok(file) = self.file(id) else {
            return 0;
        };
        file.allocated += len.saturating_sub(file.allocated).min(free);
        file.allocated.min(len)
    }

    pub(super) fn crash(&mut self) -> State {
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

fn off() -> io::Error {
    io::Error::other("the simulated power is off")
}
