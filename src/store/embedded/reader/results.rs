//! Kept results, for streams and for whoever asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::store::coding::Reader;
use crate::store::embedded::levels::Shared;
use crate::store::embedded::rows::{
    HolderRow, Key, OwnedRow, QueueHash, QueueRow, ResultsRow, Seed, Space,
};
use crate::store::{
    Entry, EntryKind, Error, KeptResult, PageOf, Position, ResultsPage, ScanLimit, Which,
};
use crate::types::{Answer, ClientKey, HandlerName};

/// Rows that are read at once.
const TOGETHER: usize = 64;

/// Those of a client that no call carried, after a position.
pub(in super::super) fn results(
    shared: &Shared,
    seed: Seed,
    client: &ClientKey,
    from: u64,
    limit: ScanLimit,
) -> Result<ResultsPage, Error> {
    let owner = seed.client(client);
    let holder = shared.get(&Key::holder(owner))?;
    let Some(holder) = holder.map(HolderRow::read) else {
        return Ok(ResultsPage::default());
    };
    let mut found: Vec<(u64, usize, KeptResult)> = Vec::new();
    let mut bytes = 0;
    let mut settled = Settled::default();
    let mut more = false;
    let (mut next, end) = (Key::owned(owner, 0), Key::owned(owner, u64::MAX));
    'rows: loop {
        let (rows, _) = shared.range(&BTreeMap::new(), &next, &end, TOGETHER)?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        next = last.next();
        for (key, row) in rows {
            let owned = OwnedRow::read(row);
            if owned.positions.1 <= from {
                continue;
            }
            // What comes in a later row may come before what was found: rows of one frame take turns.
            let newest = found.iter().map(|(position, ..)| *position).max();
            let is_full = found.len() >= limit.items || bytes >= limit.bytes;
            if is_full && newest.is_some_and(|newest| newest < owned.positions.0) {
                more = true;
                break 'rows;
            }
            let number = key.last_number();
            let Some(row) = shared.get(&owned.key)? else {
                continue;
            };
            let row = ResultsRow::read(row);
            for (index, entry) in row.entries().enumerate() {
                if entry.position > from && !settled.has(shared, &owned, &row, number, index)? {
                    bytes += entry.size();
                    let (position, size) = (entry.position, entry.size());
                    found.push((position, size, row.result(index, entry)));
                }
            }
        }
    }
    found.sort_unstable_by_key(|(position, ..)| *position);
    let mut page = ResultsPage {
        more,
        lost: holder.lost > from,
        ..ResultsPage::default()
    };
    let mut bytes = 0;
    for (position, size, result) in found {
        bytes += size;
        let full = page.entries.len() >= limit.items || bytes > limit.bytes;
        if full && !page.entries.is_empty() {
            page.more = true;
            break;
        }
        page.entries.push(Entry {
            position: Position(position),
            kind: EntryKind::Result(result),
        });
    }
    Ok(page)
}

/// What a client is done with, looked up once for each queue and row.
#[derive(Default)]
pub(super) struct Settled {
    queues: BTreeMap<QueueHash, u64>,
}

impl Settled {
    pub(super) fn has(
        &mut self,
        shared: &Shared,
        owned: &OwnedRow,
        row: &ResultsRow,
        number: u64,
        index: usize,
    ) -> Result<bool, Error> {
        if let Some((queue, _)) = owned.last {
            let through = match self.queues.get(&queue) {
                Some(through) => *through,
                None => {
                    let through = settled_through(shared, queue)?;
                    self.queues.insert(queue, through);
                    through
                }
            };
            return Ok(row.place(index) <= through);
        }
        if owned.key.space() != Space::Once as u8 {
            return Ok(false);
        }
        is_settled_once(shared, number, index)
    }
}

fn settled_through(shared: &Shared, queue: QueueHash) -> Result<u64, Error> {
    let row = shared.get(&Key::queue(queue))?;
    Ok(row.map_or(0, |row| QueueRow::read(row).settled))
}

fn is_settled_once(shared: &Shared, number: u64, index: usize) -> Result<bool, Error> {
    let Some(marks) = shared.get(&Key::number(Space::OnceSettled, number))? else {
        return Ok(false);
    };
    let mut from = Reader(marks);
    while !from.is_empty() {
        if from.number() == index as u64 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What only the writing thread knows of what is asked for.
#[derive(Debug)]
pub(in super::super) enum Looked {
    /// The open packets of a queue, by place.
    Places(BTreeMap<u64, KeptResult>),
    /// In the order asked for.
    ReqIds(Vec<FoundOnce>),
}

/// A packet without a place.
#[derive(Debug)]
pub(in super::super) enum FoundOnce {
    Open(KeptResult),
    /// The row of its result, and which of it.
    Kept(u64, u32),
}

/// A packet that was taken and has no result yet.
pub(in super::super) fn open_result(
    client: Arc<ClientKey>,
    handler: HandlerName,
    req_id: ByteString,
    seq: u64,
) -> KeptResult {
    KeptResult {
        client,
        handler,
        req_id,
        seq,
        answer: Answer::accepted(),
        awaited: false,
    }
}

/// Those of a queue from a place on, or of some req_ids, whoever carried them.
pub(in super::super) fn kept(
    shared: &Shared,
    seed: Seed,
    client: &ClientKey,
    which: &Which,
    looked: Looked,
    limit: ScanLimit,
) -> Result<PageOf<KeptResult>, Error> {
    let mut page = Filling::new(limit);
    match (which, looked) {
        (Which::Places { handler, from }, Looked::Places(open)) => {
            let queue = seed.queue(seed.client(client), handler.as_str());
            of_places(shared, queue, *from, open, &mut page)?;
        }
        (Which::ReqIds(_), Looked::ReqIds(found)) => of_req_ids(shared, found, &mut page)?,
        _ => unreachable!("what was looked at is what was asked for"),
    }
    Ok(page.page)
}

fn of_places(
    shared: &Shared,
    queue: QueueHash,
    from: u64,
    mut open: BTreeMap<u64, KeptResult>,
    page: &mut Filling,
) -> Result<(), Error> {
    let Some(row) = shared.get(&Key::queue(queue))?.map(QueueRow::read) else {
        return Ok(());
    };
    let from = from.max(row.settled.saturating_add(1));
    open = open.split_off(&from);
    let mut next = Key::placed(Space::Results, queue, row.kept_from);
    let end = Key::placed(Space::Results, queue, u64::MAX);
    loop {
        let (rows, _) = shared.range(&BTreeMap::new(), &next, &end, TOGETHER)?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        next = last.next();
        for (_, row) in rows {
            let row = ResultsRow::read(row);
            if row.last_place() < from {
                continue;
            }
            for (index, entry) in row.entries().enumerate() {
                let place = row.place(index);
                if place < from {
                    continue;
                }
                let later = open.split_off(&place);
                let before = std::mem::replace(&mut open, later);
                // What has a result by now is open no more.
                open.remove(&place);
                let before = before.into_values().map(|open| (0, open));
                let told = (entry.size(), row.result(index, entry));
                for (size, result) in before.chain([told]) {
                    if !page.take(size, result) {
                        return Ok(());
                    }
                }
            }
        }
    }
    for result in open.into_values() {
        if !page.take(0, result) {
            break;
        }
    }
    Ok(())
}

fn of_req_ids(shared: &Shared, found: Vec<FoundOnce>, page: &mut Filling) -> Result<(), Error> {
    for found in found {
        let (size, result) = match found {
            FoundOnce::Open(result) => (0, result),
            FoundOnce::Kept(number, index) => {
                let row: Option<Bytes> = shared.get(&Key::number(Space::Once, number))?;
                let Some(row) = row.map(ResultsRow::read) else {
                    continue;
                };
                let Some(entry) = row.entries().nth(index as usize) else {
                    continue;
                };
                (entry.size(), row.result(index as usize, entry))
            }
        };
        if !page.take(size, result) {
            break;
        }
    }
    Ok(())
}

/// A page up to its limit. The first result always fits.
struct Filling {
    page: PageOf<KeptResult>,
    limit: ScanLimit,
    bytes: usize,
}

impl Filling {
    fn new(limit: ScanLimit) -> Self {
        Self {
            page: PageOf {
                items: Vec::new(),
                more: false,
            },
            limit,
            bytes: 0,
        }
    }

    fn take(&mut self, size: usize, result: KeptResult) -> bool {
        self.bytes += size;
        let full = self.page.items.len() >= self.limit.items || self.bytes > self.limit.bytes;
        if full && !self.page.items.is_empty() {
            self.page.more = true;
            return false;
        }
        self.page.items.push(result);
        true
    }
}
