//! A store on a simulated disk beside the plain model.

mod check;
mod choose;
mod commit;
mod copy;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub(super) use self::check::everything;
use self::check::same;
pub(super) use self::copy::Before;
use super::model::{Ages, Model};
use super::plan::{HANDLERS, Plan, TICKS};
use super::words::{said, text};
use crate::store::clock::Wall;
use crate::store::conformance::{ALL, at, client};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, OpenError, Options, open};
use crate::store::{
    Commit, Committing, Domain, Entry, Epoch, Error, Judged, LetterId, Origin, Store, Tail,
    TakenId, Term,
};
use crate::types::{HandlerName, Principal};

pub(super) const CLIENTS: [&str; 3] = ["ann", "bob", "cleo"];

/// Ages that nothing reaches.
pub(super) const FOREVER: Ages = Ages {
    result: 1 << 40,
    once: 1 << 40,
    place: 1 << 40,
    deletion: 1 << 40,
    places: 1 << 20,
    letters: 1 << 20,
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
    /// Of dead letters that were seen, by their packets' names.
    pub(super) letters: BTreeMap<u64, LetterId>,
    terms: Vec<Term>,
    origins: BTreeMap<(Option<usize>, usize), Arc<Origin>>,
    next_name: u64,
    /// The newest tick that a reader saw, and the newest position.
    seen: (u64, u64),
    /// Seconds from one commit to the next, at most.
    pub(super) pace: u64,
    /// How many have ended `Ok`.
    pub(super) told: u64,
    /// Of all starts so far.
    epochs: Vec<Epoch>,
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
        let store_epochs = store.epochs().to_vec();
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
            letters: BTreeMap::new(),
            terms: Vec::new(),
            origins: BTreeMap::new(),
            next_name: 1,
            seen: (0, 0),
            pace: 0,
            told: 0,
            epochs: store_epochs,
            told_before: 0,
            seed,
        };
        world.take_over().await;
        world
    }

    pub(super) async fn take_over(&mut self) {
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
        // What can be read now is learnt.
        if self.flight.is_empty()
            && let Ok(page) = self.store.dead_letters(None, LetterId(0), ALL).await
        {
            self.same_letters(&page.items);
        }
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
        self.notice_epoch();
        Ok(())
    }

    /// A start is a history of its own, behind those before it: a cursor of theirs says what it said.
    fn notice_epoch(&mut self) {
        let seed = self.seed;
        let epochs = self.store.epochs();
        let (own, before) = epochs.split_last().expect("every start has one");
        assert!(
            before.starts_with(&self.epochs),
            "seed {seed}: an epoch that was"
        );
        let is_new = before.iter().all(|known| known.id != own.id);
        assert!(is_new, "seed {seed}: an epoch of its own");
        assert_eq!(own.start, self.store.tail(), "seed {seed}: where it begins");
        self.epochs = epochs.to_vec();
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
        self.check_letters().await;
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
            assert_eq!(packet.place, self.place_of(&taken.place), "seed {seed}");
            let held = self.model.letters.iter();
            let held = held.filter(|dead| dead.held);
            let held = held.map(|dead| dead.name).any(|name| name == taken.name);
            assert_eq!(packet.held, held, "seed {seed}: whether it is held");
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
}
