//! The clock, and everything that happens on it.

mod mishaps;
mod works;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::check::{Arrived, Checker, Violation};
use super::client::{Queue, Sent, What};
use super::figures::Figures;
use super::gateway::Gateway;
use super::network::{self, Network};
use super::plan::{MS, Mishap, Plan, Scale, Target};
use super::service::{Door, Service};
use super::store::{Places, Unsteady};
use super::witness::Witness;
use crate::broker::Response;
use crate::broker::core::{BatchId, CallId, Completed, Step};
use crate::store::hooked::Hooked;
use crate::types::{Answer, Outcome, Reason};

/// What is not done by then is stuck.
const END: Duration = Duration::from_secs(1_200);

/// Whether what happens is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Kept,
    None,
}

/// One run.
pub(super) struct World {
    rng: StdRng,
    start: Instant,
    now: Instant,
    /// What will happen, each with a number of its own, so that two things at one time have an order.
    events: BTreeMap<(Instant, u64), Event>,
    last_event: u64,
    last_call: u64,
    network: Network,
    wait: (u32, u32),
    commit: Duration,
    gateway: Gateway,
    door: Arc<Door>,
    services: BTreeMap<Target, Service>,
    /// Calls of services: whose, and which work waits.
    service_calls: HashMap<u64, (Target, u64)>,
    store: Arc<Hooked<Unsteady>>,
    /// Copies that are waited for at the gateway.
    waiting: HashMap<CallId, (Rc<Sent>, Arrived)>,
    /// Copies that the network holds until everything in them is settled.
    held: Vec<Rc<Sent>>,
    queues: Vec<Queue>,
    witness: Arc<Witness>,
    checker: Checker,
    figures: Figures,
    log: Option<Vec<String>>,
}

/// What happens at some time.
enum Event {
    /// A copy of a request arrives at the gateway.
    Arrives(Rc<Sent>),
    /// A copy of an answer arrives at its client.
    Told(Rc<Sent>, Rc<Vec<Answer>>),
    /// A stream brings a final outcome.
    Streamed(usize, usize),
    /// The client waits no longer.
    GivesUp(usize, u64),
    /// A client may have something to send.
    Wakes(usize),
    /// A batch gets to where it is carried out.
    Starts(u64),
    /// The broker hears of it.
    Completed(u32, BatchId, Completed),
    /// A service has done the work of a call.
    Works(u64),
    /// The gateway hears of a call.
    Replies(u64),
    Happens(Mishap),
}

/// What a run shows.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) violations: Vec<Violation>,
    pub(super) figures: Figures,
    /// What was sent, applied and told, and when.
    pub(super) log: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, scale: Scale, places: Places, log: Log) -> Self {
        let plan = Plan::of(seed, scale);
        let mut rng = StdRng::seed_from_u64(!seed);
        let start = Instant::now();
        let witness = Arc::new(Witness::default());
        let store = Unsteady::store(rng.random(), places, plan.disk, witness.clone());
        let store = Arc::new(store);
        let door = Arc::new(Door::default());
        let mut checker = Checker::new(&plan);
        let mut queues = Vec::new();
        for (number, queue) in plan.queues.iter().enumerate() {
            let queue = Queue::new(number, queue.clone(), start, &mut rng);
            let packets = queue.packets.iter().zip(&queue.kinds);
            let packets = packets.map(|(packet, kind)| (&**packet, *kind));
            let like = &queue.plan;
            checker.queue(like.target, like.manner, like.within, packets);
            queues.push(queue);
        }
        let called = Target::ALL.into_iter().filter(|target| target.is_called());
        let services = called.map(|target| {
            let service = Service::new(rng.random(), plan.temper, target, start);
            (target, service)
        });
        let services = services.collect();
        let mut world = Self {
            start,
            now: start,
            events: BTreeMap::new(),
            last_event: 0,
            last_call: 0,
            network: plan.network,
            wait: plan.wait,
            commit: plan.commit,
            gateway: Gateway::new(&plan, door.clone(), store.clone()),
            door,
            services,
            service_calls: HashMap::new(),
            store,
            waiting: HashMap::new(),
            held: Vec::new(),
            queues,
            witness,
            checker,
            figures: Figures::default(),
            log: (log == Log::Kept).then(Vec::new),
            rng,
        };
        for (at, mishap) in plan.mishaps {
            world.after(at, Event::Happens(mishap));
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
            let deadline = self.gateway.core.next_deadline();
            let Some(next) = [event, deadline].into_iter().flatten().min() else {
                break;
            };
            if next > self.start + END {
                break;
            }
            self.now = next.max(self.now);
            if event == Some(next)
                && let Some((_, event)) = self.events.pop_first()
            {
                self.happen(event);
            }
            self.drive();
            self.checker.holds(self.gateway.core.sizes());
        }
        self.report()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(sent) => self.arrives(sent),
            Event::Told(sent, answers) => {
                let queue = &mut self.queues[sent.queue];
                if sent.what == What::Packets {
                    queue.hear(&sent, &answers, self.now, &mut self.rng);
                    self.wake(sent.queue);
                }
            }
            Event::Streamed(queue, index) => {
                self.queues[queue].hear_final(index);
                self.wake(queue);
            }
            Event::GivesUp(queue, call) => {
                self.queues[queue].give_up(call, self.now);
                self.wake(queue);
            }
            Event::Wakes(queue) => {
                self.queues[queue].alarm = None;
                self.wake(queue);
            }
            Event::Starts(work) => self.look(work),
            Event::Completed(life, batch, done) => {
                if life == self.gateway.life {
                    self.gateway.core.complete(self.now, batch, done);
                }
            }
            Event::Works(call) => self.works(call),
            Event::Replies(call) => self.replies(call),
            Event::Happens(mishap) => self.goes_wrong(mishap),
        }
    }

    /// A client sends what it has to send.
    fn wake(&mut self, at: usize) {
        loop {
            let queue = &mut self.queues[at];
            let sent = queue.send(self.last_call + 1, self.now, &mut self.rng);
            let Some(sent) = sent else { break };
            self.last_call = sent.call;
            self.figures.count("requests");
            self.checker.sent(self.now - self.start, at, &sent.indices);
            self.checker.settled(at, sent.settled);
            if self.network == Network::Lossy {
                let patience = MS * self.rng.random_range(100..400);
                self.after(patience, Event::GivesUp(at, sent.call));
            }
            self.send(sent);
        }
        let due = self.queues[at].wakes();
        if let Some(due) = due.filter(|due| *due > self.now)
            && self.queues[at].alarm.is_none_or(|alarm| due < alarm)
        {
            self.queues[at].alarm = Some(due);
            self.after(due - self.now, Event::Wakes(at));
        }
    }

    fn send(&mut self, sent: Sent) {
        self.note(|| format!("sends {sent}"));
        let sent = Rc::new(sent);
        let fate = self.network.fate(&mut self.rng);
        self.count(fate.arrivals.len());
        for delay in fate.arrivals {
            self.after(delay, Event::Arrives(sent.clone()));
        }
        if fate.held && !sent.packets.is_empty() && sent.what == What::Packets {
            self.figures.count("held until settled");
            self.held.push(sent);
        }
    }

    fn arrives(&mut self, sent: Rc<Sent>) {
        self.note(|| format!("arrives {sent}"));
        let wait = MS * self.rng.random_range(self.wait.0..self.wait.1);
        let queue = &self.queues[sent.queue];
        let request = queue.request(&sent, wait);
        if sent.what == What::Packets {
            self.checker.arrived(sent.queue, &sent.indices);
        }
        let call = self.gateway.core.offer(self.now, request);
        let at = self.now - self.start;
        let arrived = Arrived { at, by: at + wait };
        let (number, settled) = (sent.queue, sent.settled);
        self.waiting.insert(call, (sent, arrived));
        let done = |held: &mut Rc<Sent>| {
            let last = held.indices.last().map_or(0, |last| last + 1);
            held.queue == number && last <= settled
        };
        let released: Vec<_> = self.held.extract_if(.., done).collect();
        for held in released {
            let delay = network::delay(&mut self.rng);
            self.after(delay, Event::Arrives(held));
        }
    }

    fn drive(&mut self) {
        while let Some(step) = self.gateway.core.poll(self.now) {
            match step {
                Step::Answer(call, response) => self.answer(call, response),
                Step::Overdue(call) => {
                    let (sent, _) = &self.waiting[&call];
                    if self.queues[sent.queue].waits_for(sent) {
                        let response = self.gateway.core.time_out(call);
                        self.answer(call, response);
                    } else {
                        self.figures.count("hang-ups");
                        self.gateway.core.hang_up(call);
                        self.waiting.remove(&call);
                    }
                }
                Step::Finished(_) | Step::Decided(_) => {}
                Step::Dead(dead) => {
                    self.figures.count("given up");
                    self.note(|| format!("gives up {:?}", dead.packet.content));
                }
                Step::Cleared(_) => unreachable!("nobody clears anything"),
                Step::Turned(turned) => self.note(|| format!("sees {turned:?}")),
                Step::Run(run) => {
                    let work = self.gateway.leaves(run);
                    let later = self.part_of(self.commit);
                    self.after(later, Event::Starts(work));
                }
            }
        }
    }

    fn part_of(&mut self, most: Duration) -> Duration {
        match self.network {
            Network::Lossy => most.mul_f64(self.rng.random()),
            Network::Reliable => most / 2,
        }
    }

    fn answer(&mut self, call: CallId, response: Response) {
        let (sent, arrived) = self.waiting.remove(&call).expect("it was asked");
        if !self.queues[sent.queue].waits_for(&sent) && self.rng.random() {
            self.gateway.core.undelivered(&response);
        }
        self.note(|| {
            let outcomes = response.answers.iter();
            let outcomes = outcomes.map(|(_, answer)| (answer.outcome, answer.reason));
            format!("answers {sent}: {:?}", outcomes.collect::<Vec<_>>())
        });
        for (_, answer) in &response.answers {
            match (answer.outcome, answer.reason) {
                (_, Reason::Overloaded) => self.figures.count("refused by overload"),
                (_, Reason::EarlierMissing) => self.figures.count("ahead of their turn"),
                (_, Reason::Moved) => self.figures.count("moved"),
                (_, Reason::ReqIdReused) => self.figures.count("reused"),
                (Outcome::InDoubt, _) => self.figures.count("in doubt"),
                (Outcome::Forgotten, _) => self.figures.count("forgotten"),
                _ => {}
            }
        }
        let at = self.now - self.start;
        match sent.what {
            What::Packets => {
                let both = response.answers.iter().zip(&sent.packets);
                let both = both.zip(&sent.indices);
                let told = both.map(|(((packet, answer), asked), index)| {
                    (Arc::ptr_eq(packet, asked), *index, answer)
                });
                let told: Vec<_> = told.collect();
                let asked = sent.packets.len();
                self.checker.answered(at, arrived, sent.queue, &told, asked);
            }
            What::Impostor => {
                let name = (sent.queue, sent.indices[0]);
                for (_, answer) in &response.answers {
                    self.checker.told_impostor(name, answer);
                }
            }
            What::Read => {}
        }
        let answers = response.answers.into_iter().map(|(_, answer)| answer);
        let answers: Rc<Vec<_>> = Rc::new(answers.collect());
        let fate = self.network.fate(&mut self.rng);
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
        self.figures.more("messages lost", u64::from(copies == 0));
        self.figures.more("doubled", u64::from(copies > 1));
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let at = self.now - self.start;
            log.push(format!("{at:?} {}", what()));
        }
    }

    fn report(mut self) -> Report {
        let figures = &mut self.figures;
        for end in self.checker.ends() {
            figures.count("packets");
            match end {
                Some(Outcome::Rejected) => figures.count("rejected"),
                Some(Outcome::Expired) => figures.count("expired"),
                _ => {}
            }
        }
        figures.more("applied", self.checker.count_applied());
        figures.more("taken for poison", self.checker.taken_for_poison());
        for service in self.services.values() {
            figures.more("late attempts", service.late);
            figures.more("refused for a newer owner", service.fenced);
            figures.more("crashes", service.crashes);
        }
        let left = self.gateway.core.sizes();
        let violations = self.checker.end(left, self.held.len());
        Report {
            violations,
            figures: self.figures,
            log: self.log.unwrap_or_default(),
        }
    }
}
