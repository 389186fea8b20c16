//! One packet while it is here, and the calls that wait for it.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::arena::{Arena, Id};
use super::chain::Chain;
use super::lane::{Holder, Lane};
use super::queue::Queue;
use super::verdict::{Suspicion, Tries};
use crate::broker::Ack;
use crate::handler::ItemId;
use crate::store::{Death, Draft, LetterId, Origin, TakenId};
use crate::types::{Answer, ClientKey, Packet};

/// A packet from when it is let in until it has its answer.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) packet: Arc<Packet>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) item: ItemId,
    /// The lane in which it is counted.
    pub(crate) lane: Id<Lane>,
    /// The lane in which it becomes ready: another one until it is taken.
    pub(crate) at: Id<Lane>,
    pub(crate) queue: Id<Queue>,
    /// `None`: a READ that waits for its client's earlier packets.
    pub(crate) chain: Option<Id<Chain>>,
    /// Whose share of the lane it counts in.
    pub(crate) holder: Id<Holder>,
    /// The request that brought it: where its chain ends if it is not taken.
    pub(crate) request: RequestNo,
    /// Its turn among the packets of its queue; 0 for reads.
    pub(crate) turn: u64,
    pub(crate) waiters: SmallVec<[Waiter; 1]>,
    pub(crate) expires: Option<Instant>,
    pub(crate) since: Instant,
    pub(crate) state: State,
    /// Set once it is taken: from then on it gets a final outcome and no other.
    pub(crate) taken: Option<TakenId>,
    /// Calls that brought it nothing final since it was taken.
    pub(crate) attempts: u32,
    /// Failures of its own since then: what is given up goes by them.
    pub(crate) tries: Tries,
    /// Its handler asked not to be called with it before.
    pub(crate) not_before: Option<Instant>,
    /// Set once it failed alone, until a call with it goes through.
    pub(crate) suspicion: Option<Suspicion>,
    /// Until it is taken: it may have been taken, although nobody heard of it. Afterwards: it may have been applied, so that
    /// it never ends as EXPIRED; its handler sees that its time is over.
    pub(crate) doubted: bool,
    /// Whether the store was told that a call waits for its answer.
    pub(crate) awaited: bool,
    /// Its final answer, while that is on its way to the disk.
    pub(crate) answer: Option<Arc<Answer>>,
    /// What is published with it.
    pub(crate) messages: Vec<Draft>,
    /// What its answer and its messages take, while they are on their way to the disk.
    pub(crate) answer_bytes: usize,
    /// Why it is given up, while that is on its way to the disk.
    pub(crate) death: Option<Box<Death>>,
    /// It waits for a person.
    pub(crate) held: bool,
    /// What a person decided, while that is on its way to the disk.
    pub(crate) deciding: Option<u64>,
    /// It is counted beside its lane.
    pub(crate) aside: bool,
    /// The dead letter that it sends anew: then nothing else makes it known.
    pub(crate) letter: Option<LetterId>,
}

impl Job {
    /// Whether it is taken and ends as EXPIRED now that it is its turn.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let over = self.expires.is_some_and(|expires| expires <= now);
        over && self.taken.is_some() && !self.doubted
    }

    /// Whether it may leave as if it had never come.
    pub(crate) fn is_withdrawable(&self) -> bool {
        self.state == State::Waiting && self.taken.is_none() && !self.doubted
    }
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    /// Handed to its handler or to the store, or waiting to be handed over again.
    InFlight,
    /// Answered (expired, or withdrawn) while it waited in its chain: it leaves the chain when its turn comes.
    Gone,
}

/// Requests in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestNo(pub(crate) u64);

/// One slot of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) call: Id<Call>,
    pub(crate) slot: u32,
}

/// A request that is waited for.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: RequestNo,
    pub(crate) client: Option<Arc<ClientKey>>,
    pub(crate) ack: Ack,
    pub(crate) packets: Vec<Arc<Packet>>,
    pub(crate) slots: Vec<Slot>,
    /// How many slots are open.
    pub(crate) open: usize,
    pub(crate) deadline: Instant,
}

/// What a call knows of one of its packets.
#[derive(Debug)]
pub(crate) enum Slot {
    Open(Id<Job>),
    Done(Answer),
}

/// All jobs and calls: they point at each other.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) jobs: Arena<Job>,
    pub(crate) calls: Arena<Call>,
    /// Calls whose last slot was filled.
    pub(crate) finished: Vec<Id<Call>>,
}

impl Desk {
    /// Tells everyone who waits for the job, and nobody waits for it any more.
    pub(crate) fn tell(&mut self, job: Id<Job>, answer: Answer) {
        let mut waiters = std::mem::take(&mut self.jobs[job].waiters);
        let Some(last) = waiters.pop() else { return };
        for waiter in waiters {
            self.fill(waiter, answer.clone());
        }
        self.fill(last, answer);
    }

    /// Tells those who only wait until it is taken that it is.
    pub(crate) fn tell_taken(&mut self, job: Id<Job>) {
        let mut waiters = std::mem::take(&mut self.jobs[job].waiters);
        waiters.retain(|waiter| {
            let wants_more = self.calls[waiter.call].ack == Ack::Applied;
            if !wants_more {
                self.fill(*waiter, Answer::accepted());
            }
            wants_more
        });
        self.jobs[job].waiters = waiters;
    }

    fn fill(&mut self, waiter: Waiter, answer: Answer) {
        let call = &mut self.calls[waiter.call];
        call.slots[waiter.slot as usize] = Slot::Done(answer);
        call.open -= 1;
        if call.open == 0 {
            self.finished.push(waiter.call);
        }
    }
}
