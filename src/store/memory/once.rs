//! Packets without a place: each known by its req_id, as long as that is kept.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::super::judge::{Final, Identity, Known};
use super::super::packed::PackedAnswer;
use super::Bounds;
use crate::store::TakenId;
use crate::types::{ClientKey, HandlerName};

/// Req_ids that one commit forgets for their age at most.
const AGED_AT_ONCE: usize = 1024;

/// The packets without a place.
#[derive(Debug)]
pub(super) struct OnceTable {
    by_hash: HashMap<OnceHash, Once>,
    /// The finished ones in the order of time: what goes first at a bound.
    order: VecDeque<OnceHash>,
    /// Of the answers.
    bytes: usize,
    /// So that nobody can find two req_ids with one hash.
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OnceHash(u128);

/// Where a stream has to bring an answer: the row of the client, and the position.
pub(super) type Unsent = (usize, u64);

#[derive(Debug)]
struct Once {
    fingerprint: u64,
    handler: HandlerName,
    time: SystemTime,
    state: State,
    unsent: Option<Unsent>,
}

#[derive(Debug)]
enum State {
    Open { taken: TakenId, settled: bool },
    Answered(PackedAnswer),
    Settled,
}

impl OnceTable {
    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn new() -> Self {
        Self {
            by_hash: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            seed: rand::random(),
        }
    }

    pub(super) fn known(&self, hash: OnceHash) -> Known {
        let Some(once) = self.by_hash.get(&hash) else {
            return Known::New;
        };
        match &once.state {
            State::Open { settled: true, .. } | State::Settled => Known::Forgotten,
            State::Open { taken, .. } => Known::Open(once.fingerprint, *taken),
            State::Answered(answer) => Known::Finished(once.fingerprint, answer.answer()),
        }
    }

    pub(super) fn take(
        &mut self,
        hash: OnceHash,
        fingerprint: u64,
        handler: &HandlerName,
        taken: TakenId,
        now: SystemTime,
    ) {
        let state = State::Open {
            taken,
            settled: false,
        };
        let once = Once {
            fingerprint,
            handler: handler.clone(),
            time: now,
            state,
            unsent: None,
        };
        self.by_hash.insert(hash, once);
    }

    /// It has its answer. Whether that is to be kept: it is not, where it was settled before.
    pub(super) fn unopen(&mut self, hash: OnceHash, taken: TakenId, now: SystemTime) -> bool {
        let Some(once) = self.by_hash.get_mut(&hash) else {
            return false;
        };
        match once.state {
            State::Open { taken: open, .. } if open != taken => false,
            State::Open { settled: true, .. } => {
                once.state = State::Settled;
                once.time = now;
                self.order.push_back(hash);
                false
            }
            State::Open { settled: false, .. } => true,
            State::Answered(_) | State::Settled => false,
        }
    }

    pub(super) fn finish(
        &mut self,
        hash: OnceHash,
        finish: &Final<'_>,
        unsent: Option<Unsent>,
        now: SystemTime,
    ) {
        let answer = PackedAnswer::new(finish.req_id, finish.answer);
        self.bytes += answer.len();
        self.order.push_back(hash);
        let once = Once {
            fingerprint: finish.fingerprint,
            handler: finish.handler.clone(),
            time: now,
            state: State::Answered(answer),
            unsent,
        };
        self.by_hash.insert(hash, once);
    }

    /// The client settled it: it stays known that it was finished. Gives where a stream had to bring it.
    pub(super) fn settle(&mut self, hash: OnceHash) -> Option<Unsent> {
        let once = self.by_hash.get_mut(&hash)?;
        match &mut once.state {
            State::Open { settled, .. } => *settled = true,
            State::Answered(answer) => {
                self.bytes -= answer.len();
                once.state = State::Settled;
            }
            State::Settled => {}
        }
        once.unsent.take()
    }

    /// The answer, with its handler and where a stream has to bring it.
    pub(super) fn answer(
        &self,
        hash: OnceHash,
    ) -> Option<(&HandlerName, &PackedAnswer, Option<Unsent>)> {
        let once = self.by_hash.get(&hash)?;
        match &once.state {
            State::Answered(answer) => Some((&once.handler, answer, once.unsent)),
            State::Open { .. } | State::Settled => None,
        }
    }

    /// The handler of one that is open.
    pub(super) fn open(&self, hash: OnceHash) -> Option<&HandlerName> {
        let once = self.by_hash.get(&hash)?;
        let open = matches!(once.state, State::Open { settled: false, .. });
        open.then_some(&once.handler)
    }

    /// A stream has to bring its answer from now on.
    pub(super) fn owe(&mut self, hash: OnceHash, unsent: Unsent) {
        if let Some(once) = self.by_hash.get_mut(&hash) {
            once.unsent = Some(unsent);
        }
    }

    /// Brings it back to its bounds. Tells where streams had to bring what is gone.
    pub(super) fn trim(&mut self, now: SystemTime, bounds: &Bounds, mut lost: impl FnMut(Unsent)) {
        while self.order.len() > bounds.once || self.bytes > bounds.once_bytes {
            self.forget_oldest(&mut lost);
        }
        let Some(oldest) = now.checked_sub(bounds.once_age) else {
            return;
        };
        for _ in 0..AGED_AT_ONCE {
            let first = self.order.front().and_then(|hash| self.by_hash.get(hash));
            if first.is_none_or(|once| once.time >= oldest) {
                return;
            }
            self.forget_oldest(&mut lost);
        }
    }

    fn forget_oldest(&mut self, lost: &mut impl FnMut(Unsent)) {
        let Some(hash) = self.order.pop_front() else {
            return;
        };
        let unsent = self.settle(hash);
        self.by_hash.remove(&hash);
        unsent.into_iter().for_each(lost);
    }

    pub(super) fn hash(&self, name: Named<'_>) -> OnceHash {
        let (kind, names) = match name {
            Named::OfClient(client, req_id) => {
                let ClientKey {
                    tenant,
                    subject,
                    client_id,
                } = client;
                (1, [&**tenant, &**subject, &**client_id, req_id])
            }
            Named::OfSubject {
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

/// What makes a packet without a place known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    OfClient(&'a ClientKey, &'a str),
    OfSubject {
        tenant: &'a str,
        subject: &'a str,
        req_id: &'a str,
    },
}

/// An identity is a place in a queue, or a name.
pub(super) fn named(identity: Identity<'_>) -> Option<Named<'_>> {
    match identity {
        Identity::Seq(..) => None,
        Identity::OfClient(client, req_id) => Some(Named::OfClient(client, req_id)),
        Identity::OfSubject {
            tenant,
            subject,
            req_id,
        } => Some(Named::OfSubject {
            tenant,
            subject,
            req_id,
        }),
    }
}

/// Whether it was longer ago than that.
pub(super) fn too_old(time: SystemTime, now: SystemTime, age: Duration) -> bool {
    now.duration_since(time).is_ok_and(|passed| passed > age)
}
