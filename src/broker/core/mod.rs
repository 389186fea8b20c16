//! The heart of the broker: a state machine without I/O, clock or tasks.
//!
//! Requests go in by [`Core::offer`], handlers' answers by [`Core::complete`]; what is to be done comes out of
//! [`Core::poll`], one [`Step`] after the other until there is none, and [`Core::next_deadline`] says when to ask again if
//! nothing happens before. Time is handed in. The same inputs give the same steps.
//!
//! A packet waits in its chain; a chain's head run is ready in one lane; a lane's batch is filled from its ready chains by
//! deficit round robin. Where a queue's places have got is judged by the store when a unit is committed, so that there is
//! one truth; the core keeps the order, lets repeats of what is under way join it, and ends a chain in its request when the
//! store or the handler did not take a packet of it.

mod arena;
mod arrival;
mod backend;
mod chain;
mod clear;
mod complete;
mod fair;
mod fill;
mod find;
mod job;
mod lane;
mod letters;
mod look;
mod meter;
mod offer;
mod owed;
mod queue;
mod reload;
mod restore;
mod search;
mod share;
#[cfg(test)]
mod sizes;
mod snapshot;
mod taken;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use hashbrown::HashMap;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use self::arena::{Arena, Id};
use self::arrival::req_id_key;
use self::backend::Backend;
use self::chain::{Chain, KeyChain};
use self::clear::Clears;
use self::fill::InFlight;
use self::job::{Desk, Job, Slot, State};
use self::lane::{Lane, LaneKey, Next};
use self::queue::Queue;
use self::search::Search;
use self::share::Shares;
use self::snapshot::Gone;
use self::taken::Resume;
use super::lanes::Selection;
use super::settings::Settings;
use super::{Response, fit};
use crate::handler::Registry;
use crate::store::{LetterId, QueueKey, ReqIdScope, TakenId};
use crate::types::{Answer, ClientKey, HandlerName, Outcome, Reason};

pub(crate) use self::backend::{CircuitState, Turned};
pub(crate) use self::clear::ClearNo;
pub(crate) use self::complete::{Completed, Done, Messages, Took};
#[cfg(test)]
pub(crate) use self::fill::RunFinish;
pub(crate) use self::fill::{Run, RunItem, RunKind};
pub use self::lane::Class;
pub(crate) use self::letters::{Anew, Decision, Finished, Undecided, discarded};
pub(crate) use self::meter::{Fate, Meter, Why};
pub(crate) use self::restore::{Restored, RestoredPacket};
#[cfg(test)]
pub(crate) use self::sizes::Sizes;
pub(crate) use self::snapshot::Snapshot;
pub(crate) use self::verdict::{GivenUp, reason};

/// Names a request that is waited for.
pub(crate) type CallId = Id<job::Call>;
/// Names a batch in flight.
pub(crate) type BatchId = Id<InFlight>;

/// The state machine.
#[derive(Debug)]
pub(crate) struct Core {
    registry: Arc<Registry>,
    settings: Settings,
    rng: SmallRng,
    desk: Desk,
    queues: Arena<Queue>,
    queue_index: HashMap<QueueKey, Id<Queue>>,
    chains: Arena<Chain>,
    key_chains: HashMap<KeyChain, Id<Chain>>,
    lanes: Arena<Lane>,
    lane_index: HashMap<LaneKey, Id<Lane>>,
    batches: Arena<InFlight>,
    /// Handlers that are called.
    backends: Arena<Backend>,
    backend_index: HashMap<HandlerName, Id<Backend>>,
    /// What failed as a whole, and may have a packet in it that is to blame.
    searches: Arena<Search>,
    /// Circuits that opened or closed, and were not told yet.
    turned: VecDeque<Turned>,
    /// What lanes did that are gone.
    gone: Gone,
    /// What is only to be told.
    notes: VecDeque<Step>,
    /// Packets that wait for a person. Ordered, so that the same inputs give the same steps.
    held: BTreeMap<TakenId, Id<Job>>,
    /// Dead letters that are sent anew and are under way.
    letters: HashMap<LetterId, Id<Job>>,
    last_decision: u64,
    /// Packets without a place that are under way, by what makes a repeat known.
    req_ids: HashMap<ReqIdKey, Id<Job>>,
    /// Lanes that something happened to.
    noticed: VecDeque<Id<Lane>>,
    lanes_due: BTreeSet<(Instant, Id<Lane>)>,
    calls_due: BTreeSet<(Instant, CallId)>,
    /// Packets with a `ttl` that wait.
    expiring: BTreeSet<(Instant, Id<Job>)>,
    /// What was taken and goes on after a pause.
    resuming: BTreeSet<(Instant, Resume)>,
    /// What a person cleared.
    clears: Clears,
    /// Batches that are ready whatever their lane does: answers on their way to the disk.
    outgoing: VecDeque<Run>,
    shares: Shares,
    last_request: u64,
    last_item: u64,
    /// In the ids of items that are kept nowhere: another one in each start.
    start: u64,
    draining: bool,
}

/// Within what a req_id is unique, and the id.
type ReqIdKey = (Arc<ClientKey>, ReqIdScope, ByteString);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Every packet of a request has its answer.
    Answer(CallId, Response),
    /// The time that a request may take is over: [`Core::time_out`] answers it as it stands, [`Core::hang_up`] if nobody
    /// listens any more.
    Overdue(CallId),
    /// A packet that was taken is given up; its answer, or that it is held, is on its way.
    Dead(GivenUp),
    /// A dead letter that was sent anew has its answer.
    Finished(Finished),
    /// What was decided about a packet that was held is on disk ([`Core::decide`]).
    Decided(u64),
    /// Nothing of what was cleared is here any more: everyone is told, and the answer of what was taken is on disk.
    Cleared(ClearNo),
    /// The circuit of a handler has opened or closed.
    Turned(Turned),
    /// A batch leaves. [`Core::complete`] brings its answers.
    Run(Run),
}

impl Core {
    pub(crate) fn new(registry: Arc<Registry>, settings: Settings) -> Self {
        let mut rng = SmallRng::seed_from_u64(settings.seed);
        Self {
            registry,
            start: rng.random(),
            rng,
            settings,
            desk: Desk::default(),
            queues: Arena::default(),
            queue_index: HashMap::new(),
            chains: Arena::default(),
            key_chains: HashMap::new(),
            lanes: Arena::default(),
            lane_index: HashMap::new(),
            batches: Arena::default(),
            backends: Arena::default(),
            backend_index: HashMap::new(),
            searches: Arena::default(),
            turned: VecDeque::new(),
            gone: Gone::default(),
            notes: VecDeque::new(),
            held: BTreeMap::new(),
            letters: HashMap::new(),
            last_decision: 0,
            req_ids: HashMap::new(),
            noticed: VecDeque::new(),
            lanes_due: BTreeSet::new(),
            calls_due: BTreeSet::new(),
            expiring: BTreeSet::new(),
            resuming: BTreeSet::new(),
            clears: Clears::default(),
            outgoing: VecDeque::new(),
            shares: Shares::default(),
            last_request: 0,
            last_item: 0,
            draining: false,
        }
    }

    /// The next thing to do, if there is one at this time.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Step> {
        self.expire(now);
        self.resume(now);
        if let Some(call) = self.desk.finished.pop() {
            return Some(self.answer(call));
        }
        if let Some(&(deadline, call)) = self.calls_due.first()
            && deadline <= now
        {
            return Some(Step::Overdue(call));
        }
        if let Some(note) = self.notes.pop_front() {
            return Some(note);
        }
        if let Some(no) = self.clears.next_done() {
            return Some(Step::Cleared(no));
        }
        if let Some(turned) = self.turned.pop_front() {
            return Some(Step::Turned(turned));
        }
        if let Some(run) = self.outgoing.pop_front() {
            return Some(Step::Run(run));
        }
        while let Some(&(due, lane)) = self.lanes_due.first()
            && due <= now
        {
            self.arm(lane, None);
            self.notice(lane);
        }
        while let Some(lane) = self.noticed.pop_front() {
            self.lanes[lane].noticed = false;
            match self.next(lane, now) {
                Next::Leave => {
                    self.arm(lane, None);
                    // Until it rests: another whole batch may be ready.
                    self.notice(lane);
                    if let Some(run) = self.leave_next(lane, now) {
                        return Some(Step::Run(run));
                    }
                }
                Next::At(due) => self.arm(lane, Some(due)),
                Next::Rest if self.lanes[lane].is_empty() => self.idle(lane, now),
                Next::Rest => self.arm(lane, None),
            }
        }
        if let Some(run) = self.outgoing.pop_front() {
            return Some(Step::Run(run));
        }
        // What left may have ended calls: an expired packet, for one.
        let call = self.desk.finished.pop()?;
        Some(self.answer(call))
    }

    /// When [`Core::poll`] has something to do again even if nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let lane = self.lanes_due.first().map(|&(due, _)| due);
        let call = self.calls_due.first().map(|&(due, _)| due);
        let packet = self.expiring.first().map(|&(due, _)| due);
        let resume = self.resuming.first().map(|&(due, _)| due);
        [lane, call, packet, resume].into_iter().flatten().min()
    }

    /// Answers a request as it stands. What was not handed over is withdrawn, so that `RETRY` is true.
    pub(crate) fn time_out(&mut self, call: CallId) -> Response {
        for (slot, job) in self.open_slots(call) {
            let answer = self.overdue_answer(job);
            self.desk.jobs[job]
                .waiters
                .retain(|waiter| waiter.call != call);
            self.desk.calls[call].slots[slot] = Slot::Done(answer);
            let job_of = &self.desk.jobs[job];
            if job_of.waiters.is_empty() && job_of.is_withdrawable() {
                self.withdraw(job);
            }
        }
        self.take_answers(call)
    }

    /// Nobody waits for this request any more. Its packets go on; what only reads was for nobody else.
    pub(crate) fn hang_up(&mut self, call: CallId) {
        for (_, job) in self.open_slots(call) {
            let job_of = &mut self.desk.jobs[job];
            job_of.waiters.retain(|waiter| waiter.call != call);
            let is_read = job_of.packet.action.is_read();
            if is_read && job_of.waiters.is_empty() && job_of.is_withdrawable() {
                self.withdraw(job);
            }
        }
        self.forget_call(call);
    }

    /// From now on nothing waits for company.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.tell_all_stopped();
        self.flush(&Selection::default());
    }

    /// Whether nothing is to be done here. What was taken, and waits to be called again, does not hold up a stop: it is on
    /// disk.
    pub(crate) fn is_idle(&self) -> bool {
        if !self.desk.calls.is_empty() || !self.batches.is_empty() {
            return false;
        }
        let mut jobs = self.desk.jobs.iter();
        self.desk.jobs.is_empty() || self.draining && jobs.all(|job| job.taken.is_some())
    }

    /// What a lane does next: by itself, and as far as its handler's other lanes and its circuit let it.
    fn next(&mut self, id: Id<Lane>, now: Instant) -> Next {
        let (chains, search) = self.next_of_each(id, now);
        chains.or(search)
    }

    fn next_of_each(&mut self, id: Id<Lane>, now: Instant) -> (Next, Next) {
        let lane = &self.lanes[id];
        let chains = lane.next(now);
        let Some(backend) = lane.backend else {
            return (chains, Next::Rest);
        };
        let full = lane.calls >= lane.limits.calls || self.has_too_many_answers(lane.share);
        if full || self.yields_probe(id) {
            return (Next::Rest, Next::Rest);
        }
        let chains = self.backends[backend].gate_chains(now, chains);
        (chains, self.next_search(id, now))
    }

    /// In turn from the lane's chains and from its searches, where both have something.
    fn leave_next(&mut self, id: Id<Lane>, now: Instant) -> Option<Run> {
        let (chains, search) = self.next_of_each(id, now);
        let turn = chains != Next::Leave || self.lanes[id].search_turn;
        if search == Next::Leave && turn {
            self.lanes[id].search_turn = false;
            return self.call_search(id, now);
        }
        self.lanes[id].search_turn = true;
        self.leave(id, now)
    }

    fn open_slots(&self, call: CallId) -> Vec<(usize, Id<Job>)> {
        let slots = self.desk.calls[call].slots.iter().enumerate();
        slots
            .filter_map(|(at, slot)| match slot {
                Slot::Open(job) => Some((at, *job)),
                Slot::Done(_) => None,
            })
            .collect()
    }

    fn overdue_answer(&self, job: Id<Job>) -> Answer {
        let job = &self.desk.jobs[job];
        if job.taken.is_some() {
            return Answer::accepted();
        }
        let handed_over = job.state == State::InFlight || job.doubted;
        if handed_over && !job.packet.action.is_read() {
            return Answer::with(
                Outcome::InDoubt,
                Reason::HandlerTimeout,
                "the wait ended before its outcome was known: it may have been applied",
            );
        }
        Answer::retry(
            Reason::HandlerTimeout,
            "the wait ended before it was its turn",
        )
    }

    fn answer(&mut self, call: CallId) -> Step {
        Step::Answer(call, self.take_answers(call))
    }

    fn take_answers(&mut self, call: CallId) -> Response {
        let call = self.forget_call(call);
        let client = call.client;
        let answers = call.packets.into_iter().zip(call.slots);
        let answers = answers.map(|(packet, slot)| match slot {
            Slot::Done(answer) => (packet, answer),
            Slot::Open(_) => unreachable!("a request is answered when its last slot is filled"),
        });
        let mut answers: Vec<_> = answers.collect();
        for at in fit::fit(&mut answers, &self.registry) {
            self.owe(client.as_ref(), &answers[at].0);
        }
        Response { client, answers }
    }

    fn forget_call(&mut self, id: CallId) -> job::Call {
        let call = self.desk.calls.remove(id);
        self.calls_due.remove(&(call.deadline, id));
        call
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(due, job)) = self.expiring.first()
            && due <= now
        {
            self.expiring.pop_first();
            if !self.is_for_the_store(&self.desk.jobs[job]) {
                self.desk.tell(job, expired());
                self.withdraw(job);
            }
        }
    }

    /// Whether the store says how one that is not taken ends, in its turn: a place is used up by that, and what a place or a
    /// req_id makes known may have its outcome already.
    fn is_for_the_store(&self, job: &Job) -> bool {
        let durable = self.lanes[job.lane].settings.is_durable();
        let kept = durable && job.letter.is_none() && !job.packet.action.is_read();
        kept && (job.packet.seq != 0 || req_id_key(&job.origin, &job.packet).is_some())
    }

    fn notice(&mut self, lane: Id<Lane>) {
        if !std::mem::replace(&mut self.lanes[lane].noticed, true) {
            self.noticed.push_back(lane);
        }
    }

    fn arm(&mut self, lane: Id<Lane>, due: Option<Instant>) {
        let before = std::mem::replace(&mut self.lanes[lane].due, due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.lanes_due.remove(&(before, lane));
        }
        if let Some(due) = due {
            self.lanes_due.insert((due, lane));
        }
    }

    /// A lane without packets goes when it has been without for a while: each look arms the next one, the second removes it.
    fn idle(&mut self, id: Id<Lane>, now: Instant) {
        match self.lanes[id].idle_until {
            Some(until) if until <= now => self.remove_lane(id),
            Some(until) => self.arm(id, Some(until)),
            None => {
                let until = now + self.settings.idle_lane;
                self.lanes[id].idle_until = Some(until);
                self.arm(id, Some(until));
            }
        }
    }

    /// Removes the lane that goes next anyway. False: none is idle.
    fn remove_idle_lane(&mut self) -> bool {
        let idle = |&&(_, id): &&(Instant, Id<Lane>)| {
            let lane = &self.lanes[id];
            lane.is_empty() && !lane.noticed
        };
        let found = self.lanes_due.iter().find(idle).copied();
        if let Some((_, lane)) = found {
            self.remove_lane(lane);
        }
        found.is_some()
    }

    fn remove_lane(&mut self, id: Id<Lane>) {
        self.arm(id, None);
        let lane = self.lanes.remove(id);
        self.lane_index.remove(&lane.key);
        self.shares.leave(lane.share);
        self.gone.add(&lane.key, &lane.meter);
    }

    /// `retry_after` for what cannot come in now.
    pub(super) fn later(&mut self, estimate: Duration) -> Duration {
        let base = estimate.clamp(Duration::from_millis(100), Duration::from_secs(10));
        base.mul_f64(self.rng.random_range(0.5..1.5))
    }
}

fn expired() -> Answer {
    Answer::with(
        Outcome::Expired,
        Reason::Unspecified,
        "its ttl passed before it was applied",
    )
}
