//! SQLite in WAL mode, with an fsync of the WAL per commit.
//!
//! Only the frames of its WAL have checksums, so every row has its own.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::{CACHE, Each, Engine, Result, Row, Table, sealed, unsealed};

pub(super) struct Sqlite {
    db: Connection,
}

impl Sqlite {
    pub(super) fn open(dir: &Path) -> Result<Sqlite> {
        std::fs::create_dir_all(dir)?;
        let db = Connection::open(dir.join("store.sqlite"))?;
        // `auto_vacuum` only takes effect before the first table exists.
        db.execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA cell_size_check = ON; PRAGMA cache_size = -{};",
            CACHE >> 10
        ))?;
        for table in Table::ALL {
            let columns = match table {
                Table::Runs | Table::Messages => "(k INTEGER PRIMARY KEY, v BLOB NOT NULL)",
                // Values that are larger than a page do not belong in the tree of keys.
                Table::Results => "(k BLOB PRIMARY KEY, v BLOB NOT NULL)",
                _ => "(k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
            };
            db.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {} {columns}",
                table.name()
            ))?;
        }
        db.set_prepared_statement_cache_capacity(32);
        Ok(Sqlite { db })
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let write = self.db.transaction()?;
        for row in rows {
            let name = row.table.name();
            match &row.value {
                Some(value) => {
                    let value = sealed(&row.key, value);
                    let mut put = write.prepare_cached(&format!(
                        "INSERT INTO {name} VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
                    ))?;
                    match number(row.table, &row.key) {
                        Some(number) => put.execute(params![number, value])?,
                        None => put.execute(params![row.key, value])?,
                    };
                }
                None => {
                    let mut delete =
                        write.prepare_cached(&format!("DELETE FROM {name} WHERE k = ?1"))?;
                    match number(row.table, &row.key) {
                        Some(number) => delete.execute([number])?,
                        None => delete.execute([&row.key])?,
                    };
                }
            }
        }
        Ok(write.commit()?)
    }

    fn get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut select = self
            .db
            .prepare_cached(&format!("SELECT v FROM {} WHERE k = ?1", table.name()))?;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
            let found = match number(table, key) {
                Some(number) => select.query_row([number], value).optional()?,
                None => select.query_row([key], value).optional()?,
            };
            values.push(match found {
                Some(found) => Some(unsealed(key, &found)?.to_vec()),
                None => None,
            });
        }
        Ok(values)
    }

    fn scan(&self, table: Table, each: &mut Each<'_>) -> Result<()> {
        let mut select = self
            .db
            .prepare_cached(&format!("SELECT k, v FROM {} ORDER BY k", table.name()))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let key = match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_be_bytes().to_vec(),
                other => other.as_blob()?.to_vec(),
            };
            each(&key, unsealed(&key, row.get_ref(1)?.as_blob()?)?)?;
        }
        Ok(())
    }

    /// A thousand pages at a time, so that commits can come between.
    fn shrink(&mut self) -> Result<bool> {
        let mut vacuum = self.db.prepare("PRAGMA incremental_vacuum(1000)")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        drop(pages);
        drop(vacuum);
        let left: i64 = self
            .db
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if left == 0 {
            self.db
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(left > 0)
    }

    fn check(&mut self) -> Result<()> {
        let verdict: String = self
            .db
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(verdict.into())
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.close().map_err(|(_, error)| error.into())
    }
}

/// The key as SQLite's own row number, where the table has such keys.
fn number(table: Table, key: &[u8]) -> Option<i64> {
    match table {
        Table::Runs | Table::Messages => Some(i64::from_be_bytes(key.try_into().ok()?)),
        _ => None,
    }
}
