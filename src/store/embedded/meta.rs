//! The store's own rows: what it is, how far it has got, and its parts.

use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;

use super::keeper::PARTS;
use super::parts::{Part, PartInfo};
use super::rows::Space;
use super::table::{self, Direction, Limit, Op, Table};
use crate::store::coding::{Reader, Writer};
use crate::store::{Epoch, Position};

pub(super) const SEED: &str = "seed";
pub(super) const EPOCHS: &str = "epochs";
/// The last frame that is in parts and table, and the header behind it.
pub(super) const FRAME: &str = "frame";
pub(super) const HEADER: &str = "header";
pub(super) const FLOORS: &str = "floors";
/// It is a copy of a store that went on, and was not opened yet.
pub(super) const COPY: &str = "copy";

/// How many starts are remembered; a cursor of an earlier one is of another history.
const EPOCHS_KEPT: usize = 1_000;

/// Writes rows, and those of the store's own a second time: in another tree of the table, so that one damage does not take
/// both.
pub(super) fn apply(table: &Table, ops: &[Op<'_>]) -> Result<(), table::Error> {
    let own = |space: u8| [Space::Meta as u8, Space::Part as u8].contains(&space);
    let again = ops.iter().filter(|op| own(op.space));
    let again: Vec<_> = again
        .map(|op| ([&[op.space], op.key].concat(), op.value))
        .collect();
    let mut all = ops.to_vec();
    all.extend(again.iter().map(|(key, value)| Op {
        space: Space::Again as u8,
        key,
        value: *value,
    }));
    table.apply(&all)
}

/// Puts the store's own rows, or their copies, where the others are not any more.
pub(super) fn restore(table: &Table) -> Result<(), table::Error> {
    let any = Bound::Unbounded;
    let all = Limit {
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    for (key, value) in table.range(Space::Again as u8, any, any, Direction::Forward, all)? {
        let Some((space, rest)) = key.split_first() else {
            continue;
        };
        table.apply(&[Op {
            space: *space,
            key: rest,
            value: Some(&value),
        }])?;
    }
    let mut copies = Vec::new();
    for space in [Space::Meta, Space::Part] {
        for (key, value) in table.range(space as u8, any, any, Direction::Forward, all)? {
            copies.push(([&[space as u8], &*key].concat(), value));
        }
    }
    let copies = copies.iter().map(|(key, value)| Op {
        space: Space::Again as u8,
        key,
        value: Some(value),
    });
    table.apply(&copies.collect::<Vec<_>>())
}

pub(super) fn op<'a>(name: &'a str, value: &'a [u8]) -> Op<'a> {
    Op {
        space: Space::Meta as u8,
        key: name.as_bytes(),
        value: Some(value),
    }
}

pub(super) fn gone(name: &str) -> Op<'_> {
    Op {
        space: Space::Meta as u8,
        key: name.as_bytes(),
        value: None,
    }
}

/// Its file's name.
pub(super) fn part_key(part: &Part) -> Vec<u8> {
    let name = Path::new(part.path()).file_name().unwrap_or_default();
    name.as_encoded_bytes().to_vec()
}

pub(super) fn part_path(key: &[u8]) -> String {
    format!("{PARTS}/{}", String::from_utf8_lossy(key))
}

pub(super) fn part_row(info: &PartInfo) -> Vec<u8> {
    let mut out = Writer::default();
    out.str(&info.class);
    for number in [
        info.messages,
        info.bytes,
        info.file_bytes,
        info.first,
        info.last,
    ] {
        out.number(number);
    }
    out.time(info.oldest);
    out.time(info.newest);
    out.0
}

pub(super) fn read_part(row: Bytes) -> PartInfo {
    let mut from = Reader(row);
    PartInfo {
        class: from.str().to_string(),
        messages: from.number(),
        bytes: from.number(),
        file_bytes: from.number(),
        first: from.number(),
        last: from.number(),
        oldest: from.time(),
        newest: from.time(),
    }
}

/// The epochs of a start: those before, and its own last.
pub(super) fn next_epochs(row: Option<Bytes>, tail: u64) -> Vec<Epoch> {
    let mut epochs = row.map_or_else(Vec::new, read_epochs);
    epochs.push(Epoch {
        id: rand::random(),
        start: Position(tail),
    });
    let old = epochs.len().saturating_sub(EPOCHS_KEPT);
    epochs.drain(..old);
    epochs
}

pub(super) fn epochs_row(epochs: &[Epoch]) -> Vec<u8> {
    let mut out = Writer::default();
    for epoch in epochs {
        out.fixed(epoch.id);
        out.fixed(epoch.start.0);
    }
    out.0
}

pub(super) fn read_epochs(row: Bytes) -> Vec<Epoch> {
    let mut from = Reader(row);
    let mut epochs = Vec::new();
    while !from.is_empty() {
        epochs.push(Epoch {
            id: from.fixed(),
            start: Position(from.fixed()),
        });
    }
    epochs
}
