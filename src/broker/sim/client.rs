//! One client's queue to one handler, as an SDK keeps it: packets with places, a few requests in flight, the same packets
//! again until each has its final outcome, and `settled` for what was told.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::jobs::{CRASH, POISON};
use crate::broker::{Ack, Request, SettledPart};
use crate::types::{Action, Answer, ClientKey, Content, Outcome, Packet, Principal, Reason};
use crate::wire::encoded::encoded;

/// How many requests a queue has in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    OneAtATime,
    ThreeAtOnce,
}

impl Pace {
    pub(super) const ALL: [Self; 2] = [Self::OneAtATime, Self::ThreeAtOnce];

    fn requests(self) -> usize {
        match self {
            Self::OneAtATime => 1,
            Self::ThreeAtOnce => 3,
        }
    }
}

/// Packets in a request at most.
const BATCH: usize = 5;

/// A request as it was sent, by whatever number of copies it arrives.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) queue: usize,
    pub(super) call: u64,
    pub(super) settled: u64,
    pub(super) packets: Vec<Arc<Packet>>,
}

/// What the queue knows of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// To be sent, again or for the first time.
    Open {
        not_before: Instant,
    },
    InFlight,
    Final(Outcome),
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    number: usize,
    pub(super) client: Arc<ClientKey>,
    pub(super) handler: &'static str,
    /// The one with place `n` stands at `n - 1`.
    pub(super) packets: Vec<Arc<Packet>>,
    known: Vec<Known>,
    /// The requests that it waits for, with the places in each.
    calls: BTreeMap<u64, Vec<u64>>,
    pace: Pace,
    /// Whether an answer to a request that settled everything has come.
    said_goodbye: bool,
}

impl Queue {
    pub(super) fn new(
        number: usize,
        client_id: String,
        handler: &'static str,
        pace: Pace,
        now: Instant,
        rng: &mut StdRng,
    ) -> Self {
        let client = ClientKey {
            tenant: "".into(),
            subject: client_id.clone().into(),
            client_id: client_id.into(),
        };
        let count = rng.random_range(4..16);
        let packets = (1..=count).map(|seq| Arc::new(packet(number, handler, seq, rng)));
        Self {
            number,
            client: Arc::new(client),
            handler,
            packets: packets.collect(),
            known: vec![Known::Open { not_before: now }; count as usize],
            calls: BTreeMap::new(),
            pace,
            said_goodbye: false,
        }
    }

    /// The next request, if there is something to send now and fewer are in flight than may be.
    pub(super) fn send(&mut self, call: u64, now: Instant, rng: &mut StdRng) -> Option<Sent> {
        if self.calls.len() >= self.pace.requests() || self.said_goodbye {
            return None;
        }
        let most = rng.random_range(1..=BATCH);
        let mut places = Vec::new();
        for (at, known) in self.known.iter_mut().enumerate() {
            match known {
                Known::Open { not_before } if *not_before > now => break,
                Known::Open { .. } if places.len() < most => {
                    *known = Known::InFlight;
                    places.push(at as u64 + 1);
                }
                // A batch is a run of places.
                Known::Open { .. } => break,
                Known::InFlight | Known::Final(_) if places.is_empty() => {}
                Known::InFlight | Known::Final(_) => break,
            }
        }
        let settled = self.settled();
        let everything = settled == self.packets.len() as u64;
        if places.is_empty() && !(everything && self.calls.is_empty()) {
            return None;
        }
        let packets = places
            .iter()
            .map(|&seq| self.packets[seq as usize - 1].clone());
        let sent = Sent {
            queue: self.number,
            call,
            settled,
            packets: packets.collect(),
        };
        self.calls.insert(call, places);
        Some(sent)
    }

    /// When it would send something even if nothing is told before: nothing overtakes the first that is to be sent.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.known.iter().find_map(|known| match known {
            Known::Open { not_before } => Some(*not_before),
            Known::InFlight | Known::Final(_) => None,
        })
    }

    /// An answer arrives. One to a call that it does not wait for any more is not heard.
    pub(super) fn hear(
        &mut self,
        call: u64,
        answers: &[(u64, Answer)],
        now: Instant,
        rng: &mut StdRng,
    ) {
        let Some(places) = self.calls.remove(&call) else {
            return;
        };
        let told: Vec<u64> = answers.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(told, places, "one answer per packet, in order");
        self.said_goodbye = places.is_empty();
        for (seq, answer) in answers {
            self.known[*seq as usize - 1] = if answer.outcome.is_final() {
                Known::Final(answer.outcome)
            } else {
                let backoff = Duration::from_millis(rng.random_range(2..40));
                Known::Open {
                    not_before: now + answer.retry_after.unwrap_or(backoff),
                }
            };
        }
    }

    /// It waits no longer for this call; whether its packets were taken is not known.
    pub(super) fn give_up(&mut self, call: u64, now: Instant) {
        for seq in self.calls.remove(&call).unwrap_or_default() {
            self.known[seq as usize - 1] = Known::Open { not_before: now };
        }
    }

    pub(super) fn waits_for(&self, call: u64) -> bool {
        self.calls.contains_key(&call)
    }

    /// Up to here everything was told to be final.
    pub(super) fn settled(&self) -> u64 {
        let told = |known: &&Known| matches!(known, Known::Final(_));
        self.known.iter().take_while(told).count() as u64
    }

    /// The final outcome that the client was told of each packet.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (u64, Option<Outcome>)> {
        let outcome = |(at, known): (usize, &Known)| match known {
            Known::Final(outcome) => (at as u64 + 1, Some(*outcome)),
            Known::Open { .. } | Known::InFlight => (at as u64 + 1, None),
        };
        self.known.iter().enumerate().map(outcome)
    }

    /// As it arrives at the gateway.
    pub(super) fn request(&self, sent: &Sent, wait: Duration) -> Request {
        let principal = Principal {
            subject: self.client.subject.clone(),
            ..Principal::default()
        };
        Request {
            principal: Arc::new(principal),
            client: Some(self.client.clone()),
            ack: match sent.call % 3 {
                0 => Ack::Accepted,
                _ => Ack::Applied,
            },
            wait,
            size: 0,
            settled: vec![SettledPart {
                handler: self.handler.into(),
                through: sent.settled,
                req_ids: Vec::new(),
            }],
            packets: sent.packets.clone(),
        }
    }
}

/// Its content says whose it is, so that whoever finds it applied knows.
fn packet(queue: usize, handler: &'static str, seq: u64, rng: &mut StdRng) -> Packet {
    let (action, key) = match handler {
        "topics" => (Action::Create, format!("news.{queue}")),
        _ => (Action::Put, format!("k{}", rng.random_range(0..3))),
    };
    let mut packet = Packet {
        // The same in every queue: nothing may go by it.
        req_id: format!("r{seq}").into(),
        handler: handler.into(),
        seq,
        action,
        key: key.into(),
        content: Content::text(format!("{queue}:{seq}")),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: queue as u64 * 1000 + seq,
        size: rng.random_range(20..200),
        raw: Bytes::new(),
        refusal: None,
    };
    match rng.random_range(0..24) {
        // Refused for good: by the edge, as an action that there is not, and by the handler in the packet's turn.
        0 => packet.refusal = Some(Box::new(Answer::rejected(Reason::InvalidPacket, "wrong"))),
        1 => packet.action = Action::Call,
        2 if handler == "topics" => packet.key = "records.orders.k".into(),
        2 => packet.if_version = Some(1_000_000),
        4 if handler == "jobs" => packet.key = POISON.into(),
        5 if handler == "jobs" => packet.key = CRASH.into(),
        3 => packet.ttl = Some(Duration::from_millis(rng.random_range(0..30))),
        _ => {}
    }
    packet.raw = encoded(&packet);
    packet
}

/// A packet that a handler applies.
pub(super) fn sample() -> Packet {
    let mut packet = packet(0, "topics", 1, &mut rand::SeedableRng::seed_from_u64(0));
    (packet.refusal, packet.ttl, packet.if_version) = (None, None, None);
    (packet.action, packet.key) = (Action::Create, "news.0".into());
    packet
}
