//! What is known of packets: the places of queues, the answers kept for them, and req_ids.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytestring::ByteString;
use hashbrown::HashMap;
use slab::Slab;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::super::judge::{Final, Identity, Known};
use super::super::packed::PackedAnswer;
use super::Bounds;
use crate::store::{KeptResult, Settle};
use crate::types::{ClientKey, HandlerName};

/// What a kept answer costs beside its bytes.
const KEPT_BYTES: usize = 128;

/// Rows of clients that one commit looks at for what has become too old. Every client has its turn.
const SWEPT_AT_ONCE: usize = 8;

/// Req_ids that one commit forgets for their age at most.
const AGED_AT_ONCE: usize = 1024;

#[derive(Debug)]
pub(super) struct Clients {
    rows: Slab<Client>,
    by_key: HashMap<Arc<ClientKey>, usize>,
    once: HashMap<OnceHash, Once>,
    /// In the order of time: what goes first at a bound.
    once_order: VecDeque<OnceHash>,
    once_bytes: usize,
    /// So that nobody can find two req_ids with one hash.
    seed: u64,
    places: usize,
    /// Of the answers in queues.
    bytes: usize,
    /// Clients by the power of two of the bytes that they hold: who holds most is found without looking at all of them.
    holders: [BTreeSet<usize>; usize::BITS as usize],
    /// Where the next sweep begins.
    swept: usize,
}

#[derive(Debug)]
struct Client {
    key: Arc<ClientKey>,
    /// By handler.
    queues: Vec<Queue>,
    /// The results that no call carried and that are not settled, by position.
    unsent: BTreeMap<u64, KeptIn>,
    /// Of the answers in its queues.
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    handler: HandlerName,
    /// Never lowered.
    reached: u64,
    /// The answers of the last places, without a hole: the last one is that of `reached`.
    kept: VecDeque<Kept>,
    used: SystemTime,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OnceHash(u128);

/// A packet without a place.
#[derive(Debug)]
struct Once {
    fingerprint: u64,
    handler: HandlerName,
    time: SystemTime,
    /// `None` once it is settled.
    answer: Option<PackedAnswer>,
    /// The client and the position, where a stream has to bring it.
    unsent: Option<(usize, u64)>,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_key: HashMap::new(),
            once: HashMap::new(),
            once_order: VecDeque::new(),
            once_bytes: 0,
            seed: rand::random(),
            places: 0,
            bytes: 0,
            holders: std::array::from_fn(|_| BTreeSet::new()),
            swept: 0,
        }
    }

    pub(super) fn known(&self, identity: Identity<'_>, bounds: &Bounds) -> Known {
        let Identity::Seq(client, handler, seq) = identity else {
            let once = self.once.get(&self.hash(identity));
            return match once.map(|once| (once.fingerprint, &once.answer)) {
                None => Known::New,
                Some((_, None)) => Known::Forgotten,
                Some((fingerprint, Some(answer))) => Known::Finished(fingerprint, answer.answer()),
            };
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
        match queue.and_then(|queue| queue.kept_at(seq)) {
            Some(kept) => Known::Finished(kept.fingerprint, kept.answer.answer()),
            None => Known::Forgotten,
        }
    }

    /// `position`: where a stream finds it; 0 where a call carries it, or nobody has a stream for it.
    pub(super) fn finish(&mut self, finish: Final<'_>, position: u64, now: SystemTime) {
        let answer = PackedAnswer::new(finish.req_id, finish.answer);
        match finish.identity {
            Identity::Seq(client, handler, seq) => {
                let slot = self.slot(client);
                let at = self.queue_at(slot, handler, now);
                let bytes = answer.len() + KEPT_BYTES;
                let row = &mut self.rows[slot];
                let queue = &mut row.queues[at];
                debug_assert_eq!(seq, queue.reached + 1, "only the next place is taken");
                queue.reached = seq;
                queue.used = now;
                queue.kept.push_back(Kept {
                    fingerprint: finish.fingerprint,
                    position,
                    time: now,
                    answer,
                });
                if position > 0 {
                    let kept_in = KeptIn::Queue(queue.handler.clone(), seq);
                    row.unsent.insert(position, kept_in);
                }
                self.hold(slot, |held| held + bytes);
            }
            Identity::OfClient(..) | Identity::OfSubject { .. } => {
                let hash = self.hash(finish.identity);
                let unsent = match finish.identity {
                    Identity::OfClient(client, _) if position > 0 => {
                        let slot = self.slot(client);
                        let row = &mut self.rows[slot];
                        row.unsent.insert(position, KeptIn::Once(hash));
                        Some((slot, position))
                    }
                    _ => None,
                };
                self.once_bytes += answer.len();
                self.once_order.push_back(hash);
                let once = Once {
                    fingerprint: finish.fingerprint,
                    handler: finish.handler.clone(),
                    time: now,
                    answer: Some(answer),
                    unsent,
                };
                self.once.insert(hash, once);
            }
        }
    }

    pub(super) fn settle(&mut self, settle: &Settle, now: SystemTime, bounds: &Bounds) {
        let (client, handler) = (&settle.queue.client, &settle.queue.handler);
        for req_id in &settle.req_ids {
            let hash = self.hash(Identity::OfClient(client, req_id));
            self.forget_answer(hash);
        }
        let known = self.queue(client, handler);
        if settle.through == 0 || (known.is_none() && self.places >= bounds.places) {
            return;
        }
        let slot = self.slot(client);
        let at = self.queue_at(slot, handler, now);
        let queue = &mut self.rows[slot].queues[at];
        queue.used = now;
        let first = queue.first_kept();
        let settled = (settle.through.saturating_add(1)).saturating_sub(first);
        let settled = usize::try_from(settled).unwrap_or(usize::MAX);
        for _ in 0..settled.min(queue.kept.len()) {
            self.drop_oldest(slot, at);
        }
        let queue = &mut self.rows[slot].queues[at];
        queue.reached = queue.reached.max(settle.through);
    }

    /// The results of a client that no call carried, after a position.
    pub(super) fn unsent<'a>(
        &'a self,
        client: &ClientKey,
        from: u64,
    ) -> impl Iterator<Item = (u64, Unsent<'a>)> + 'a {
        let row = self.by_key.get(client).map(|slot| &self.rows[*slot]);
        row.into_iter().flat_map(move |row| {
            let after = row.unsent.range(from.saturating_add(1)..);
            after.map(move |(position, kept_in)| (*position, self.look_up(row, kept_in)))
        })
    }

    /// Brings everything back to its bounds.
    pub(super) fn trim(&mut self, now: SystemTime, bounds: &Bounds) {
        while self.once.len() > bounds.once || self.once_bytes > bounds.once_bytes {
            self.forget_oldest_once();
        }
        if let Some(oldest) = now.checked_sub(bounds.once_age) {
            for _ in 0..AGED_AT_ONCE {
                let first = self.once_order.front().and_then(|hash| self.once.get(hash));
                if first.is_none_or(|once| once.time >= oldest) {
                    break;
                }
                self.forget_oldest_once();
            }
        }
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
        let oldest = queues.filter_map(|(at, queue)| Some((queue.kept.front()?.time, at)));
        let (_, at) = oldest.min().expect("who holds bytes has an answer");
        self.drop_oldest(slot, at);
    }

    fn sweep_next(&mut self, now: SystemTime, bounds: &Bounds) {
        let slot = self.swept;
        self.swept = (self.swept + 1) % self.rows.capacity();
        if !self.rows.contains(slot) {
            return;
        }
        let too_old = |time: SystemTime, age: Duration| {
            now.duration_since(time).is_ok_and(|passed| passed > age)
        };
        for at in (0..self.rows[slot].queues.len()).rev() {
            while let Some(kept) = self.rows[slot].queues[at].kept.front()
                && too_old(kept.time, bounds.result_age)
            {
                self.drop_oldest(slot, at);
            }
            let queue = &self.rows[slot].queues[at];
            if queue.kept.is_empty() && too_old(queue.used, bounds.place_age) {
                self.rows[slot].queues.remove(at);
                self.places -= 1;
            }
        }
        let row = &self.rows[slot];
        if row.queues.is_empty() && row.unsent.is_empty() {
            self.by_key.remove(&row.key);
            self.rows.remove(slot);
        }
    }

    /// Drops the oldest answer of a queue, which must have one.
    fn drop_oldest(&mut self, slot: usize, at: usize) {
        let row = &mut self.rows[slot];
        let kept = row.queues[at].kept.pop_front();
        let kept = kept.expect("callers have seen that there is one");
        row.unsent.remove(&kept.position);
        let bytes = kept.answer.len() + KEPT_BYTES;
        self.hold(slot, |held| held - bytes);
    }

    fn forget_oldest_once(&mut self) {
        if let Some(hash) = self.once_order.pop_front() {
            self.forget_answer(hash);
            self.once.remove(&hash);
        }
    }

    /// It stays known that it was finished.
    fn forget_answer(&mut self, hash: OnceHash) {
        let Some(once) = self.once.get_mut(&hash) else {
            return;
        };
        if let Some(answer) = once.answer.take() {
            self.once_bytes -= answer.len();
        }
        if let Some((slot, position)) = once.unsent.take() {
            self.rows[slot].unsent.remove(&position);
        }
    }

    fn queue(&self, client: &ClientKey, handler: &HandlerName) -> Option<&Queue> {
        let row = &self.rows[*self.by_key.get(client)?];
        let at = row.find(handler).ok()?;
        Some(&row.queues[at])
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
                kept: VecDeque::new(),
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

    fn look_up<'a>(&'a self, row: &'a Client, kept_in: &KeptIn) -> Unsent<'a> {
        let (handler, seq, answer) = match kept_in {
            KeptIn::Queue(handler, seq) => {
                let queue = row.find(handler).ok().map(|at| &row.queues[at]);
                let kept = queue.and_then(|queue| Some((&queue.handler, queue.kept_at(*seq)?)));
                let (handler, kept) = kept.expect("an answer leaves `unsent` when it is dropped");
                (handler, *seq, &kept.answer)
            }
            KeptIn::Once(hash) => {
                let once = self.once.get(hash);
                let once = once.and_then(|once| Some((&once.handler, once.answer.as_ref()?)));
                let (handler, answer) = once.expect("an answer leaves `unsent` when it is dropped");
                (handler, 0, answer)
            }
        };
        Unsent {
            client: &row.key,
            handler,
            seq,
            answer,
        }
    }

    fn hash(&self, identity: Identity<'_>) -> OnceHash {
        let (kind, names) = match identity {
            Identity::Seq(client, handler, _) => {
                (0, [&*client.client_id, handler.as_str(), "", ""])
            }
            Identity::OfClient(client, req_id) => {
                let ClientKey {
                    tenant,
                    subject,
                    client_id,
                } = &**client;
                (1, [&**tenant, &**subject, &**client_id, req_id])
            }
            Identity::OfSubject {
                tenant,
                subject,
                req_id,
            } => (2, [tenant, subject, "", req_id]),
        };
        let mut framed: smallvec::SmallVec<[u8; 256]> = smallvec::smallvec![kind];
        for name in names {
            framed.extend_from_slice(&(name.len() as u32).to_le_bytes());
            framed.extend_from_slice(name.as_bytes());
        }
        OnceHash(xxh3_128_with_seed(&framed, self.seed))
    }
}

/// A result that a stream has to bring, still packed.
#[derive(Debug)]
pub(super) struct Unsent<'a> {
    client: &'a Arc<ClientKey>,
    handler: &'a HandlerName,
    seq: u64,
    answer: &'a PackedAnswer,
}

impl Unsent<'_> {
    pub(super) fn size(&self) -> usize {
        self.answer.len()
    }

    pub(super) fn unpack(&self) -> KeptResult {
        KeptResult {
            client: self.client.clone(),
            handler: self.handler.clone(),
            req_id: self.answer.req_id(),
            seq: self.seq,
            answer: self.answer.answer(),
            awaited: false,
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
    /// The lowest place whose answer is kept, or the next one.
    fn first_kept(&self) -> u64 {
        (self.reached - self.kept.len() as u64).saturating_add(1)
    }

    fn kept_at(&self, seq: u64) -> Option<&Kept> {
        let at = seq.checked_sub(self.first_kept())?;
        self.kept.get(usize::try_from(at).ok()?)
    }
}
