//! What is known of packets: the places of queues, the answers kept for them, and req_ids.

mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;
use hashbrown::HashMap;
use slab::Slab;

use super::super::judge::{Final, Identity, Known, Take};
use super::super::packed::PackedAnswer;
use super::Bounds;
use super::once::{Named, OnceHash, OnceTable, named, too_old};
use crate::store::{Owed, Settle, TakenId};
use crate::types::{ClientKey, HandlerName};

/// What a kept answer costs beside its bytes.
const KEPT_BYTES: usize = 128;

/// Rows of clients that one commit looks at for what has become too old. Every client has its turn.
const SWEPT_AT_ONCE: usize = 8;

#[derive(Debug)]
pub(super) struct Clients {
    rows: Slab<Client>,
    by_key: HashMap<Arc<ClientKey>, usize>,
    once: OnceTable,
    places: usize,
    /// Of the answers in queues.
    bytes: usize,
    /// Clients by the power of two of the bytes that they hold: who holds most is found without looking at all of them.
    holders: [BTreeSet<usize>; usize::BITS as usize],
    /// Where the next sweep begins.
    swept: usize,
    /// The newest result that the bounds removed before a stream could bring it, of all clients that have no row any more.
    lost: u64,
}

#[derive(Debug)]
struct Client {
    key: Arc<ClientKey>,
    /// By handler.
    queues: Vec<Queue>,
    /// The results that no call carried and that are not settled, by position.
    unsent: BTreeMap<u64, KeptIn>,
    /// The newest of its results that the bounds removed before a stream could bring it; 0: none.
    lost: u64,
    /// Of the answers in its queues.
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    handler: HandlerName,
    /// Never lowered.
    reached: u64,
    /// Places that are taken and not finished, and not settled.
    open: BTreeMap<u64, Open>,
    /// The answers that are kept, by place. Of the other places up to `reached` none is.
    kept: BTreeMap<u64, Kept>,
    used: SystemTime,
}

#[derive(Debug)]
struct Open {
    fingerprint: u64,
    taken: TakenId,
    req_id: ByteString,
}

#[derive(Debug)]
struct Kept {
    fingerprint: u64,
    /// 0 where a call carried it.
    position: u64,
    time: SystemTime,
    answer: PackedAnswer,
}

#[derive(Debug, Clone)]
enum KeptIn {
    Queue(HandlerName, u64),
    Once(OnceHash),
}

impl Clients {
    /// Queues, packets that are known by their req_ids, and the bytes of the answers in queues.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.places, self.once.len(), self.bytes)
    }

    pub(super) fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_key: HashMap::new(),
            once: OnceTable::new(),
            places: 0,
            bytes: 0,
            holders: std::array::from_fn(|_| BTreeSet::new()),
            swept: 0,
            lost: 0,
        }
    }

    pub(super) fn known(&self, identity: Identity<'_>, bounds: &Bounds) -> Known {
        if let Some(name) = named(identity) {
            return self.once.known(self.once.hash(name));
        }
        let Identity::Seq(client, handler, seq) = identity else {
            return Known::New;
        };
        let queue = self.queue(client, handler);
        let reached = queue.map_or(0, |queue| queue.reached);
        if seq > reached {
            let next = reached + 1;
            return match queue {
                _ if seq > next => Known::Ahead { next },
                None if self.places >= bounds.places => Known::NoRoom,
                _ => Known::New,
            };
        }
        let kept = queue.and_then(|queue| queue.kept.get(&seq));
        let open = queue.and_then(|queue| queue.open.get(&seq));
        match (kept, open) {
            (Some(kept), _) => Known::Finished(kept.fingerprint, kept.answer.answer()),
            (None, Some(open)) => Known::Open(open.fingerprint, open.taken),
            (None, None) => Known::Forgotten,
        }
    }

    /// The packet of this identity is open from now on.
    pub(super) fn take(
        &mut self,
        identity: Identity<'_>,
        take: &Take<'_>,
        taken: TakenId,
        now: SystemTime,
    ) {
        let handler = &take.origin.handler;
        if let Some(name) = named(identity) {
            let hash = self.once.hash(name);
            let fingerprint = take.fingerprint;
            return self.once.take(hash, fingerprint, handler, taken, now);
        }
        if let Identity::Seq(client, _, seq) = identity {
            let slot = self.slot(client);
            let at = self.queue_at(slot, handler, now);
            let open = Open {
                fingerprint: take.fingerprint,
                taken,
                req_id: ByteString::from(&**take.req_id),
            };
            let queue = &mut self.rows[slot].queues[at];
            queue.reach(seq, now);
            queue.open.insert(seq, open);
        }
    }

    /// The packet of this identity is open no more. Whether its answer is to be kept: it is not, where it was settled.
    pub(super) fn unopen(
        &mut self,
        identity: Identity<'_>,
        taken: TakenId,
        now: SystemTime,
    ) -> bool {
        if let Some(name) = named(identity) {
            let hash = self.once.hash(name);
            return self.once.unopen(hash, taken, now);
        }
        let Identity::Seq(client, handler, seq) = identity else {
            return false;
        };
        let Some(queue) = self.queue_mut(client, handler) else {
            return false;
        };
        let same = queue.open.get(&seq).is_some_and(|open| open.taken == taken);
        if same {
            queue.open.remove(&seq);
        }
        same
    }

    /// `position`: where a stream finds it; 0 where a call carries it, or nobody has a stream for it.
    pub(super) fn finish(&mut self, finish: Final<'_>, position: u64, now: SystemTime) {
        if let Some(name) = named(finish.identity) {
            let hash = self.once.hash(name);
            let unsent = match name {
                Named::OfClient(client, _) if position > 0 => {
                    let slot = self.slot(client);
                    let row = &mut self.rows[slot];
                    row.unsent.insert(position, KeptIn::Once(hash));
                    Some((slot, position))
                }
                _ => None,
            };
            return self.once.finish(hash, &finish, unsent, now);
        }
        let Identity::Seq(client, handler, seq) = finish.identity else {
            return;
        };
        let slot = self.slot(client);
        let at = self.queue_at(slot, handler, now);
        let answer = PackedAnswer::new(finish.req_id, finish.answer);
        let bytes = answer.len() + KEPT_BYTES;
        let row = &mut self.rows[slot];
        let queue = &mut row.queues[at];
        queue.reach(seq, now);
        let kept = Kept {
            fingerprint: finish.fingerprint,
            position,
            time: now,
            answer,
        };
        queue.kept.insert(seq, kept);
        if position > 0 {
            let kept_in = KeptIn::Queue(queue.handler.clone(), seq);
            row.unsent.insert(position, kept_in);
        }
        self.hold(slot, |held| held + bytes);
    }

    /// Gives a kept answer that has none this position. False: there is no such answer.
    pub(super) fn owe(&mut self, owed: &Owed, position: u64) -> bool {
        let (client, handler) = (&owed.queue.client, &owed.queue.handler);
        if owed.seq == 0 {
            let hash = self.once.hash(Named::OfClient(client, &owed.req_id));
            let (handler_of, unsent) = match self.once.answer(hash) {
                Some((handler, _, unsent)) => (handler, unsent),
                None => return false,
            };
            if unsent.is_some() || handler_of != handler {
                return false;
            }
            let slot = self.slot(client);
            let row = &mut self.rows[slot];
            row.unsent.insert(position, KeptIn::Once(hash));
            self.once.owe(hash, (slot, position));
            return true;
        }
        let Some(queue) = self.queue_mut(client, handler) else {
            return false;
        };
        let kept = queue.kept.get_mut(&owed.seq);
        let Some(kept) = kept.filter(|kept| kept.position == 0) else {
            return false;
        };
        kept.position = position;
        let kept_in = KeptIn::Queue(queue.handler.clone(), owed.seq);
        let slot = self.slot(client);
        self.rows[slot].unsent.insert(position, kept_in);
        true
    }

    pub(super) fn settle(&mut self, settle: &Settle, now: SystemTime, bounds: &Bounds) {
        let (client, handler) = (&settle.queue.client, &settle.queue.handler);
        for req_id in &settle.req_ids {
            let hash = self.once.hash(Named::OfClient(client, req_id));
            if let Some((slot, position)) = self.once.settle(hash) {
                self.rows[slot].unsent.remove(&position);
            }
        }
        let known = self.queue(client, handler);
        if settle.through == 0 || (known.is_none() && self.places >= bounds.places) {
            return;
        }
        let slot = self.slot(client);
        let at = self.queue_at(slot, handler, now);
        loop {
            let queue = &self.rows[slot].queues[at];
            match queue.kept.first_key_value() {
                Some((&seq, _)) if seq <= settle.through => self.drop_kept(slot, at, seq),
                _ => break,
            };
        }
        let queue = &mut self.rows[slot].queues[at];
        queue.reach(settle.through, now);
        while let Some(open) = queue.open.first_entry()
            && *open.key() <= settle.through
        {
            open.remove();
        }
    }

    /// Brings everything back to its bounds.
    pub(super) fn trim(&mut self, now: SystemTime, bounds: &Bounds) {
        let rows = &mut self.rows;
        self.once.trim(now, bounds, |(slot, position)| {
            let row = &mut rows[slot];
            row.unsent.remove(&position);
            row.lost = row.lost.max(position);
        });
        while self.bytes > bounds.result_bytes {
            self.drop_of_largest();
        }
        for _ in 0..SWEPT_AT_ONCE.min(self.rows.capacity()) {
            self.sweep_next(now, bounds);
        }
    }

    /// Drops the oldest answer of a client that holds most, to within a factor of two.
    fn drop_of_largest(&mut self) {
        let largest = self.holders.iter().rev().find_map(BTreeSet::first);
        let slot = *largest.expect("bytes that are held are held by somebody");
        let queues = self.rows[slot].queues.iter().enumerate();
        let oldest = queues.filter_map(|(at, queue)| {
            let (&seq, kept) = queue.kept.first_key_value()?;
            Some((kept.time, at, seq))
        });
        let (_, at, seq) = oldest.min().expect("who holds bytes has an answer");
        self.lose_kept(slot, at, seq);
    }

    fn sweep_next(&mut self, now: SystemTime, bounds: &Bounds) {
        let slot = self.swept;
        self.swept = (self.swept + 1) % self.rows.capacity();
        if !self.rows.contains(slot) {
            return;
        }
        for at in (0..self.rows[slot].queues.len()).rev() {
            while let Some((&seq, kept)) = self.rows[slot].queues[at].kept.first_key_value()
                && too_old(kept.time, now, bounds.result_age)
            {
                self.lose_kept(slot, at, seq);
            }
            let queue = &self.rows[slot].queues[at];
            let empty = queue.kept.is_empty() && queue.open.is_empty();
            if empty && too_old(queue.used, now, bounds.place_age) {
                self.rows[slot].queues.remove(at);
                self.places -= 1;
            }
        }
        let row = &self.rows[slot];
        if row.queues.is_empty() && row.unsent.is_empty() {
            self.lost = self.lost.max(row.lost);
            self.by_key.remove(&row.key);
            self.rows.remove(slot);
        }
    }

    /// The bounds drop a kept answer.
    fn lose_kept(&mut self, slot: usize, at: usize, seq: u64) {
        let position = self.drop_kept(slot, at, seq);
        let row = &mut self.rows[slot];
        row.lost = row.lost.max(position);
    }

    /// Drops a kept answer. Gives the position that it had.
    fn drop_kept(&mut self, slot: usize, at: usize, seq: u64) -> u64 {
        let row = &mut self.rows[slot];
        let kept = row.queues[at].kept.remove(&seq);
        let kept = kept.expect("callers have seen that there is one");
        row.unsent.remove(&kept.position);
        let bytes = kept.answer.len() + KEPT_BYTES;
        self.hold(slot, |held| held - bytes);
        kept.position
    }

    fn queue(&self, client: &ClientKey, handler: &HandlerName) -> Option<&Queue> {
        let row = &self.rows[*self.by_key.get(client)?];
        let at = row.find(handler).ok()?;
        Some(&row.queues[at])
    }

    fn queue_mut(&mut self, client: &ClientKey, handler: &HandlerName) -> Option<&mut Queue> {
        let row = &mut self.rows[*self.by_key.get(client)?];
        let at = row.find(handler).ok()?;
        Some(&mut row.queues[at])
    }

    /// The row of a client, which is made where there is none, from copies of its names.
    fn slot(&mut self, client: &ClientKey) -> usize {
        if let Some(slot) = self.by_key.get(client) {
            return *slot;
        }
        let copy = |name: &ByteString| ByteString::from(&**name);
        let key = Arc::new(ClientKey {
            tenant: copy(&client.tenant),
            subject: copy(&client.subject),
            client_id: copy(&client.client_id),
        });
        let slot = self.rows.insert(Client {
            key: key.clone(),
            queues: Vec::new(),
            unsent: BTreeMap::new(),
            // It may have had a row before.
            lost: self.lost,
            bytes: 0,
        });
        self.by_key.insert(key, slot);
        slot
    }

    /// The queue of a client to a handler, which is made where there is none.
    fn queue_at(&mut self, slot: usize, handler: &HandlerName, now: SystemTime) -> usize {
        let row = &mut self.rows[slot];
        row.find(handler).unwrap_or_else(|at| {
            let queue = Queue {
                handler: handler.clone(),
                reached: 0,
                open: BTreeMap::new(),
                kept: BTreeMap::new(),
                used: now,
            };
            row.queues.insert(at, queue);
            self.places += 1;
            at
        })
    }

    /// Keeps count of the bytes that a client holds.
    fn hold(&mut self, slot: usize, change: impl FnOnce(usize) -> usize) {
        let row = &mut self.rows[slot];
        let before = row.bytes;
        row.bytes = change(before);
        self.bytes = self.bytes - before + row.bytes;
        let (before, after) = (before.checked_ilog2(), row.bytes.checked_ilog2());
        if before == after {
            return;
        }
        if let Some(power) = before {
            self.holders[power as usize].remove(&slot);
        }
        if let Some(power) = after {
            self.holders[power as usize].insert(slot);
        }
    }
}

impl Client {
    fn find(&self, handler: &HandlerName) -> Result<usize, usize> {
        let queues = &self.queues;
        queues.binary_search_by(|queue| queue.handler.as_str().cmp(handler.as_str()))
    }
}

impl Queue {
    fn reach(&mut self, seq: u64, now: SystemTime) {
        self.reached = self.reached.max(seq);
        self.used = now;
    }
}
