//! A table as it was at one moment, for whoever copies it while it is written.

use std::fmt;
use std::ops::Bound;

use redb::ReadTransaction;

use super::{Direction, Error, Limit, Row, caught, rows};

/// What is read at once.
const SOME: Limit = Limit {
    rows: usize::MAX,
    bytes: 4 << 20,
};

/// All rows of one moment. Pages that they need are not written over until it is dropped, so the file grows meanwhile by
/// what is written. When the table had to be opened again, it cannot be read any more.
pub(in super::super) struct Snapshot {
    read: ReadTransaction,
}

impl Snapshot {
    pub(super) fn new(read: ReadTransaction) -> Self {
        Self { read }
    }

    pub(in super::super) fn get(&self, space: u8, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let range = (Bound::Included(key), Bound::Included(key));
        let found = caught(|| rows(&self.read, space, range, Direction::Forward, SOME));
        let found = found.map_err(|failure| failure.told)?;
        Ok(found.into_iter().next().map(|(_, value)| value))
    }

    /// Rows of a space after a key, a few MiB of them; none at its end.
    pub(in super::super) fn rows(&self, space: u8, after: Bound<&[u8]>) -> Result<Vec<Row>, Error> {
        let range = (after, Bound::Unbounded);
        let found = caught(|| rows(&self.read, space, range, Direction::Forward, SOME));
        found.map_err(|failure| failure.told)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
