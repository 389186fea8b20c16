//! What a store must be, said plainly: maps, and nothing of a disk.

mod letters;
mod results;

use std::collections::BTreeMap;

pub(super) use self::letters::Dead;

use super::plan::{HANDLERS, Plan, PlannedEffect, PlannedFinish, PlannedUnit, Queue, TICKS};
use crate::store::{Op, Place, ReqIdScope};

/// Ages in seconds, and how many queues and dead letters there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    pub(super) result: u64,
    pub(super) once: u64,
    pub(super) place: u64,
    pub(super) deletion: u64,
    pub(super) places: usize,
    pub(super) letters: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) ages: Ages,
    pub(super) tail: u64,
    pub(super) now: u64,
    /// By collection and key: version and content.
    pub(super) records: BTreeMap<(usize, String), (u64, String)>,
    /// By collection and key: version and time.
    pub(super) deleted: BTreeMap<(usize, String), (u64, u64)>,
    pub(super) floors: BTreeMap<usize, u64>,
    pub(super) queues: BTreeMap<Queue, Known>,
    /// By client, or the subject's own, and req_id.
    pub(super) once: BTreeMap<(Option<usize>, String), Once>,
    /// Copies of answers that no call carried after all: by queue, place and req_id.
    pub(super) owed: BTreeMap<(Queue, u64, String), Kept>,
    pub(super) messages: Vec<Sent>,
    pub(super) open: Vec<Taken>,
    /// In the order in which they were given up.
    pub(super) letters: Vec<Dead>,
    /// The newest position of a result of each client that went before it was settled.
    pub(super) lost: BTreeMap<usize, u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) reached: u64,
    pub(super) settled: u64,
    pub(super) used: u64,
    pub(super) kept: BTreeMap<u64, Kept>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) fingerprint: u64,
    pub(super) req_id: String,
    pub(super) said: String,
    pub(super) position: u64,
    pub(super) time: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Once {
    Open(u64),
    /// Its client is done with it, and it is not finished.
    Done,
    Kept(usize, Kept),
    Settled(u64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) position: u64,
    pub(super) topic: String,
    pub(super) text: String,
    pub(super) time: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) name: u64,
    pub(super) client: Option<usize>,
    pub(super) handler: usize,
    pub(super) place: Place,
    pub(super) fingerprint: u64,
    pub(super) req_id: String,
}

impl Model {
    pub(super) fn new(ages: Ages) -> Self {
        Self {
            ages,
            tail: 0,
            now: 0,
            records: BTreeMap::new(),
            deleted: BTreeMap::new(),
            floors: BTreeMap::new(),
            queues: BTreeMap::new(),
            once: BTreeMap::new(),
            owed: BTreeMap::new(),
            messages: Vec::new(),
            open: Vec::new(),
            letters: Vec::new(),
            lost: BTreeMap::new(),
        }
    }

    /// How many commits there were.
    pub(super) fn commits(&self) -> u64 {
        let tick = self.records.get(&(TICKS, "tick".to_owned()));
        tick.map_or(0, |(version, _)| *version)
    }

    /// What is said to each unit, the tick left out.
    pub(super) fn apply(&mut self, plan: &Plan) -> Vec<String> {
        self.now = self.now.max(plan.time);
        for (queue, through, req_ids) in &plan.settles {
            for req_id in req_ids {
                self.settle_once(*queue, req_id);
            }
            self.settle(*queue, *through);
        }
        for (queue, seq, req_id) in &plan.owed {
            self.owe(*queue, *seq, req_id);
        }
        for finish in &plan.finishes {
            self.finish(finish);
        }
        for letter in &plan.letters {
            self.decide(letter);
        }
        let tick = (Op::Put, "tick".to_owned(), None, plan.time.to_string());
        self.change(TICKS, &[tick]);
        let mut ended = Vec::new();
        let mut said = Vec::new();
        for unit in &plan.units {
            let judged = match ended.contains(&unit.group) {
                true => "skipped".to_owned(),
                false => self.judge(unit),
            };
            if judged.starts_with("missing") || judged == "no room" {
                ended.push(unit.group);
            }
            said.push(judged);
        }
        self.sweep();
        said
    }

    fn next(&mut self, awaited: bool) -> u64 {
        if awaited {
            return 0;
        }
        self.tail += 1;
        self.tail
    }

    fn publish(&mut self, topic: String, text: String) {
        let position = self.next(false);
        let time = self.now;
        self.messages.push(Sent {
            position,
            topic,
            text,
            time,
        });
    }

    /// What is said to one unit, as if it were the only one.
    pub(super) fn judged(&mut self, unit: &PlannedUnit) -> String {
        self.judge(unit)
    }

    fn judge(&mut self, unit: &PlannedUnit) -> String {
        let compare = |fingerprint: u64, said: String| match fingerprint == unit.fingerprint {
            true => said,
            false => "reused".to_owned(),
        };
        match (&unit.place, unit.client) {
            (Place::Seq(seq), Some(client)) => {
                let full = self.queues.len() >= self.ages.places;
                let queue = (client, unit.handler);
                let known = self.queues.get(&queue);
                let (reached, settled) =
                    known.map_or((0, 0), |known| (known.reached, known.settled));
                if *seq > reached + 1 {
                    return format!("missing {}", reached + 1);
                }
                if *seq > reached && full && known.is_none() {
                    return "no room".to_owned();
                }
                if *seq <= reached {
                    if *seq <= settled {
                        return "forgotten".to_owned();
                    }
                    let in_it = |taken: &&Taken| {
                        taken.client == unit.client
                            && taken.handler == unit.handler
                            && taken.place == unit.place
                    };
                    if let Some(taken) = self.open.iter().find(in_it) {
                        return compare(taken.fingerprint, format!("open {}", taken.name));
                    }
                    return match known.and_then(|known| known.kept.get(seq)) {
                        Some(kept) => compare(kept.fingerprint, format!("repeat {}", kept.said)),
                        None => "forgotten".to_owned(),
                    };
                }
            }
            (Place::ReqId(scope), client) => {
                let key = (of_scope(*scope, client), unit.req_id.clone());
                match self.once.get(&key) {
                    None => {}
                    Some(Once::Open(name)) => {
                        let taken = self.open.iter().find(|taken| taken.name == *name);
                        let taken = taken.expect("it is open");
                        return compare(taken.fingerprint, format!("open {name}"));
                    }
                    Some(Once::Done | Once::Settled(_)) => return "forgotten".to_owned(),
                    Some(Once::Kept(_, kept)) => {
                        return compare(kept.fingerprint, format!("repeat {}", kept.said));
                    }
                }
            }
            (Place::Letter(letter), _) if !self.send_anew(letter.0) => {
                let its = |taken: &&Taken| taken.place == unit.place;
                return match self.open.iter().find(its) {
                    Some(taken) => compare(taken.fingerprint, format!("open {}", taken.name)),
                    None => "forgotten".to_owned(),
                };
            }
            _ => {}
        }
        let said = match &unit.effect {
            PlannedEffect::Take => {
                self.open.push(Taken {
                    name: unit.name,
                    client: unit.client,
                    handler: unit.handler,
                    place: unit.place.clone(),
                    fingerprint: unit.fingerprint,
                    req_id: unit.req_id.clone(),
                });
                match (&unit.place, unit.client) {
                    (Place::Seq(seq), Some(client)) => self.reach((client, unit.handler), *seq),
                    (Place::ReqId(scope), client) => {
                        let key = (of_scope(*scope, client), unit.req_id.clone());
                        self.once.insert(key, Once::Open(unit.name));
                    }
                    _ => {}
                }
                return format!("taken {}", unit.name);
            }
            PlannedEffect::Answer(said) => said.clone(),
            PlannedEffect::Publish(messages) => {
                for (topic, text) in messages {
                    self.publish(topic.clone(), text.clone());
                }
                "ok".to_owned()
            }
            PlannedEffect::Change(changes) => self.change(unit.handler, changes),
        };
        if let (Place::Seq(seq), Some(client)) = (&unit.place, unit.client) {
            self.reach((client, unit.handler), *seq);
        }
        let taken = Taken {
            name: 0,
            client: unit.client,
            handler: unit.handler,
            place: unit.place.clone(),
            fingerprint: unit.fingerprint,
            req_id: unit.req_id.clone(),
        };
        self.keep(&taken, &said, unit.awaited);
        format!("done {said}")
    }

    fn reach(&mut self, queue: Queue, seq: u64) {
        let known = self.queues.entry(queue).or_default();
        known.reached = known.reached.max(seq);
        known.used = self.now;
    }

    fn keep(&mut self, of: &Taken, said: &str, awaited: bool) {
        let mut kept = Kept {
            fingerprint: of.fingerprint,
            req_id: of.req_id.clone(),
            said: said.to_owned(),
            position: 0,
            time: self.now,
        };
        match (&of.place, of.client) {
            (Place::Seq(seq), Some(client)) => {
                let known = self.queues.entry((client, of.handler)).or_default();
                known.used = self.now;
                if *seq > known.settled {
                    kept.position = self.next(awaited);
                    let known = self.queues.entry((client, of.handler)).or_default();
                    known.kept.insert(*seq, kept);
                }
            }
            (Place::ReqId(scope), client) => {
                let key = (of_scope(*scope, client), of.req_id.clone());
                let now = self.now;
                if matches!(self.once.get(&key), Some(Once::Done)) {
                    self.once.insert(key, Once::Settled(now));
                } else {
                    kept.position = self.next(awaited || key.0.is_none());
                    self.once.insert(key, Once::Kept(of.handler, kept));
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, finish: &PlannedFinish) {
        let Some(at) = self.open.iter().position(|open| open.name == finish.name) else {
            return;
        };
        let taken = self.open.remove(at);
        if let Some((topic, text)) = &finish.message {
            self.publish(topic.clone(), text.clone());
        }
        self.letters.retain(|dead| dead.name != finish.name);
        self.keep(&taken, &finish.said, finish.awaited);
        if finish.death {
            self.bury(taken, false);
        }
    }

    fn settle(&mut self, queue: Queue, through: u64) {
        let full = self.queues.len() >= self.ages.places;
        let there = self.queues.get(&queue);
        let settled = there.map_or(0, |known| known.settled);
        if through <= settled || (there.is_none() && full) {
            return;
        }
        let known = self.queues.entry(queue).or_default();
        known.settled = through;
        known.reached = known.reached.max(through);
        known.used = self.now;
        known.kept.retain(|seq, _| *seq > through);
        self.owed
            .retain(|(of, seq, _), _| *of != queue || *seq == 0 || *seq > through);
    }

    fn settle_once(&mut self, queue: Queue, req_id: &str) {
        if let Some(once) = self.once.get_mut(&(Some(queue.0), req_id.to_owned())) {
            *once = match once {
                Once::Open(_) | Once::Done => Once::Done,
                Once::Kept(_, kept) => Once::Settled(kept.time),
                Once::Settled(time) => Once::Settled(*time),
            };
        }
        let its =
            |(of, seq, id): &(Queue, u64, String)| of.0 == queue.0 && *seq == 0 && id == req_id;
        self.owed.retain(|key, _| !its(key));
    }

    fn owe(&mut self, queue: Queue, seq: u64, req_id: &str) {
        let kept = match seq {
            0 => match self.once.get(&(Some(queue.0), req_id.to_owned())) {
                Some(Once::Kept(handler, kept)) => Some(((queue.0, *handler), kept)),
                _ => None,
            },
            _ => {
                let known = self.queues.get(&queue);
                known.and_then(|known| Some((queue, known.kept.get(&seq)?)))
            }
        };
        let Some((queue, kept)) = kept else { return };
        // A copy is known by its req_id only where it has no place.
        let name = if seq == 0 { req_id } else { "" };
        let key = (queue, seq, name.to_owned());
        if kept.position == 0 && !self.owed.contains_key(&key) {
            let mut kept = kept.clone();
            kept.position = self.next(false);
            kept.time = self.now;
            self.owed.insert(key, kept);
        }
    }

    fn change(&mut self, handler: usize, changes: &[(Op, String, Option<u64>, String)]) -> String {
        let mut after = self.clone_of_records();
        let mut versions = Vec::new();
        for (op, key, if_version, content) in changes {
            let place = (handler, key.clone());
            let there = after.0.get(&place).map(|(version, _)| *version);
            let refused = match (if_version, op, there) {
                (Some(1..), _, None) => Some("VersionMismatch"),
                (Some(wanted), _, Some(version)) if *wanted != version => Some("VersionMismatch"),
                (_, Op::Create, Some(_)) => Some("AlreadyExists"),
                (_, Op::Update | Op::Delete, None) => Some("NotFound"),
                _ => None,
            };
            if let Some(refused) = refused {
                return refused.to_owned();
            }
            let floor = self.floors.get(&handler).copied().unwrap_or(0);
            let used = after.1.get(&place).map_or(floor, |(version, _)| *version);
            let version = there.unwrap_or(used) + 1;
            versions.push(format!("{key}@{version}"));
            if *op == Op::Delete {
                after.0.remove(&place);
                after.1.insert(place, (version, self.now));
            } else {
                after.1.remove(&place);
                after.0.insert(place, (version, content.clone()));
            }
        }
        (self.records, self.deleted) = after;
        for version in &versions {
            let (key, _) = version.rsplit_once('@').expect("it has both");
            let topic = format!("records.{}.{key}", HANDLERS[handler]);
            self.publish(topic, version.clone());
        }
        versions.join(",")
    }

    #[expect(clippy::type_complexity, reason = "the two maps as they are")]
    fn clone_of_records(
        &self,
    ) -> (
        BTreeMap<(usize, String), (u64, String)>,
        BTreeMap<(usize, String), (u64, u64)>,
    ) {
        (self.records.clone(), self.deleted.clone())
    }

    fn sweep(&mut self) {
        let (now, ages) = (self.now, self.ages);
        let old = |time: u64, age: u64| now.checked_sub(age).is_some_and(|oldest| time < oldest);
        let lost = &mut self.lost;
        let mut lose = |client: usize, position: u64| {
            let lost = lost.entry(client).or_default();
            *lost = position.max(*lost);
        };
        let once_age = ages.once.min(ages.result);
        self.once.retain(|(client, _), once| match once {
            Once::Open(_) | Once::Done => true,
            Once::Settled(time) => !old(*time, once_age),
            Once::Kept(_, kept) => {
                let gone = old(kept.time, once_age);
                if let (true, Some(client)) = (gone, client) {
                    lose(*client, kept.position);
                }
                !gone
            }
        });
        let floors = &mut self.floors;
        self.deleted.retain(|(handler, _), (version, time)| {
            let gone = old(*time, ages.deletion);
            if gone {
                let floor = floors.entry(*handler).or_default();
                *floor = (*floor).max(*version);
            }
            !gone
        });
        for (queue, known) in &mut self.queues {
            known.kept.retain(|_, kept| {
                let gone = old(kept.time, ages.result);
                if gone {
                    lose(queue.0, kept.position);
                }
                !gone
            });
        }
        self.owed.retain(|(queue, ..), kept| {
            let gone = old(kept.time, ages.result);
            if gone {
                lose(queue.0, kept.position);
            }
            !gone
        });
        let (open, owed) = (&self.open, &self.owed);
        self.queues.retain(|queue, known| {
            let has_open = open.iter().any(|taken| {
                // Packets without a place keep the queue as well: their run is of it.
                (taken.client, taken.handler) == (Some(queue.0), queue.1)
            });
            let is_owed = owed.keys().any(|(of, seq, _)| of == queue && *seq > 0);
            !old(known.used, ages.place) || has_open || is_owed || !known.kept.is_empty()
        });
    }
}

pub(super) fn of_scope(scope: ReqIdScope, client: Option<usize>) -> Option<usize> {
    match scope {
        ReqIdScope::Client => client,
        ReqIdScope::Subject => None,
    }
}
