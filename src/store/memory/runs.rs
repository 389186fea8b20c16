//! What was taken and is not finished: a run is the packets of one request to one handler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::super::judge::{Opened, Take};
use crate::store::{LetterId, OpenPacket, OpenRun, Origin, Place, TakenId};

#[derive(Debug)]
pub(super) struct Runs {
    by_id: BTreeMap<u64, OpenRun>,
    /// Of the last run. It begins at the nanoseconds of the start, so that no id is used by two starts.
    last: u64,
    /// Whose packets the commit that is being applied took last: the next one of the same origin is in the same run.
    taking: Option<Arc<Origin>>,
    /// How many packets that run has.
    taken: u32,
}

impl Runs {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.unwrap_or_default().as_nanos();
        Self {
            by_id: BTreeMap::new(),
            last: u64::try_from(nanos).unwrap_or(u64::MAX / 2),
            taking: None,
            taken: 0,
        }
    }

    /// Keeps a packet, without a share of the request's buffer.
    pub(super) fn take(&mut self, take: &Take<'_>, now: SystemTime) -> TakenId {
        let same = self.taking.as_ref();
        if !same.is_some_and(|origin| Arc::ptr_eq(origin, take.origin)) {
            self.taking = Some(take.origin.clone());
            self.taken = 0;
            self.last += 1;
            let run = OpenRun {
                id: self.last,
                origin: Arc::new(take.origin.owned()),
                taken_at: now,
                packets: Vec::new(),
            };
            self.by_id.insert(self.last, run);
        }
        let taken = TakenId {
            run: self.last,
            at: self.taken,
        };
        self.taken += 1;
        let (req_id, packet) = copy_both(take.req_id, &take.packet);
        let run = self.by_id.get_mut(&taken.run);
        let run = run.expect("nothing is finished between the takes of a commit");
        run.packets.push(OpenPacket {
            at: taken.at,
            place: take.place.clone(),
            fingerprint: take.fingerprint,
            req_id,
            packet,
            held: false,
        });
        taken
    }

    /// The next commit begins runs of its own.
    pub(super) fn end_commit(&mut self) {
        self.taking = None;
    }

    pub(super) fn opened(&self, taken: TakenId) -> Option<Opened> {
        let run = self.by_id.get(&taken.run)?;
        let packet = &run.packets[find(run, taken)?];
        Some(Opened {
            origin: run.origin.clone(),
            place: packet.place.clone(),
            req_id: packet.req_id.clone(),
            fingerprint: packet.fingerprint,
            taken_at: run.taken_at,
        })
    }

    /// The open packet that sends a dead letter anew.
    pub(super) fn sent_anew(&self, letter: LetterId) -> Option<(TakenId, u64)> {
        self.by_id.values().find_map(|run| {
            let its = |packet: &&OpenPacket| packet.place == Place::Letter(letter);
            let packet = run.packets.iter().find(its)?;
            let (run, at) = (run.id, packet.at);
            Some((TakenId { run, at }, packet.fingerprint))
        })
    }

    pub(super) fn close(&mut self, taken: TakenId) {
        let Some(run) = self.by_id.get_mut(&taken.run) else {
            return;
        };
        if let Some(at) = find(run, taken) {
            run.packets.remove(at);
        }
        if run.packets.is_empty() {
            self.by_id.remove(&taken.run);
        }
    }

    pub(super) fn all(&self) -> Vec<OpenRun> {
        self.by_id.values().cloned().collect()
    }
}

fn find(run: &OpenRun, taken: TakenId) -> Option<usize> {
    let packets = &run.packets;
    packets
        .binary_search_by_key(&taken.at, |packet| packet.at)
        .ok()
}

/// In one buffer.
fn copy_both(req_id: &ByteString, packet: &Bytes) -> (ByteString, Bytes) {
    let mut both = BytesMut::with_capacity(req_id.len() + packet.len());
    both.put_slice(req_id.as_bytes());
    both.put_slice(packet);
    let mut req_id_bytes = both.freeze();
    let packet = req_id_bytes.split_off(req_id.len());
    let req_id = ByteString::try_from(req_id_bytes).expect("it was one before");
    (req_id, packet)
}
