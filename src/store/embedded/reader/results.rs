//! Kept results, for streams and for whoever asks.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::store::coding::Reader;
use crate::store::embedded::levels::Shared;
use crate::store::embedded::rows::{
    HolderRow, Key, OwnedRow, QueueHash, QueueRow, ResultsRow, Seed, Space,
};
use crate::store::{Entry, EntryKind, Error, KeptResult, PageOf, Position, ResultsPage, ScanLimit};
use crate::types::{ClientKey, HandlerName};

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
                    found.push((entry.position, entry.size(), row.result(index, &entry)));
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
            kind: EntryKind::Result(result.into()),
        });
    }
    Ok(page)
}

/// What a client is done with, looked up once for each queue and row.
#[derive(Default)]
struct Settled {
    queues: BTreeMap<QueueHash, u64>,
}

impl Settled {
    fn has(
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

/// Those of one queue, from a place on, whoever carried them.
pub(in super::super) fn of_places(
    shared: &Shared,
    seed: Seed,
    client: &ClientKey,
    handler: &HandlerName,
    from: u64,
    limit: ScanLimit,
) -> Result<PageOf<KeptResult>, Error> {
    let queue = seed.queue(seed.client(client), handler.as_str());
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    let Some(row) = shared.get(&Key::queue(queue))?.map(QueueRow::read) else {
        return Ok(page);
    };
    let from = from.max(row.settled.saturating_add(1));
    let mut next = Key::placed(Space::Results, queue, row.kept_from);
    let end = Key::placed(Space::Results, queue, u64::MAX);
    let mut bytes = 0;
    loop {
        let (rows, _) = shared.range(&BTreeMap::new(), &next, &end, TOGETHER)?;
        let Some((last, _)) = rows.last() else {
            return Ok(page);
        };
        next = last.next();
        for (_, row) in rows {
            let row = ResultsRow::read(row);
            if row.last_place() < from {
                continue;
            }
            for (index, entry) in row.entries().enumerate() {
                if row.place(index) < from {
                    continue;
                }
                bytes += entry.size();
                let full = page.items.len() >= limit.items || bytes > limit.bytes;
                if full && !page.items.is_empty() {
                    page.more = true;
                    return Ok(page);
                }
                page.items.push(row.result(index, &entry));
            }
        }
    }
}

/// Where results of packets without a place are: the row, and which of it.
pub(in super::super) type OncePlace = (u64, u32);

pub(in super::super) fn of_req_ids(
    shared: &Shared,
    places: &[OncePlace],
    limit: ScanLimit,
) -> Result<PageOf<KeptResult>, Error> {
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    let mut bytes = 0;
    for &(number, index) in places {
        let row: Option<Bytes> = shared.get(&Key::number(Space::Once, number))?;
        let Some(row) = row.map(ResultsRow::read) else {
            continue;
        };
        let Some(entry) = row.entries().nth(index as usize) else {
            continue;
        };
        bytes += entry.size();
        let full = page.items.len() >= limit.items || bytes > limit.bytes;
        if full && !page.items.is_empty() {
            page.more = true;
            break;
        }
        page.items.push(row.result(index as usize, &entry));
    }
    Ok(page)
}
