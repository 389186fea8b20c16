//! Random interleavings against what must always hold.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::bench::{Bench, called, packet, planned};
use crate::broker::Settings;
use crate::broker::core::Run;
use crate::handler::{BatchLimits, HandlerSettings, Ordering};
use crate::types::{Action, Answer, Outcome, Reason};

const SEEDS: u64 = 3_000;
const CLIENTS: [&str; 4] = ["a", "b", "c", ""];

fn handlers(rng: &mut StdRng) -> Vec<HandlerSettings> {
    let batch = BatchLimits {
        max_packets: rng.random_range(1..6),
        max_bytes: rng.random_range(100..2000),
        window: Duration::from_millis(*[0, 0, 7].choose(rng).unwrap()),
        calls: rng.random_range(1..4),
    };
    let ordering = *[Ordering::Client, Ordering::Key, Ordering::None]
        .choose(rng)
        .unwrap();
    vec![
        HandlerSettings {
            batch,
            ordering,
            mixed_actions: rng.random(),
            ..called("called")
        },
        HandlerSettings {
            batch,
            ..planned("planned")
        },
    ]
}

/// What a run did, by chain: the order that must hold.
#[derive(Default)]
struct Applied {
    /// Per (handler, client): numbers in the order applied.
    by_chain: BTreeMap<(String, String), Vec<u64>>,
    count: BTreeMap<u64, usize>,
}

impl Applied {
    /// The handler applies a batch: some items it refuses for good, some it does not take, with the rest of their chain.
    fn apply(&mut self, run: &Run, ordering: Ordering, rng: &mut StdRng) -> Vec<Answer> {
        let mut stopped = Vec::new();
        let mut answers = Vec::new();
        for item in &run.items {
            let number: u64 = item.packet.req_id.parse().unwrap();
            if stopped.contains(&item.chain) && item.chain != 0 {
                answers.push(Answer::earlier_refused());
                continue;
            }
            if rng.random_ratio(1, 20) {
                stopped.push(item.chain);
                answers.push(Answer::retry(Reason::HandlerUnavailable, "busy"));
                continue;
            }
            *self.count.entry(number).or_default() += 1;
            let client = item
                .origin
                .client
                .as_ref()
                .map_or("", |client| &client.client_id);
            let in_order = !item.packet.action.is_read() && !item.packet.unordered;
            if in_order && !client.is_empty() && ordering == Ordering::Client {
                let chain = (item.packet.handler.to_string(), client.to_string());
                self.by_chain.entry(chain).or_default().push(number);
            }
            if in_order && ordering == Ordering::Key && !item.packet.key.is_empty() {
                let chain = (
                    item.packet.handler.to_string(),
                    format!("key {}", item.packet.key),
                );
                self.by_chain.entry(chain).or_default().push(number);
            }
            answers.push(if rng.random_ratio(1, 10) {
                Answer::rejected(Reason::Application, "no")
            } else {
                Answer::ok()
            });
        }
        answers
    }
}

#[test]
fn every_packet_comes_out_once_and_chains_hold_in_any_interleaving() {
    for seed in 0..SEEDS {
        one_run(seed);
    }
}

fn one_run(seed: u64) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let handlers = handlers(rng);
    let orderings = [handlers[0].ordering, Ordering::Client];
    let settings = Settings {
        lane_packets: rng.random_range(3..40),
        ..Settings::default()
    };
    let mut bench = Bench::with(handlers, settings);
    let mut applied = Applied::default();
    let mut asked = Vec::new();
    let mut number = 0;
    for _ in 0..rng.random_range(5..60) {
        match rng.random_range(0..4) {
            0 | 1 => {
                let client = CLIENTS.choose(rng).unwrap();
                let packets: Vec<_> = (0..rng.random_range(0..6))
                    .map(|_| {
                        number += 1;
                        let handler = ["called", "planned"].choose(rng).unwrap();
                        let action = [Action::Create, Action::Update, Action::Read].choose(rng);
                        let draft = packet(handler, number.to_string())
                            .action(*action.unwrap())
                            .size(rng.random_range(1..900))
                            .key(["", "x", "y"].choose(rng).unwrap());
                        if rng.random_ratio(1, 8) {
                            draft.unordered()
                        } else {
                            draft
                        }
                    })
                    .collect();
                let numbers = (number + 1 - packets.len() as u64)..=number;
                asked.push((bench.offer(client, packets), numbers));
            }
            2 if !bench.runs.is_empty() => answer_one(&mut bench, &mut applied, orderings, rng),
            _ => bench.advance(Duration::from_millis(rng.random_range(0..5))),
        }
    }
    bench.core.drain();
    bench.poll();
    while !bench.runs.is_empty() {
        answer_one(&mut bench, &mut applied, orderings, rng);
    }
    assert!(
        bench.core.is_idle(),
        "seed {seed}: state is gone when its packets are"
    );
    assert!(bench.core.queues.ids().is_empty(), "seed {seed}: queues");
    assert!(bench.core.chains.ids().is_empty(), "seed {seed}: chains");
    assert_eq!(bench.core.shares.held.both(), 0, "seed {seed}: bytes");
    assert!(
        bench.core.req_ids.is_empty() && bench.core.key_chains.is_empty(),
        "seed {seed}"
    );
    for (call, numbers) in asked {
        let at = bench
            .answers
            .iter()
            .position(|(answered, _)| *answered == call);
        let (_, response) = bench
            .answers
            .remove(at.unwrap_or_else(|| panic!("seed {seed}: silence")));
        assert_eq!(
            response.answers.len(),
            numbers.clone().count(),
            "seed {seed}"
        );
        for ((packet, answer), number) in response.answers.iter().zip(numbers) {
            assert_eq!(
                packet.req_id.to_string(),
                number.to_string(),
                "seed {seed}: mixed up"
            );
            let times = applied.count.get(&number).copied().unwrap_or(0);
            let expected = match answer.outcome {
                Outcome::Ok | Outcome::Rejected => 1,
                _ => 0,
            };
            assert_eq!(times, expected, "seed {seed}: {number} {answer:?}");
        }
    }
    for (chain, order) in applied.by_chain {
        assert!(order.is_sorted(), "seed {seed}: {chain:?} {order:?}");
    }
}

/// Any of the batches that are under way is answered: handlers finish in any order.
fn answer_one(
    bench: &mut Bench,
    applied: &mut Applied,
    orderings: [Ordering; 2],
    rng: &mut StdRng,
) {
    let run = bench
        .runs
        .swap_remove(rng.random_range(0..bench.runs.len()));
    let ordering = orderings[usize::from(run.settings.name.as_str() == "planned")];
    let answers = applied.apply(&run, ordering, rng);
    bench.complete(run.batch, answers);
}
