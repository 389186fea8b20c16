//! Runs in which nothing fails: who is delayed is delayed by others.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{BUDGET, MS, Manner, Plan, QueuePlan, Target};
use crate::broker::Settings;
use crate::broker::sim::network::Network;
use crate::broker::sim::packet::Odds;
use crate::broker::sim::service::Temper;
use crate::broker::sim::store::Disk;
use crate::types::{BatchLimits, Retry};

/// Nothing fails, but one subject sends all it can, and one handler hangs: nobody else is delayed by more than is said.
pub(super) fn flooded(rng: &mut StdRng) -> Plan {
    let targets = [Target::Topics, Target::Orders, Target::Jobs, Target::Keyed];
    let target = *targets.choose(rng).unwrap_or(&Target::Jobs);
    let (latency, commit) = (MS * rng.random_range(4..12), MS * rng.random_range(1..4));
    let batch = BatchLimits {
        max_packets: rng.random_range(40..100),
        max_bytes: 1 << 20,
        window: Duration::ZERO,
        calls: rng.random_range(1..3),
    };
    let lane_packets = batch.max_packets * batch.calls * 80;
    let mut queues = polite(target, rng);
    for client in 0..6 {
        queues.push(QueuePlan {
            subject: "flood".to_owned(),
            client: Some(format!("f{client}")),
            target,
            manner: Manner::Flood {
                requests: 4,
                every: Duration::ZERO,
            },
            packets: FLOOD / 6,
            batch: lane_packets / 24,
            think: Duration::ZERO,
            within: None,
            odds: Odds::NONE,
        });
    }
    in_fair_weather(queues, batch, lane_packets, (latency, commit), rng)
}

/// Of a flood, about.
const FLOOD: usize = 12_000;

/// Few packets come at a time, but there is always one coming: a batch leaves when its first packet has waited.
pub(super) fn trickling(rng: &mut StdRng) -> Plan {
    let targets = [Target::Topics, Target::Orders, Target::Jobs, Target::Keyed];
    let target = *targets.choose(rng).unwrap_or(&Target::Jobs);
    let (latency, commit) = (MS * rng.random_range(4..12), MS * rng.random_range(1..4));
    let window = MS * rng.random_range(20..40);
    let batch = BatchLimits {
        max_packets: 500,
        max_bytes: 1 << 20,
        window,
        calls: rng.random_range(2..5),
    };
    let mut queues = polite(target, rng);
    queues.push(QueuePlan {
        subject: "trickle".to_owned(),
        client: None,
        target,
        manner: Manner::Flood {
            requests: 200,
            every: window / 8,
        },
        packets: 600,
        batch: 1,
        think: Duration::ZERO,
        within: None,
        odds: Odds::NONE,
    });
    in_fair_weather(queues, batch, 10_000, (latency, commit), rng)
}

/// Those who must not be delayed.
fn polite(target: Target, rng: &mut StdRng) -> Vec<QueuePlan> {
    let mut queues = Vec::new();
    for subject in 0..POLITE {
        queues.push(QueuePlan {
            subject: format!("s{subject}"),
            client: Some("c".to_owned()),
            target,
            manner: Manner::Placed(1),
            packets: rng.random_range(20..60),
            batch: rng.random_range(1..4),
            think: MS * rng.random_range(5..60),
            within: Some(Duration::ZERO),
            odds: Odds::NONE,
        });
    }
    queues.push(QueuePlan {
        subject: "s0".to_owned(),
        client: Some("h".to_owned()),
        target: Target::Hung,
        manner: Manner::Placed(3),
        packets: 50,
        batch: 10,
        think: Duration::ZERO,
        within: None,
        odds: Odds::NONE,
    });
    queues
}

const POLITE: usize = 4;

fn in_fair_weather(
    mut queues: Vec<QueuePlan>,
    batch: BatchLimits,
    lane_packets: usize,
    (latency, commit): (Duration, Duration),
    rng: &mut StdRng,
) -> Plan {
    let within = bound(&batch, latency, commit);
    for queue in queues.iter_mut().filter(|queue| queue.within.is_some()) {
        queue.within = Some(within);
    }
    let settings = Settings {
        lane_packets,
        seed: rng.random(),
        ..Settings::default()
    };
    Plan {
        queues,
        network: Network::Reliable,
        disk: Disk::Steady,
        temper: Temper::Steady {
            latency,
            hangs: Duration::from_secs(3),
        },
        wait: (30_000, 30_001),
        commit,
        settings,
        handlers: Target::ALL.map(|target| (target, batch, true)).to_vec(),
        retry: Retry {
            budget: BUDGET,
            ..Retry::default()
        },
        mishaps: Vec::new(),
    }
}

/// How long a packet of a polite subject takes at most, whatever the others send.
///
/// It is taken after one commit that is under way, and its own. Where it is called, it stands in the lane with one turn of
/// sixteen packets for each other subject, and one more because a turn begins with what the last one left: those fill so many
/// batches, each of which leaves once a call is back, or the one before has been waited for. Then its own batch, which may end
/// within its request, so all that twice. Then the commit of its answer.
fn bound(batch: &BatchLimits, latency: Duration, commit: Duration) -> Duration {
    let latency = latency.max(commit);
    let turns = 2 * 17 * (POLITE + 1);
    let batches = (turns.div_ceil(batch.max_packets) + 1) as u32;
    // Until the first call is back it is taken to need this long.
    let company = batch.window.max(latency).max(10 * MS);
    commit * 2 + (latency * (batches + 1) + company) * 2 + commit * 2
}
