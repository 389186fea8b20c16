//! Records, and the deletions that are remembered.

use std::time::SystemTime;

use super::State;
use crate::store::Error;
use crate::store::coding::{Reader, Writer};
use crate::store::embedded::rows::{Key, Space, collection_prefix};
use crate::types::Record;

/// A deletion that is remembered.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) time: SystemTime,
    pub(super) collection: String,
    pub(super) key: String,
    pub(super) version: u64,
}

impl Deletion {
    pub(super) fn write(&self, out: &mut Writer) {
        out.time(self.time);
        out.str(&self.collection);
        out.str(&self.key);
        out.number(self.version);
    }

    pub(super) fn read(row: bytes::Bytes) -> Self {
        let mut from = Reader(row);
        Self {
            time: from.time(),
            collection: from.str().to_string(),
            key: from.str().to_string(),
            version: from.number(),
        }
    }
}

impl State {
    pub(super) fn present(&self, collection: &str, key: &str) -> Result<Option<Record>, Error> {
        let row = self.get(&Key::record(Space::Record, collection, key))?;
        Ok(row.map(|row| Reader(row).record()))
    }

    pub(super) fn version_used(&self, collection: &str, key: &str) -> Result<u64, Error> {
        let deleted = self.get(&Key::record(Space::Deleted, collection, key))?;
        let row = match deleted {
            Some(row) => Some(row),
            None => self.get(&collection_prefix(Space::Floor, collection))?,
        };
        Ok(row.map_or(0, |row| Reader(row).number()))
    }

    /// Stores a version, or the deletion that it is. `position`: of the message that tells it.
    pub(super) fn store_record(
        &mut self,
        collection: &str,
        record: &Record,
        position: u64,
    ) -> Result<(), Error> {
        let place = Key::record(Space::Record, collection, &record.key);
        let deleted = Key::record(Space::Deleted, collection, &record.key);
        // A version above 1 of a key that was not there: its deletion may be remembered.
        if let Some(row) = self.get(&deleted)? {
            let mut from = Reader(row);
            from.number();
            let before = from.number();
            self.delete(Key::number(Space::Deletion, before));
            if !record.deleted {
                self.delete(deleted.clone());
            }
        }
        if !record.deleted {
            self.put(place, |out| out.record(record));
            return Ok(());
        }
        self.delete(place);
        self.put(deleted, |out| {
            out.number(record.version);
            out.number(position);
        });
        let deletion = Deletion {
            time: self.staged.now,
            collection: collection.to_owned(),
            key: record.key.to_string(),
            version: record.version,
        };
        self.put(Key::number(Space::Deletion, position), |out| {
            deletion.write(out)
        });
        Ok(())
    }

    /// The floor of its collection rises to its version.
    pub(super) fn forget_deletion(&mut self, row: Key, deletion: &Deletion) -> Result<(), Error> {
        let floor = collection_prefix(Space::Floor, &deletion.collection);
        let before = self.get(&floor)?.map_or(0, |row| Reader(row).number());
        self.delete(row);
        self.delete(Key::record(
            Space::Deleted,
            &deletion.collection,
            &deletion.key,
        ));
        let risen = before.max(deletion.version);
        self.put(floor, |out| out.number(risen));
        Ok(())
    }
}
