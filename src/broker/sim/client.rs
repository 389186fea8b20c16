//! One client's queue to one handler, as an SDK keeps it: packets with places or without, a few requests in flight, the same
//! packets again until each has its final outcome, and `settled` for what was told. And those who only send.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::packet::{Kind, packet};
use super::plan::{MS, Manner, QueuePlan};
use crate::broker::{Ack, Request, SettledPart};
use crate::types::{Answer, ClientKey, Outcome, Packet, Principal};

/// A request as it was sent, by whatever number of copies it arrives.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) queue: usize,
    pub(super) call: u64,
    pub(super) what: What,
    /// So many from the first on are told to be settled.
    pub(super) settled: usize,
    settled_ids: Vec<ByteString>,
    /// Which packets of the queue.
    pub(super) indices: Vec<usize>,
    pub(super) packets: Vec<Arc<Packet>>,
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Packets,
    /// Other content in a place that is used.
    Impostor,
    Read,
}

/// What the queue knows of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// To be sent, again or for the first time.
    Open {
        not_before: Instant,
    },
    InFlight,
    Final,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    number: usize,
    pub(super) plan: QueuePlan,
    principal: Arc<Principal>,
    pub(super) client: Option<Arc<ClientKey>>,
    pub(super) packets: Vec<Arc<Packet>>,
    pub(super) kinds: Vec<Kind>,
    known: Vec<Known>,
    /// Which are known to be taken.
    taken: Vec<bool>,
    /// Up to here everything was told to be final.
    told: usize,
    /// The requests that it waits for, with the packets in each.
    calls: BTreeMap<u64, Vec<usize>>,
    /// Answers in a row that brought nothing final.
    failures: u32,
    rests_until: Instant,
    /// Whether an answer to a request that settled everything has come.
    said_goodbye: bool,
    /// When it is to be looked at.
    pub(super) alarm: Option<Instant>,
}

impl Queue {
    pub(super) fn new(number: usize, plan: QueuePlan, now: Instant, rng: &mut StdRng) -> Self {
        let principal = Principal {
            subject: plan.subject.clone().into(),
            ..Principal::default()
        };
        let client = plan.client.as_ref().map(|client_id| ClientKey {
            tenant: "".into(),
            subject: plan.subject.clone().into(),
            client_id: client_id.clone().into(),
        });
        let made = |index| packet((number, index), plan.target, plan.manner, plan.odds, rng);
        let (packets, kinds) = (0..plan.packets).map(made).unzip();
        Self {
            number,
            principal: Arc::new(principal),
            client: client.map(Arc::new),
            packets,
            kinds,
            known: vec![Known::Open { not_before: now }; plan.packets],
            taken: vec![false; plan.packets],
            told: 0,
            calls: BTreeMap::new(),
            failures: 0,
            rests_until: now,
            said_goodbye: plan.manner.is_flood(),
            alarm: None,
            plan,
        }
    }

    /// The next request, if there is something to send now and fewer are in flight than may be.
    pub(super) fn send(&mut self, call: u64, now: Instant, rng: &mut StdRng) -> Option<Sent> {
        let full = self.calls.len() >= self.plan.manner.requests();
        if full || self.is_done() || self.rests_until > now {
            return None;
        }
        let most = match self.plan.manner {
            Manner::Flood { .. } => self.plan.batch,
            _ => rng.random_range(1..=self.plan.batch),
        };
        let mut indices = Vec::new();
        for (at, known) in self.known.iter_mut().enumerate().skip(self.told) {
            match known {
                Known::Open { not_before } if *not_before > now => break,
                Known::Open { .. } if indices.len() < most => {
                    *known = Known::InFlight;
                    indices.push(at);
                }
                // A batch is a run of places.
                Known::Open { .. } => break,
                Known::InFlight | Known::Final if indices.is_empty() => {}
                Known::InFlight | Known::Final => break,
            }
        }
        let everything = self.told == self.packets.len();
        if indices.is_empty() && !(everything && self.calls.is_empty()) {
            return None;
        }
        if let Manner::Flood { every, .. } = self.plan.manner {
            self.rests_until = now + every;
        }
        self.calls.insert(call, indices.clone());
        let packets = indices.iter().map(|&at| self.packets[at].clone());
        Some(Sent {
            queue: self.number,
            call,
            what: What::Packets,
            settled: self.told,
            settled_ids: self.settled_ids(),
            packets: packets.collect(),
            indices,
        })
    }

    /// Of packets without places a few that were told last; of all in the end.
    fn settled_ids(&self) -> Vec<ByteString> {
        if self.plan.manner != Manner::Named {
            return Vec::new();
        }
        let last = match self.told == self.packets.len() {
            true => self.told,
            false => 20,
        };
        let told = self.packets[..self.told].iter().rev().take(last);
        told.map(|packet| packet.req_id.clone()).collect()
    }

    /// A request that has nothing to do with what the queue waits for.
    pub(super) fn aside(&self, call: u64, what: What, index: usize, packet: Arc<Packet>) -> Sent {
        Sent {
            queue: self.number,
            call,
            what,
            settled: 0,
            settled_ids: Vec::new(),
            indices: vec![index],
            packets: vec![packet],
        }
    }

    /// When it would send something even if nothing is told before: nothing overtakes the first that is to be sent.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let open = self.known[self.told..]
            .iter()
            .find_map(|known| match known {
                Known::Open { not_before } => Some(*not_before),
                Known::InFlight | Known::Final => None,
            });
        let goodbye = self.told == self.packets.len() && !self.is_done();
        let full = self.calls.len() >= self.plan.manner.requests();
        let due = open.or_else(|| goodbye.then_some(self.rests_until))?;
        (!full).then(|| due.max(self.rests_until))
    }

    /// An answer arrives. One to a call that it does not wait for any more is not heard.
    pub(super) fn hear(&mut self, sent: &Sent, answers: &[Answer], now: Instant, rng: &mut StdRng) {
        let Some(indices) = self.calls.remove(&sent.call) else {
            return;
        };
        self.said_goodbye |= indices.is_empty();
        let nothing_final = !answers.iter().any(|answer| answer.outcome.is_final());
        self.failures = match nothing_final && !answers.is_empty() {
            true => self.failures + 1,
            false => 0,
        };
        let flood = self.plan.manner.is_flood();
        let backoff = match flood {
            true => MS * rng.random_range(3..8),
            false => MS * rng.random_range(2..40) * (1 << self.failures.min(6)),
        };
        for (index, answer) in indices.into_iter().zip(answers) {
            if self.known[index] == Known::Final {
                continue;
            }
            self.taken[index] |= answer.outcome == Outcome::Accepted;
            let over = flood && answer.outcome != Outcome::Retry;
            self.known[index] = if answer.outcome.is_final() || over {
                Known::Final
            } else {
                let asked = answer.retry_after.filter(|_| !flood);
                Known::Open {
                    not_before: now + asked.unwrap_or(backoff),
                }
            };
        }
        self.move_on();
        if !self.plan.think.is_zero() {
            self.rests_until = now + self.plan.think.mul_f64(rng.random());
        }
    }

    /// Its stream brings a final outcome.
    pub(super) fn hear_final(&mut self, index: usize) {
        self.known[index] = Known::Final;
        self.move_on();
    }

    fn move_on(&mut self) {
        while self.known.get(self.told) == Some(&Known::Final) {
            self.told += 1;
        }
    }

    /// It waits no longer for this call; whether its packets were taken is not known.
    pub(super) fn give_up(&mut self, call: u64, now: Instant) {
        for index in self.calls.remove(&call).unwrap_or_default() {
            if self.known[index] == Known::InFlight {
                self.known[index] = Known::Open { not_before: now };
            }
        }
    }

    pub(super) fn waits_for(&self, sent: &Sent) -> bool {
        sent.what != What::Packets || self.calls.contains_key(&sent.call)
    }

    /// Places near the first open one that are the client's for good.
    pub(super) fn used(&self) -> Vec<usize> {
        let near = self.told.saturating_sub(3)..(self.told + 20).min(self.packets.len());
        near.filter(|&at| self.taken[at] || at < self.told)
            .collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.said_goodbye && self.told == self.packets.len()
    }

    /// As it arrives at the gateway.
    pub(super) fn request(&self, sent: &Sent, wait: Duration) -> Request {
        let accepted = sent.call.is_multiple_of(3)
            && sent.what != What::Read
            && self.client.is_some()
            && self.plan.target.keeps()
            && self.plan.within.is_none();
        Request {
            principal: self.principal.clone(),
            client: self.client.clone(),
            ack: match accepted {
                true => Ack::Accepted,
                false => Ack::Applied,
            },
            wait,
            size: 0,
            settled: vec![SettledPart {
                handler: self.plan.target.name().into(),
                through: match self.plan.manner {
                    Manner::Placed(_) => sent.settled as u64,
                    _ => 0,
                },
                req_ids: sent.settled_ids.clone(),
            }],
            packets: sent.packets.clone(),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            queue,
            call,
            what,
            settled,
            indices,
            ..
        } = self;
        write!(
            f,
            "queue {queue} call {call} {what:?} {indices:?} settled {settled}"
        )
    }
}
