//! Packets without a place, known by their req_ids: in memory, and as rows of results, a row for each frame, owner and handler.

mod blocks;
mod kept;

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;

pub(super) use self::blocks::Block;
use self::blocks::Blocks;
use self::kept::{At, Kept};
use super::State;
use crate::store::coding::{Reader, Writer};
use crate::store::embedded::keep::Keep;
use crate::store::embedded::reader::{FoundOnce, open_result};
use crate::store::embedded::rows::{
    Key, Owner, ResultsEntry, ResultsRow, ResultsWriter, Scope, Space, end_of,
};
use crate::store::judge::{Final, Known};
use crate::store::{Error, Owed, TakenId};
use crate::types::{ClientKey, HandlerName};

/// Rows that are read at once.
const TOGETHER: usize = 256;

/// What is known of one is forgotten with its row, the oldest row first. There may be a million: what a row says is not said
/// here.
#[derive(Debug, Default)]
pub(super) struct Once {
    /// Those that are finished.
    kept: Kept,
    /// Those that are not. They count before those that are.
    open: HashMap<u128, OpenOnce>,
    pub(super) blocks: Blocks,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct OpenOnce {
    taken: TakenId,
    /// Its client was done with it before it was finished.
    is_settled: bool,
}

/// A row of the frame that is being made.
#[derive(Debug)]
pub(super) struct StagedOnce {
    owner: Owner,
    row: ResultsWriter,
    /// Settled in the frame that brings them.
    settled: Vec<u32>,
}

impl Once {
    pub(super) fn len(&self) -> usize {
        self.kept.len() + self.open.len()
    }

    pub(super) fn is_over(&self, keep: &Keep) -> bool {
        self.len() > keep.once || self.bytes > keep.once_bytes || self.blocks.is_full()
    }
}

impl State {
    pub(super) fn load_once(&mut self) -> Result<(), Error> {
        let mut from = Key::named(Space::Once, "");
        let end = end_of(&from);
        loop {
            let rows = self.range(&from, &end, TOGETHER)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            from = last.next();
            let mut marks = self.load_marks(&rows)?;
            for (key, row) in rows {
                let number = key.last_number();
                let marks = marks.remove(&Key::number(Space::OnceSettled, number));
                self.load_block(number, row, marks);
            }
        }
    }

    /// Which req_ids of some rows are settled.
    fn load_marks(&self, rows: &[(Key, Bytes)]) -> Result<HashMap<Key, Bytes>, Error> {
        let marks_of = |(key, _): &(Key, _)| Key::number(Space::OnceSettled, key.last_number());
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(HashMap::new());
        };
        let marks = self.range(&marks_of(first), &marks_of(last).next(), usize::MAX)?;
        Ok(marks.into_iter().collect())
    }

    fn load_block(&mut self, number: u64, row: Bytes, marks: Option<Bytes>) {
        let bytes = row.len() as u64;
        let row = ResultsRow::read(row);
        let owner = self.owner(&row.client, row.scope);
        let block = self.once.blocks.next();
        let mut hashes = Vec::with_capacity(row.count as usize);
        for (index, entry) in row.entries().enumerate() {
            let hash = self.seed.once(owner, &entry.req_id);
            hashes.push(hash);
            let at = At {
                block,
                index: index as u32,
                is_settled: false,
            };
            self.once.kept.insert(hash, at);
        }
        let has_marks = marks.is_some();
        let mut marks = Reader(marks.unwrap_or_default());
        while !marks.is_empty() {
            let index = marks.number() as u32;
            let at = At {
                block,
                index,
                is_settled: true,
            };
            self.once.kept.insert(hashes[index as usize], at);
        }
        self.once.bytes += bytes;
        let block = Block::new(number, row.time, bytes, has_marks);
        self.once.blocks.push(block);
    }

    pub(super) fn owner(&self, client: &ClientKey, scope: Scope) -> Owner {
        match scope {
            Scope::Subject => self.seed.subject(&client.tenant, &client.subject),
            Scope::Client | Scope::Places(_) => self.seed.client(client),
        }
    }

    pub(super) fn known_once(&self, owner: Owner, req_id: &str) -> Result<Known, Error> {
        let hash = self.seed.once(owner, req_id);
        if let Some(open) = self.once.open.get(&hash) {
            let opened = self.runs.opened(open.taken);
            return Ok(match opened.filter(|_| !open.is_settled) {
                Some(opened) => Known::Open(opened.fingerprint, open.taken),
                None => Known::Forgotten,
            });
        }
        Ok(match self.once.kept.get(hash) {
            None => Known::New,
            Some(at) if at.is_settled => Known::Forgotten,
            Some(at) => match self.once_entry(at)? {
                Some((_, entry)) => Known::Finished(entry.fingerprint, entry.answer()),
                None => Known::Forgotten,
            },
        })
    }

    /// Which of the frame's rows it is in that is being made.
    fn staged_once(&self, at: At) -> Option<&StagedOnce> {
        let staged = at.block.wrapping_sub(self.once.blocks.next());
        self.staged.once.get(staged as usize)
    }

    /// The number of its row.
    fn once_number(&self, at: At) -> Option<u64> {
        match self.staged_once(at) {
            Some(staged) => Some(staged.row.number),
            None => self.once.blocks.get(at.block).map(Block::number),
        }
    }

    fn once_entry(&self, at: At) -> Result<Option<(Option<ResultsRow>, ResultsEntry)>, Error> {
        if let Some(staged) = self.staged_once(at) {
            let entry = staged.row.entry(u64::from(at.index));
            return Ok(entry.map(|entry| (None, entry)));
        }
        let Some(block) = self.once.blocks.get(at.block) else {
            return Ok(None);
        };
        let row = self.get(&Key::number(Space::Once, block.number()))?;
        Ok(row.and_then(|row| {
            let row = ResultsRow::read(row);
            let entry = row.entries().nth(at.index as usize)?;
            Some((Some(row), entry))
        }))
    }

    /// What is known of these that are not settled.
    pub(super) fn look_once(&self, client: &ClientKey, req_ids: &[ByteString]) -> Vec<FoundOnce> {
        let owner = self.seed.client(client);
        let mut closing = None;
        let find = |req_id: &ByteString| {
            let hash = self.seed.once(owner, req_id);
            let Some(open) = self.once.open.get(&hash) else {
                let at = self.once.kept.get(hash).filter(|at| !at.is_settled)?;
                let number = self.once_number(at)?;
                if self.has_durable_row(number) {
                    return Some(FoundOnce::Kept(number, at.index));
                }
                let closing = closing.get_or_insert_with(|| self.closing_once(owner));
                let (handler, req_id) = closing.get(&hash)?;
                let (client, handler) = (Arc::new(client.clone()), handler.clone());
                let open = open_result(client, handler, req_id.clone(), 0);
                return Some(FoundOnce::Open(open));
            };
            if open.is_settled || !self.has_durable(open.taken.run) {
                return None;
            }
            let opened = self.runs.opened(open.taken)?;
            let client = Arc::new(client.clone());
            let handler = opened.origin.handler.clone();
            Some(FoundOnce::Open(open_result(
                client,
                handler,
                opened.req_id,
                0,
            )))
        };
        req_ids.iter().filter_map(find).collect()
    }

    fn has_durable_row(&self, number: u64) -> bool {
        let mut staged = self.staged.once.iter();
        let row = Key::number(Space::Once, number);
        !staged.any(|staged| staged.row.number == number) && !self.pending.contains_key(&row)
    }

    pub(super) fn open_once(&mut self, owner: Owner, req_id: &str, taken: TakenId) {
        let hash = self.seed.once(owner, req_id);
        let open = OpenOnce {
            taken,
            is_settled: false,
        };
        self.once.open.insert(hash, open);
    }

    /// Keeps the answer of a packet without a place.
    pub(super) fn keep_once(
        &mut self,
        client: Arc<ClientKey>,
        scope: Scope,
        handler: &HandlerName,
        answer: &Final<'_>,
    ) {
        let owner = self.owner(&client, scope);
        let hash = self.seed.once(owner, answer.req_id);
        let known = |staged: &StagedOnce| {
            staged.owner == owner && staged.row.handler == *handler && staged.row.scope == scope
        };
        let at = match self.staged.once.iter().position(known) {
            Some(at) => at,
            None => {
                let number = self.next_number();
                let now = self.staged.now;
                let row = ResultsWriter::new(client, handler.clone(), scope, number, now);
                self.staged.once.push(StagedOnce {
                    owner,
                    row,
                    settled: Vec::new(),
                });
                self.staged.once.len() - 1
            }
        };
        let open = self.once.open.remove(&hash);
        let is_settled = open.is_some_and(|open| open.is_settled);
        let position = match (scope, answer.awaited || is_settled) {
            (Scope::Subject, _) | (_, true) => 0,
            _ => self.next_position(),
        };
        let block = self.once.blocks.next().wrapping_add(at as u32);
        let staged = &mut self.staged.once[at];
        let index = staged.row.count as u32;
        staged
            .row
            .push(position, answer.fingerprint, answer.req_id, answer.answer);
        if is_settled {
            staged.settled.push(index);
        }
        let at = At {
            block,
            index,
            is_settled,
        };
        self.once.kept.insert(hash, at);
    }

    pub(super) fn settle_once(&mut self, owner: Owner, req_id: &str) -> Result<(), Error> {
        let hash = self.seed.once(owner, req_id);
        if let Some(open) = self.once.open.get_mut(&hash) {
            // It is kept as settled when it is finished.
            if !std::mem::replace(&mut open.is_settled, true) {
                let taken = open.taken;
                self.settle_packet(taken);
            }
        } else if let Some(at) = self.once.kept.get(hash).filter(|at| !at.is_settled) {
            let settled = At {
                is_settled: true,
                ..at
            };
            self.mark_settled(at)?;
            self.once.kept.insert(hash, settled);
        }
        let owed = Key::owed_once(owner, hash);
        if let Some(row) = self.get(&owed)? {
            let (number, bytes) = (ResultsRow::read(row.clone()).number, row.len() as u64);
            self.release(owner, number, bytes)?;
            self.delete(owed);
        }
        Ok(())
    }

    /// As a row says of one that is open.
    pub(super) fn is_settled_once(&mut self, owner: Owner, req_id: &str) {
        let hash = self.seed.once(owner, req_id);
        if let Some(open) = self.once.open.get_mut(&hash) {
            open.is_settled = true;
        }
    }

    fn mark_settled(&mut self, at: At) -> Result<(), Error> {
        let staged = at.block.wrapping_sub(self.once.blocks.next());
        if let Some(staged) = self.staged.once.get_mut(staged as usize) {
            staged.settled.push(at.index);
            return Ok(());
        }
        let Some(block) = self.once.blocks.get_mut(at.block) else {
            return Ok(());
        };
        let number = block.number();
        let had_marks = std::mem::replace(&mut block.has_marks, true);
        if !self.staged.marks.contains_key(&number) {
            let before = match had_marks {
                true => self.get(&Key::number(Space::OnceSettled, number))?,
                false => None,
            };
            let before = before.unwrap_or_default().to_vec();
            self.staged.marks.insert(number, Writer(before));
        }
        if let Some(marks) = self.staged.marks.get_mut(&number) {
            marks.number(u64::from(at.index));
        }
        Ok(())
    }

    pub(super) fn owe_once(&mut self, owed: &Owed) -> Result<(), Error> {
        let owner = self.seed.client(&owed.queue.client);
        let hash = self.seed.once(owner, &owed.req_id);
        let key = Key::owed_once(owner, hash);
        let kept = self.once.kept.get(hash).filter(|at| !at.is_settled);
        let Some(at) = kept.filter(|_| !self.once.open.contains_key(&hash)) else {
            return Ok(());
        };
        let Some((row, entry)) = self.once_entry(at)? else {
            return Ok(());
        };
        // Its answer may be in the frame that is being made: whoever owes it need not have been told yet.
        let staged = || {
            let staged = self.staged_once(at)?;
            Some((staged.row.client.clone(), staged.row.handler.clone()))
        };
        let Some((client, handler)) = row.map(|row| (row.client, row.handler)).or_else(staged)
        else {
            return Ok(());
        };
        if entry.position != 0 || self.get(&key)?.is_some() {
            return Ok(());
        }
        let number = self.next_number();
        let position = self.next_position();
        let now = self.staged.now;
        let mut copy = ResultsWriter::new(client, handler, Scope::Client, number, now);
        copy.push(position, entry.fingerprint, &entry.req_id, &entry.answer());
        self.write_results(key, &copy, None)
    }

    pub(super) fn write_once(&mut self) -> Result<(), Error> {
        for (number, marks) in std::mem::take(&mut self.staged.marks) {
            self.put(Key::number(Space::OnceSettled, number), |out| {
                out.0.extend_from_slice(&marks.0);
            });
        }
        for staged in std::mem::take(&mut self.staged.once) {
            let key = Key::number(Space::Once, staged.row.number);
            self.write_results(key.clone(), &staged.row, None)?;
            let range = self.staged.rows.get(&key).cloned().flatten();
            let bytes = range.map_or(0, |range| range.len() as u64);
            self.once.bytes += bytes;
            let has_marks = !staged.settled.is_empty();
            if has_marks {
                self.put(Key::number(Space::OnceSettled, staged.row.number), |out| {
                    let indexes = staged.settled.iter();
                    indexes.for_each(|index| out.number(u64::from(*index)));
                });
            }
            let (number, time) = (staged.row.number, staged.row.time);
            let block = Block::new(number, time, bytes, has_marks);
            self.once.blocks.push(block);
        }
        Ok(())
    }

    /// Nothing is known of the req_ids of a row any more. Its owner's row stays to be released.
    pub(super) fn forget_block(&mut self, number: u64) -> Result<(), Error> {
        let key = Key::number(Space::Once, number);
        // Before anything is changed: it may not be readable.
        let row = self.get(&key)?.map(ResultsRow::read);
        let Some(ordinal) = self.once.blocks.find(number) else {
            return Ok(());
        };
        let has_marks = self
            .once
            .blocks
            .get(ordinal)
            .is_some_and(|block| block.has_marks);
        self.once.bytes -= self.once.blocks.remove(ordinal).unwrap_or_default();
        if let Some(row) = row {
            let owner = self.owner(&row.client, row.scope);
            for entry in row.entries() {
                let hash = self.seed.once(owner, &entry.req_id);
                let at = self.once.kept.get(hash);
                if at.is_some_and(|at| at.block == ordinal) {
                    self.once.kept.remove(hash);
                }
            }
        }
        self.delete(key);
        if has_marks {
            self.delete(Key::number(Space::OnceSettled, number));
        }
        Ok(())
    }
}
