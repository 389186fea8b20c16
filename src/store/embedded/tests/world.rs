//! A store on a simulated disk beside the plain model, and random commits for both.
//! (It has over 500 lines because the plan of a run and its check belong together.)

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use smallvec::SmallVec;

use super::model::{
    Ages, HANDLERS, Model, Plan, PlannedEffect, PlannedFinish, PlannedUnit, Sent, TICKS,
};
use crate::store::clock::Wall;
use crate::store::conformance::{ALL, at, change, client, draft};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, OpenError, Options, open};
use crate::store::{
    Commit, Committing, Domain, Effect, Entry, EntryKind, Error, Filter, Finish, Judged, LossCause,
    Op, Origin, Owed, Place, Position, QueueKey, ReqIdScope, Settle, Store, Tail, TakenId, Term,
    Unit, Which,
};
use crate::types::{
    Answer, HandlerName, Message, MessageBody, Outcome, Pattern, Principal, Reason,
};

pub(super) const CLIENTS: [&str; 3] = ["ann", "bob", "cleo"];
const KEYS: [&str; 4] = ["a", "b", "c.d", "e"];
const TOPICS: [&str; 4] = ["chat.one", "chat.two", "last.x", "last.y"];

/// Ages that nothing reaches.
pub(super) const FOREVER: Ages = Ages {
    result: 1 << 40,
    once: 1 << 40,
    place: 1 << 40,
    deletion: 1 << 40,
    places: 1 << 20,
};

/// What the tail was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    entries: Mutex<Vec<(u64, String)>>,
    newest: AtomicU64,
}

impl Tail for Heard {
    fn committed(&self, entries: &[Entry]) {
        let mut heard = self.entries.lock();
        for entry in entries {
            heard.push((entry.position.0, text(entry)));
            self.newest.fetch_max(entry.position.0, Ordering::SeqCst);
        }
    }
}

/// The store failed: what is in flight is not known.
#[derive(Debug)]
pub(super) struct Stopped;

struct Flying {
    plan: Plan,
    committing: Committing,
    /// It has ended, and was not told.
    failed: Option<Error>,
}

pub(super) struct World {
    pub(super) disk: Arc<SimulatedDisk>,
    pub(super) options: Options,
    pub(super) store: Embedded,
    pub(super) heard: Arc<Heard>,
    pub(super) random: StdRng,
    /// What was told.
    pub(super) model: Model,
    /// With what is in flight.
    pub(super) ahead: Model,
    flight: VecDeque<Flying>,
    /// Of packets that were told to be taken.
    pub(super) ids: BTreeMap<u64, TakenId>,
    terms: Vec<Term>,
    origins: BTreeMap<(Option<usize>, usize), Arc<Origin>>,
    next_name: u64,
    /// The newest tick that a reader saw, and the newest position.
    seen: (u64, u64),
    /// Seconds from one commit to the next, at most.
    pub(super) pace: u64,
    /// How many have ended `Ok`.
    pub(super) told: u64,
    /// When the domains were taken over.
    told_before: u64,
    /// The seed, for messages.
    pub(super) seed: u64,
}

pub(super) fn open_on(
    disk: &Arc<SimulatedDisk>,
    options: &Options,
    tail: Arc<dyn Tail>,
) -> Result<Embedded, OpenError> {
    let disk: Arc<SimulatedDisk> = disk.clone();
    let (path, wall) = (Path::new("simulated"), Wall::OfCommits);
    open::start(None, path, disk, options.clone(), wall, tail)
}

impl World {
    pub(super) async fn new(seed: u64, disk: SimulatedDisk, options: Options, ages: Ages) -> Self {
        let disk = Arc::new(disk);
        let heard = Arc::new(Heard::default());
        let store = open_on(&disk, &options, heard.clone()).unwrap();
        let mut world = Self {
            disk,
            options,
            store,
            heard,
            random: StdRng::seed_from_u64(seed),
            model: Model::new(ages),
            ahead: Model::new(ages),
            flight: VecDeque::new(),
            ids: BTreeMap::new(),
            terms: Vec::new(),
            origins: BTreeMap::new(),
            next_name: 1,
            seen: (0, 0),
            pace: 0,
            told: 0,
            told_before: 0,
            seed,
        };
        world.take_over().await;
        world
    }

    async fn take_over(&mut self) {
        // Those under which something was told; a term that nobody used may be given again.
        let before = self.terms.iter().max().copied();
        let before = before.filter(|_| self.told > self.told_before);
        self.told_before = self.told;
        self.terms.clear();
        for domain in 0..2 {
            let term = self.store.take_over(Domain(domain)).await.unwrap();
            assert!(before.is_none_or(|before| before < term), "terms go up");
            self.terms.push(term);
        }
    }

    fn origin(&mut self, client_at: Option<usize>, handler: usize) -> Arc<Origin> {
        let made = self.origins.entry((client_at, handler)).or_insert_with(|| {
            Arc::new(Origin {
                principal: Arc::new(Principal {
                    subject: "ann".into(),
                    ..Principal::default()
                }),
                client: client_at.map(|at| client(CLIENTS[at])),
                handler: HandlerName::new(HANDLERS[handler]).unwrap(),
            })
        });
        made.clone()
    }

    /// A random commit that fits what is there.
    pub(super) fn plan(&mut self) -> Plan {
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
                });
            }
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

    fn commit_of(&mut self, plan: &Plan) -> Commit {
        let domain = self.random.random_range(0..2_usize);
        let mut commit = Commit::new(Domain(domain as u32), self.terms[domain], at(plan.time));
        let key = |(of, handler): (usize, usize)| QueueKey {
            client: client(CLIENTS[of]),
            handler: HandlerName::new(HANDLERS[handler]).unwrap(),
        };
        for (queue, through, req_ids) in &plan.settles {
            commit.settles.push(Settle {
                queue: key(*queue),
                through: *through,
                req_ids: req_ids.iter().map(|id| id.as_str().into()).collect(),
            });
        }
        for (queue, seq, req_id) in &plan.owed {
            commit.owed.push(Owed {
                queue: key(*queue),
                seq: *seq,
                req_id: req_id.as_str().into(),
            });
        }
        for finish in &plan.finishes {
            let message = finish.message.iter();
            commit.finishes.push(Finish {
                taken: self.ids[&finish.name],
                answer: Answer::rejected(Reason::Application, finish.said.as_str()),
                messages: message.map(|(topic, text)| draft(topic, text)).collect(),
                awaited: finish.awaited,
            });
        }
        let tick = PlannedUnit {
            client: None,
            handler: TICKS,
            group: u64::MAX,
            place: Place::None,
            fingerprint: 1,
            req_id: String::new(),
            awaited: true,
            effect: PlannedEffect::Change(vec![(
                Op::Put,
                "tick".into(),
                None,
                plan.time.to_string(),
            )]),
            name: 0,
        };
        for unit in std::iter::once(&tick).chain(&plan.units) {
            let unit = self.unit_of(unit);
            commit.units.push(unit);
        }
        commit
    }

    fn unit_of(&mut self, unit: &PlannedUnit) -> Unit {
        let effect = match &unit.effect {
            PlannedEffect::Answer(said) => {
                Effect::Answer(Answer::rejected(Reason::Application, said.as_str()))
            }
            PlannedEffect::Change(changes) => Effect::Change {
                collection: HANDLERS[unit.handler].into(),
                changes: changes
                    .iter()
                    .map(|(op, key, if_version, text)| change(*op, key, *if_version, text))
                    .collect(),
            },
            PlannedEffect::Publish(messages) => {
                let drafts = messages.iter().map(|(topic, text)| draft(topic, text));
                Effect::Publish(drafts.collect::<SmallVec<_>>())
            }
            PlannedEffect::Take => Effect::Take(format!("packet {}", unit.name).into()),
        };
        Unit {
            origin: self.origin(unit.client, unit.handler),
            group: unit.group,
            place: unit.place.clone(),
            fingerprint: unit.fingerprint,
            req_id: unit.req_id.as_str().into(),
            awaited: unit.awaited,
            effect,
        }
    }

    /// Sends a random commit, so that no more than so many are in flight.
    pub(super) async fn step(&mut self, window: usize) -> Result<(), Stopped> {
        while self.flight.len() >= window {
            self.land().await?;
        }
        let plan = self.plan();
        self.send(plan).await
    }

    pub(super) async fn send(&mut self, plan: Plan) -> Result<(), Stopped> {
        self.send_or(plan).await.map_err(|_| Stopped)
    }

    async fn send_or(&mut self, plan: Plan) -> Result<(), Error> {
        let commit = self.commit_of(&plan);
        let committing = self.store.commit(commit).await?;
        self.ahead.apply(&plan);
        self.flight.push_back(Flying {
            plan,
            committing,
            failed: None,
        });
        Ok(())
    }

    /// Waits for the oldest in flight.
    pub(super) async fn land(&mut self) -> Result<(), Stopped> {
        let Some(flying) = self.flight.front_mut() else {
            return Ok(());
        };
        let judged = match (&mut flying.committing).await {
            Ok(judged) => judged,
            Err(error) => {
                flying.failed = Some(error);
                return Err(Stopped);
            }
        };
        let flying = self.flight.pop_front().expect("it is there");
        self.told += 1;
        let expected = self.model.apply(&flying.plan);
        for (expected, judged) in expected.iter().zip(&judged[1..]) {
            match (judged, expected.strip_prefix("taken ")) {
                (Judged::Taken(id), Some(name)) => {
                    let name = name.parse().unwrap();
                    let used = self.ids.values().any(|other| other == id);
                    assert!(!used, "{id:?} is used again, seed {}", self.seed);
                    self.ids.insert(name, *id);
                }
                _ => assert_eq!(self.plain(judged), *expected, "seed {}", self.seed),
            }
        }
        let tail = self.store.tail().0;
        assert!(
            tail >= self.model.tail,
            "seed {}: the tail is {tail} after {}, {:.400?}",
            self.seed,
            self.model.tail,
            flying.plan
        );
        let newest = self.heard.newest.load(Ordering::SeqCst);
        assert!(
            newest >= self.model.tail,
            "the tail is told first, seed {}",
            self.seed
        );
        self.look().await;
        Ok(())
    }

    /// One commit, alone, and why it failed.
    pub(super) async fn try_step(&mut self) -> Result<(), Error> {
        let plan = self.plan();
        self.send_or(plan).await?;
        match self.land().await {
            Ok(()) => Ok(()),
            Err(Stopped) => {
                let flying = self.flight.pop_front().expect("it failed");
                self.ahead = self.model.clone();
                Err(flying.failed.expect("it says why"))
            }
        }
    }

    /// Whether a commit was taken, whatever is said to it.
    pub(super) async fn try_anyhow(&mut self, plan: Plan) -> bool {
        let commit = self.commit_of(&plan);
        match self.store.commit(commit).await {
            Ok(committing) => committing.await.is_ok(),
            Err(_) => false,
        }
    }

    /// What anybody sees now must be there for good.
    pub(super) async fn look(&mut self) {
        if let Ok(Some(tick)) = self.store.record(HANDLERS[TICKS], "tick").await {
            self.seen.0 = self.seen.0.max(tick.version);
        }
        self.seen.1 = self.seen.1.max(self.store.tail().0);
    }

    pub(super) async fn land_all(&mut self) -> Result<(), Stopped> {
        while !self.flight.is_empty() {
            self.land().await?;
        }
        Ok(())
    }

    fn plain(&self, judged: &Judged) -> String {
        match judged {
            Judged::Done(answer) => format!("done {}", said(answer)),
            Judged::Repeat(answer) => format!("repeat {}", said(answer)),
            Judged::Taken(id) => format!("taken {id:?}"),
            Judged::Open(id) => {
                let name = self.ids.iter().find(|(_, other)| *other == id);
                name.map_or_else(
                    || format!("open {id:?}"),
                    |(name, _)| format!("open {name}"),
                )
            }
            Judged::Forgotten => "forgotten".into(),
            Judged::Reused => "reused".into(),
            Judged::Missing { next } => format!("missing {next}"),
            Judged::Skipped => "skipped".into(),
            Judged::NoRoom => "no room".into(),
        }
    }

    /// Puts a store on another image of the disk. What was in flight is there or not; how much of it is found out.
    pub(super) async fn reopen(&mut self, image: SimulatedDisk) -> Result<(), OpenError> {
        let disk = Arc::new(image);
        let heard = Arc::new(Heard::default());
        self.store = open_on(&disk, &self.options, heard.clone())?;
        (self.disk, self.heard) = (disk, heard);
        self.resolve(true).await;
        Ok(())
    }

    /// After an operation that failed: the store takes commits again by itself, a few refusals later.
    pub(super) async fn goes_on(&mut self) {
        let mut why = None;
        for _ in 0..20_000 {
            let nothing = Commit::new(Domain(0), self.terms[0], at(self.model.now));
            match self.store.commit(nothing).await {
                Ok(committing) => match committing.await {
                    Ok(_) => return self.resolve(false).await,
                    Err(error) => why = Some(error),
                },
                Err(error) => why = Some(error),
            }
            tokio::task::yield_now().await;
        }
        panic!("seed {}: it does not go on: {why:?}", self.seed);
    }

    /// Finds out what became of what is in flight.
    pub(super) async fn resolve(&mut self, reopened: bool) {
        let seed = self.seed;
        let mut sure = true;
        for flying in std::mem::take(&mut self.flight) {
            let there = self.tick().await > self.model.commits();
            // What is refused and what comes after it was not applied.
            let ended = match flying.failed {
                Some(error) => Err(error),
                None => flying.committing.await,
            };
            match ended {
                Ok(_) => assert!(sure && there, "seed {seed}: what was told is lost"),
                Err(Error::Refused(_)) => sure = false,
                Err(_) => {}
            }
            if there {
                assert!(sure, "seed {seed}: what was refused is there");
                self.model.apply(&flying.plan);
            }
        }
        let there = self.tick().await;
        assert_eq!(
            there,
            self.model.commits(),
            "seed {seed}: commits, lost or out of thin air"
        );
        assert!(
            self.seen.0 <= there,
            "seed {seed}: a reader saw {} of {there}",
            self.seen.0
        );
        assert_eq!(
            self.store.tail().0,
            self.model.tail,
            "seed {seed}: the tail"
        );
        assert!(
            self.seen.1 <= self.model.tail,
            "seed {seed}: a tail was seen that is not there"
        );
        self.ahead = self.model.clone();
        self.learn().await;
        if reopened {
            self.take_over().await;
        }
    }

    async fn tick(&self) -> u64 {
        let tick = self.store.record(HANDLERS[TICKS], "tick").await.unwrap();
        tick.map_or(0, |record| record.version)
    }

    /// What is open, exactly; and under the names that were told.
    async fn learn(&mut self) {
        let seed = self.seed;
        let runs = self.store.open_runs().await.unwrap();
        let mut found = Vec::new();
        for run in &runs {
            for packet in &run.packets {
                let id = TakenId {
                    run: run.id,
                    at: packet.at,
                };
                found.push((id, run.origin.clone(), packet.clone()));
            }
        }
        let open = self.model.open.clone();
        let names: Vec<_> = found
            .iter()
            .map(|(_, _, packet)| packet.req_id.to_string())
            .collect();
        let expected: Vec<_> = open.iter().map(|taken| taken.req_id.clone()).collect();
        same(&names, &expected, seed, "what is open");
        for ((id, origin, packet), taken) in found.into_iter().zip(&open) {
            assert_eq!(
                *origin,
                *self.origin(taken.client, taken.handler),
                "seed {seed}"
            );
            assert_eq!(packet.place, taken.place, "seed {seed}");
            assert_eq!(packet.fingerprint, taken.fingerprint, "seed {seed}");
            assert_eq!(
                packet.packet,
                format!("packet {}", taken.name),
                "seed {seed}"
            );
            let before = self.ids.insert(taken.name, id);
            assert!(
                before.is_none_or(|before| before == id),
                "seed {seed}: another name"
            );
        }
    }

    /// Everything that can be asked, against the model; what was told here, too.
    pub(super) async fn check(&mut self) {
        let seed = self.seed;
        self.check_records().await;
        self.check_messages().await;
        for (at, name) in CLIENTS.iter().enumerate() {
            let page = self
                .store
                .results(&client(name), Position(0), ALL)
                .await
                .unwrap();
            let found: Vec<_> = page.entries.iter().map(result_of).collect();
            same(&found, &self.model.results(at), seed, "results");
            if self.model.lost.get(&at).is_some_and(|lost| *lost > 0) {
                assert!(
                    page.lost,
                    "seed {seed}: {name} is told that results are lost"
                );
            }
        }
        for ((of, handler), known) in self.model.queues.clone() {
            let which = Which::Places {
                handler: HandlerName::new(HANDLERS[handler]).unwrap(),
                from: 0,
            };
            let found = self
                .store
                .kept(&client(CLIENTS[of]), &which, ALL)
                .await
                .unwrap();
            let found: Vec<_> = found
                .items
                .iter()
                .filter(|kept| kept.answer.outcome.is_final())
                .map(|kept| (kept.seq, said(&kept.answer)))
                .collect();
            let kept = known
                .kept
                .iter()
                .map(|(seq, kept)| (*seq, kept.said.clone()));
            same(&found, &kept.collect::<Vec<_>>(), seed, "kept results");
        }
        self.check_repeats().await;
    }

    async fn check_records(&self) {
        let seed = self.seed;
        for (handler, name) in HANDLERS.iter().enumerate() {
            let page = self.store.list(name, "", None, ALL).await.unwrap();
            let found = page.items.iter().map(|record| {
                let content = record.content.as_ref().map(|(_, bytes)| text_of(bytes));
                (
                    record.key.to_string(),
                    record.version,
                    content.unwrap_or_default(),
                )
            });
            let records = self
                .model
                .records
                .iter()
                .filter(|((of, _), _)| *of == handler);
            let records = records
                .map(|((_, key), (version, content))| (key.clone(), *version, content.clone()));
            same(
                &found.collect::<Vec<_>>(),
                &records.collect::<Vec<_>>(),
                seed,
                "records",
            );
        }
    }

    /// All that is kept, at its position, and told where something is not.
    async fn check_messages(&self) {
        let seed = self.seed;
        let filter = everything();
        let (mut from, mut found, mut losses) = (0, Vec::new(), Vec::new());
        loop {
            let limit = crate::store::ScanLimit { items: 50, ..ALL };
            let page = self
                .store
                .scan(&filter, Position(from), limit)
                .await
                .unwrap();
            found.extend(
                page.entries
                    .iter()
                    .map(|entry| (entry.position.0, text(entry))),
            );
            losses.extend(page.loss);
            assert!(
                page.through.0 > from || from >= self.model.tail,
                "seed {seed}: it goes on"
            );
            from = page.through.0;
            if from >= self.model.tail {
                break;
            }
        }
        assert!(
            losses.iter().all(|loss| loss.cause == LossCause::Retention),
            "seed {seed}"
        );
        let mut found: BTreeMap<u64, String> = found.into_iter().collect();
        let now = self.model.now;
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for sent in self.model.messages.iter().rev() {
            let there = found.remove(&sent.position);
            let class = self.options.keep.class(&sent.topic);
            let bounds = self.options.keep.bounds(class);
            let rank = newest.entry(&sent.topic).or_default();
            *rank += 1;
            match there {
                Some(there) => assert_eq!(there, sent.text, "seed {seed}"),
                None => {
                    let by_last = bounds.last.is_some_and(|last| *rank > last);
                    let by_age = at(sent.time) + bounds.age < at(now);
                    let by_bytes = bounds.bytes < 1 << 30 && !losses.is_empty();
                    assert!(
                        by_last || (by_age && !losses.is_empty()) || by_bytes,
                        "seed {seed}: {sent:?} is not there, and nothing is said"
                    );
                }
            }
        }
        assert!(found.is_empty(), "seed {seed}: out of thin air: {found:?}");
        for entry in self.heard.entries.lock().iter() {
            let sent = self
                .model
                .messages
                .iter()
                .find(|sent| sent.position == entry.0);
            if let Some(Sent { text, .. }) = sent {
                assert_eq!(*text, entry.1, "seed {seed}: what was heard");
            }
        }
    }

    /// Everything that has a place or a req_id, sent again, one commit each: it does nothing but tell.
    async fn check_repeats(&mut self) {
        let seed = self.seed;
        let mut again = Vec::new();
        for ((of, handler), known) in &self.model.queues {
            for seq in 1..=known.reached {
                again.push((Some(*of), *handler, Place::Seq(seq), String::new()));
            }
            again.push((
                Some(*of),
                *handler,
                Place::Seq(known.reached + 2),
                String::new(),
            ));
        }
        for (of, req_id) in self.model.once.keys() {
            let scope = match of {
                Some(_) => ReqIdScope::Client,
                None => ReqIdScope::Subject,
            };
            again.push((*of, 0, Place::ReqId(scope), req_id.clone()));
        }
        let named: Vec<_> = again.iter().map(|unit| format!("{unit:?}")).collect();
        let mut units = Vec::new();
        let mut expected = Vec::new();
        let mut plain = self.model.clone();
        for (at, (client, handler, place, req_id)) in again.into_iter().enumerate() {
            let unit = PlannedUnit {
                client,
                handler,
                group: at as u64,
                place,
                fingerprint: 1,
                req_id,
                awaited: true,
                effect: PlannedEffect::Answer("again".into()),
                name: 0,
            };
            expected.push(format!("{}: {}", named[at], plain.judged(&unit)));
            units.push(self.unit_of(&unit));
        }
        let commit = Commit {
            units,
            ..Commit::new(Domain(0), self.terms[0], at(self.model.now))
        };
        let judged = self.store.commit(commit).await.unwrap().await.unwrap();
        let said = judged.iter().zip(&named);
        let said: Vec<_> = said
            .map(|(judged, name)| format!("{name}: {}", self.plain(judged)))
            .collect();
        same(&said, &expected, seed, "repeats");
        assert_eq!(
            self.store.tail().0,
            self.model.tail,
            "seed {seed}: repeats do nothing"
        );
    }
}

/// Two lists, of which the first difference is told.
fn same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T], seed: u64, what: &str) {
    let at = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    let at = at.unwrap_or_else(|| found.len().min(expected.len()));
    let (found, expected) = (found.get(at), expected.get(at));
    let brief = |one: Option<&T>| format!("{one:.200?}").chars().take(200).collect::<String>();
    assert!(
        found == expected,
        "seed {seed}: {what}, number {at}: {} is to be {}",
        brief(found),
        brief(expected)
    );
}

/// All topics: those of the gateway's own have to be named.
pub(super) fn everything() -> Filter {
    let parse = |pattern: &str| Pattern::parse(pattern, "").unwrap();
    Filter {
        tenant: "".into(),
        patterns: vec![parse(">"), parse("records.>")],
    }
}

fn filling(random: &mut StdRng) -> String {
    let len = match random.random_range(0..10) {
        0 => random.random_range(500..3_000),
        _ => random.random_range(0..40),
    };
    "x".repeat(len)
}

pub(super) fn said(answer: &Answer) -> String {
    if answer.reason == Reason::Application {
        return answer.message.to_string();
    }
    if answer.outcome != Outcome::Ok {
        return format!("{:?}", answer.reason);
    }
    let Some(body) = &answer.body else {
        return "ok".into();
    };
    let records = body.records.iter();
    let records = records.map(|record| format!("{}@{}", record.key, record.version));
    records.collect::<Vec<_>>().join(",")
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn text(entry: &Entry) -> String {
    match &entry.kind {
        EntryKind::Message(message) | EntryKind::Ephemeral(message) => message_text(message),
        EntryKind::Result(result) => format!("result {}", result.req_id),
    }
}

fn message_text(message: &Message) -> String {
    match &message.body {
        MessageBody::Content(_, bytes) => text_of(bytes),
        MessageBody::Record(record) => format!("{}@{}", record.key, record.version),
    }
}

pub(super) fn result_of(entry: &Entry) -> (u64, String, String) {
    match &entry.kind {
        EntryKind::Result(result) => (
            entry.position.0,
            result.req_id.to_string(),
            said(&result.answer),
        ),
        other => panic!("{other:?} is no result"),
    }
}
