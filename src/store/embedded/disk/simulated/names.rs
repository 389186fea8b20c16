//! Names and directories, and what turned those that are durable into those that are seen.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub(super) type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Dir,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Move(PathBuf, PathBuf, Node),
}

impl Change {
    pub(super) fn apply(&self, names: &mut Names) {
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

    pub(super) fn node(&self) -> Option<Node> {
        match self {
            Self::Put(_, node) | Self::Move(_, _, node) => Some(*node),
            Self::Remove(_) => None,
        }
    }

    /// The directory whose sync makes it durable.
    pub(super) fn dir(&self) -> PathBuf {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Move(_, path, _) => parent(path),
        }
    }
}

pub(super) fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}
