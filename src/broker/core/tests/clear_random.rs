//! Packets are cleared at random moments, while their service is at its worst, against what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::bench::{Bench, durable, ids, packet};
use super::service::{Service, error};
use crate::broker::core::RunKind;
use crate::broker::{Ack, Selection};
use crate::handler::{BatchLimits, Failure, HandlerSettings, Ordering};
use crate::store::TakenId;
use crate::types::{Action, Outcome, Reason, Retry};

const SEEDS: u64 = 3_000;
const MS: Duration = Duration::from_millis(1);

/// What runs show.
#[derive(Debug, Default)]
struct Figures {
    packets: usize,
    cleared: u64,
    in_flight: u64,
    calls: usize,
}

/// What is known of one run.
#[derive(Default)]
struct Seen {
    names: BTreeMap<TakenId, String>,
    /// Told, or about to be told, that they are cleared.
    cleared: BTreeSet<String>,
    /// Not cleared, and refused before they were taken.
    refused: BTreeSet<String>,
}

#[test]
fn what_is_cleared_is_told_once_and_not_called_and_the_rest_goes_on_in_order() {
    let mut figures = Figures::default();
    for seed in 0..SEEDS {
        one_run(seed, &mut figures);
    }
    println!("{SEEDS} seeds: {figures:?}");
    assert!(figures.cleared > SEEDS && figures.in_flight > SEEDS);
}

fn handler(rng: &mut StdRng) -> HandlerSettings {
    let batch = BatchLimits {
        max_packets: rng.random_range(1..12),
        calls: rng.random_range(1..4),
        ..BatchLimits::default()
    };
    let retry = Retry {
        attempts: 5,
        budget: Duration::from_secs(10),
        initial: 10 * MS,
        max: Duration::from_secs(1),
        ..Retry::default()
    };
    let orderings = [Ordering::Client, Ordering::Client, Ordering::None];
    HandlerSettings {
        batch,
        retry,
        ordering: *orderings.choose(rng).unwrap(),
        mixed_actions: rng.random(),
        ..durable("h")
    }
}

fn one_run(seed: u64, figures: &mut Figures) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let handler = handler(rng);
    let ordering = handler.ordering;
    let mut bench = Bench::new(vec![handler]);
    let mut service = Service::default();
    service.lossy = rng.random::<bool>().then(|| StdRng::seed_from_u64(seed));
    if rng.random() {
        let from = bench.now + MS * rng.random_range(0..200);
        let until = from + MS * rng.random_range(1..800);
        let failures = [Failure::Items, Failure::Passing, Failure::Handler];
        let failure = *failures.choose(rng).unwrap();
        service.away = vec![(from, until, error(failure, rng.random()))];
    }
    let mut seen = Seen::default();
    let (mut sent, mut clears, mut counted) = (Vec::new(), 0, 0);
    let mut next = [0_u64; 4];
    let end = bench.now + MS * rng.random_range(1..500);
    while bench.now < end {
        match rng.random_range(0..12) {
            0 | 1 => {
                let at = rng.random_range(0..next.len());
                let placed = at % 2 == 0;
                let mut packets = Vec::new();
                for _ in 0..rng.random_range(1..8) {
                    next[at] += 1;
                    let id = format!("{at}:{:03}", next[at]);
                    if rng.random_ratio(1, 40) {
                        service.poison.insert(id.clone());
                    }
                    let actions = [Action::Create, Action::Create, Action::Update];
                    let draft = packet("h", id.clone()).action(*actions.choose(rng).unwrap());
                    let draft = if placed { draft.seq(next[at]) } else { draft };
                    packets.push(draft);
                    sent.push(id);
                }
                let client = format!("c{at}");
                let ack = *[Ack::Accepted, Ack::Applied].choose(rng).unwrap();
                bench.offer_as(&client, &client, ack, packets);
            }
            2 => {
                let actions = [None, Some(Action::Create), Some(Action::Update)];
                let selection = Selection {
                    action: *actions.choose(rng).unwrap(),
                    ..Selection::default()
                };
                let (cleared, in_flight) = bench.clear(&selection);
                clears += 1;
                counted += cleared;
                figures.in_flight += in_flight;
            }
            3 | 4 => bench.advance(MS * rng.random_range(1..20)),
            _ if bench.runs.is_empty() => bench.advance(MS * rng.random_range(1..5)),
            _ => serve(&mut bench, &mut service, &mut seen, rng, seed),
        }
    }
    while !bench.core.is_idle() {
        if bench.runs.is_empty() {
            let due = bench.core.next_deadline();
            let due = due.unwrap_or_else(|| panic!("seed {seed}: it is stuck"));
            bench.advance(due - bench.now);
        } else {
            serve(&mut bench, &mut service, &mut seen, rng, seed);
        }
        let over = bench.now > end + Duration::from_secs(600);
        assert!(!over, "seed {seed}: no end");
    }
    hear(&mut bench, &mut seen);
    assert_eq!(bench.cleared.len(), clears, "seed {seed}: each one ends");
    assert_eq!(seen.cleared.len() as u64, counted, "seed {seed}");
    let dead = bench.dead.iter().map(|dead| dead.packet.req_id.to_string());
    let dead: BTreeSet<_> = dead.collect();
    let applied: BTreeSet<_> = service.applied.values().flatten().cloned().collect();
    for id in &sent {
        let ends = [&dead, &seen.refused, &seen.cleared];
        let ends = ends.iter().filter(|end| end.contains(id)).count();
        // Cleared, and applied before by a call whose answer was lost: that can be.
        let is_applied = ends == 0 && applied.contains(id);
        assert_eq!(ends + usize::from(is_applied), 1, "seed {seed}: {id}");
    }
    if ordering == Ordering::Client {
        let in_order = service.applied.values().all(|ids| ids.is_sorted());
        assert!(in_order, "seed {seed}: {:?}", service.applied);
    }
    let suspects: usize = bench.core.backends.iter().map(|one| one.suspects).sum();
    assert_eq!(suspects, 0, "seed {seed}");
    assert!(bench.core.chains.is_empty(), "seed {seed}: chains");
    assert!(bench.core.queues.is_empty(), "seed {seed}: queues");
    assert!(bench.core.searches.is_empty(), "seed {seed}: searches");
    assert_eq!(bench.core.shares.held.both(), 0, "seed {seed}: bytes");
    figures.packets += sent.len();
    figures.cleared += counted;
    figures.calls += service.calls.len();
}

/// Any of the batches is answered: the store and the service finish in any order.
fn serve(bench: &mut Bench, service: &mut Service, seen: &mut Seen, rng: &mut StdRng, seed: u64) {
    let at = rng.random_range(0..bench.runs.len());
    let run = &bench.runs[at];
    for finish in &run.finishes {
        let answer = finish.answer.as_ref();
        if answer.is_some_and(|answer| answer.reason == Reason::Cleared) {
            seen.cleared.insert(seen.names[&finish.taken].clone());
        }
    }
    match run.kind {
        RunKind::Call => {
            let called = ids(run);
            let again = called.iter().find(|id| seen.cleared.contains(*id));
            assert_eq!(again, None, "seed {seed}: it is cleared, and called");
        }
        RunKind::Take => {
            let names = run.items.iter().map(|item| item.packet.req_id.to_string());
            let mut taken = bench.next_taken();
            for name in names {
                seen.names.insert(taken, name);
                taken.at += 1;
            }
        }
        RunKind::Finish | RunKind::Plan => {}
    }
    bench.serve(service, at);
    hear(bench, seen);
}

/// What calls are told of packets that were not taken.
fn hear(bench: &mut Bench, seen: &mut Seen) {
    for (_, response) in bench.answers.drain(..) {
        for (packet, answer) in response.answers {
            let id = packet.req_id.to_string();
            match (answer.outcome, answer.reason) {
                (Outcome::Rejected, Reason::Cleared) => drop(seen.cleared.insert(id)),
                (Outcome::Retry | Outcome::InDoubt, _) => drop(seen.refused.insert(id)),
                _ => {}
            }
        }
    }
}
