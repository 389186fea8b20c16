//! The core's figures at one moment. Looks at lanes and batches only, and at no packet: it may be asked often.

use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::backend::CircuitState;
use super::lane::{Class, Lane, LaneKey};
use super::meter::Meter;
use crate::types::{Action, HandlerName};

/// Everything at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Lanes that are there, in no order.
    pub(crate) lanes: Vec<LaneLevels>,
    /// What lanes did that are gone, each handler's by class.
    pub(crate) gone: Vec<(HandlerName, ClassName, Meter)>,
    /// Handlers that were called.
    pub(crate) backends: Vec<BackendLevels>,
    /// All packets that are here, and their bytes.
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
    /// Requests that are waited for.
    pub(crate) requests: usize,
}

/// One lane; those of several tenants or methods are told apart no further.
#[derive(Debug, Clone)]
pub(crate) struct LaneLevels {
    pub(crate) handler: HandlerName,
    pub(crate) class: ClassName,
    /// All that are here, in flight or not. Of the lane in which packets are taken, those on their way through it, which count
    /// in the lane behind it as well.
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
    /// Those that were handed over and have no answer yet, or one that is on its way to the disk.
    pub(crate) in_flight: usize,
    /// Batches of it that are away.
    pub(crate) calls: usize,
    /// How long the first of those that are here has been: waiting, in a search or in flight.
    pub(crate) oldest: Option<Duration>,
    pub(crate) meter: Meter,
}

/// One handler that is called.
#[derive(Debug, Clone)]
pub(crate) struct BackendLevels {
    pub(crate) handler: HandlerName,
    pub(crate) circuit: CircuitState,
    /// How often it opened.
    pub(crate) opened: u64,
}

/// A class without the names that clients gave: so there are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClassName {
    Mixed,
    Reads,
    Action(Action),
    Intake,
}

impl ClassName {
    fn of(class: &Class) -> Self {
        match class {
            Class::Mixed => Self::Mixed,
            Class::Reads => Self::Reads,
            Class::Action(action) => Self::Action(*action),
            Class::Method(_) => Self::Action(Action::Call),
            Class::Intake => Self::Intake,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Reads => "reads",
            Self::Intake => "taking",
            Self::Action(Action::Create) => "create",
            Self::Action(Action::Read) => "read",
            Self::Action(Action::Update) => "update",
            Self::Action(Action::Delete) => "delete",
            Self::Action(Action::Put) => "put",
            Self::Action(Action::List) => "list",
            Self::Action(Action::Call) => "call",
        }
    }
}

/// What lanes did that are gone: as many as there are handlers and classes.
#[derive(Debug, Default)]
pub(super) struct Gone(HashMap<(HandlerName, ClassName), Meter>);

impl Gone {
    pub(super) fn add(&mut self, key: &LaneKey, meter: &Meter) {
        let class = ClassName::of(&key.class);
        let kept = self.0.entry((key.handler.clone(), class)).or_default();
        kept.merge(meter);
    }
}

impl Core {
    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut in_flight: HashMap<Id<Lane>, usize> = HashMap::new();
        for batch in self.batches.iter() {
            *in_flight.entry(batch.lane).or_default() += batch.jobs.len();
        }
        let oldest = self.oldest();
        let lanes = self.lanes.ids().into_iter().map(|id| {
            let in_flight = in_flight.get(&id).copied().unwrap_or(0);
            levels(&self.lanes[id], in_flight, oldest.get(&id).copied(), now)
        });
        let gone = self.gone.0.iter();
        let backends = self.backend_index.iter();
        Snapshot {
            lanes: lanes.collect(),
            gone: gone
                .map(|((handler, class), meter)| (handler.clone(), *class, meter.clone()))
                .collect(),
            backends: backends
                .map(|(handler, &id)| BackendLevels {
                    handler: handler.clone(),
                    circuit: self.backends[id].state(now),
                    opened: self.backends[id].opened,
                })
                .collect(),
            packets: self.desk.jobs.len(),
            bytes: self.lanes.iter().map(|lane| lane.bytes).sum(),
            requests: self.desk.calls.len(),
        }
    }
}

fn levels(lane: &Lane, in_flight: usize, oldest: Option<Instant>, now: Instant) -> LaneLevels {
    LaneLevels {
        handler: lane.key.handler.clone(),
        class: ClassName::of(&lane.key.class),
        packets: lane.packets + lane.passing,
        bytes: lane.bytes,
        in_flight,
        calls: lane.calls,
        oldest: oldest.map(|since| now.saturating_duration_since(since)),
        meter: lane.meter.clone(),
    }
}
