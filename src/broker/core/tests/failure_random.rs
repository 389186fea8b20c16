//! A service at its worst, at random, against what must hold whatever it does.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::bench::{Bench, durable, packet};
use super::service::{Service, error, failed};
use crate::broker::Ack;
use crate::broker::core::RunKind;
use crate::handler::{BatchLimits, Failure, HandlerSettings};
use crate::types::{Action, Outcome, Reason, Retry};

const SEEDS: u64 = 3_000;
const MS: Duration = Duration::from_millis(1);

/// What runs show.
#[derive(Debug, Default)]
struct Figures {
    packets: usize,
    poison: usize,
    crashing: usize,
    away: usize,
    calls: usize,
    failed: usize,
    lost: usize,
}

#[test]
fn the_rest_ends_in_order_each_poison_is_rejected_and_no_outage_rejects_anybody() {
    let mut figures = Figures::default();
    for seed in 0..SEEDS {
        one_run(seed, &mut figures);
    }
    println!("{SEEDS} seeds: {figures:?}");
}

fn handler(rng: &mut StdRng) -> HandlerSettings {
    let batch = BatchLimits {
        max_packets: rng.random_range(1..20),
        max_bytes: 1 << 20,
        window: MS * *[0, 0, 5].choose(rng).unwrap(),
        calls: rng.random_range(1..5),
    };
    let retry = Retry {
        attempts: 5,
        budget: Duration::from_secs(10),
        initial: 10 * MS,
        max: Duration::from_secs(1),
        ..Retry::default()
    };
    HandlerSettings {
        batch,
        retry,
        mixed_actions: rng.random(),
        ..durable("h")
    }
}

fn one_run(seed: u64, figures: &mut Figures) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut bench = Bench::new(vec![handler(rng)]);
    let mut service = Service::default();
    // Not both in one run: who is hit by others' crashes and then by something else cannot be told from who is to blame.
    let crashes: bool = rng.random();
    service.lossy = (!crashes).then(|| StdRng::seed_from_u64(seed));
    if !crashes && rng.random() {
        let from = bench.now + MS * rng.random_range(0..300);
        let until = from + MS * rng.random_range(1..1_000);
        let failure = *[Failure::Items, Failure::Passing, Failure::Handler]
            .choose(rng)
            .unwrap();
        service.away = vec![(from, until, error(failure, rng.random()))];
        figures.away += 1;
    }
    let clients = rng.random_range(1..8);
    let mut next = vec![0_u64; clients];
    let mut sent = vec![Vec::new(); clients];
    let end = bench.now + MS * rng.random_range(1..600);
    while bench.now < end {
        match rng.random_range(0..6) {
            0 => {
                let at = rng.random_range(0..clients);
                let count = rng.random_range(1..8);
                let mut packets = Vec::new();
                for _ in 0..count {
                    next[at] += 1;
                    let id = format!("{at}:{}", next[at]);
                    match rng.random_range(0..80) {
                        0 => drop(service.poison.insert(id.clone())),
                        1 if crashes => drop(service.crashing.insert(id.clone())),
                        _ => sent[at].push(id.clone()),
                    }
                    let action = [Action::Create, Action::Create, Action::Update].choose(rng);
                    packets.push(packet("h", id).action(*action.unwrap()));
                }
                // Without places: refused packets are not sent again here, and leave no gap.
                let client = format!("c{at}");
                bench.offer_as(&client, &client, Ack::Accepted, packets);
            }
            1 => bench.advance(MS * rng.random_range(1..20)),
            _ if bench.runs.is_empty() => bench.advance(MS * rng.random_range(1..5)),
            _ => {
                let at = rng.random_range(0..bench.runs.len());
                serve(&mut bench, &mut service, at, rng);
            }
        }
    }
    while !bench.core.is_idle() {
        if bench.runs.is_empty() {
            let due = bench.core.next_deadline();
            let due = due.unwrap_or_else(|| panic!("seed {seed}: it is stuck"));
            bench.advance(due - bench.now);
        } else {
            let at = rng.random_range(0..bench.runs.len());
            serve(&mut bench, &mut service, at, rng);
        }
        assert!(
            bench.now < end + Duration::from_secs(600),
            "seed {seed}: no end"
        );
    }
    forget_refused(&mut bench, &mut sent, &mut service);
    let mut to_blame = BTreeSet::new();
    to_blame.extend(service.poison.iter().chain(&service.crashing).cloned());
    let dead = bench.dead.iter().map(|dead| dead.packet.req_id.to_string());
    let dead: BTreeSet<_> = dead.collect();
    assert_eq!(dead, to_blame, "seed {seed}");
    assert_eq!(
        bench.dead.len(),
        to_blame.len(),
        "seed {seed}: given up once"
    );
    for (at, sent) in sent.iter().enumerate() {
        let applied = service.applied.get(&format!("c{at}"));
        assert_eq!(
            applied.map_or(&[][..], |ids| ids),
            sent,
            "seed {seed}: client {at}"
        );
    }
    assert_eq!(
        bench
            .core
            .backends
            .iter()
            .map(|one| one.suspects)
            .sum::<usize>(),
        0
    );
    assert!(
        bench.core.chains.is_empty() && bench.core.queues.is_empty(),
        "seed {seed}"
    );
    assert!(bench.core.searches.is_empty(), "seed {seed}");
    figures.packets += sent.iter().map(Vec::len).sum::<usize>() + dead.len();
    figures.poison += service.poison.len();
    figures.crashing += service.crashing.len();
    figures.calls += service.calls.len();
    figures.failed += service.failed_calls();
    figures.lost += service.lost;
}

/// What was refused while the circuit was open was never there.
fn forget_refused(bench: &mut Bench, sent: &mut [Vec<String>], service: &mut Service) {
    let responses = bench.answers.drain(..);
    let answers = responses.flat_map(|(_, response)| response.answers);
    for (packet, answer) in answers.filter(|(_, answer)| answer.outcome == Outcome::Retry) {
        assert_ne!(answer.reason, Reason::HandlerTimeout);
        let id = packet.req_id.to_string();
        service.poison.remove(&id);
        service.crashing.remove(&id);
        let sent = sent.iter_mut();
        sent.for_each(|sent| sent.retain(|other| *other != id));
    }
}

/// Calls come back in any order; a crash takes all with it that are in flight.
fn serve(bench: &mut Bench, service: &mut Service, at: usize, rng: &mut StdRng) {
    bench.now += MS * rng.random_range(0..3);
    let crashes =
        bench.runs[at].kind == RunKind::Call && service.crashes(bench.now, &bench.runs[at]);
    let with_it = bench.runs.iter().enumerate();
    let with_it = with_it.filter(|(other, run)| *other != at && run.kind == RunKind::Call);
    let with_it: Vec<_> = with_it.map(|(_, run)| run.batch).collect();
    bench.serve(service, at);
    if !crashes {
        return;
    }
    for batch in with_it {
        let at = bench
            .runs
            .iter()
            .position(|run| run.batch == batch)
            .unwrap();
        let run = bench.runs.remove(at);
        bench.complete_with(run.batch, failed(&run, error(Failure::Passing, true)));
    }
}
