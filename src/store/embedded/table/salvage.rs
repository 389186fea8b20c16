//! What is left of a damaged table, and what is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;

use super::super::disk::Disk;
use super::pages::Pages;
use super::tree::{self, Definition, Stretch, Trees, Visitor};
use super::{Error, Op, Table, name};

/// Rows that cannot be read: those of a space after one key, up to and with another. `None` has no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Missing {
    /// `None` is redb's own: no row is missing, but it may not open the file.
    pub(in super::super) space: Option<u8>,
    pub(in super::super) after: Option<Vec<u8>>,
    pub(in super::super) through: Option<Vec<u8>>,
    pub(in super::super) why: String,
}

impl Missing {
    pub(in super::super) fn covers(&self, space: u8, key: &[u8]) -> bool {
        self.space == Some(space)
            && self.after.as_deref().is_none_or(|after| key > after)
            && self.through.as_deref().is_none_or(|through| key <= through)
    }
}

/// What a salvage did.
#[derive(Debug)]
pub(in super::super) struct Salvaged {
    pub(in super::super) rows: u64,
    /// Every row that was there before is in the new table or in one of these.
    pub(in super::super) missing: Vec<Missing>,
}

/// What is done with a row: its space, its key, and itself.
pub(in super::super) type Show<'a> = dyn FnMut(u8, &[u8], &[u8]) + 'a;

/// How many bytes of rows are written at once.
const BATCH: usize = 4 << 20;

/// Copies every row that can be read to a new table, which must not be there. Nobody has the old one open.
pub(in super::super) fn salvage(
    disk: &Arc<dyn Disk>,
    from: &Path,
    to: &Path,
    cache_bytes: usize,
) -> Result<Salvaged, Error> {
    let pages = Pages::read_only(disk.open(from)?)?;
    let trees = Trees::new(&pages)?;
    let table = Table::create(disk.clone(), to, cache_bytes)?;
    let mut missing = Vec::new();
    let mut rows = 0;
    for (space, definition) in spaces(&trees, &mut missing)? {
        let mut copy = Copy {
            space,
            table: &table,
            rows: Vec::new(),
            bytes: 0,
            copied: 0,
            missing: &mut missing,
        };
        trees.walk(definition.root, definition.widths, &mut copy)?;
        copy.flush()?;
        rows += copy.copied;
    }
    Ok(Salvaged { rows, missing })
}

/// What of a table's file each space takes, and what cannot be read.
#[derive(Debug, Default)]
pub(in super::super) struct Looked {
    /// Bytes of the pages of each space.
    pub(in super::super) spaces: BTreeMap<u8, u64>,
    /// And of those that redb keeps for itself.
    pub(in super::super) own: u64,
    pub(in super::super) missing: Vec<Missing>,
}

/// Reads everything, redb's own trees as well, and tells what cannot be read.
#[cfg(test)]
pub(super) fn missing(pages: &Pages) -> Result<Vec<Missing>, Error> {
    Ok(walk(pages, None, &mut |_, _, _| {})?.missing)
}

/// Shows every row, in order of spaces and keys, and changes nothing. Nobody has the table open. `only`: of this space.
pub(in super::super) fn look(
    disk: &dyn Disk,
    path: &Path,
    only: Option<u8>,
    show: &mut Show<'_>,
) -> Result<Looked, Error> {
    let pages = Pages::read_only(disk.open(path)?)?;
    let mut looked = walk(&pages, only, show)?;
    if pages.len()? < tree::least_len(&pages)? {
        looked.missing.push(Missing {
            space: None,
            after: None,
            through: None,
            why: "the file was cut".to_owned(),
        });
    }
    Ok(looked)
}

fn walk(pages: &Pages, only: Option<u8>, show: &mut Show<'_>) -> Result<Looked, Error> {
    let trees = Trees::new(pages)?;
    let mut looked = Looked::default();
    for (space, definition) in spaces(&trees, &mut looked.missing)? {
        if only.is_some_and(|only| only != space) {
            continue;
        }
        let mut check = Check {
            space: Some(space),
            show,
            bytes: 0,
            missing: &mut looked.missing,
        };
        trees.walk(definition.root, definition.widths, &mut check)?;
        let bytes = check.bytes;
        looked.spaces.insert(space, bytes);
    }
    if only.is_some() {
        return Ok(looked);
    }
    let mut own = Names::default();
    trees.system_tables(&mut own)?;
    for stretch in own.missing {
        looked.missing.push(Missing::of(None, stretch));
    }
    for (_, row) in own.rows {
        let Some(definition) = Definition::parse(&row) else {
            continue;
        };
        let mut check = Check {
            space: None,
            show,
            bytes: 0,
            missing: &mut looked.missing,
        };
        trees.walk(definition.root, definition.widths, &mut check)?;
        looked.own += check.bytes;
    }
    Ok(looked)
}

/// The spaces with their tables. One whose row cannot be read is missing as a whole.
fn spaces(trees: &Trees<'_>, missing: &mut Vec<Missing>) -> Result<Vec<(u8, Definition)>, Error> {
    let mut names = Names::default();
    trees.tables(&mut names)?;
    let mut found = Vec::new();
    for space in 0..=u8::MAX {
        let name = name(space);
        let row = names.rows.iter().find(|(key, _)| key == name.as_bytes());
        match row.map(|(_, row)| Definition::parse(row)) {
            Some(Some(definition)) => found.push((space, definition)),
            Some(None) => missing.push(Missing::all(space, "its definition cannot be read")),
            None => {
                let covers = |stretch: &&Stretch| {
                    Missing::of(Some(space), (*stretch).clone()).covers(space, name.as_bytes())
                };
                if let Some(stretch) = names.missing.iter().find(covers) {
                    missing.push(Missing::all(space, &stretch.why));
                }
            }
        }
    }
    Ok(found)
}

impl Missing {
    fn of(space: Option<u8>, stretch: Stretch) -> Self {
        Self {
            space,
            after: stretch.after,
            through: stretch.through,
            why: stretch.why,
        }
    }

    fn all(space: u8, why: &str) -> Self {
        Self {
            space: Some(space),
            after: None,
            through: None,
            why: why.to_owned(),
        }
    }
}

/// The rows of a tree of tables.
#[derive(Default)]
struct Names {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    missing: Vec<Stretch>,
}

impl Visitor for Names {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn missing(&mut self, stretch: Stretch) -> Result<(), Error> {
        self.missing.push(stretch);
        Ok(())
    }
}

/// Shows rows, counts, and keeps only what is missing.
struct Check<'a> {
    /// `None`: redb's own, which are not shown.
    space: Option<u8>,
    show: &'a mut Show<'a>,
    bytes: u64,
    missing: &'a mut Vec<Missing>,
}

impl Visitor for Check<'_> {
    fn page(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if let Some(space) = self.space {
            (self.show)(space, key, value);
        }
        Ok(())
    }

    fn missing(&mut self, stretch: Stretch) -> Result<(), Error> {
        self.missing.push(Missing::of(self.space, stretch));
        Ok(())
    }
}

/// Writes rows to another table, a batch at a time.
struct Copy<'a> {
    space: u8,
    table: &'a Table,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    copied: u64,
    missing: &'a mut Vec<Missing>,
}

impl Copy<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        let ops: Vec<_> = self
            .rows
            .iter()
            .map(|(key, value)| Op {
                space: self.space,
                key,
                value: Some(value),
            })
            .collect();
        self.table.apply(&ops)?;
        self.copied += ops.len() as u64;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

impl Visitor for Copy<'_> {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.bytes += key.len() + value.len();
        self.rows.push((key.to_vec(), value.to_vec()));
        if self.bytes >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn missing(&mut self, stretch: Stretch) -> Result<(), Error> {
        self.missing.push(Missing::of(Some(self.space), stretch));
        Ok(())
    }
}
