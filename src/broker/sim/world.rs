//! The clock, and everything that happens on it.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::check::{Evidence, Told};
use super::client::{Pace, Queue, Sent};
use super::figures::Figures;
use super::jobs::Jobs;
use super::network;
use super::store::{Places, Unsteady};
use super::witness::Witness;
use crate::broker::apply::Applier;
use crate::broker::core::{BatchId, CallId, Completed, Core, Run, Step};
use crate::broker::restore::restored;
use crate::broker::{Response, Settings};
use crate::handler::{
    BatchLimits, CallError, Drive, Failure, HandlerSettings, Kind, Ordering, Records, Registry,
    TopicRules, Topics, Unlisted,
};
use crate::store::Store;
use crate::store::hooked::Hooked;
use crate::types::{Answer, HandlerName, Outcome, Reason, Retry};

const MS: Duration = Duration::from_millis(1);
/// What is not done by then is stuck.
const END: Duration = Duration::from_secs(600);
const CLIENTS: usize = 3;
const HANDLERS: [&str; 3] = ["topics", "orders", "jobs"];

/// One run.
#[derive(Debug)]
pub(super) struct World {
    rng: StdRng,
    start: Instant,
    now: Instant,
    /// What will happen, each with a number of its own, so that two things at one time have an order.
    events: BTreeMap<(Instant, u64), Event>,
    last_event: u64,
    last_call: u64,
    jobs: Arc<Jobs>,
    registry: Arc<Registry>,
    settings: Settings,
    store: Arc<Hooked<Unsteady>>,
    core: Core,
    applier: Applier,
    /// Which start of the gateway this is: what an earlier one had in hand is gone.
    life: u32,
    /// Copies that are waited for at the gateway.
    waiting: HashMap<CallId, Rc<Sent>>,
    /// Copies that the network holds until everything in them is settled.
    held: Vec<Rc<Sent>>,
    queues: Vec<Queue>,
    witness: Arc<Witness>,
    told: Vec<Told>,
    figures: Figures,
    log: Vec<String>,
}

/// What happens at some time.
#[derive(Debug)]
enum Event {
    /// A copy of a request arrives at the gateway.
    Arrives(Rc<Sent>),
    /// A copy of an answer arrives at its client.
    Told(Rc<Sent>, Rc<Vec<(u64, Answer)>>),
    /// The client waits no longer.
    GivesUp(usize, u64),
    /// A client may have something to send.
    Wakes(usize),
    /// A batch gets to the store.
    Applied(u32, Run),
    /// The broker hears of it.
    Completed(u32, BatchId, Completed),
    /// From now on every call of the handler that is called fails so, or none does.
    Away(Option<CallError>),
    /// The gateway ends, and another one starts with the same store.
    Restarts,
}

/// What a run shows.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) violations: Vec<String>,
    pub(super) figures: Figures,
    /// What was sent, applied and told, and when.
    pub(super) log: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, pace: Pace, places: Places) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        let witness = Arc::new(Witness::default());
        let store = Unsteady::store(rng.random(), places, witness.clone());
        let store = Arc::new(store);
        let jobs = Arc::new(Jobs::new(rng.random(), witness.clone()));
        let registry = Arc::new(registry(&mut rng, jobs.clone()));
        let settings = Settings {
            lane_packets: rng.random_range(4..20),
            waiters: rng.random_range(1..4),
            seed: rng.random(),
            ..Settings::default()
        };
        let mut queues = Vec::new();
        for client in 0..CLIENTS {
            for handler in HANDLERS {
                let (number, id) = (queues.len(), format!("c{client}"));
                queues.push(Queue::new(number, id, handler, pace, start, &mut rng));
            }
        }
        let mut world = Self {
            rng,
            start,
            now: start,
            events: BTreeMap::new(),
            last_event: 0,
            last_call: 0,
            core: Core::new(registry.clone(), settings.clone()),
            applier: Applier::new(store.clone()),
            jobs,
            registry,
            settings,
            store,
            life: 0,
            waiting: HashMap::new(),
            held: Vec::new(),
            queues,
            witness,
            told: Vec::new(),
            figures: Figures::default(),
            log: Vec::new(),
        };
        for _ in 0..world.rng.random_range(0..3) {
            let later = MS * world.rng.random_range(1..500);
            world.after(later, Event::Restarts);
        }
        if world.rng.random_ratio(1, 2) {
            let from = MS * world.rng.random_range(0..500);
            let until = from + MS * world.rng.random_range(1..800);
            let failures = [Failure::Passing, Failure::Items, Failure::Handler];
            let error = CallError {
                failure: failures[world.rng.random_range(0..3)],
                reached: world.rng.random(),
                message: "it is away".into(),
            };
            world.after(from, Event::Away(Some(error)));
            world.after(until, Event::Away(None));
        }
        world
    }

    /// Until nothing more will happen.
    pub(super) fn run(mut self) -> Report {
        for queue in 0..self.queues.len() {
            self.wake(queue);
        }
        loop {
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let deadline = self.core.next_deadline();
            let Some(next) = [event, deadline].into_iter().flatten().min() else {
                break;
            };
            if next > self.start + END {
                break;
            }
            self.now = next;
            if event == Some(next)
                && let Some((_, event)) = self.events.pop_first()
            {
                self.happen(event);
            }
            self.drive();
        }
        self.report()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(sent) => self.arrives(sent),
            Event::Told(sent, answers) => {
                let queue = &mut self.queues[sent.queue];
                queue.hear(sent.call, &answers, self.now, &mut self.rng);
                self.wake(sent.queue);
            }
            Event::GivesUp(queue, call) => {
                self.queues[queue].give_up(call, self.now);
                self.wake(queue);
            }
            Event::Wakes(queue) => self.wake(queue),
            Event::Applied(life, _) | Event::Completed(life, ..) if life != self.life => {}
            Event::Applied(life, run) => {
                let batch = run.batch;
                let answers = self.applier.clone().apply(run).now_or_never();
                let answers = answers.expect("memory waits for nothing");
                let later = MS * self.rng.random_range(0..15);
                self.after(later, Event::Completed(life, batch, answers));
            }
            Event::Completed(_, batch, done) => self.core.complete(self.now, batch, done),
            Event::Away(error) => {
                self.note(|| format!("away: {error:?}"));
                self.figures.away += u64::from(error.is_some());
                self.jobs.set_away(error);
            }
            Event::Restarts => self.restart(),
        }
    }

    /// Everything but the store is gone. Who waited hears nothing.
    fn restart(&mut self) {
        self.note(|| "restarts".to_owned());
        self.figures.restarts += 1;
        self.life += 1;
        self.waiting.clear();
        let settings = Settings {
            seed: self.rng.random(),
            ..self.settings.clone()
        };
        self.core = Core::new(self.registry.clone(), settings);
        self.applier = Applier::new(self.store.clone());
        let runs = self.store.open_runs().now_or_never();
        let runs = runs.expect("memory waits for nothing").unwrap();
        for run in restored(runs) {
            self.figures.restored += run.packets.len() as u64;
            assert!(self.core.restore(self.now, run), "its handler is there");
        }
    }

    /// A client sends what it has to send.
    fn wake(&mut self, at: usize) {
        loop {
            let queue = &mut self.queues[at];
            let sent = queue.send(self.last_call + 1, self.now, &mut self.rng);
            let Some(sent) = sent else { break };
            self.last_call = sent.call;
            self.figures.requests += 1;
            self.note(|| format!("sends {sent}"));
            let patience = MS * self.rng.random_range(100..400);
            self.after(patience, Event::GivesUp(at, sent.call));
            let sent = Rc::new(sent);
            let fate = network::fate(&mut self.rng);
            self.count(fate.arrivals.len());
            for delay in fate.arrivals {
                self.after(delay, Event::Arrives(sent.clone()));
            }
            if fate.held && !sent.packets.is_empty() {
                self.figures.held += 1;
                self.held.push(sent);
            }
        }
        if let Some(due) = self.queues[at].wakes()
            && due > self.now
        {
            self.after(due - self.now, Event::Wakes(at));
        }
    }

    fn arrives(&mut self, sent: Rc<Sent>) {
        self.note(|| format!("arrives {sent}"));
        let wait = MS * self.rng.random_range(20..300);
        let request = self.queues[sent.queue].request(&sent, wait);
        let call = self.core.offer(self.now, request);
        let (queue, settled) = (sent.queue, sent.settled);
        self.waiting.insert(call, sent);
        let done = |held: &mut Rc<Sent>| {
            let last = held.packets.last().map_or(0, |packet| packet.seq);
            held.queue == queue && last <= settled
        };
        let released: Vec<_> = self.held.extract_if(.., done).collect();
        for held in released {
            let delay = network::delay(&mut self.rng);
            self.after(delay, Event::Arrives(held));
        }
    }

    fn drive(&mut self) {
        while let Some(step) = self.core.poll(self.now) {
            match step {
                Step::Answer(call, response) => self.answer(call, response),
                Step::Overdue(call) => {
                    let sent = &self.waiting[&call];
                    if self.queues[sent.queue].waits_for(sent.call) {
                        let response = self.core.time_out(call);
                        self.answer(call, response);
                    } else {
                        self.core.hang_up(call);
                        self.waiting.remove(&call);
                    }
                }
                Step::Dead(dead) => {
                    self.figures.dead += 1;
                    self.note(|| format!("gives up {dead:?}"));
                }
                Step::Cleared(_) => unreachable!("nobody clears anything"),
                Step::Turned(turned) => self.note(|| format!("sees {turned:?}")),
                Step::Run(run) => {
                    let later = MS * self.rng.random_range(0..15);
                    self.after(later, Event::Applied(self.life, run));
                }
            }
        }
    }

    fn answer(&mut self, call: CallId, response: Response) {
        let sent = self.waiting.remove(&call).expect("it was asked");
        let settled = self.queues[sent.queue].settled();
        let mut answers = Vec::with_capacity(response.answers.len());
        for (packet, answer) in response.answers {
            self.told.push(Told {
                name: (sent.queue, packet.seq),
                outcome: answer.outcome,
                settled: packet.seq <= settled,
            });
            match (answer.outcome, answer.reason) {
                (_, Reason::Overloaded) => self.figures.refused += 1,
                (_, Reason::EarlierMissing) => self.figures.ahead += 1,
                (Outcome::InDoubt, _) => self.figures.in_doubt += 1,
                (Outcome::Forgotten, _) => self.figures.forgotten += 1,
                _ => {}
            }
            answers.push((packet.seq, answer));
        }
        let outcomes = |(seq, answer): &(u64, Answer)| format!("{seq} {:?}", answer.outcome);
        self.note(|| {
            format!(
                "answers {sent}: {:?}",
                answers.iter().map(outcomes).collect::<Vec<_>>()
            )
        });
        let answers = Rc::new(answers);
        let fate = network::fate(&mut self.rng);
        self.count(fate.arrivals.len());
        for delay in fate.arrivals {
            self.after(delay, Event::Told(sent.clone(), answers.clone()));
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.last_event += 1;
        self.events
            .insert((self.now + delay, self.last_event), event);
    }

    fn count(&mut self, copies: usize) {
        self.figures.lost += u64::from(copies == 0);
        self.figures.repeated += u64::from(copies > 1);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let at = self.now - self.start;
        self.log.push(format!("{at:?} {}", what()));
    }

    fn report(mut self) -> Report {
        for result in self.witness.results.lock().iter() {
            let of = |queue: &&Queue| {
                queue.client == result.client && queue.handler == result.handler.as_str()
            };
            let queue = self.queues.iter().position(|queue| of(&queue));
            self.told.push(Told {
                name: (queue.expect("it is a client's"), result.seq),
                outcome: result.answer.outcome,
                settled: false,
            });
        }
        let applied = self.witness.applied.lock().clone();
        let published = self.witness.published.lock().clone();
        let mut sent = BTreeMap::new();
        let mut ends = BTreeMap::new();
        for (number, queue) in self.queues.iter().enumerate() {
            sent.extend(
                queue
                    .packets
                    .iter()
                    .map(|packet| ((number, packet.seq), &**packet)),
            );
            ends.extend(queue.outcomes().map(|(seq, end)| ((number, seq), end)));
        }
        let ended = |outcome| ends.values().filter(|end| **end == Some(outcome)).count() as u64;
        self.figures.packets = sent.len() as u64;
        self.figures.applied = applied.len() as u64;
        self.figures.published = published.len() as u64;
        self.figures.rejected = ended(Outcome::Rejected);
        self.figures.expired = ended(Outcome::Expired);
        let evidence = Evidence {
            sent,
            ends,
            told: &self.told,
            applied: &applied,
            published: &published,
        };
        let mut violations = evidence.violations();
        if !self.core.is_idle() {
            violations.push("packets are left in the broker".to_owned());
        }
        if !self.held.is_empty() {
            violations.push("copies are held that were never settled".to_owned());
        }
        self.log.push(format!("applied {applied:?}"));
        Report {
            violations,
            figures: self.figures,
            log: self.log,
        }
    }
}

fn registry(rng: &mut StdRng, jobs: Arc<Jobs>) -> Registry {
    let mut batch = || BatchLimits {
        max_packets: rng.random_range(1..8),
        max_bytes: rng.random_range(100..2000),
        window: MS * [0, 0, 5][rng.random_range(0..3)],
        calls: rng.random_range(1..4),
    };
    let retry = Retry {
        attempts: 5,
        budget: Duration::from_secs(10),
        initial: 10 * MS,
        max: Duration::from_secs(1),
    };
    let mut handler = |name, kind, drive| HandlerSettings {
        name: HandlerName::new(name).unwrap(),
        kind,
        ordering: Ordering::Client,
        mixed_actions: true,
        isolate_tenants: false,
        batch: batch(),
        durable: true,
        retry,
        drive,
    };
    let rules = TopicRules::default();
    let topics = Drive::Planned(Arc::new(Topics { rules }));
    let records = || Drive::Planned(Arc::new(Records));
    let listed = vec![
        handler("topics", Kind::Topics, topics),
        handler("orders", Kind::Records, records()),
        handler("jobs", Kind::Custom, Drive::Called(Arc::new(jobs))),
    ];
    let unlisted = handler("unlisted", Kind::Records, records());
    Registry::new(listed, unlisted, Unlisted::AreUnknown)
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seqs: Vec<_> = self.packets.iter().map(|packet| packet.seq).collect();
        let Self {
            queue,
            call,
            settled,
            ..
        } = self;
        write!(f, "queue {queue} call {call} {seqs:?} settled {settled}")
    }
}
