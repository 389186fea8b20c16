//! What the next commit is, at random.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::super::model::Dead;
use super::super::plan::{Plan, PlannedEffect, PlannedFinish, PlannedLetter, PlannedUnit};
use super::World;
use crate::store::{LetterId, Op, Place, ReqIdScope};

const KEYS: [&str; 4] = ["a", "b", "c.d", "e"];
const TOPICS: [&str; 4] = ["chat.one", "chat.two", "last.x", "last.y"];

impl World {
    /// A random commit that fits what is there.
    pub(in super::super) fn plan(&mut self) -> Plan {
        let random = &mut self.random;
        let model = &self.ahead;
        let mut plan = Plan {
            time: model.now + random.random_range(self.pace.min(1)..=self.pace),
            ..Plan::default()
        };
        if random.random_bool(0.15) {
            let queue = (random.random_range(0..3), random.random_range(0..2));
            let reached = model.queues.get(&queue).map_or(0, |known| known.reached);
            let through = random.random_range(0..=reached + 1);
            let once = model.once.keys().filter(|(of, _)| *of == Some(queue.0));
            let once: Vec<_> = once.map(|(_, req_id)| req_id.clone()).collect();
            let some = once.into_iter().filter(|_| random.random_bool(0.3));
            plan.settles.push((queue, through, some.collect()));
        }
        if random.random_bool(0.15) {
            let kept = model.queues.iter().flat_map(|(queue, known)| {
                let kept = known.kept.iter();
                kept.map(|(seq, kept)| (*queue, *seq, kept.req_id.clone()))
            });
            let once = model.once.keys().filter_map(|(of, req_id)| {
                let queue = ((*of)?, 0);
                Some((queue, 0, req_id.clone()))
            });
            let all: Vec<_> = kept.chain(once).collect();
            if !all.is_empty() {
                plan.owed
                    .push(all[random.random_range(0..all.len())].clone());
            }
        }
        for taken in &model.open {
            if self.ids.contains_key(&taken.name) && random.random_bool(0.3) {
                let message = random.random_bool(0.3).then(|| {
                    let topic = TOPICS[random.random_range(0..TOPICS.len())];
                    (topic.to_owned(), format!("with {}", taken.name))
                });
                plan.finishes.push(PlannedFinish {
                    name: taken.name,
                    said: format!("finished {} {}", taken.name, filling(random)),
                    message,
                    awaited: random.random_bool(0.5),
                    death: random.random_bool(0.3),
                });
            } else if self.ids.contains_key(&taken.name) && random.random_bool(0.1) {
                plan.letters.push(PlannedLetter::Hold(taken.name));
            }
        }
        let mut anew = Vec::new();
        for dead in &model.letters {
            if !self.letters.contains_key(&dead.name) {
                continue;
            }
            // Its number is known, unless it went and comes again by this commit, or by what is in flight.
            let ended = plan.finishes.iter().any(|finish| finish.name == dead.name);
            let known = self.flight.is_empty() && !ended;
            match random.random_range(0..10) {
                0 if known => plan.letters.push(PlannedLetter::Discard(dead.name)),
                1 => plan.letters.push(PlannedLetter::Release(dead.name)),
                2 if known => anew.push(dead.clone()),
                _ => {}
            }
        }
        let known = self.flight.is_empty();
        let sent = model.open.iter().filter_map(|taken| match taken.place {
            Place::Letter(LetterId(name))
                if known && self.letters.contains_key(&name) && random.random_bool(0.1) =>
            {
                Some(Dead {
                    name,
                    held: false,
                    client: taken.client,
                    handler: taken.handler,
                    fingerprint: taken.fingerprint,
                    req_id: taken.req_id.clone(),
                })
            }
            _ => None,
        });
        anew.extend(sent.collect::<Vec<_>>());
        for dead in anew {
            let name = self.next_name;
            self.next_name += 1;
            plan.units.push(PlannedUnit {
                client: dead.client,
                handler: dead.handler,
                group: 2,
                place: Place::Letter(LetterId(dead.name)),
                fingerprint: dead.fingerprint,
                req_id: dead.req_id,
                awaited: false,
                effect: PlannedEffect::Take,
                name,
            });
        }
        let mut reached: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for _ in 0..random.random_range(0..6) {
            let name = self.next_name;
            self.next_name += 1;
            let client = random.random_bool(0.9).then(|| random.random_range(0..3));
            let handler = random.random_range(0..2);
            let mut req_id = format!("r{name}");
            let place = match (random.random_range(0..10), client) {
                (0..6, Some(client)) => {
                    let queue = (client, handler);
                    let known = model.queues.get(&queue).map_or(0, |known| known.reached);
                    let reached = reached.entry(queue).or_insert(known);
                    let seq = match random.random_range(0..12) {
                        0 => random.random_range(1..=*reached + 2),
                        _ => *reached + 1,
                    };
                    *reached = (*reached).max(seq);
                    Place::Seq(seq)
                }
                (6..9, client) => {
                    let scope = match client {
                        Some(_) if random.random_bool(0.7) => ReqIdScope::Client,
                        _ => ReqIdScope::Subject,
                    };
                    if random.random_bool(0.3) {
                        req_id = format!("r{}", random.random_range(1..=name));
                    }
                    Place::ReqId(scope)
                }
                _ => Place::None,
            };
            let effect = match random.random_range(0..10) {
                0 => PlannedEffect::Answer(format!("no {name} {}", filling(random))),
                1..5 => {
                    let count = if random.random_bool(0.2) { 2 } else { 1 };
                    let changes = (0..count).map(|_| {
                        let op = [Op::Create, Op::Update, Op::Delete, Op::Put, Op::Put]
                            [random.random_range(0..5)];
                        let key = KEYS[random.random_range(0..KEYS.len())].to_owned();
                        let if_version = random.random_bool(0.2).then(|| random.random_range(0..4));
                        (op, key, if_version, format!("{name} {}", filling(random)))
                    });
                    PlannedEffect::Change(changes.collect())
                }
                5..7 => {
                    let topic = TOPICS[random.random_range(0..TOPICS.len())].to_owned();
                    PlannedEffect::Publish(vec![(topic, format!("{name} {}", filling(random)))])
                }
                _ => PlannedEffect::Take,
            };
            plan.units.push(PlannedUnit {
                client,
                handler,
                group: random.random_range(0..2),
                place,
                fingerprint: if random.random_bool(0.05) { 2 } else { 1 },
                req_id,
                awaited: random.random_bool(0.5),
                effect,
                name,
            });
        }
        plan
    }
}

fn filling(random: &mut StdRng) -> String {
    let len = match random.random_range(0..10) {
        0 => random.random_range(500..3_000),
        _ => random.random_range(0..40),
    };
    "x".repeat(len)
}
