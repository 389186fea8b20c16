//! The search for the packet that is to blame for a call that failed as a whole, and the proof that it is.
//!
//! A search has the packets of one batch of which the handler may have got all. It calls them again, whole at first if the
//! failure may pass by itself, then in halves, depth first and in order: one call of it at a time, as calls of its lane. A
//! packet that failed alone is a *suspect*: what is behind it in its chain waits, and the other halves are called. Until one
//! of them goes through, halves that fail are put aside and not searched, because it may be the handler that fails. At the
//! end of the round suspects are called alone again, and one that fails again is to blame if a call of its handler went
//! through meanwhile. If none did, the circuit opens and everything but the suspects goes back to where it came from.
//!
//! Nothing of a search is stored: after a restart the batch begins anew.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashSet;
use rand::Rng;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::chain::Chain;
use super::fill::{InFlight, Run};
use super::job::Job;
use super::lane::{Lane, Next};
use super::taken::Resume;
use crate::handler::{CallError, Failure};
use crate::store::Cause;

/// The first so many failed calls that may pass by themselves are of the same packets; later ones of halves.
const WHOLE: u32 = 2;

/// The pause, drawn from one to two of it, before a suspect is called again when nothing was called after it that could have
/// gone through: a moment in which all fails is no reason to blame what failed in it.
const DOUBT: Duration = Duration::from_secs(1);

/// The packets of a batch that failed, until none of them is in question.
#[derive(Debug)]
pub(crate) struct Search {
    pub(super) lane: Id<Lane>,
    /// The last call of the handler that had been made when it began.
    began: u64,
    /// Failed calls of it that the handler got.
    failures: u32,
    /// Whether the last of them may pass by itself.
    passing: bool,
    /// How many of them may.
    passings: u32,
    /// What is being called.
    current: Option<Part>,
    /// What is to be called, in order.
    todo: VecDeque<Part>,
    /// Packets that failed alone in this round.
    suspects: Vec<Member>,
    /// What failed after the first suspect, and before any call went through.
    aside: Vec<Part>,
    /// What is behind a suspect, or behind what was put aside, in its chain.
    behind: Vec<Member>,
    /// Whether its suspects are being called again.
    again: bool,
}

/// A packet, and where it was in the batch.
type Member = (usize, Id<Job>);

/// What one call has.
#[derive(Debug)]
struct Part {
    members: Vec<Member>,
    /// The other half of what is called before it: the one that is to blame is in it if that goes through.
    other_half: bool,
}

impl Part {
    fn single(member: Member) -> Self {
        Self {
            members: vec![member],
            other_half: false,
        }
    }

    /// The first half is the smaller one: what fails there costs two calls, and what fails in the other one only one.
    fn halves(mut self) -> [Self; 2] {
        let second = self.members.split_off(self.members.len() / 2);
        self.other_half = false;
        let second = Self {
            members: second,
            other_half: true,
        };
        [self, second]
    }
}

impl Search {
    /// Its next call; only one that is called alone shows who crashes the handler.
    fn is_next_alone(&self) -> bool {
        let next = self.todo.front();
        let single = next.is_some_and(|part| part.members.len() == 1);
        single && self.passing && self.failures >= WHOLE
    }

    fn put_first(&mut self, parts: impl IntoIterator<Item = Part, IntoIter: DoubleEndedIterator>) {
        for part in parts.into_iter().rev() {
            self.todo.push_front(part);
        }
    }

    /// Everything of these that is not being called, in order; it is not in the search any more.
    fn take(&mut self, is_taken: impl Fn(Id<Job>) -> bool) -> Vec<Id<Job>> {
        let mut taken: Vec<Member> = Vec::new();
        let mut pick = |members: &mut Vec<Member>| {
            members.retain(|&(at, job)| {
                let stays = !is_taken(job);
                if !stays {
                    taken.push((at, job));
                }
                stays
            });
        };
        pick(&mut self.suspects);
        pick(&mut self.behind);
        let parts = self.todo.iter_mut().chain(&mut self.aside);
        parts.for_each(|part| pick(&mut part.members));
        self.todo.retain(|part| !part.members.is_empty());
        self.aside.retain(|part| !part.members.is_empty());
        taken.sort_unstable();
        taken.into_iter().map(|(_, job)| job).collect()
    }
}

impl Core {
    /// When the lane's next call of a search may leave.
    pub(super) fn next_search(&mut self, lane: Id<Lane>, now: Instant) -> Next {
        let held = &self.lanes[lane];
        let (Some(backend), Some(&search)) = (held.backend, held.searches.front()) else {
            return Next::Rest;
        };
        let alone = self.searches[search].is_next_alone();
        self.backends[backend].gate_search(now, search, alone)
    }

    /// The next call of the lane's next search.
    pub(super) fn call_search(&mut self, lane: Id<Lane>, now: Instant) -> Option<Run> {
        let id = self.lanes[lane].searches.pop_front()?;
        let search = &mut self.searches[id];
        let alone = search.is_next_alone();
        let part = search
            .todo
            .pop_front()
            .expect("a search that is ready has a next call");
        let jobs = part.members.iter().map(|&(_, job)| job).collect();
        search.current = Some(part);
        Some(self.hand_over(lane, jobs, Some((id, alone)), now))
    }

    /// A call with packets that are taken failed. `taken`: those of them that it had.
    pub(super) fn search_on(
        &mut self,
        batch: &InFlight,
        taken: Vec<Id<Job>>,
        error: &CallError,
        now: Instant,
    ) {
        let (lane, retry) = (batch.lane, self.lanes[batch.lane].settings.retry);
        let alone = batch.jobs.len() == 1;
        for &id in &taken {
            let job = &mut self.desk.jobs[id];
            job.doubted |= error.reached;
            job.attempts = job.attempts.saturating_add(1);
        }
        let to_blame = error.reached && error.failure != Failure::Handler;
        if error.reached && alone && self.counts(taken[0], now) {
            if let Some(search) = batch.search {
                self.searches[search].current = None;
            }
            self.give_up(batch.search, taken[0], Cause::Spent, &error.message, now);
            self.finish(lane, taken, now);
            return self.go_on_searching(batch.search, Duration::ZERO, now);
        }
        let Some(id) = batch.search else {
            if to_blame && !batch.probe {
                let id = self.begin_search(lane, taken);
                return self.part_failed(id, error, batch, now);
            }
            // A circuit that is open is pause enough.
            let backend = self.lanes[lane]
                .backend
                .map(|backend| &self.backends[backend]);
            return match backend.filter(|backend| !backend.is_probed()) {
                Some(backend) => {
                    let failures = backend.row().saturating_sub(1);
                    let until = now + self.jittered(&retry, failures);
                    self.give_back_at(&taken, until, now);
                }
                None => self.give_back(&taken, now),
            };
        };
        if to_blame {
            return self.part_failed(id, error, batch, now);
        }
        let part = self.searches[id].current.take();
        self.searches[id].put_first(part);
        let failures = self.searches[id].failures;
        let pause = self.jittered(&retry, failures);
        self.go_on_searching(Some(id), pause, now);
    }

    /// A call of a search went through; these of its packets are not finished, and are called again in their turn. What is
    /// behind them waits with them.
    pub(super) fn part_went_through(&mut self, id: Id<Search>, again: &mut Vec<Id<Job>>) {
        let search = &mut self.searches[id];
        search.current = None;
        if let Some(part) = search.todo.pop_front() {
            let is_bad = part.other_half && part.members.len() > 1;
            let parts = if is_bad {
                part.halves().into()
            } else {
                vec![part]
            };
            search.put_first(parts);
        }
        let mut chains: Vec<Id<Chain>> = Vec::new();
        for &job in &*again {
            chains.extend(self.order_of(job));
        }
        for chain in chains {
            let later = self.take_chain(id, chain);
            let new = later.into_iter().filter(|job| !again.contains(job));
            again.extend(new.collect::<Vec<_>>());
        }
    }

    fn begin_search(&mut self, lane: Id<Lane>, jobs: Vec<Id<Job>>) -> Id<Search> {
        let backend = self.lanes[lane].backend.expect("its handler is called");
        self.searches.insert(Search {
            lane,
            began: self.backends[backend].calls,
            failures: 0,
            passing: false,
            passings: 0,
            current: Some(Part {
                members: jobs.into_iter().enumerate().collect(),
                other_half: false,
            }),
            todo: VecDeque::new(),
            suspects: Vec::new(),
            aside: Vec::new(),
            behind: Vec::new(),
            again: false,
        })
    }

    /// The handler got it, and failed.
    fn part_failed(&mut self, id: Id<Search>, error: &CallError, batch: &InFlight, now: Instant) {
        let failure = error.failure;
        let search = &mut self.searches[id];
        let lane = search.lane;
        let (settings, backend) = (self.lanes[lane].settings.clone(), self.lanes[lane].backend);
        let backend = &self.backends[backend.expect("its handler is called")];
        let served = backend.passed > search.began;
        search.failures += 1;
        search.passing = failure == Failure::Passing;
        search.passings += u32::from(search.passing);
        if let Some(next) = search.todo.front_mut() {
            next.other_half = false;
        }
        let part = search.current.take().expect("it was called");
        let same_again = search.passing && search.failures < WHOLE;
        let member = part.members[0];
        if batch.jobs.len() == 1 {
            // One failure of another kind than the rest may be an accident of its own.
            let sure = match failure {
                Failure::Passing => search.passings > WHOLE,
                _ => search.failures - search.passings > 1 || search.passings == 0,
            };
            let known = self.desk.jobs[member.1].suspicion;
            // What went through while it was called may have been called after it: when all failed no more.
            let after = known.is_some_and(|known| batch.passed > known.since);
            let before = batch.passed > search.began;
            let only = backend.suspects == 1;
            // While little goes through, what went through before says nothing.
            if known.is_some() && sure && (after || before && only && !batch.probe) {
                self.give_up(Some(id), member.1, Cause::Poison, &error.message, now);
                self.finish(lane, vec![member.1], now);
            } else {
                self.suspect(member.1, lane);
                self.searches[id].suspects.push(member);
            }
        } else if same_again || part.members.len() == 1 {
            // One that was not alone: a READ may have been to blame.
            search.put_first([part]);
        } else if !served && !search.suspects.is_empty() {
            search.aside.push(part);
        } else {
            search.put_first(part.halves());
        }
        let pause = match failure {
            Failure::Passing => {
                let failures = self.searches[id].failures - 1;
                self.jittered(&settings.retry, failures)
            }
            _ => Duration::ZERO,
        };
        self.go_on_searching(Some(id), pause, now);
    }

    /// The next call, after a pause; or the next round, or the end.
    fn go_on_searching(&mut self, id: Option<Id<Search>>, mut pause: Duration, now: Instant) {
        let Some(id) = id else { return };
        loop {
            self.hold_back(id);
            if !self.searches[id].todo.is_empty() {
                break;
            }
            match self.next_round(id, now) {
                Some(longer) => pause = pause.max(longer),
                None => return,
            }
        }
        if pause.is_zero() {
            return self.resume_search(id);
        }
        self.resuming.insert((now + pause, Resume::Search(id)));
    }

    /// The same after a call that went through.
    pub(super) fn search_went_on(&mut self, id: Id<Search>, now: Instant) {
        self.go_on_searching(Some(id), Duration::ZERO, now);
    }

    pub(super) fn resume_search(&mut self, id: Id<Search>) {
        let lane = self.searches[id].lane;
        self.lanes[lane].searches.push_back(id);
        self.notice(lane);
    }

    /// What is behind something unsettled of its chain is not called now.
    fn hold_back(&mut self, id: Id<Search>) {
        while let Some(mut part) = self.searches[id].todo.pop_front() {
            let search = &self.searches[id];
            let aside = search.aside.iter().flat_map(|part| &part.members);
            let unsettled = search.suspects.iter().chain(&search.behind).chain(aside);
            let chains: Vec<_> = unsettled
                .filter_map(|&(_, job)| self.order_of(job))
                .collect();
            let waits = |job| {
                self.order_of(job)
                    .is_some_and(|chain| chains.contains(&chain))
            };
            let (behind, free): (Vec<_>, Vec<_>) =
                part.members.into_iter().partition(|&(_, job)| waits(job));
            part.members = free;
            let search = &mut self.searches[id];
            search.behind.extend(behind);
            if !part.members.is_empty() {
                search.todo.push_front(part);
                return;
            }
        }
    }

    /// Everything was called. `None`: nobody is in question any more.
    fn next_round(&mut self, id: Id<Search>, now: Instant) -> Option<Duration> {
        let search = &mut self.searches[id];
        let lane = search.lane;
        let suspects = std::mem::take(&mut search.suspects);
        let aside = std::mem::take(&mut search.aside);
        let mut back = std::mem::take(&mut search.behind);
        let handler = self.lanes[lane].backend.expect("its handler is called");
        let backend = &self.backends[handler];
        let after = suspects.iter().all(|&(_, job)| {
            let suspicion = self.desk.jobs[job].suspicion;
            suspicion.is_some_and(|known| backend.passed > known.since)
        });
        let again = std::mem::replace(&mut search.again, true);
        let served = backend.passed > search.began && (after || !again);
        let others = backend.suspects > suspects.len();
        search.todo.extend(suspects.into_iter().map(Part::single));
        if served {
            for part in aside {
                let parts = if part.members.len() > 1 {
                    part.halves().into()
                } else {
                    vec![part]
                };
                search.todo.extend(parts);
            }
        } else {
            search.began = backend.calls;
            back.extend(aside.into_iter().flat_map(|part| part.members));
        }
        let empty = search.todo.is_empty();
        if empty {
            self.searches.remove(id);
        }
        back.sort_unstable();
        let back: Vec<_> = back.into_iter().map(|(_, job)| job).collect();
        self.give_back(&back, now);
        if empty {
            return None;
        }
        let retry = self.lanes[lane].settings.retry;
        let pause = match (served, again) {
            (true, _) if after => Duration::ZERO,
            (true, _) => DOUBT,
            // What went back may go through.
            (false, false) if !others => retry.initial,
            (false, _) => {
                self.open_circuit(handler, lane, now);
                Duration::ZERO
            }
        };
        Some(pause.mul_f64(self.rng.random_range(1.0..2.0)))
    }

    /// Everything of a chain that is in a search and not being called, in order; it is not in the search any more.
    pub(super) fn take_chain(&mut self, id: Id<Search>, chain: Id<Chain>) -> Vec<Id<Job>> {
        let jobs = &self.desk.jobs;
        self.searches[id].take(|job| jobs[job].chain == Some(chain))
    }

    /// These are not in any search any more; what is being called is not among them.
    pub(super) fn take_out_of_searches(&mut self, set: &HashSet<Id<Job>>, now: Instant) {
        for id in self.searches.ids() {
            let search = &mut self.searches[id];
            if search.take(|job| set.contains(&job)).is_empty() {
                continue;
            }
            // What went before it may be what was taken out.
            search
                .todo
                .iter_mut()
                .for_each(|part| part.other_half = false);
            if search.current.is_some() || !search.todo.is_empty() {
                continue;
            }
            let lane = search.lane;
            self.lanes[lane].searches.retain(|&other| other != id);
            self.resuming
                .retain(|(_, resume)| *resume != Resume::Search(id));
            self.go_on_searching(Some(id), Duration::ZERO, now);
        }
    }

    /// The chain that a packet has its order from, if it has one.
    pub(super) fn order_of(&self, id: Id<Job>) -> Option<Id<Chain>> {
        let chain = self.desk.jobs[id].chain;
        chain.filter(|&chain| self.chains[chain].is_ordered())
    }
}
