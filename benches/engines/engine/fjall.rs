//! fjall: a log-structured merge tree per table over one journal.
//!
//! It verifies the checksum of every block that it reads, so rows need none of ours. Without its `lz4` feature neither
//! journal nor tables are compressed; the bench's content cannot be compressed anyway.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{CACHE, Each, Engine, Result, Row, Size, Table};

pub(super) struct Fjall {
    db: Database,
    tables: Vec<Keyspace>,
    compacted: usize,
}

impl Fjall {
    pub(super) fn open(dir: &Path, size: Size) -> Result<Fjall> {
        let memtable = match size {
            Size::Usual => 16 << 20,
            Size::Small => 256 << 10,
        };
        // The journal is replayed on start, so its bound is what bounds the time and memory that this takes.
        let db = Database::builder(dir)
            .cache_size(CACHE as u64)
            .max_journaling_size(128 << 20)
            .open()?;
        let tables = Table::ALL
            .iter()
            .map(|table| {
                db.keyspace(table.name(), || {
                    KeyspaceCreateOptions::default().max_memtable_size(memtable)
                })
            })
            .collect::<std::result::Result<_, _>>()?;
        Ok(Fjall {
            db,
            tables,
            compacted: 0,
        })
    }
}

impl Engine for Fjall {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        // Without a durability the batch would be visible before, and without, its fsync.
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        for row in rows {
            let table = &self.tables[row.table as usize];
            match &row.value {
                Some(value) => batch.insert(table, row.key.as_slice(), value.as_slice()),
                None => batch.remove(table, row.key.as_slice()),
            }
        }
        Ok(batch.commit()?)
    }

    fn get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let table = &self.tables[table as usize];
        keys.iter()
            .map(|key| Ok(table.get(key)?.map(|value| value.to_vec())))
            .collect()
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<()> {
        for row in self.tables[table as usize].iter() {
            let (key, value) = row.into_inner()?;
            each(&key, &value)?;
        }
        Ok(())
    }

    /// Compacts a table. Others may commit meanwhile; this bench has only one thread, so the step shows as a wait.
    fn shrink(&mut self) -> Result<bool> {
        if self.compacted == self.tables.len() {
            return Ok(false);
        }
        self.tables[self.compacted].rotate_memtable_and_wait()?;
        self.tables[self.compacted].major_compact()?;
        self.compacted += 1;
        Ok(true)
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}
