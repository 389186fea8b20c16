//! What was taken and is not finished.

mod sparse;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;

use super::State;
use crate::store::coding::Reader;
use crate::store::embedded::reader::{Looked, open_result};
use crate::store::embedded::rows::{Key, Owner, QueueHash, RunPacket, RunRow, Space};
use crate::store::judge::{Opened, Take};
use crate::store::{Error, LetterId, OpenPacket, OpenRun, Origin, Place, TakenId, Which};
use crate::types::{ClientKey, HandlerName};

/// Rows that are read at once.
const TOGETHER: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: BTreeMap<u64, Run>,
    /// The runs of each queue that has open ones, oldest first.
    queues: HashMap<QueueHash, Vec<u64>>,
    /// Runs that are finished, and their last frame is not durable yet: they are told of until it is.
    ended: HashMap<u64, Run>,
}

/// A run, without the bytes of its packets.
#[derive(Debug)]
struct Run {
    origin: Arc<Origin>,
    taken_at: SystemTime,
    queue: Option<QueueHash>,
    packets: Vec<Packet>,
    open: usize,
    /// Some are finished since the row that says so was written.
    changed: bool,
    /// One of them is held, or was.
    holds: bool,
    /// Its row is written again with the frame that is being made.
    shrinks: bool,
    /// Of the packets in its row, and of those among them that are open.
    row_bytes: usize,
    open_bytes: usize,
}

#[derive(Debug)]
struct Packet {
    place: Place,
    fingerprint: u64,
    req_id: ByteString,
    /// What it takes in the row, about.
    bytes: u32,
    done: bool,
    /// Its client was done with it before it was finished: its answer is kept for nobody. Only of one without a place, as
    /// the queue's row knows it of the others.
    settled: bool,
}

/// A packet that is finished by a frame that is not durable yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    taken: TakenId,
    /// It was the last one of its run.
    ends_run: bool,
}

impl Runs {
    /// The packet that is open in a place.
    pub(super) fn open_at(&self, queue: QueueHash, seq: u64) -> Option<(TakenId, u64)> {
        let mut runs = self.queues.get(&queue)?.iter();
        runs.find_map(|&run| {
            let at = self.runs[&run].find(seq)?;
            let packet = &self.runs[&run].packets[at];
            let taken = TakenId { run, at: at as u32 };
            (!packet.done).then_some((taken, packet.fingerprint))
        })
    }

    /// The open packets of a queue that have a place, with their req_ids.
    fn open_places(
        &self,
        queue: QueueHash,
        is_durable: impl Fn(u64) -> bool,
    ) -> impl Iterator<Item = (u64, ByteString)> {
        let runs = self.queues.get(&queue).into_iter().flatten();
        let durable = runs.filter(move |run| is_durable(**run));
        let packets = durable.flat_map(|run| self.runs[run].packets.iter());
        packets.filter_map(|packet| match packet.place {
            Place::Seq(seq) if !packet.done => Some((seq, packet.req_id.clone())),
            _ => None,
        })
    }

    pub(super) fn has_open(&self, queue: QueueHash) -> bool {
        self.queues.contains_key(&queue)
    }

    pub(super) fn opened(&self, taken: TakenId) -> Option<Opened> {
        let run = self.runs.get(&taken.run)?;
        let packet = run.packets.get(taken.at as usize)?;
        (!packet.done).then(|| Opened {
            origin: run.origin.clone(),
            place: packet.place.clone(),
            req_id: packet.req_id.clone(),
            fingerprint: packet.fingerprint,
            taken_at: run.taken_at,
        })
    }

    /// The open packet that sends a dead letter anew. Looked for only where the letter is gone.
    pub(super) fn sent_anew(&self, letter: LetterId) -> Option<(TakenId, u64)> {
        self.runs.iter().find_map(|(&run, held)| {
            let its = |packet: &Packet| packet.place == Place::Letter(letter) && !packet.done;
            let at = held.packets.iter().position(its)?;
            let taken = TakenId { run, at: at as u32 };
            Some((taken, held.packets[at].fingerprint))
        })
    }

    /// A packet, with its run, also once it is finished.
    fn find(&self, taken: TakenId) -> Option<(&Run, &Packet)> {
        let run = self.runs.get(&taken.run);
        let run = run.or_else(|| self.ended.get(&taken.run))?;
        Some((run, run.packets.get(taken.at as usize)?))
    }

    pub(super) fn open_runs(
        &self,
        row: impl Fn(&Key) -> Result<Option<Bytes>, Error>,
    ) -> Result<Vec<OpenRun>, Error> {
        let mut open = Vec::with_capacity(self.runs.len());
        for (&id, run) in &self.runs {
            let Some(row) = row(&Key::number(Space::Run, id))? else {
                continue;
            };
            let row = RunRow::read(row);
            let packets = row.packets.into_iter().enumerate();
            let packets = packets.filter(|(at, _)| !run.packets[*at].done);
            let packets = packets.map(|(at, packet)| OpenPacket {
                at: at as u32,
                place: packet.place,
                fingerprint: packet.fingerprint,
                req_id: packet.req_id,
                packet: packet.packet,
                held: false,
            });
            open.push(OpenRun {
                id,
                // Its own names, where the row's would keep the row.
                origin: run.origin.clone(),
                taken_at: row.taken_at,
                packets: packets.collect(),
            });
        }
        Ok(open)
    }

    fn insert(
        &mut self,
        id: u64,
        origin: Arc<Origin>,
        taken_at: SystemTime,
        queue: Option<QueueHash>,
    ) {
        if let Some(queue) = queue {
            self.queues.entry(queue).or_default().push(id);
        }
        let run = Run {
            origin,
            taken_at,
            queue,
            packets: Vec::new(),
            open: 0,
            changed: false,
            holds: false,
            shrinks: false,
            row_bytes: 0,
            open_bytes: 0,
        };
        self.runs.insert(id, run);
    }

    fn push(&mut self, id: u64, packet: RunPacket) -> TakenId {
        let run = self.runs.get_mut(&id).expect("it was put in when it began");
        let bytes = packet.packet.len() + packet.req_id.len();
        run.row_bytes += bytes;
        run.open_bytes += bytes;
        run.packets.push(Packet {
            place: packet.place,
            fingerprint: packet.fingerprint,
            req_id: packet.req_id,
            bytes: bytes as u32,
            done: false,
            settled: false,
        });
        run.open += 1;
        TakenId {
            run: id,
            at: run.packets.len() as u32 - 1,
        }
    }

    fn settle(&mut self, taken: TakenId) {
        if let Some(run) = self.runs.get_mut(&taken.run) {
            run.packets[taken.at as usize].settled = true;
            run.changed = true;
        }
    }

    /// True: it was the last one of its run, which is gone.
    fn finish(&mut self, taken: TakenId) -> bool {
        let Some(run) = self.runs.get_mut(&taken.run) else {
            return false;
        };
        let packet = &mut run.packets[taken.at as usize];
        packet.done = true;
        run.open_bytes -= packet.bytes as usize;
        run.open -= 1;
        run.changed = true;
        if run.open > 0 {
            return false;
        }
        let queue = run.queue;
        if let Some(run) = self.runs.remove(&taken.run) {
            self.ended.insert(taken.run, run);
        }
        if let Some(queue) = queue
            && let Some(runs) = self.queues.get_mut(&queue)
        {
            runs.retain(|run| *run != taken.run);
            if runs.is_empty() {
                self.queues.remove(&queue);
            }
        }
        true
    }
}

impl Run {
    /// From here on its names are its own, the req_ids in one buffer, and hold no request's buffer.
    fn own_names(&mut self) {
        self.origin = Arc::new(self.origin.owned());
        let names: String = self.packets.iter().map(|packet| &*packet.req_id).collect();
        let names = ByteString::from(names);
        let mut at = 0;
        for packet in &mut self.packets {
            let end = at + packet.req_id.len();
            packet.req_id = names.slice_ref(&names[at..end]);
            at = end;
        }
    }

    /// Where a place is in it. Places are taken in order, those without one in between.
    fn find(&self, seq: u64) -> Option<usize> {
        let first = match self.packets.first()?.place {
            Place::Seq(first) if first <= seq => first,
            Place::Seq(_) => return None,
            _ => 0,
        };
        // Nearly always all of a run have a place.
        let guess = usize::try_from(seq - first).ok()?;
        let is_it = |packet: &Packet| packet.place == Place::Seq(seq);
        if self.packets.get(guess).is_some_and(is_it) {
            return Some(guess);
        }
        self.packets.iter().position(is_it)
    }
}

impl State {
    pub(super) fn load_runs(&mut self) -> Result<(), Error> {
        self.for_each_row(Space::Run, TOGETHER, |state, key, row| {
            state.load_run(key.last_number(), RunRow::read(row))
        })?;
        // Nothing is told of those that have ended: their frames are durable.
        self.runs.ended.clear();
        Ok(())
    }

    fn load_run(&mut self, id: u64, row: RunRow) -> Result<(), Error> {
        let queue = self.queue_of(&row.origin);
        self.runs.insert(id, row.origin, row.taken_at, queue);
        let mut taken = Vec::with_capacity(row.packets.len());
        for packet in row.packets {
            // It was finished, and left out when the row was written again.
            let gone = packet.packet.is_empty();
            taken.push((packet.place.clone(), packet.req_id.clone(), gone));
            self.runs.push(id, packet);
        }
        if let Some(run) = self.runs.runs.get_mut(&id) {
            run.own_names();
        }
        let (mut done, mut settled) = (Vec::new(), Vec::new());
        if let Some(row) = self.get(&Key::number(Space::Done, id))? {
            let mut from = Reader(row);
            while !from.is_empty() {
                let mark = from.number();
                match mark % 2 {
                    0 => done.push((mark / 2) as u32),
                    _ => settled.push((mark / 2) as u32),
                }
            }
        }
        for (at, (place, req_id, gone)) in taken.into_iter().enumerate() {
            let taken = TakenId {
                run: id,
                at: at as u32,
            };
            if gone || done.contains(&taken.at) {
                self.runs.finish(taken);
            } else if let Place::ReqId(scope) = place {
                let origin = self.runs.runs[&id].origin.clone();
                if let Some(owner) = self.owner_of(&origin, scope) {
                    self.open_once(owner, &req_id, taken);
                    if settled.contains(&taken.at) {
                        self.runs.settle(taken);
                        self.is_settled_once(owner, &req_id);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_packet(&mut self, take: Take<'_>) -> TakenId {
        let goes_on = self.staged.run_is_open
            && matches!(self.staged.runs.last(), Some((_, run)) if Arc::ptr_eq(&run.origin, take.origin));
        if !goes_on {
            let id = self.next_number();
            let queue = self.queue_of(take.origin);
            self.runs
                .insert(id, take.origin.clone(), self.staged.wall, queue);
            let run = RunRow {
                origin: take.origin.clone(),
                taken_at: self.staged.wall,
                packets: Vec::new(),
            };
            self.staged.runs.push((id, run));
            self.staged.run_is_open = true;
        }
        self.staged.held += take.packet.len() + take.req_id.len();
        let (id, run) = self.staged.runs.last_mut().expect("one is open");
        let packet = RunPacket {
            place: take.place.clone(),
            fingerprint: take.fingerprint,
            req_id: take.req_id.clone(),
            packet: take.packet,
        };
        run.packets.push(packet.clone());
        self.runs.push(*id, packet)
    }

    /// What only is known here of kept results: which packets have none yet.
    pub(in super::super) fn look(&self, client: &ClientKey, which: &Which) -> Looked {
        match which {
            Which::ReqIds(req_ids) => Looked::ReqIds(self.look_once(client, req_ids)),
            Which::Places { handler, .. } => {
                let queue = self.seed.queue(self.seed.client(client), handler.as_str());
                let client = Arc::new(client.clone());
                let open = self
                    .runs
                    .open_places(queue, |run| self.has_durable(run))
                    .chain(self.closing_places(queue))
                    .map(|(seq, req_id)| {
                        (
                            seq,
                            open_result(client.clone(), handler.clone(), req_id, seq),
                        )
                    });
                Looked::Places(open.collect())
            }
        }
    }

    /// Packets whose answers are in frames that are not durable yet: nobody may be told, and to whoever asks they are open.
    /// Whoever finished them was told that they are taken, so that is durable.
    fn closing(&self) -> impl Iterator<Item = (&Run, &Packet)> {
        let frames = self.frames.iter().flat_map(|frame| &frame.closing);
        let closing = frames.chain(&self.staged.closing);
        closing.filter_map(|closing| self.runs.find(closing.taken))
    }

    fn closing_places(&self, queue: QueueHash) -> impl Iterator<Item = (u64, ByteString)> {
        let closing = self.closing();
        closing.filter_map(move |(run, packet)| match packet.place {
            Place::Seq(seq) if run.queue == Some(queue) => Some((seq, packet.req_id.clone())),
            _ => None,
        })
    }

    /// Those of a client without a place, by their hashes, with their handlers and req_ids.
    pub(super) fn closing_once(&self, owner: Owner) -> HashMap<u128, (HandlerName, ByteString)> {
        let closing = self.closing().filter_map(|(run, packet)| {
            let Place::ReqId(scope) = packet.place else {
                return None;
            };
            if self.owner_of(&run.origin, scope) != Some(owner) {
                return None;
            }
            let hash = self.seed.once(owner, &packet.req_id);
            Some((hash, (run.origin.handler.clone(), packet.req_id.clone())))
        });
        closing.collect()
    }

    /// A frame in which packets were finished is durable.
    pub(super) fn closed(&mut self, closing: &[Closing]) {
        for closing in closing.iter().filter(|closing| closing.ends_run) {
            self.runs.ended.remove(&closing.taken.run);
        }
    }

    /// Whether a run may be told of.
    pub(super) fn has_durable(&self, run: u64) -> bool {
        // Only what is durable is held; its row may be on its way once more.
        if self.runs.runs.get(&run).is_some_and(|run| run.holds) {
            return true;
        }
        let staged = self.staged.runs.iter().any(|(id, _)| *id == run);
        !staged && !self.pending.contains_key(&Key::number(Space::Run, run))
    }

    pub(super) fn opened_packet(&self, taken: TakenId) -> Option<Opened> {
        self.runs.opened(taken)
    }

    pub(super) fn finish_packet(&mut self, taken: TakenId) {
        let ends_run = self.runs.finish(taken);
        self.staged.closing.push(Closing { taken, ends_run });
        if ends_run {
            self.staged.runs.retain(|(id, _)| *id != taken.run);
            self.delete(Key::number(Space::Run, taken.run));
            self.delete(Key::number(Space::Done, taken.run));
        } else {
            self.staged.finished.push(taken.run);
            self.look_at_run(taken.run);
        }
    }

    /// Its client is done with a packet that is open.
    pub(super) fn settle_packet(&mut self, taken: TakenId) {
        self.runs.settle(taken);
        self.staged.finished.push(taken.run);
    }

    pub(super) fn write_runs(&mut self) -> Result<(), Error> {
        for (id, run) in std::mem::take(&mut self.staged.runs) {
            self.put(Key::number(Space::Run, id), |out| run.write(out));
            if let Some(run) = self.runs.runs.get_mut(&id) {
                run.own_names();
            }
        }
        for id in std::mem::take(&mut self.staged.finished) {
            let Some(run) = self.runs.runs.get_mut(&id) else {
                continue;
            };
            if std::mem::replace(&mut run.changed, false) {
                let mut marks = Vec::new();
                for (at, packet) in run.packets.iter().enumerate() {
                    marks.extend(packet.done.then_some(2 * at as u64));
                    marks.extend(packet.settled.then_some(2 * at as u64 + 1));
                }
                self.put(Key::number(Space::Done, id), |out| {
                    marks.iter().for_each(|mark| out.number(*mark));
                });
            }
            self.shrink_run(id)?;
        }
        Ok(())
    }

    /// Those of an origin that have a place: none without a client.
    fn queue_of(&self, origin: &Origin) -> Option<QueueHash> {
        let owner = self.seed.client(origin.client.as_ref()?);
        Some(self.seed.queue(owner, origin.handler.as_str()))
    }
}
