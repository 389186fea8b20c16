//! redb: copy-on-write B-trees in one file.
//!
//! Its pages have checksums, but it verifies them only when it repairs or is asked to check, so every row has its own.

use std::path::Path;

use ::redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{CACHE, Each, Engine, Result, Row, Table, sealed, unsealed};

pub(super) struct Redb {
    db: Database,
    compacted: bool,
}

impl Redb {
    pub(super) fn open(dir: &Path) -> Result<Redb> {
        std::fs::create_dir_all(dir)?;
        let db = Database::builder()
            .set_cache_size(CACHE)
            .create(dir.join("store.redb"))?;
        let write = db.begin_write()?;
        for table in Table::ALL {
            write.open_table(definition(table))?;
        }
        write.commit()?;
        Ok(Redb {
            db,
            compacted: false,
        })
    }
}

impl Engine for Redb {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            // Opening a table costs, and rows of a table mostly stand together.
            let mut open = None;
            for row in rows {
                if open.as_ref().is_none_or(|(table, _)| *table != row.table) {
                    drop(open.take());
                    open = Some((row.table, write.open_table(definition(row.table))?));
                }
                let Some((_, table)) = &mut open else {
                    continue;
                };
                match &row.value {
                    Some(value) => {
                        drop(table.insert(row.key.as_slice(), sealed(&row.key, value).as_slice())?)
                    }
                    None => drop(table.remove(row.key.as_slice())?),
                }
            }
        }
        Ok(write.commit()?)
    }

    fn get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let table = self.db.begin_read()?.open_table(definition(table))?;
        let value = |key: &&[u8]| match table.get(*key)? {
            Some(value) => Ok(Some(unsealed(key, value.value())?.to_vec())),
            None => Ok(None),
        };
        keys.iter().map(value).collect()
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<()> {
        let table = self.db.begin_read()?.open_table(definition(table))?;
        for row in table.iter()? {
            let (key, value) = row?;
            each(key.value(), unsealed(key.value(), value.value())?)?;
        }
        Ok(())
    }

    /// Needs the database for itself: neither reads nor commits until it is done.
    fn shrink(&mut self) -> Result<bool> {
        if self.compacted {
            return Ok(false);
        }
        self.db.compact()?;
        self.compacted = true;
        Ok(true)
    }

    fn check(&mut self) -> Result<()> {
        if self.db.check_integrity()? {
            Ok(())
        } else {
            Err("check_integrity repaired something".into())
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}
