//! Places of queues, and the results that are kept for them.

use std::sync::Arc;
use std::time::SystemTime;

use super::State;
use crate::store::embedded::rows::{
    Key, OwnedRow, QueueHash, QueueRow, ResultsRow, ResultsWriter, Scope, Space,
};
use crate::store::judge::{Final, Known};
use crate::store::{Error, Owed, Settle};
use crate::types::{ClientKey, HandlerName};

/// Rows of results that one settling removes at most; the others are nobody's all the same, and go with the next one.
const REMOVED_AT_ONCE: usize = 256;

/// A queue that the frame touches.
#[derive(Debug)]
pub(super) struct StagedQueue {
    pub(super) row: QueueRow,
    is_new: bool,
    changed: bool,
    /// Of this frame, each without a hole.
    results: Vec<ResultsWriter>,
}

/// The queue that was asked for last. Packets of one queue come in a row, with the same name by the same pointer: to compare
/// is a fraction of what it costs to hash. Dropped with the frame, as the name may hold a request's buffer.
#[derive(Debug)]
pub(super) struct LastQueue {
    client: Arc<ClientKey>,
    handler: HandlerName,
    hash: QueueHash,
}

impl StagedQueue {
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }
}

impl LastQueue {
    fn is_of(&self, client: &Arc<ClientKey>, handler: &HandlerName) -> bool {
        self.client == *client && self.handler == *handler
    }
}

impl State {
    /// The queue, in the frame that is being made. One that is new is not there until something of it is stored.
    pub(super) fn queue(
        &mut self,
        client: &Arc<ClientKey>,
        handler: &HandlerName,
    ) -> Result<(QueueHash, &mut StagedQueue), Error> {
        let last = self.staged.last_queue.as_mut();
        if let Some(last) = last.filter(|last| last.is_of(client, handler)) {
            if !Arc::ptr_eq(&last.client, client) {
                last.client = client.clone();
            }
            let hash = last.hash;
            let queue = self.staged.queues.get_mut(&hash);
            return Ok((hash, queue.expect("what was asked for last is there")));
        }
        let hash = self.seed.queue(self.seed.client(client), handler.as_str());
        if !self.staged.queues.contains_key(&hash) {
            let row = self.get(&Key::queue(hash))?;
            let is_new = row.is_none();
            let row = row.map_or_else(
                || QueueRow::new(client, handler, self.staged.now),
                QueueRow::read,
            );
            let queue = StagedQueue {
                row,
                is_new,
                changed: false,
                results: Vec::new(),
            };
            self.staged.queues.insert(hash, queue);
        }
        self.staged.last_queue = Some(LastQueue {
            client: client.clone(),
            handler: handler.clone(),
            hash,
        });
        let queue = self.staged.queues.get_mut(&hash);
        Ok((hash, queue.expect("it was put in above")))
    }

    pub(super) fn known_place(
        &mut self,
        client: &Arc<ClientKey>,
        handler: &HandlerName,
        seq: u64,
    ) -> Result<Known, Error> {
        let full = self.header.places >= self.keep.places;
        let (hash, queue) = self.queue(client, handler)?;
        let (reached, settled) = (queue.row.reached, queue.row.settled);
        if seq > reached {
            let next = reached.saturating_add(1);
            return Ok(match () {
                () if seq > next => Known::Ahead { next },
                () if full && queue.is_new && !queue.changed => Known::NoRoom,
                () => Known::New,
            });
        }
        if seq <= settled {
            return Ok(Known::Forgotten);
        }
        if let Some((taken, fingerprint)) = self.runs.open_at(hash, seq) {
            return Ok(Known::Open(fingerprint, taken));
        }
        let (_, queue) = self.queue(client, handler)?;
        for row in &queue.results {
            let Scope::Places(first) = row.scope else {
                continue;
            };
            if let Some(entry) = seq.checked_sub(first).and_then(|index| row.entry(index)) {
                return Ok(Known::Finished(entry.fingerprint, entry.answer()));
            }
        }
        let kept_from = queue.row.kept_from;
        let found = self.kept_row(Space::Results, hash, kept_from, seq)?;
        let entry = found.and_then(|row| {
            let index = seq.checked_sub(row.first_place())?;
            row.entries().nth(index as usize)
        });
        Ok(match entry {
            Some(entry) => Known::Finished(entry.fingerprint, entry.answer()),
            None => Known::Forgotten,
        })
    }

    fn kept_row(
        &self,
        space: Space,
        queue: QueueHash,
        from: u64,
        seq: u64,
    ) -> Result<Option<ResultsRow>, Error> {
        let from = Key::placed(space, queue, from.min(seq));
        let found = self.last(&from, &Key::placed(space, queue, seq))?;
        let row = found.map(|(_, row)| ResultsRow::read(row));
        Ok(row.filter(|row| seq <= row.last_place()))
    }

    /// Takes the next place of a queue.
    pub(super) fn reach(
        &mut self,
        client: &Arc<ClientKey>,
        handler: &HandlerName,
        seq: u64,
    ) -> Result<QueueHash, Error> {
        let now = self.staged.now;
        let (hash, queue) = self.queue(client, handler)?;
        queue.row.reached = queue.row.reached.max(seq);
        queue.row.used = now;
        let comes = queue.is_new && !queue.changed;
        queue.changed = true;
        if comes {
            self.header.places += 1;
        }
        Ok(hash)
    }

    /// Keeps the answer of a place. One that was settled meanwhile is kept for nobody.
    pub(super) fn keep_place(
        &mut self,
        client: &Arc<ClientKey>,
        handler: &HandlerName,
        seq: u64,
        answer: &Final<'_>,
    ) -> Result<(), Error> {
        let now = self.staged.now;
        let (mut tail, mut number) = (self.header.tail, self.header.number);
        let (_, queue) = self.queue(client, handler)?;
        queue.changed = true;
        queue.row.used = now;
        if seq <= queue.row.settled {
            return Ok(());
        }
        let follows = |row: &&mut ResultsWriter| row.next_place() == Some(seq);
        let row = match queue.results.iter_mut().rfind(follows) {
            Some(row) => row,
            None => {
                let names = (queue.row.client.clone(), queue.row.handler.clone());
                number += 1;
                let row = ResultsWriter::new(names.0, names.1, Scope::Places(seq), number, now);
                queue.results.push(row);
                queue.results.last_mut().expect("it was put in above")
            }
        };
        let position = match answer.awaited {
            true => 0,
            false => {
                tail += 1;
                tail
            }
        };
        row.push(position, answer.fingerprint, answer.req_id, answer.answer);
        (self.header.tail, self.header.number) = (tail, number);
        Ok(())
    }

    pub(super) fn settle_places(&mut self, settle: &Settle) -> Result<(), Error> {
        let (client, handler) = (&settle.queue.client, &settle.queue.handler);
        let full = self.header.places >= self.keep.places;
        let now = self.staged.now;
        let (hash, queue) = self.queue(client, handler)?;
        let there = !queue.is_new || queue.changed;
        if settle.through == 0 || (!there && full) || settle.through <= queue.row.settled {
            return Ok(());
        }
        queue.changed = true;
        queue.row.used = now;
        queue.row.settled = settle.through;
        queue.row.reached = queue.row.reached.max(settle.through);
        if !there {
            self.header.places += 1;
        }
        self.remove_settled(hash, settle.through)
    }

    /// Removes the rows whose places are all settled.
    fn remove_settled(&mut self, hash: QueueHash, through: u64) -> Result<(), Error> {
        let queue = &self.staged.queues[&hash].row;
        let owner = self.seed.client(&queue.client);
        let (kept_from, owed) = (queue.kept_from, queue.owed);
        let mut kept_from = kept_from;
        let end = Key::placed(Space::Results, hash, through).next();
        let from = Key::placed(Space::Results, hash, kept_from);
        for (key, row) in self.range(&from, &end, REMOVED_AT_ONCE)? {
            let bytes = row.len() as u64;
            let row = ResultsRow::read(row);
            kept_from = row.first_place();
            if row.last_place() <= through {
                kept_from = row.last_place().saturating_add(1);
                self.release(owner, row.number, bytes)?;
                self.delete(key);
            }
        }
        if owed > 0 {
            let from = Key::placed(Space::Owed, hash, 0);
            let end = Key::placed(Space::Owed, hash, through).next();
            for (key, row) in self.range(&from, &end, REMOVED_AT_ONCE)? {
                self.release(
                    owner,
                    ResultsRow::read(row.clone()).number,
                    row.len() as u64,
                )?;
                self.delete(key);
            }
        }
        let queue = self.staged.queues.get_mut(&hash);
        let row = &mut queue.expect("it is settled in it").row;
        row.kept_from = kept_from;
        if owed <= through {
            row.owed = 0;
        }
        Ok(())
    }

    /// A kept result of a place that no call carried becomes the streams'.
    pub(super) fn owe_place(&mut self, owed: &Owed) -> Result<(), Error> {
        let (client, handler) = (&owed.queue.client, &owed.queue.handler);
        let (hash, queue) = self.queue(client, handler)?;
        if owed.seq <= queue.row.settled || owed.seq > queue.row.reached {
            return Ok(());
        }
        let kept_from = queue.row.kept_from;
        if self
            .get(&Key::placed(Space::Owed, hash, owed.seq))?
            .is_some()
        {
            return Ok(());
        }
        // It may be in the frame that is being made: whoever owes it need not have been told yet.
        let staged = self.staged.queues[&hash].results.iter().find_map(|row| {
            let Scope::Places(first) = row.scope else {
                return None;
            };
            let entry = row.entry(owed.seq.checked_sub(first)?)?;
            Some((row.client.clone(), row.handler.clone(), entry))
        });
        let found = match staged {
            Some(staged) => Some(staged),
            None => {
                let row = self.kept_row(Space::Results, hash, kept_from, owed.seq)?;
                row.and_then(|row| {
                    let index = (owed.seq - row.first_place()) as usize;
                    let entry = row.entries().nth(index)?;
                    Some((row.client, row.handler, entry))
                })
            }
        };
        let Some((client_of, handler_of, entry)) = found.filter(|(.., entry)| entry.position == 0)
        else {
            return Ok(());
        };
        let number = self.next_number();
        let scope = Scope::Places(owed.seq);
        let mut copy = ResultsWriter::new(client_of, handler_of, scope, number, self.staged.now);
        let position = self.next_position();
        copy.push(position, entry.fingerprint, &entry.req_id, &entry.answer());
        let key = Key::placed(Space::Owed, hash, owed.seq);
        self.write_results(key, &copy, Some((hash, owed.seq)))?;
        let (_, queue) = self.queue(client, handler)?;
        queue.row.owed = queue.row.owed.max(owed.seq);
        queue.changed = true;
        Ok(())
    }

    pub(super) fn write_queues(&mut self) -> Result<(), Error> {
        self.staged.last_queue = None;
        let queues = std::mem::take(&mut self.staged.queues);
        for (hash, mut queue) in queues {
            if !queue.changed {
                continue;
            }
            for row in std::mem::take(&mut queue.results) {
                let Scope::Places(first) = row.scope else {
                    continue;
                };
                let last = first.saturating_add(row.count - 1);
                if last <= queue.row.settled {
                    continue;
                }
                if queue.row.kept_from == 0 || first < queue.row.kept_from {
                    queue.row.kept_from = first;
                }
                let key = Key::placed(Space::Results, hash, first);
                self.write_results(key, &row, Some((hash, last)))?;
            }
            self.put(Key::queue(hash), |out| queue.row.write(out));
        }
        Ok(())
    }

    /// Writes a row of results, where its owner finds it, and counts it.
    pub(super) fn write_results(
        &mut self,
        key: Key,
        row: &ResultsWriter,
        last: Option<(QueueHash, u64)>,
    ) -> Result<(), Error> {
        let owner = match row.scope {
            Scope::Places(_) | Scope::Client => self.seed.client(&row.client),
            Scope::Subject => self.seed.subject(&row.client.tenant, &row.client.subject),
        };
        let range = self.staged.frame.put(&key, |out| row.write(out));
        let owned = OwnedRow {
            key: key.clone(),
            positions: row.positions,
            time: row.time,
            bytes: range.len() as u64,
            last,
        };
        self.staged.rows.insert(key, Some(range));
        self.put(Key::owned(owner, row.number), |out| owned.write(out));
        self.hold(owner, owned.bytes)
    }

    /// Rows of a queue that was not used for long go, unless it has results.
    pub(super) fn forget_queue(
        &mut self,
        key: Key,
        row: &QueueRow,
        oldest: SystemTime,
    ) -> Result<(), Error> {
        let hash = QueueHash::of_key(&key);
        if row.used >= oldest || self.runs.has_open(hash) {
            return Ok(());
        }
        for space in [Space::Results, Space::Owed] {
            let first = Key::placed(space, hash, 0);
            if self
                .last(&first, &Key::placed(space, hash, u64::MAX))?
                .is_some()
            {
                return Ok(());
            }
        }
        self.delete(key);
        self.header.places = self.header.places.saturating_sub(1);
        Ok(())
    }
}
