//! What a person clears: packets that wait and are not in flight get their final answer, wherever they stand.
//!
//! One that is not taken and that the store cannot know is told at once; any other goes to the store first, in its turn: its
//! place is used up, and what was finished before gets the outcome that it had. One that was taken is told once its answer is
//! on disk, and until then its chain is busy: else a restart might apply it after what stood behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::chain::Chain;
use super::job::{Job, State};
use super::lane::Lane;
use super::taken::Resume;
use crate::broker::lanes::{Cleared, Selection};
use crate::types::{Answer, Packet, Reason};

/// So many answers are committed together.
const TOGETHER: usize = 1_000;

/// Names a request to clear until everything that it cleared has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClearNo(u64);

/// Cleared packets that are still here, as their answer is not on disk.
#[derive(Debug, Default)]
pub(super) struct Clears {
    last: u64,
    leaving: HashMap<Id<Job>, ClearNo>,
    left: BTreeMap<ClearNo, usize>,
    /// Nothing of them is here any more.
    done: Vec<ClearNo>,
}

impl Clears {
    fn begin(&mut self, leaving: Vec<Id<Job>>) -> ClearNo {
        self.last += 1;
        let no = ClearNo(self.last);
        match leaving.len() {
            0 => self.done.push(no),
            count => drop(self.left.insert(no, count)),
        }
        self.leaving.extend(leaving.into_iter().map(|id| (id, no)));
        no
    }

    /// A packet has gone, cleared or not.
    pub(super) fn gone(&mut self, id: Id<Job>) {
        if self.leaving.is_empty() {
            return;
        }
        let Some(no) = self.leaving.remove(&id) else {
            return;
        };
        let left = self.left.get_mut(&no).expect("not all of them have gone");
        *left -= 1;
        if *left == 0 {
            self.left.remove(&no);
            self.done.push(no);
        }
    }

    /// One of which nothing is here any more.
    pub(super) fn next_done(&mut self) -> Option<ClearNo> {
        self.done.pop()
    }
}

impl Core {
    /// Clears what is named and waits. [`super::Step::Cleared`] says when all of it has gone.
    pub(crate) fn clear_lanes(
        &mut self,
        now: Instant,
        selection: &Selection,
    ) -> (ClearNo, Cleared) {
        let in_flight: HashSet<_> = self
            .batches
            .iter()
            .flat_map(|batch| batch.jobs.iter().copied())
            .collect();
        let mut cleared = Cleared::default();
        let (mut taken, mut leaving) = (Vec::new(), Vec::new());
        for id in self.desk.jobs.ids() {
            let job = &self.desk.jobs[id];
            let named = selection.has_packet(&job.origin.handler, &job.packet);
            // What is refused already only waits to be told.
            if !named || job.state == State::Gone || job.packet.refusal.is_some() {
                continue;
            }
            let size = job.packet.size;
            // Whether one in doubt is taken is being found out from the store.
            if in_flight.contains(&id) || job.taken.is_none() && job.doubted {
                cleared.in_flight.add(size);
                continue;
            }
            cleared.cleared.add(size);
            if job.taken.is_some() {
                taken.push(id);
                leaving.push(id);
            } else if self.is_for_the_store(job) {
                let job = &mut self.desk.jobs[id];
                job.packet = refused(&job.packet);
                leaving.push(id);
            } else {
                self.desk.tell(id, cleared_answer(job.doubted));
                self.withdraw(id);
            }
        }
        self.clear_taken(taken, now);
        (self.clears.begin(leaving), cleared)
    }

    fn clear_taken(&mut self, mut jobs: Vec<Id<Job>>, now: Instant) {
        for &id in &jobs {
            // Nobody has to decide about it any more.
            if self.desk.jobs[id].held {
                self.let_go(id);
            }
        }
        let set: HashSet<_> = jobs.iter().copied().collect();
        let chains = self.take_out_of_chains(&set);
        self.take_out_of_searches(&set, now);
        let mut by_lane: BTreeMap<Id<Lane>, Vec<Id<Job>>> = BTreeMap::new();
        jobs.sort_unstable_by_key(|&id| self.desk.jobs[id].taken);
        for id in jobs {
            self.clear(id);
            let job = &mut self.desk.jobs[id];
            job.state = State::InFlight;
            job.answer = Some(Arc::new(cleared_answer(job.doubted)));
            if let Some(expires) = job.expires {
                self.expiring.remove(&(expires, id));
            }
            by_lane.entry(job.lane).or_default().push(id);
        }
        for (lane, jobs) in by_lane {
            // Another lane of the handler may have waited for this one to try whether calls go through.
            if let Some(backend) = self.lanes[lane].backend {
                self.notice_all(backend);
            }
            for some in jobs.chunks(TOGETHER) {
                self.finish(lane, some.to_vec(), now);
            }
        }
        self.settle_chains(chains, now);
    }

    /// Those of them that stand in chains, or wait for a pause outside of any, are in flight from now on. Gives the chains.
    fn take_out_of_chains(&mut self, set: &HashSet<Id<Job>>) -> Vec<Id<Chain>> {
        let waiting = set.iter().copied();
        let waiting = waiting.filter(|&id| self.desk.jobs[id].state == State::Waiting);
        let chains = self.chains_of(&waiting.collect::<Vec<_>>());
        let mut resumed = Vec::new();
        for &id in &chains {
            if let Some(ready) = self.chains[id].ready {
                self.detach(id, ready);
            }
            let chain = &mut self.chains[id];
            // It pauses for its head, which may have gone behind a dead letter that waits for a person.
            let mut heads = chain.jobs.iter().filter(|id| !self.desk.jobs[**id].held);
            if chain.held && heads.next().is_some_and(|head| set.contains(head)) {
                chain.held = false;
                resumed.push(id);
            }
            let before = chain.jobs.len();
            chain.jobs.retain(|job| !set.contains(job));
            chain.in_flight += before - chain.jobs.len();
        }
        self.resuming.retain(|(_, resume)| match resume {
            Resume::Chain(chain) => !resumed.contains(chain),
            Resume::Job(job) => !set.contains(job),
            Resume::Finish(_) | Resume::Search(_) => true,
        });
        chains
    }
}

/// `doubted`: its handler was called with it, and may have applied it.
fn cleared_answer(doubted: bool) -> Answer {
    let message = match doubted {
        false => "a person cleared the lane that it waited in",
        true => {
            "a person cleared the lane that it waited in; its handler may have applied it before"
        }
    };
    Answer::rejected(Reason::Cleared, message)
}

fn refused(packet: &Packet) -> Arc<Packet> {
    let mut packet = packet.clone();
    packet.refusal = Some(Box::new(cleared_answer(false)));
    Arc::new(packet)
}
