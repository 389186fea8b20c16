//! A slab whose ids say what they are ids of.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slab::Slab;

/// Names one `T` as long as it is in its arena.
pub(crate) struct Id<T>(u32, PhantomData<fn() -> T>);

/// Things of one kind, by id.
#[derive(Debug)]
pub(crate) struct Arena<T>(Slab<T>);

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        let key = self.0.insert(value);
        Id(
            u32::try_from(key).expect("memory ends before four billion of anything"),
            PhantomData,
        )
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> T {
        self.0.remove(id.0 as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn ids(&self) -> Vec<Id<T>> {
        let id = |(key, _): (usize, &T)| Id(key as u32, PhantomData);
        self.0.iter().map(id).collect()
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self(Slab::new())
    }
}

impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        &self.0[id.0 as usize]
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        &mut self.0[id.0 as usize]
    }
}

impl<T> Id<T> {
    /// Unlike that of any other `T` that is there now.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

// Derives would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
