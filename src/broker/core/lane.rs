//! Lanes: the packets of one handler and action that may share a batch, and when a batch of them leaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use hashbrown::HashMap;
use tokio::time::Instant;

use super::arena::{Arena, Id};
use super::backend::Backend;
use super::chain::Chain;
use super::fair::Fair;
use super::meter::{Meter, Why};
use super::search::Search;
use super::share::Share;
use crate::broker::Settings;
use crate::handler::{Drive, HandlerSettings, Ordering};
use crate::store::{Owed, QueueKey, Settle};
use crate::types::{Action, BatchLimits, HandlerName, Packet, Principal, limits};

/// What shares a lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    pub(crate) handler: HandlerName,
    /// Set where tenants are kept apart.
    pub(crate) tenant: Option<ByteString>,
    pub(crate) class: Class,
}

/// Which of a handler's packets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What is on its way to be taken, before its handler is called.
    Intake,
    /// All of them; for a handler in the store, all that write.
    Mixed,
    /// What reads from the store: writes do not wait for it.
    Reads,
    Action(Action),
    Method(ByteString),
}

impl Class {
    pub(crate) fn of(settings: &HandlerSettings, packet: &Packet) -> Self {
        if packet.refusal.is_some() && settings.takes_first() && !packet.action.is_read() {
            // It is recorded and goes no further.
            return Self::Intake;
        }
        match (&settings.drive, packet.action) {
            (Drive::Planned(_), action) if action.is_read() => Self::Reads,
            (Drive::Planned(_), _) => Self::Mixed,
            (Drive::Called(_), _) if settings.mixed_actions => Self::Mixed,
            (Drive::Called(_), Action::Call) => Self::Method(packet.method().clone()),
            (Drive::Called(_), action) => Self::Action(action),
        }
    }

    /// Of what is committed besides packets: what clients are done with, and what streams are owed.
    pub(crate) fn of_commits(settings: &HandlerSettings) -> Option<Self> {
        match settings.drive {
            Drive::Planned(_) => Some(Self::Mixed),
            Drive::Called(_) => settings.durable.then_some(Self::Intake),
        }
    }

    /// Our own store is what takes: its batches are as large as a request, whatever the handler's are.
    fn limits(&self, settings: &HandlerSettings) -> BatchLimits {
        if *self != Self::Intake {
            return settings.batch;
        }
        let in_one_order = settings.ordering == Ordering::Key;
        BatchLimits {
            max_packets: limits::REQUEST_PACKETS,
            max_bytes: limits::REQUEST_BYTES,
            window: Duration::ZERO,
            // The order of a key goes across clients: it is the order of the commits.
            calls: if in_one_order { 1 } else { 4 },
        }
    }
}

impl LaneKey {
    pub(crate) fn of(settings: &HandlerSettings, tenant: &ByteString, class: Class) -> Self {
        Self {
            handler: settings.name.clone(),
            tenant: settings.isolate_tenants.then(|| tenant.clone()),
            class,
        }
    }

    /// Without a share of the request that brought it: a lane outlives it.
    pub(crate) fn owned(self) -> Self {
        let copy = |name: ByteString| ByteString::from(&*name);
        Self {
            handler: self.handler,
            tenant: self.tenant.map(copy),
            class: match self.class {
                Class::Method(method) => Class::Method(copy(method)),
                other => other,
            },
        }
    }

    pub(crate) fn action(&self) -> Option<Action> {
        match self.class {
            Class::Action(action) => Some(action),
            Class::Method(_) => Some(Action::Call),
            Class::Mixed | Class::Reads | Class::Intake => None,
        }
    }
}

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) key: LaneKey,
    pub(crate) settings: Arc<HandlerSettings>,
    /// The handler that its batches call; none where they go to the store.
    pub(crate) backend: Option<Id<Backend>>,
    /// In which its handler's packets are counted.
    pub(super) share: Id<Share>,
    /// Of its batches.
    pub(crate) limits: BatchLimits,
    /// Packets that pass through it on their way to the lane in which they are counted.
    pub(crate) passing: usize,
    /// Packets that come back to it once a person has decided about their chains.
    pub(crate) aside: usize,
    /// All that are here, in flight or not, but for those.
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
    /// Who holds them.
    holders: Arena<Holder>,
    by_subject: HashMap<(ByteString, ByteString), Id<Holder>>,
    /// Whose turn it is among those with ready chains.
    pub(crate) fair: Fair,
    /// Ready chains by how long they have been.
    pub(crate) oldest: BTreeSet<(Instant, Id<Chain>)>,
    pub(crate) ready_packets: usize,
    pub(crate) ready_bytes: usize,
    /// Batches that were handed over and have no answer yet.
    pub(crate) calls: usize,
    /// When each of them was.
    started: Vec<Instant>,
    /// What is looking for a packet to blame, and may make its next call.
    pub(crate) searches: VecDeque<Id<Search>>,
    /// Whether it is a search's turn, if others could leave too.
    pub(crate) search_turn: bool,
    /// The last call that it made while the circuit was open.
    pub(crate) probed: u64,
    /// How long the handler took of late; `None` until its first call is back.
    pub(crate) latency: Option<Duration>,
    /// Until nothing is ready any more, batches leave whatever their size.
    pub(crate) flushing: bool,
    /// What clients are done with: leaves with the next batch. Ordered, so that the same inputs give the same batch.
    pub(crate) settles: BTreeMap<QueueKey, Settle>,
    /// How many req_ids are in `settles`.
    pub(crate) settled_ids: usize,
    /// What streams are owed: leaves with the next batch.
    pub(crate) owed: Vec<Owed>,
    /// The store did not take what is owed: not before this.
    pub(crate) owed_from: Option<Instant>,
    /// When to look again without being told to; what stands in the core's table.
    pub(crate) due: Option<Instant>,
    /// Set while it is empty: when it goes.
    pub(crate) idle_until: Option<Instant>,
    /// Whether it stands in the core's list of lanes to look at.
    pub(crate) noticed: bool,
    /// What it has done.
    pub(crate) meter: Meter,
}

/// What a handler is taken to need until it has answered once.
const FIRST_LATENCY: Duration = Duration::from_millis(10);

/// What one subject holds in a lane.
#[derive(Debug)]
pub(crate) struct Holder {
    subject: (ByteString, ByteString),
    packets: usize,
    bytes: usize,
}

/// What a lane does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A batch leaves now.
    Leave,
    /// Nothing before this instant, unless something changes.
    At(Instant),
    /// Nothing until something changes.
    Rest,
}

impl Next {
    pub(crate) fn not_before(self, time: Instant) -> Self {
        match self {
            Self::Leave => Self::At(time),
            Self::At(due) => Self::At(due.max(time)),
            Self::Rest => Self::Rest,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Leave, _) | (_, Self::Leave) => Self::Leave,
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::Rest, next) | (next, Self::Rest) => next,
        }
    }
}

impl Lane {
    pub(crate) fn new(
        key: LaneKey,
        settings: Arc<HandlerSettings>,
        backend: Option<Id<Backend>>,
        share: Id<Share>,
    ) -> Self {
        let batch = key.class.limits(&settings);
        Self {
            key,
            backend,
            share,
            limits: batch,
            passing: 0,
            aside: 0,
            packets: 0,
            bytes: 0,
            holders: Arena::default(),
            by_subject: HashMap::new(),
            fair: Fair::new(quantum(&batch)),
            oldest: BTreeSet::new(),
            ready_packets: 0,
            ready_bytes: 0,
            calls: 0,
            started: Vec::new(),
            searches: VecDeque::new(),
            search_turn: false,
            probed: 0,
            latency: None,
            flushing: false,
            settles: BTreeMap::new(),
            settled_ids: 0,
            owed: Vec::new(),
            owed_from: None,
            due: None,
            idle_until: None,
            noticed: false,
            meter: Meter::default(),
            settings,
        }
    }

    /// Its handler has other settings. What is ready was taken out before, and is counted anew.
    pub(crate) fn drive_by(&mut self, settings: Arc<HandlerSettings>) {
        self.limits = self.key.class.limits(&settings);
        self.fair = Fair::new(quantum(&self.limits));
        self.settings = settings;
    }

    /// Whether a batch leaves now.
    pub(crate) fn next(&self, now: Instant) -> Next {
        let limits = &self.limits;
        if self.calls >= limits.calls {
            return Next::Rest;
        }
        let Some(&(oldest, _)) = self.oldest.first() else {
            return match self.owed_from {
                _ if !self.settles.is_empty() => Next::Leave,
                _ if self.owed.is_empty() => Next::Rest,
                Some(from) if from > now => Next::At(from),
                _ => Next::Leave,
            };
        };
        let due = match self.why() {
            Why::Whole | Why::Flush | Why::Drain => return Next::Leave,
            Why::Window => oldest + limits.window,
            Why::Idle => now,
            Why::Latency => oldest + self.latency(),
        };
        if due <= now {
            Next::Leave
        } else {
            Next::At(due)
        }
    }

    /// A batch is handed over.
    pub(crate) fn leaves(&mut self, now: Instant) {
        self.calls += 1;
        self.started.push(now);
    }

    /// The one that was handed over then has its answer.
    pub(crate) fn is_back(&mut self, started: Instant, now: Instant) {
        self.calls -= 1;
        if let Some(at) = self.started.iter().position(|&other| other == started) {
            self.started.swap_remove(at);
        }
        let elapsed = now.saturating_duration_since(started);
        self.meter.took.add_time(elapsed, 1);
        let smoothed = |before: Duration| (before * 7 + elapsed) / 8;
        self.latency = Some(self.latency.map_or(elapsed, smoothed));
    }

    /// What has the next batch leave, once it is its time.
    pub(crate) fn why(&self) -> Why {
        let limits = &self.limits;
        let whole =
            self.ready_packets >= limits.max_packets || self.ready_bytes >= limits.max_bytes;
        if whole {
            Why::Whole
        } else if self.flushing {
            Why::Flush
        } else if limits.window > Duration::ZERO {
            Why::Window
        } else if self.calls == 0 || self.key.class == Class::Intake {
            // What is taken goes to our own store, which groups by itself what comes while it syncs: waiting gains nothing.
            Why::Idle
        } else {
            Why::Latency
        }
    }

    fn latency(&self) -> Duration {
        self.latency.unwrap_or(FIRST_LATENCY)
    }

    /// How long what is here will take, as far as can be told.
    pub(crate) fn backlog(&self, now: Instant) -> Duration {
        let limits = &self.limits;
        let batches = (self.packets / limits.max_packets).max(self.bytes / limits.max_bytes);
        // Long chains let fewer calls be made at once than there might be.
        let rounds = batches / self.calls.clamp(1, limits.calls) + 1;
        // One that is open for longer than calls took of late says that they take longer now.
        let open = self.started.iter().min();
        let open = open.map(|&started| now.saturating_duration_since(started));
        let latency = self.latency().max(open.unwrap_or_default());
        latency.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Whether one more packet of this subject may come in. Above half of a bound, a subject that holds its share waits.
    pub(crate) fn admits(&self, principal: &Principal, size: usize, settings: &Settings) -> bool {
        let packets = self.packets + 1;
        let bytes = self.bytes + size;
        // A packet that alone is over the bound would never come in: an empty lane takes it.
        if self.packets > 0 && (packets > settings.lane_packets || bytes > settings.lane_bytes) {
            return false;
        }
        if packets <= settings.lane_packets / 2 && bytes <= settings.lane_bytes / 2 {
            return true;
        }
        let Some(holder) = self.holder_of(principal) else {
            return true;
        };
        let shares = self.by_subject.len() + 1;
        holder.packets < settings.lane_packets / shares
            && holder.bytes < settings.lane_bytes / shares
    }

    fn holder_of(&self, principal: &Principal) -> Option<&Holder> {
        let subject = (principal.tenant.clone(), principal.subject.clone());
        self.by_subject.get(&subject).map(|&id| &self.holders[id])
    }

    /// A packet comes in.
    pub(crate) fn hold(&mut self, principal: &Principal, size: usize) -> Id<Holder> {
        let subject = (principal.tenant.clone(), principal.subject.clone());
        let holders = &mut self.holders;
        let id = *self
            .by_subject
            .entry(subject)
            .or_insert_with_key(|subject| {
                holders.insert(Holder {
                    subject: subject.clone(),
                    packets: 0,
                    bytes: 0,
                })
            });
        self.hold_more(id, size);
        id
    }

    /// Another one of the same subject.
    pub(crate) fn hold_more(&mut self, id: Id<Holder>, size: usize) {
        self.packets += 1;
        self.bytes += size;
        self.holders[id].packets += 1;
        self.holders[id].bytes += size;
    }

    /// A packet is gone.
    pub(crate) fn release(&mut self, id: Id<Holder>, size: usize) {
        self.packets -= 1;
        self.bytes -= size;
        let holder = &mut self.holders[id];
        holder.packets -= 1;
        holder.bytes -= size;
        if holder.packets == 0 {
            let holder = self.holders.remove(id);
            self.by_subject.remove(&holder.subject);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets == 0
            && self.passing == 0
            && self.aside == 0
            && self.calls == 0
            && self.settles.is_empty()
            && self.owed.is_empty()
    }
}

/// What a packet costs in a lane's shares: the larger part of a batch that it takes up, in bytes of a batch.
pub(crate) fn cost(size: usize, max_packets: usize, max_bytes: usize) -> i64 {
    (size as i64).max(cost_of_one(max_packets, max_bytes))
}

/// What a party may take in a round.
fn quantum(limits: &BatchLimits) -> i64 {
    16 * cost_of_one(limits.max_packets, limits.max_bytes)
}

fn cost_of_one(max_packets: usize, max_bytes: usize) -> i64 {
    (max_bytes / max_packets.max(1)).max(1) as i64
}
