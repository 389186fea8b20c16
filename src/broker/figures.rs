//! The broker's metrics.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::oneshot;

use super::Broker;
use super::apply::{Fate as CommitFate, Tally};
use super::core::{CircuitState, Fate, Meter, Snapshot, Why};
use super::worker::{Command, Seen};
use crate::handler::{Drive, Registry};
use crate::metrics::{Family, Kind, Names, Source};
use crate::wire::answer::names;

/// Collections that no configuration lists and that have series of their own: the first of them that are used.
const COLLECTIONS: usize = 100;

/// Tells what the broker has done.
#[derive(Debug)]
pub struct Figures {
    /// Weak: who looks on does not keep the worker from ending.
    worker: WeakSender<Command>,
    tally: Tally,
    registry: Arc<Registry>,
    handlers: Names,
}

impl Figures {
    pub fn new(broker: &Broker, registry: Arc<Registry>) -> Self {
        let all = registry.all();
        let listed = all.iter().map(|settings| settings.name.to_string());
        Self {
            worker: broker.commands.downgrade(),
            tally: broker.tally.clone(),
            handlers: Names::new(listed, COLLECTIONS),
            registry,
        }
    }

    async fn all(&self) -> Vec<Family> {
        // A broker that has ended has nothing to show but what was counted elsewhere.
        let seen = self.look().await.unwrap_or_default();
        let mut all = Vec::from(lanes(&seen.core, &self.handlers));
        all.extend(meters(&seen.core, &self.handlers));
        all.extend(handlers(&seen.core, &self.tally, &self.handlers));
        all.push(self.dropped());
        all.extend(requests(&seen));
        all.extend(commits(&self.tally));
        all
    }

    fn dropped(&self) -> Family {
        let mut dropped = Family::new(
            "tidegate_dropped_messages",
            Kind::Counter,
            "Messages of results that were not published: out of bounds, or where the handler may not publish.",
        );
        for settings in self.registry.all() {
            if let Drive::Called(handler) = &settings.drive {
                let of = [("handler", self.handlers.of(settings.name.as_str()))];
                dropped.count(&of, handler.dropped_messages());
            }
        }
        dropped
    }

    async fn look(&self) -> Option<Seen> {
        let (reply, seen) = oneshot::channel();
        let worker = self.worker.upgrade()?;
        worker.send(Command::Look(reply)).await.ok()?;
        drop(worker);
        seen.await.ok()
    }
}

impl Source for Figures {
    fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
        self.all().boxed()
    }
}

/// How it stands now.
fn lanes(seen: &Snapshot, handlers: &Names) -> [Family; 5] {
    let gauge = |name, help| Family::new(name, Kind::Gauge, help);
    let mut packets = gauge(
        "tidegate_lane_packets",
        "Packets that are here, waiting or in flight; those being taken count in their action as well.",
    );
    let mut bytes = gauge(
        "tidegate_lane_bytes",
        "Bytes of the packets that are here, waiting or in flight.",
    );
    let mut in_flight = gauge(
        "tidegate_lane_in_flight_packets",
        "Packets whose batch is away, or whose answer is on its way to the disk.",
    );
    let mut calls = gauge("tidegate_lane_in_flight_batches", "Batches that are away.");
    let mut oldest = gauge(
        "tidegate_lane_oldest_seconds",
        "How long the first of the packets that are here has been: waiting, in a search or in flight, in seconds.",
    );
    for lane in &seen.lanes {
        let handler = handlers.of(lane.handler.as_str());
        let of = [("handler", handler), ("action", lane.class.name())];
        packets.level(&of, lane.packets as f64);
        bytes.level(&of, lane.bytes as f64);
        in_flight.level(&of, lane.in_flight as f64);
        calls.level(&of, lane.calls as f64);
        oldest.highest(&of, lane.oldest.unwrap_or_default().as_secs_f64());
    }
    [packets, bytes, in_flight, calls, oldest]
}

/// What lanes have done.
fn meters(seen: &Snapshot, handlers: &Names) -> [Family; 8] {
    let counter = |name, help| Family::new(name, Kind::Counter, help);
    let mut fill = Family::new(
        "tidegate_batch_packets",
        Kind::Numbers,
        "Packets of each batch that left: how well they are consolidated.",
    );
    let mut left = counter(
        "tidegate_batches",
        "Batches by why they left: idle (nothing was away), whole, latency (older than the handler takes), window, flush (asked for), drain (stopping), search (for the packet to blame).",
    );
    let mut waited = Family::new(
        "tidegate_packet_wait_seconds",
        Kind::Times,
        "How long packets waited before they left for the first time, in seconds.",
    );
    let mut took = Family::new(
        "tidegate_batch_seconds",
        Kind::Times,
        "How long batches were away: the handler's call, or the commit, in seconds.",
    );
    let mut calls = counter(
        "tidegate_calls",
        "Calls of handlers by what became of them: answered, passing (may go through later), items (one may be to blame), handler (it is wrong), not_reached.",
    );
    let mut again = counter(
        "tidegate_retried_packets",
        "Packets that left again: after a RETRY, or a call that failed.",
    );
    let mut given_up = counter(
        "tidegate_dead_letters",
        "Packets that were taken and given up: poison (fails alone while others go through), spent (attempts and budget are over).",
    );
    let mut both = Family::new(
        "tidegate_lanes",
        Kind::Gauge,
        "Lanes that are there, each of a handler and an action or method.",
    );
    let mut add = |handler: &str, action: &'static str, meter: &Meter| {
        let handler = handlers.of(handler);
        let of = [("handler", handler), ("action", action)];
        fill.spread(&of, &meter.fill);
        waited.spread(&of, &meter.waited);
        took.spread(&of, &meter.took);
        let with = |name, value| [of[0], of[1], (name, value)];
        for (why, count) in Why::ALL.into_iter().zip(meter.left) {
            left.count(&with("why", why.name()), count);
        }
        left.count(&with("why", "search"), meter.searched);
        let calls_made: u64 = meter.calls.iter().sum();
        for (fate, count) in Fate::ALL.into_iter().zip(meter.calls) {
            // Lanes that only go to the store make none.
            if calls_made > 0 {
                calls.count(&with("result", fate.name()), count);
            }
        }
        again.count(&of, meter.again);
        if calls_made > 0 {
            given_up.count(&[of[0], ("why", "poison")], meter.poison);
            given_up.count(&[of[0], ("why", "spent")], meter.spent);
        }
    };
    for (handler, class, meter) in &seen.gone {
        add(handler.as_str(), class.name(), meter);
    }
    for lane in &seen.lanes {
        add(lane.handler.as_str(), lane.class.name(), &lane.meter);
    }
    both.level(&[], seen.lanes.len() as f64);
    [fill, left, waited, took, calls, again, given_up, both]
}

/// What handlers that are called do.
fn handlers(seen: &Snapshot, tally: &Tally, handlers: &Names) -> [Family; 5] {
    let mut circuit = Family::new(
        "tidegate_circuit",
        Kind::Gauge,
        "Whether the handler is called: 0 it is, 1 one call at a time shows whether it is back, 2 not for a while.",
    );
    let counter = |name, help| Family::new(name, Kind::Counter, help);
    let mut opened = counter(
        "tidegate_circuit_opened",
        "How often the handler's circuit opened.",
    );
    let mut missing = counter(
        "tidegate_answers_missing",
        "Items that the handler gave no answer for: they count as RETRY.",
    );
    let mut ignored = counter(
        "tidegate_answers_ignored",
        "Answers under ids that no item of the call has, and second ones.",
    );
    let mut overtaking = counter(
        "tidegate_answers_overtaking",
        "OK behind an item of the same order that the handler did not finish: it breaks the order that clients were promised.",
    );
    let odd = tally.counts().odd;
    for backend in &seen.backends {
        let of = [("handler", handlers.of(backend.handler.as_str()))];
        let state = match backend.circuit {
            CircuitState::Closed => 0.0,
            CircuitState::HalfOpen => 1.0,
            CircuitState::Open => 2.0,
        };
        circuit.level(&of, state);
        opened.count(&of, backend.opened);
        let odd = odd.get(&backend.handler).copied().unwrap_or_default();
        missing.count(&of, odd.missing);
        ignored.count(&of, odd.ignored);
        overtaking.count(&of, odd.overtaking);
    }
    [circuit, opened, missing, ignored, overtaking]
}

fn requests(seen: &Seen) -> [Family; 5] {
    let mut requests = Family::new(
        "tidegate_requests",
        Kind::Counter,
        "Calls of Sync that came to the broker.",
    );
    requests.count(&[], seen.requests);
    let mut packets = Family::new(
        "tidegate_packets",
        Kind::Counter,
        "Packets by what their calls were told, as the contract names it; REJECTED with UNSPECIFIED is the gateway's own, by which it sees every 2 s whether all works.",
    );
    for ((outcome, reason), count) in &seen.told {
        let (outcome, reason) = names(*outcome, *reason);
        packets.count(&[("outcome", outcome), ("reason", reason)], *count);
    }
    let gauge = |name, help, level: usize| {
        let mut family = Family::new(name, Kind::Gauge, help);
        family.level(&[], level as f64);
        family
    };
    [
        requests,
        packets,
        gauge(
            "tidegate_waiting_requests",
            "Calls of Sync that wait for their answer.",
            seen.core.requests,
        ),
        gauge(
            "tidegate_broker_packets",
            "All packets that are in the broker.",
            seen.core.packets,
        ),
        gauge(
            "tidegate_broker_bytes",
            "Their bytes: at most 512 MiB.",
            seen.core.bytes,
        ),
    ]
}

fn commits(tally: &Tally) -> [Family; 3] {
    let counts = tally.counts();
    let mut commits = Family::new(
        "tidegate_commits",
        Kind::Counter,
        "Commits by what became of them: durable, refused (the store cannot take it now), fenced (another writer has the domain), unknown.",
    );
    for (fate, count) in CommitFate::ALL.into_iter().zip(counts.commits) {
        commits.count(&[("result", fate.name())], count);
    }
    let mut took = Family::new(
        "tidegate_commit_seconds",
        Kind::Times,
        "How long commits took until they were durable, or failed, in seconds.",
    );
    took.spread(&[], &counts.took);
    let mut units = Family::new(
        "tidegate_commit_packets",
        Kind::Numbers,
        "Packets of each commit: those that came, and those whose answers came.",
    );
    units.spread(&[], &counts.units);
    [commits, took, units]
}
