//! Packets without a place, known by their req_ids: in memory, and as rows of results, a row for each frame, owner and handler.

mod blocks;

use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;

pub(super) use self::blocks::Block;
use self::blocks::Blocks;
use super::State;
use crate::store::coding::Reader;
use crate::store::embedded::reader::{FoundOnce, open_result};
use crate::store::embedded::rows::{Key, Owner, ResultsRow, ResultsWriter, Scope, Space, end_of};
use crate::store::judge::{Final, Known};
use crate::store::{Error, Owed, TakenId};
use crate::types::{ClientKey, HandlerName};

/// Rows that are read at once.
const TOGETHER: usize = 64;

/// What is known of one is forgotten with its row, the oldest row first.
#[derive(Debug, Default)]
pub(super) struct Once {
    entries: HashMap<u128, Entry>,
    pub(super) blocks: Blocks,
    pub(super) bytes: u64,
}

/// There may be a million of them: what a row says is not said here.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// The names of a [`TakenId`].
    Open { run: u64, at: u32 },
    /// The row, and where in it.
    Kept { number: u64, index: u32 },
    /// Finished, and its answer settled.
    Settled,
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
        self.entries.len()
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
            for (key, row) in rows {
                self.load_block(key.last_number(), row)?;
            }
        }
    }

    fn load_block(&mut self, number: u64, row: bytes::Bytes) -> Result<(), Error> {
        let bytes = row.len() as u64;
        let row = ResultsRow::read(row);
        let owner = self.owner(&row.client, row.scope);
        let mut hashes = Vec::new();
        for (index, entry) in row.entries().enumerate() {
            let hash = self.seed.once(owner, &entry.req_id);
            hashes.push(hash);
            let kept = Entry::Kept {
                number,
                index: index as u32,
            };
            self.once.entries.insert(hash, kept);
        }
        let mut settled = Vec::new();
        if let Some(marks) = self.get(&Key::number(Space::OnceSettled, number))? {
            let mut from = Reader(marks);
            while !from.is_empty() {
                let index = from.number() as u32;
                settled.push(index);
                self.once
                    .entries
                    .insert(hashes[index as usize], Entry::Settled);
            }
        }
        self.once.bytes += bytes;
        let block = Block::new(number, row.time, bytes, settled);
        self.once.blocks.push(block);
        Ok(())
    }

    pub(super) fn owner(&self, client: &ClientKey, scope: Scope) -> Owner {
        match scope {
            Scope::Subject => self.seed.subject(&client.tenant, &client.subject),
            Scope::Client | Scope::Places(_) => self.seed.client(client),
        }
    }

    pub(super) fn known_once(&self, owner: Owner, req_id: &str) -> Result<Known, Error> {
        let hash = self.seed.once(owner, req_id);
        Ok(match self.once.entries.get(&hash) {
            None => Known::New,
            Some(Entry::Settled) => Known::Forgotten,
            Some(&Entry::Open { run, at }) => {
                let taken = TakenId { run, at };
                match self.runs.opened(taken) {
                    Some(opened) => Known::Open(opened.fingerprint, taken),
                    None => Known::Forgotten,
                }
            }
            Some(&Entry::Kept { number, index }) => match self.once_entry(number, index)? {
                Some((_, entry)) => Known::Finished(entry.fingerprint, entry.answer()),
                None => Known::Forgotten,
            },
        })
    }

    fn once_entry(
        &self,
        number: u64,
        index: u32,
    ) -> Result<
        Option<(
            Option<ResultsRow>,
            crate::store::embedded::rows::ResultsEntry,
        )>,
        Error,
    > {
        let staged = self
            .staged
            .once
            .iter()
            .find(|staged| staged.row.number == number);
        if let Some(staged) = staged {
            return Ok(staged
                .row
                .entry(u64::from(index))
                .map(|entry| (None, entry)));
        }
        let row = self.get(&Key::number(Space::Once, number))?;
        Ok(row.and_then(|row| {
            let row = ResultsRow::read(row);
            let entry = row.entries().nth(index as usize)?;
            Some((Some(row), entry))
        }))
    }

    /// What is known of these that are not settled.
    pub(super) fn look_once(&self, client: &ClientKey, req_ids: &[ByteString]) -> Vec<FoundOnce> {
        let owner = self.seed.client(client);
        let mut closing = None;
        let mut find = |req_id: &ByteString| {
            let hash = self.seed.once(owner, req_id);
            match self.once.entries.get(&hash)? {
                Entry::Kept { number, .. } if !self.has_durable_row(*number) => {
                    let closing = closing.get_or_insert_with(|| self.closing_once(owner));
                    let (handler, req_id) = closing.get(&hash)?;
                    let (client, handler) = (Arc::new(client.clone()), handler.clone());
                    let open = open_result(client, handler, req_id.clone(), 0);
                    Some(FoundOnce::Open(open))
                }
                Entry::Kept { number, index } => Some(FoundOnce::Kept(*number, *index)),
                Entry::Open { run, at } => {
                    let (run, at) = (*run, *at);
                    let opened = self.runs.opened(TakenId { run, at })?;
                    if !self.has_durable(run) {
                        return None;
                    }
                    let client = Arc::new(client.clone());
                    let handler = opened.origin.handler.clone();
                    Some(FoundOnce::Open(open_result(
                        client,
                        handler,
                        opened.req_id,
                        0,
                    )))
                }
                Entry::Settled => None,
            }
        };
        req_ids.iter().filter_map(|req_id| find(req_id)).collect()
    }

    fn has_durable_row(&self, number: u64) -> bool {
        let mut staged = self.staged.once.iter();
        let row = Key::number(Space::Once, number);
        !staged.any(|staged| staged.row.number == number) && !self.pending.contains_key(&row)
    }

    pub(super) fn open_once(&mut self, owner: Owner, req_id: &str, taken: TakenId) {
        let hash = self.seed.once(owner, req_id);
        let TakenId { run, at } = taken;
        self.once.entries.insert(hash, Entry::Open { run, at });
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
        let is_settled = matches!(self.once.entries.get(&hash), Some(Entry::Settled));
        let position = match (scope, answer.awaited || is_settled) {
            (Scope::Subject, _) | (_, true) => 0,
            _ => self.next_position(),
        };
        let staged = &mut self.staged.once[at];
        let kept = Entry::Kept {
            number: staged.row.number,
            index: staged.row.count as u32,
        };
        staged
            .row
            .push(position, answer.fingerprint, answer.req_id, answer.answer);
        if is_settled {
            staged.settled.push(staged.row.count as u32 - 1);
        } else {
            self.once.entries.insert(hash, kept);
        }
    }

    pub(super) fn settle_once(&mut self, owner: Owner, req_id: &str) -> Result<(), Error> {
        let hash = self.seed.once(owner, req_id);
        match self.once.entries.get(&hash) {
            Some(&Entry::Open { run, at }) => {
                let taken = TakenId { run, at };
                // It is kept as settled when it is finished.
                self.once.entries.insert(hash, Entry::Settled);
                self.settle_packet(taken);
            }
            Some(&Entry::Kept { number, index }) => {
                self.once.entries.insert(hash, Entry::Settled);
                self.mark_settled(number, index);
            }
            Some(Entry::Settled) | None => {}
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
        self.once.entries.insert(hash, Entry::Settled);
    }

    fn mark_settled(&mut self, number: u64, index: u32) {
        let mut staged = self.staged.once.iter_mut();
        if let Some(staged) = staged.find(|staged| staged.row.number == number) {
            staged.settled.push(index);
        } else if let Some(block) = self.once.blocks.get_mut(number) {
            let marks = block.settle(index);
            self.write_marks(number, &marks);
        }
    }

    pub(super) fn owe_once(&mut self, owed: &Owed) -> Result<(), Error> {
        let owner = self.seed.client(&owed.queue.client);
        let hash = self.seed.once(owner, &owed.req_id);
        let key = Key::owed_once(owner, hash);
        let Some(&Entry::Kept { number, index }) = self.once.entries.get(&hash) else {
            return Ok(());
        };
        let Some((row, entry)) = self.once_entry(number, index)? else {
            return Ok(());
        };
        // Its answer may be in the frame that is being made: whoever owes it need not have been told yet.
        let staged = || {
            let mut staged = self.staged.once.iter();
            let staged = staged.find(|staged| staged.row.number == number)?;
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
        self.write_results(key, &copy, None);
        Ok(())
    }

    pub(super) fn write_once(&mut self) {
        for staged in std::mem::take(&mut self.staged.once) {
            let key = Key::number(Space::Once, staged.row.number);
            self.write_results(key.clone(), &staged.row, None);
            let range = self.staged.rows.get(&key).cloned().flatten();
            let bytes = range.map_or(0, |range| range.len() as u64);
            self.once.bytes += bytes;
            if !staged.settled.is_empty() {
                self.write_marks(staged.row.number, &staged.settled);
            }
            let (number, time) = (staged.row.number, staged.row.time);
            let block = Block::new(number, time, bytes, staged.settled);
            self.once.blocks.push(block);
        }
    }

    fn write_marks(&mut self, number: u64, settled: &[u32]) {
        self.put(Key::number(Space::OnceSettled, number), |out| {
            settled
                .iter()
                .for_each(|index| out.number(u64::from(*index)));
        });
    }

    /// Nothing is known of the req_ids of a row any more. Its owner's row stays to be released.
    pub(super) fn forget_block(&mut self, number: u64) -> Result<(), Error> {
        let key = Key::number(Space::Once, number);
        // Before anything is changed: it may not be readable.
        let row = self.get(&key)?.map(ResultsRow::read);
        let Some((bytes, settled)) = self.once.blocks.remove(number) else {
            return Ok(());
        };
        self.once.bytes -= bytes;
        let entries = row.iter().flat_map(|row| {
            let owner = self.owner(&row.client, row.scope);
            row.entries()
                .map(move |entry| (owner, entry.req_id))
                .enumerate()
        });
        let hashes: Vec<_> = entries
            .map(|(index, (owner, req_id))| (index, self.seed.once(owner, &req_id)))
            .collect();
        for (index, hash) in hashes {
            let its_own = match self.once.entries.get(&hash) {
                Some(Entry::Kept { number: of, .. }) => *of == number,
                Some(Entry::Settled) => settled.contains(&(index as u32)),
                _ => false,
            };
            if its_own {
                self.once.entries.remove(&hash);
            }
        }
        self.delete(key);
        if !settled.is_empty() {
            self.delete(Key::number(Space::OnceSettled, number));
        }
        Ok(())
    }
}
