//! The state as the commits that were accepted leave it, ahead of what is durable: what units are judged against. Owned by
//! the writing thread.

mod holders;
mod letters;
mod once;
mod places;
mod records;
mod rows;
mod runs;
mod trim;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::time::Instant;

use self::holders::Holders;
use self::letters::Letters;
use self::once::{Once, StagedOnce};
use self::places::{LastQueue, StagedQueue};
use self::runs::{Closing, Runs};
use super::frame::{FrameWriter, Header};
use super::keep::Keep;
use super::levels::Shared;
use super::rows::{Key, QueueHash, RunRow, Seed, Space, end_of};
use crate::store::clock::Clock;
use crate::store::coding::Writer;
use crate::store::judge::{Judging, Step};
use crate::store::{Entry, Error, OpenRun, TakenId};
use crate::types::Message;

#[derive(Debug)]
pub(super) struct State {
    shared: Arc<Shared>,
    keep: Keep,
    seed: Seed,
    header: Header,
    clock: Clock,
    /// Rows that were accepted in frames that are not durable yet, each with its frame.
    pending: BTreeMap<Key, Option<Bytes>>,
    /// Each of those frames.
    frames: Vec<Pending>,
    once: Once,
    runs: Runs,
    letters: Letters,
    holders: Holders,
    staged: Staged,
    swept: trim::Swept,
}

/// What a frame that is not durable yet did.
#[derive(Debug)]
struct Pending {
    number: u64,
    /// Of the rows that it wrote, in their order.
    keys: Vec<Key>,
    closing: Vec<Closing>,
}

/// The frame that is being made.
#[derive(Debug)]
struct Staged {
    frame: FrameWriter,
    /// Rows that are in the frame already, the newest of each key.
    rows: BTreeMap<Key, Option<Range<usize>>>,
    queues: HashMap<QueueHash, StagedQueue>,
    last_queue: Option<LastQueue>,
    once: Vec<StagedOnce>,
    /// Which req_ids of earlier rows are settled, by the rows' numbers: each is written once, however many are.
    marks: BTreeMap<u64, Writer>,
    runs: Vec<(u64, RunRow)>,
    /// Runs of which some packets were finished or settled, but not all.
    finished: Vec<u64>,
    closing: Vec<Closing>,
    /// The place of each ephemeral message: that of the stored entry before it.
    ephemeral: Vec<(u64, Arc<Message>)>,
    /// About the bytes of what is written when the frame is complete.
    held: usize,
    /// Whether the last thing taken in this commit may have more of its run behind it.
    run_is_open: bool,
    /// The store's own time, by which things age.
    now: SystemTime,
    /// What the commit says that it is.
    wall: SystemTime,
}

impl Staged {
    fn new() -> Self {
        Self {
            frame: FrameWriter::new(),
            rows: BTreeMap::new(),
            queues: HashMap::new(),
            last_queue: None,
            once: Vec::new(),
            marks: BTreeMap::new(),
            runs: Vec::new(),
            finished: Vec::new(),
            closing: Vec::new(),
            ephemeral: Vec::new(),
            held: 0,
            run_is_open: false,
            now: SystemTime::UNIX_EPOCH,
            wall: SystemTime::UNIX_EPOCH,
        }
    }
}

/// A frame that is complete.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) payload: Bytes,
    /// Told beside what is in the payload, each after the entry of its position.
    pub(super) ephemeral: Vec<(u64, Arc<Message>)>,
}

impl State {
    /// Reads what it keeps in memory: what is open, the req_ids, and who holds results.
    pub(super) fn load(
        shared: Arc<Shared>,
        keep: Keep,
        seed: Seed,
        clock: Clock,
    ) -> Result<Self, Error> {
        let header = shared.levels.read().active.header;
        let mut state = Self {
            shared,
            holders: Holders::new(&keep),
            keep,
            seed,
            header,
            clock,
            pending: BTreeMap::new(),
            frames: Vec::new(),
            once: Once::default(),
            runs: Runs::default(),
            letters: Letters::default(),
            staged: Staged::new(),
            swept: trim::Swept::default(),
        };
        state.load_once()?;
        state.load_holders()?;
        state.load_runs()?;
        state.load_letters()?;
        Ok(state)
    }

    /// After frames that did not become durable: everything is as it is durably.
    pub(super) fn reload(&mut self) -> Result<(), Error> {
        let term = self.header.term;
        let (shared, keep) = (self.shared.clone(), self.keep.clone());
        *self = Self::load(shared, keep, self.seed, self.clock.clone())?;
        // Given, though no frame has told it yet.
        self.raise_term(term);
        Ok(())
    }

    /// Judges a commit into the frame that is being made, until it ends or the frame has so many bytes. After an error
    /// nothing of that frame may be used.
    pub(super) fn judge(&mut self, judging: &mut Judging, bytes: usize) -> Result<Step, Error> {
        let now = self.clock.now(judging.now, Instant::now());
        self.header.time = self.header.time.max(now);
        self.staged.now = self.header.time;
        self.staged.wall = judging.now;
        self.staged.run_is_open = false;
        while self.staged_bytes() < bytes {
            if judging.step(self)? == Step::Ended {
                return Ok(Step::Ended);
            }
        }
        Ok(Step::Done)
    }

    /// The last frame that is durable.
    pub(super) fn last_frame(&self) -> u64 {
        self.shared.levels.read().active.frame
    }

    pub(super) fn raise_term(&mut self, term: u64) {
        self.header.term = self.header.term.max(term);
    }

    pub(super) fn has_changed(&self) -> bool {
        let staged = &self.staged;
        !staged.frame.is_empty()
            || !staged.ephemeral.is_empty()
            || !staged.once.is_empty()
            || !staged.marks.is_empty()
            || !staged.runs.is_empty()
            || !staged.finished.is_empty()
            || staged.queues.values().any(StagedQueue::has_changed)
    }

    /// About how much the frame takes so far.
    pub(super) fn staged_bytes(&self) -> usize {
        self.staged.frame.len() + self.staged.held
    }

    /// Completes the frame of this number: the rows of what its commits touched are written once.
    pub(super) fn complete(&mut self, number: u64) -> Result<Frame, Error> {
        self.write_queues()?;
        self.write_once()?;
        self.write_runs()?;
        self.trim()?;
        self.write_holders();
        let (req_ids, results) = (self.once.len() as u64, self.holders.bytes);
        self.shared.meter.lock().keeps(req_ids, results);
        let staged = std::mem::replace(&mut self.staged, Staged::new());
        let payload = staged.frame.close(self.header);
        let mut keys = Vec::with_capacity(staged.rows.len());
        for (key, range) in staged.rows {
            let row = range.map(|range| payload.slice(range));
            self.pending.insert(key.clone(), row);
            keys.push(key);
        }
        self.frames.push(Pending {
            number,
            keys,
            closing: staged.closing,
        });
        Ok(Frame {
            payload,
            ephemeral: staged.ephemeral,
        })
    }

    /// A frame is durable, and in the levels that readers see.
    pub(super) fn is_durable(&mut self, number: u64) {
        while let Some(at) = self.frames.iter().position(|frame| frame.number <= number) {
            let Pending { keys, closing, .. } = self.frames.remove(at);
            self.closed(&closing);
            for key in keys {
                // A later frame may have written it again.
                let again = self
                    .frames
                    .iter()
                    .any(|later| later.keys.binary_search(&key).is_ok());
                if !again {
                    self.pending.remove(&key);
                }
            }
        }
    }

    /// What was taken and is not finished, oldest first.
    pub(super) fn open_runs(&self) -> Result<Vec<OpenRun>, Error> {
        let mut open = self.runs.open_runs(|key| self.get(key))?;
        for run in &mut open {
            for packet in &mut run.packets {
                let (run, at) = (run.id, packet.at);
                packet.held = self.holds(TakenId { run, at });
            }
        }
        Ok(open)
    }

    fn next_position(&mut self) -> u64 {
        self.header.tail += 1;
        self.header.tail
    }

    fn next_number(&mut self) -> u64 {
        self.header.number += 1;
        self.header.number
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        if let Some(range) = self.staged.rows.get(key) {
            return Ok(range.clone().map(|range| self.staged.frame.at(range)));
        }
        if let Some(row) = self.pending.get(key) {
            return Ok(row.clone());
        }
        self.shared.get(key)
    }

    fn put(&mut self, key: Key, write: impl FnOnce(&mut Writer)) {
        let range = self.staged.frame.put(&key, write);
        self.staged.rows.insert(key, Some(range));
    }

    fn delete(&mut self, key: Key) {
        self.staged.frame.delete(&key);
        self.staged.rows.insert(key, None);
    }

    /// Rows as the frame that is being made leaves them: what is staged and not written yet is not among them.
    fn range(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<(Key, Bytes)>, Error> {
        // Where the first result is kept behind the place that is settled, for one.
        if from >= to {
            return Ok(Vec::new());
        }
        let over = self.over(from, to);
        let (rows, _) = self.shared.range(&over, from, to, limit)?;
        Ok(rows)
    }

    /// Every row of a space, in order, so many read at once.
    fn for_each_row(
        &mut self,
        space: Space,
        together: usize,
        mut visit: impl FnMut(&mut Self, Key, Bytes) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut from = Key::named(space, "");
        let end = end_of(&from);
        loop {
            let rows = self.range(&from, &end, together)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            from = last.next();
            for (key, row) in rows {
                visit(self, key, row)?;
            }
        }
    }

    fn last(&self, from: &Key, to: &Key) -> Result<Option<(Key, Bytes)>, Error> {
        let over = self.over(from, &to.next());
        self.shared.last(&over, from, to)
    }

    fn over(&self, from: &Key, to: &Key) -> BTreeMap<Key, Option<Bytes>> {
        let pending = self.pending.range(from.clone()..to.clone());
        let mut over: BTreeMap<_, _> = pending
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        for (key, range) in self.staged.rows.range(from.clone()..to.clone()) {
            let row = range.clone().map(|range| self.staged.frame.at(range));
            over.insert(key.clone(), row);
        }
        over
    }
}

/// The entries that a frame brings, in order of position.
pub(super) fn entries(payload: Bytes, ephemeral: Vec<(u64, Arc<Message>)>) -> Vec<Entry> {
    rows::entries(payload, ephemeral)
}
