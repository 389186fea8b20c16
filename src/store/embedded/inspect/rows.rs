//! The rows as they are after the log: counted, and each held against what it should say.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use hashbrown::HashMap;

use super::{Depth, EpochUse, Messages};
use crate::store::coding::Reader;
use crate::store::embedded::damage::space_name;
use crate::store::embedded::frame::{self, Header, Op};
use crate::store::embedded::keep::Floors;
use crate::store::embedded::meta::{self, EPOCHS, FLOORS};
use crate::store::embedded::parts::PartInfo;
use crate::store::embedded::rows::{
    HolderRow, Key, LetterRow, OwnedRow, Owner, QueueRow, ResultsRow, RunRow, Seed, Space, shown,
    split_record,
};

/// How many rows that are wrong are told apart.
const TOLD: usize = 1_000;

/// What is in the log, and not in parts and table yet.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) rows: BTreeMap<Key, Option<Bytes>>,
    pub(super) messages: Messages,
    /// Behind its last frame.
    pub(super) header: Header,
}

impl Recent {
    pub(super) fn new(header: Header) -> Self {
        Self {
            rows: BTreeMap::new(),
            messages: Messages::default(),
            header,
        }
    }

    pub(super) fn apply(&mut self, payload: Bytes) {
        let (header, ops) = frame::read(payload);
        for op in ops {
            match op {
                Op::Row(key, row) => drop(self.rows.insert(key, row)),
                Op::Message(position, message) => self.messages.add(&Messages {
                    count: 1,
                    bytes: message.len() as u64,
                    first: position,
                    last: position,
                    oldest: Some(message.time()),
                    newest: Some(message.time()),
                }),
            }
        }
        self.header = header;
    }
}

/// All rows, gone through once. What is in memory is a few numbers for each owner of results, and what is in the log.
#[derive(Debug)]
pub(super) struct Rows {
    recent: Recent,
    depth: Depth,
    seed: Seed,
    counts: [u64; Space::ALL.len() + 1],
    pub(super) collections: BTreeMap<String, u64>,
    pub(super) epochs: Vec<EpochUse>,
    pub(super) parts: BTreeMap<String, PartInfo>,
    /// What each holds by its own row, and by its rows of results.
    held: HashMap<Owner, (u64, u64)>,
    /// Bytes of the packets of dead letters, as they say, and as they are there.
    letter_bytes: u64,
    letter_packets: u64,
    /// The highest number of a run, a dead letter or a row of results.
    number: u64,
    pub(super) wrong: Vec<String>,
    pub(super) more_wrong: u64,
}

impl Rows {
    pub(super) fn new(recent: Recent, depth: Depth, seed: u64) -> Self {
        Self {
            recent,
            depth,
            seed: Seed(seed),
            counts: [0; Space::ALL.len() + 1],
            collections: BTreeMap::new(),
            epochs: Vec::new(),
            parts: BTreeMap::new(),
            held: HashMap::new(),
            letter_bytes: 0,
            letter_packets: 0,
            number: 0,
            wrong: Vec::new(),
            more_wrong: 0,
        }
    }

    pub(super) fn count(&self, space: Space) -> u64 {
        self.counts[space as usize]
    }

    /// The log has the newer one, if it has any.
    pub(super) fn of_table(&mut self, space: u8, rest: &[u8], row: &[u8]) {
        let key = Key::joined(space, rest);
        if !self.recent.rows.contains_key(&key) {
            self.row(&key, Bytes::copy_from_slice(row));
        }
    }

    /// Goes through the rows of the log. `whole`: nothing is missing so far, so that what is counted can be compared.
    pub(super) fn finish(&mut self, whole: bool) {
        for (key, row) in std::mem::take(&mut self.recent.rows) {
            if let Some(row) = row {
                self.row(&key, row);
            }
        }
        if self.depth == Depth::Check && whole && self.wrong.is_empty() {
            self.compare();
        }
    }

    fn row(&mut self, key: &Key, row: Bytes) {
        let space = key.space();
        let known = Space::ALL.into_iter().find(|known| *known as u8 == space);
        let Some(known) = known else {
            return self.tell(format!("a row of the unknown space {space}"));
        };
        self.counts[known as usize] += 1;
        let needed = matches!(known, Space::Meta | Space::Part | Space::Record);
        if self.depth == Depth::Overview && !needed {
            return;
        }
        // What is read was verified, so that only a fault of a program leaves a row that cannot be read.
        let read = catch_unwind(AssertUnwindSafe(|| self.read(known, key, row)));
        let what = match read {
            Ok(Ok(())) => return,
            Ok(Err(what)) => what,
            Err(_) => "it cannot be read",
        };
        let (name, shown) = (space_name(space), shown(space, key.rest()));
        self.tell(format!("the row {shown} of {name}: {what}"));
    }

    fn read(&mut self, space: Space, key: &Key, row: Bytes) -> Result<(), &'static str> {
        let mut from = Reader(row.clone());
        match space {
            Space::Record => {
                let (collection, name) = split_record(key.rest()).ok_or("it has no such key")?;
                match self.collections.get_mut(collection) {
                    Some(count) => *count += 1,
                    None => drop(self.collections.insert(collection.to_owned(), 1)),
                }
                let record = from.record();
                same(
                    &*record.key == name && !record.deleted,
                    "it is of another key",
                )?;
                ends(&from)
            }
            Space::Deleted => {
                from.number();
                from.number();
                ends(&from)
            }
            Space::Deletion => {
                from.time();
                from.str();
                from.str();
                from.number();
                ends(&from)
            }
            Space::Floor => {
                from.number();
                ends(&from)
            }
            Space::Queue => {
                let row = QueueRow::read(row);
                let owner = self.seed.client(&row.client);
                let queue = self.seed.queue(owner, row.handler.as_str());
                same(
                    Key::queue(queue) == *key,
                    "it is of another client or handler",
                )?;
                same(row.settled <= row.reached, "more is settled than was taken")
            }
            Space::Results | Space::Once | Space::Owed => {
                let row = ResultsRow::read(row);
                let mut count = 0;
                for entry in row.entries() {
                    entry.answer();
                    count += 1;
                }
                self.number = self.number.max(row.number);
                same(
                    count == row.count,
                    "it has more or fewer results than it says",
                )
            }
            Space::Again => Ok(()),
            Space::OnceSettled | Space::Done => {
                while !from.is_empty() {
                    from.number();
                }
                Ok(())
            }
            Space::Owned => {
                let row = OwnedRow::read(row);
                self.held.entry(Owner::of_key(key)).or_default().1 += row.bytes;
                self.number = self.number.max(key.last_number());
                Ok(())
            }
            Space::Holder => {
                let row = HolderRow::read(row);
                self.held.entry(Owner::of_key(key)).or_default().0 += row.bytes;
                Ok(())
            }
            Space::Run => {
                let row = RunRow::read(row);
                self.number = self.number.max(key.last_number());
                same(!row.packets.is_empty(), "it has no packets")
            }
            Space::Dead => {
                let row = LetterRow::read(key.last_number(), &mut from);
                self.number = self.number.max(key.last_number());
                self.letter_bytes += row.packet_bytes;
                ends(&from)
            }
            Space::DeadPacket => {
                self.letter_packets += row.len() as u64;
                Ok(())
            }
            Space::Meta => {
                if key.rest() == EPOCHS.as_bytes() {
                    let epochs = meta::read_epochs(row).into_iter();
                    let epochs = epochs.map(|epoch| EpochUse {
                        id: epoch.id,
                        start: epoch.start.0,
                    });
                    self.epochs = epochs.collect();
                } else if key.rest() == FLOORS.as_bytes() {
                    Floors::read(row);
                }
                Ok(())
            }
            Space::Part => {
                let name = String::from_utf8_lossy(key.rest()).into_owned();
                self.parts.insert(name, meta::read_part(row));
                Ok(())
            }
        }
    }

    /// What is counted from frame to frame is what there is.
    fn compare(&mut self) {
        let header = self.recent.header;
        let places = self.count(Space::Queue);
        if header.places != places {
            self.tell(format!(
                "the count of places says {}, and there are {places}",
                header.places
            ));
        }
        if header.number < self.number {
            self.tell(format!(
                "the last number given is {}, and {} is in use",
                header.number, self.number
            ));
        }
        if self.letter_bytes != self.letter_packets {
            self.tell(format!(
                "dead letters say that their packets have {} bytes, and there are {}",
                self.letter_bytes, self.letter_packets
            ));
        }
        for (owner, (said, there)) in std::mem::take(&mut self.held) {
            if said != there {
                self.tell(format!(
                    "the owner {:032x} of results holds {said} bytes by its own row, and {there} by those of the results",
                    owner.0
                ));
            }
        }
        for (name, part) in std::mem::take(&mut self.parts) {
            if part.last > header.tail {
                self.tell(format!(
                    "{name} has messages up to position {}, and the tail is at {}",
                    part.last, header.tail
                ));
            }
            self.parts.insert(name, part);
        }
    }

    fn tell(&mut self, what: String) {
        if self.wrong.len() < TOLD {
            self.wrong.push(what);
        } else {
            self.more_wrong += 1;
        }
    }
}

fn same(is: bool, what: &'static str) -> Result<(), &'static str> {
    if is { Ok(()) } else { Err(what) }
}

fn ends(from: &Reader) -> Result<(), &'static str> {
    same(from.is_empty(), "it is longer than it should be")
}
