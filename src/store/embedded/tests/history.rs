//! What stands behind whatever can be asked of a store: its rows and frames, read from a disk that nothing has harmed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;

use super::plan::{HANDLERS, Queue};
use super::told::Told;
use super::world::CLIENTS;
use crate::store::conformance::client;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::frame::{self, Op};
use crate::store::embedded::meta::{self, FRAME, SEED};
use crate::store::embedded::open::{LOG, TABLE, number};
use crate::store::embedded::rows::{Key, QueueHash, ResultsRow, RunRow, Scope, Seed, Space};
use crate::store::embedded::{log, table};
use crate::store::{Place, ReqIdScope};
use crate::types::ClientKey;

/// Something that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// Of a handler, by key.
    Record(usize, String),
    /// By position.
    Message(u64),
    /// Of a client's, by position.
    Result(usize, u64),
    /// How far a queue has got.
    Queue(Queue),
    Place(Queue, u64),
    /// Of a client, or the subject's own.
    ReqId(Option<usize>, String),
    /// A packet that is taken, by what it says.
    Open(String),
}

/// Everything that was written and may still count.
#[derive(Debug, Default)]
pub(super) struct History {
    seed: u64,
    /// The rows behind each item, whether they are still there or not.
    behind: BTreeMap<Item, BTreeSet<Key>>,
    /// Which frames of the log wrote or removed a row.
    frames: BTreeMap<Key, BTreeSet<u64>>,
    /// The frame of each message that is in the log.
    messages: BTreeMap<u64, u64>,
    /// The part of each stretch of positions.
    parts: Vec<(Key, u64, u64)>,
    /// Every row that is in the table.
    table: BTreeSet<Key>,
}

impl History {
    pub(super) fn of(disk: &SimulatedDisk, segment_bytes: u64) -> Self {
        let mut rows = Vec::new();
        table::look(disk, Path::new(TABLE), None, &mut |space, key, row| {
            rows.push((Key::joined(space, key), Bytes::copy_from_slice(row)));
        })
        .unwrap();
        let own = |name: &str| {
            let key = Key::named(Space::Meta, name);
            let row = rows.iter().find(|(known, _)| *known == key);
            row.map_or(0, |(_, row)| number(row))
        };
        let mut history = Self {
            seed: own(SEED),
            ..Self::default()
        };
        let moved = own(FRAME);
        for (key, row) in rows {
            history.stand(&key, row);
            history.table.insert(key);
        }
        let options = log::Options {
            segment_bytes,
            ..log::Options::new(Path::new(LOG))
        };
        log::verify(disk, &options, moved, &mut |number, payload| {
            for op in frame::read(payload).1 {
                match op {
                    Op::Message(position, _) => drop(history.messages.insert(position, number)),
                    Op::Row(key, row) => {
                        if let Some(row) = row {
                            history.stand(&key, row);
                        }
                        history.frames.entry(key).or_default().insert(number);
                    }
                }
            }
        })
        .unwrap();
        history
    }

    /// Whether what was told says that this may differ.
    pub(super) fn may_differ(&self, item: &Item, told: &Told) -> bool {
        if let Item::Message(position) = item {
            let frame = self.messages.get(position);
            let is_in = |(_, first, last): &&(Key, u64, u64)| (*first..=*last).contains(position);
            return told.has_position(*position)
                || frame.is_some_and(|frame| told.has_frame(*frame))
                || (self.parts.iter().filter(is_in)).any(|(key, ..)| told.has_row(key));
        }
        let mut behind = self.behind.get(item).cloned().unwrap_or_default();
        match item {
            Item::Record(handler, key) => {
                let collection = HANDLERS[*handler];
                for space in [Space::Record, Space::Deleted] {
                    behind.insert(Key::record(space, collection, key));
                }
            }
            Item::Queue(queue) | Item::Place(queue, _) => {
                behind.insert(Key::queue(self.queue(*queue)));
            }
            _ => {}
        }
        behind.iter().any(|key| self.is_told(key, told))
    }

    /// How many rows and messages were told to be missing.
    pub(super) fn told(&self, told: &Told) -> usize {
        let rows: BTreeSet<_> = self.table.iter().chain(self.frames.keys()).collect();
        let rows = rows.into_iter().filter(|key| self.is_told(key, told));
        rows.count()
    }

    fn is_told(&self, key: &Key, told: &Told) -> bool {
        let in_table = self.table.contains(key) && told.has_row(key);
        let frames = self.frames.get(key).into_iter().flatten();
        in_table || frames.into_iter().any(|frame| told.has_frame(*frame))
    }

    fn queue(&self, (of, handler): Queue) -> QueueHash {
        let seed = Seed(self.seed);
        seed.queue(seed.client(&client(CLIENTS[of])), HANDLERS[handler])
    }

    /// Notes what a row stands behind.
    fn stand(&mut self, key: &Key, row: Bytes) {
        let is = |space: Space| key.space() == space as u8;
        if is(Space::Part) {
            let info = meta::read_part(row);
            self.parts.push((key.clone(), info.first, info.last));
        } else if [Space::Results, Space::Once, Space::Owed]
            .into_iter()
            .any(is)
        {
            self.stand_results(key, ResultsRow::read(row));
        } else if is(Space::Run) {
            self.stand_run(key, RunRow::read(row));
        }
    }

    fn stand_results(&mut self, key: &Key, row: ResultsRow) {
        let of = number_of(&row.client);
        let owner = match row.scope {
            Scope::Subject => Seed(self.seed).subject("", "ann"),
            Scope::Client | Scope::Places(_) => Seed(self.seed).client(&row.client),
        };
        let handler = handler_of(row.handler.as_str());
        for (index, entry) in row.entries().enumerate() {
            let mut behind = BTreeSet::from([key.clone()]);
            if let (Scope::Places(_), Some(of)) = (row.scope, of) {
                let queue = (of, handler);
                behind.insert(Key::queue(self.queue(queue)));
                self.put(Item::Place(queue, row.place(index)), &behind);
            } else {
                behind.insert(Key::number(Space::OnceSettled, row.number));
                let of = of.filter(|_| row.scope == Scope::Client);
                self.put(Item::ReqId(of, entry.req_id.to_string()), &behind);
            }
            if let Some(of) = of.filter(|_| entry.position > 0) {
                // By these its owner's streams find it.
                behind.extend([Key::holder(owner), Key::owned(owner, row.number)]);
                self.put(Item::Result(of, entry.position), &behind);
            }
        }
    }

    fn stand_run(&mut self, key: &Key, row: RunRow) {
        let done = Key::number(Space::Done, key.last_number());
        let behind = [key.clone(), done].into();
        let of = row.origin.client.as_deref().and_then(number_of);
        let handler = handler_of(row.origin.handler.as_str());
        for packet in row.packets {
            let text = String::from_utf8(packet.packet.into()).unwrap();
            self.put(Item::Open(text), &behind);
            match (packet.place, of) {
                (Place::Seq(seq), Some(of)) => self.put(Item::Place((of, handler), seq), &behind),
                (Place::ReqId(scope), of) => {
                    let of = of.filter(|_| scope == ReqIdScope::Client);
                    self.put(Item::ReqId(of, packet.req_id.to_string()), &behind);
                }
                _ => {}
            }
        }
    }

    fn put(&mut self, item: Item, behind: &BTreeSet<Key>) {
        let known = self.behind.entry(item).or_default();
        known.extend(behind.iter().cloned());
    }
}

fn number_of(client: &ClientKey) -> Option<usize> {
    CLIENTS.iter().position(|name| *name == &*client.client_id)
}

fn handler_of(name: &str) -> usize {
    let at = HANDLERS.iter().position(|known| *known == name);
    at.expect("there are no others")
}
