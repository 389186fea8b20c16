//! What a seed stands for: who sends what to whom, over which network, with which bounds, and what goes wrong when.

mod fair;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use self::fair::{flooded, trickling};
use super::network::Network;
use super::packet::Odds;
use super::service::{Away, Temper};
use super::store::Disk;
use crate::broker::Settings;
use crate::handler::{CallError, Failure, Ordering};
use crate::types::{BatchLimits, Retry};

pub(super) const MS: Duration = Duration::from_millis(1);

/// The handlers of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Topics,
    Orders,
    /// Called, each client's packets in order.
    Jobs,
    /// Called, the packets of a key in order.
    Keyed,
    /// Called, in no order.
    Loose,
    /// Called, and nothing is kept.
    Passing,
    /// Called, and in fair weather it hangs.
    Hung,
}

impl Target {
    pub(super) const ALL: [Self; 7] = [
        Self::Topics,
        Self::Orders,
        Self::Jobs,
        Self::Keyed,
        Self::Loose,
        Self::Passing,
        Self::Hung,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Orders => "orders",
            Self::Jobs => "jobs",
            Self::Keyed => "keyed",
            Self::Loose => "loose",
            Self::Passing => "passing",
            Self::Hung => "hung",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    pub(super) fn is_called(self) -> bool {
        !matches!(self, Self::Topics | Self::Orders)
    }

    pub(super) fn takes_first(self) -> bool {
        self.is_called() && self != Self::Passing
    }

    /// Whether what is taken stays.
    pub(super) fn keeps(self) -> bool {
        self != Self::Passing
    }

    pub(super) fn ordering(self) -> Ordering {
        match self {
            Self::Keyed => Ordering::Key,
            Self::Loose => Ordering::None,
            _ => Ordering::Client,
        }
    }
}

/// How a queue sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// With places, so many requests in flight.
    Placed(usize),
    /// Without places, known by req_id within the client, one request in flight.
    Named,
    /// The same without client_id.
    Alone,
    /// Known by nothing, without order and without patience: so many requests at a time, a new one each interval.
    Flood { requests: usize, every: Duration },
}

impl Manner {
    pub(super) fn is_placed(self) -> bool {
        matches!(self, Self::Placed(_))
    }

    pub(super) fn is_flood(self) -> bool {
        matches!(self, Self::Flood { .. })
    }

    pub(super) fn requests(self) -> usize {
        match self {
            Self::Placed(requests) | Self::Flood { requests, .. } => requests,
            Self::Named | Self::Alone => 1,
        }
    }
}

/// One queue.
#[derive(Debug, Clone)]
pub(super) struct QueuePlan {
    pub(super) subject: String,
    pub(super) client: Option<String>,
    pub(super) target: Target,
    pub(super) manner: Manner,
    pub(super) packets: usize,
    /// Packets in a request at most.
    pub(super) batch: usize,
    /// It rests up to so long after each answer.
    pub(super) think: Duration,
    /// No packet of it is refused, and none takes longer from its arrival to its answer.
    pub(super) within: Option<Duration>,
    pub(super) odds: Odds,
}

/// What goes wrong at some time.
#[derive(Debug, Clone)]
pub(super) enum Mishap {
    /// The gateway ends, and another one starts with the same store.
    Restart,
    /// The same, and what the first one had in hand goes on, late.
    TakeOver,
    /// Somebody else was the owner of some domains for a moment.
    Usurped,
    /// From now on every call of the handler fails so, or none does.
    Away(Target, Option<Away>),
    Disk(Disk),
    /// Somebody sends other content in a place that is used, or reads.
    Meddle,
}

/// How much a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Few packets with places, so many requests of each queue in flight.
    Small(usize),
    Large,
}

/// A run to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) queues: Vec<QueuePlan>,
    pub(super) network: Network,
    pub(super) disk: Disk,
    pub(super) temper: Temper,
    /// The longest time that a call of a caller may take.
    pub(super) wait: (u32, u32),
    /// A commit's way, there and back.
    pub(super) commit: Duration,
    pub(super) settings: Settings,
    pub(super) handlers: Vec<(Target, BatchLimits, bool)>,
    pub(super) retry: Retry,
    pub(super) mishaps: Vec<(Duration, Mishap)>,
}

impl Plan {
    pub(super) fn of(seed: u64, scale: Scale) -> Self {
        let rng = &mut StdRng::seed_from_u64(seed);
        match (scale, seed % 6) {
            (Scale::Small(requests), _) => rough_and_small(requests, rng),
            (Scale::Large, 0) => flooded(rng),
            (Scale::Large, 3) => trickling(rng),
            (Scale::Large, _) => rough(rng),
        }
    }
}

fn rough_and_small(requests: usize, rng: &mut StdRng) -> Plan {
    let odds = Odds {
        refused: 125,
        brief: 40,
        poison: 40,
        crash: 40,
        stubborn: 0,
    };
    let mut queues = Vec::new();
    for client in 0..3 {
        for target in [Target::Topics, Target::Orders, Target::Jobs] {
            queues.push(QueuePlan {
                subject: format!("c{client}"),
                client: Some(format!("c{client}")),
                target,
                manner: Manner::Placed(requests),
                packets: rng.random_range(4..16),
                batch: 5,
                think: Duration::ZERO,
                within: None,
                odds,
            });
        }
    }
    let settings = Settings {
        lane_packets: rng.random_range(4..20),
        waiters: rng.random_range(1..4),
        seed: rng.random(),
        ..Settings::default()
    };
    let mut plan = in_rough_weather(queues, settings, rng);
    for (_, batch, mixed) in &mut plan.handlers {
        (batch.max_packets, *mixed) = (rng.random_range(1..8), true);
        batch.max_bytes = rng.random_range(100..2000);
    }
    plan.mishaps = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        let at = MS * rng.random_range(1..500);
        plan.mishaps.push((at, Mishap::Restart));
    }
    if rng.random_ratio(1, 2) {
        let from = MS * rng.random_range(0..500);
        let until = from + MS * rng.random_range(1..800);
        let away = any_away(rng);
        plan.mishaps
            .push((from, Mishap::Away(Target::Jobs, Some(away))));
        plan.mishaps.push((until, Mishap::Away(Target::Jobs, None)));
    }
    plan
}

/// Everything that can go wrong does.
fn rough(rng: &mut StdRng) -> Plan {
    let mut queues = Vec::new();
    for subject in 0..rng.random_range(2..5) {
        for client in 0..rng.random_range(1..4) {
            let mut targets = Target::ALL.to_vec();
            targets.retain(|target| *target != Target::Hung);
            targets.shuffle(rng);
            for target in targets.into_iter().take(rng.random_range(2..5)) {
                queues.push(rough_queue(subject, client, target, rng));
            }
        }
    }
    let share = PACKETS / queues.len();
    for queue in &mut queues {
        queue.packets = rng.random_range(share / 2..share * 3 / 2);
    }
    let settings = Settings {
        bytes: *[22_000, 112_000, 512 << 20].choose(rng).unwrap_or(&0),
        lane_packets: rng.random_range(30..600),
        lane_bytes: *[3_000, 64 << 20].choose(rng).unwrap_or(&0),
        waiters: rng.random_range(1..5),
        seed: rng.random(),
        ..Settings::default()
    };
    let mut plan = in_rough_weather(queues, settings, rng);
    mishaps(&mut plan.mishaps, rng);
    plan
}

/// Of a run in rough weather, about.
const PACKETS: usize = 5_500;

fn rough_queue(subject: usize, client: usize, target: Target, rng: &mut StdRng) -> QueuePlan {
    let manner = match rng.random_range(0..10) {
        0..4 => Manner::Placed(1),
        4..8 => Manner::Placed(3),
        8 => Manner::Named,
        _ => Manner::Alone,
    };
    QueuePlan {
        subject: format!("s{subject}"),
        client: (manner != Manner::Alone).then(|| format!("c{client}")),
        target,
        manner,
        packets: 0,
        batch: rng.random_range(1..80),
        think: MS * *[0, 0, 20].choose(rng).unwrap_or(&0),
        within: None,
        odds: Odds {
            refused: 12,
            brief: 12,
            poison: 2,
            crash: u32::from(rng.random_ratio(1, 2)),
            stubborn: u32::from(rng.random_ratio(1, 4)),
        },
    }
}

fn in_rough_weather(queues: Vec<QueuePlan>, settings: Settings, rng: &mut StdRng) -> Plan {
    let mut handlers = Vec::new();
    for target in Target::ALL {
        let batch = BatchLimits {
            max_packets: rng.random_range(4..100),
            max_bytes: *[800, 1 << 20].choose(rng).unwrap_or(&0),
            window: MS * *[0, 0, 5].choose(rng).unwrap_or(&0),
            calls: rng.random_range(1..5),
        };
        handlers.push((target, batch, rng.random()));
    }
    Plan {
        queues,
        network: Network::Lossy,
        disk: Disk::Unsteady,
        temper: Temper::Moody {
            timeout: MS * rng.random_range(60..500),
        },
        wait: (20, 300),
        commit: MS * 8,
        settings,
        handlers,
        retry: Retry {
            attempts: 5,
            budget: BUDGET,
            initial: 10 * MS,
            max: Duration::from_secs(1),
            ..Retry::default()
        },
        mishaps: Vec::new(),
    }
}

const BUDGET: Duration = Duration::from_secs(30);

fn mishaps(mishaps: &mut Vec<(Duration, Mishap)>, rng: &mut StdRng) {
    let soon = |rng: &mut StdRng| MS * rng.random_range(1..4_000);
    for _ in 0..rng.random_range(0..3) {
        let mishap = match rng.random() {
            true => Mishap::Restart,
            false => Mishap::TakeOver,
        };
        mishaps.push((soon(rng), mishap));
    }
    for _ in 0..rng.random_range(0..3) {
        mishaps.push((soon(rng), Mishap::Usurped));
    }
    for target in Target::ALL.into_iter().filter(|target| target.is_called()) {
        if rng.random_ratio(1, 2) {
            let from = soon(rng);
            // All of them together are over long before the budget is.
            let longest = *[300, 3_000, 8_000].choose(rng).unwrap_or(&0);
            let until = from + MS * rng.random_range(20..longest);
            mishaps.push((from, Mishap::Away(target, Some(any_away(rng)))));
            mishaps.push((until, Mishap::Away(target, None)));
        }
    }
    if rng.random_ratio(1, 3) {
        let from = soon(rng);
        let until = from + MS * rng.random_range(20..2_000);
        mishaps.push((from, Mishap::Disk(Disk::Away)));
        mishaps.push((until, Mishap::Disk(Disk::Unsteady)));
    }
    for _ in 0..30 {
        mishaps.push((soon(rng), Mishap::Meddle));
    }
}

fn any_away(rng: &mut StdRng) -> Away {
    let failures = [Failure::Passing, Failure::Items, Failure::Handler];
    let reached = rng.random();
    let error = CallError {
        failure: *failures.choose(rng).unwrap_or(&Failure::Passing),
        reached,
        message: "it is away".into(),
    };
    Away {
        error,
        works: reached && rng.random_ratio(1, 3),
    }
}
