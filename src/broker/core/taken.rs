//! What is taken: it goes on to its handler, is called until its answer is final, and told once that is on disk.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::arena::Id;
use super::arrival::{Order, order};
use super::backend::longest_pause;
use super::chain::{Chain, KeyChain};
use super::fill::{InFlight, Run, RunFinish, RunKind};
use super::job::{Job, State};
use super::lane::Lane;
use super::search::Search;
use super::share::Share;
use super::{BatchId, Core};
use crate::broker::Settings;
use crate::handler::ItemId;
use crate::store::{Draft, TakenId};
use crate::types::Retry;

/// What goes on after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resume {
    /// A chain whose head is called again.
    Chain(Id<Chain>),
    /// A packet outside every order.
    Job(Id<Job>),
    /// Answers that are committed again.
    Finish(BatchId),
    /// The search for the packet to blame.
    Search(Id<Search>),
}

impl Core {
    /// It is taken, and on disk: it waits in the chain in which it is applied.
    pub(super) fn go_on(&mut self, id: Id<Job>, taken: TakenId, now: Instant) {
        let job = &mut self.desk.jobs[id];
        let intake = std::mem::replace(&mut job.at, job.lane);
        job.taken = Some(taken);
        job.item = ItemId::of_taken(taken);
        job.state = State::Waiting;
        job.since = now;
        // What was so of the take says nothing about its answer.
        (job.awaited, job.doubted, job.attempts) = (false, false, 0);
        self.lanes[intake].passing -= 1;
        self.desk.tell_taken(id);
        self.apply_in_order(id, now);
    }

    pub(super) fn apply_in_order(&mut self, id: Id<Job>, now: Instant) {
        let job = &self.desk.jobs[id];
        let (queue, settings) = (job.queue, &self.lanes[job.lane].settings);
        let chain = match order(settings, &job.packet) {
            Order::Free if job.held => return,
            Order::Free => return self.run_free(id, now),
            Order::Queue => self.taken_chain(queue),
            Order::Key => {
                let key = KeyChain {
                    handler: job.origin.handler.clone(),
                    tenant: job.origin.principal.tenant.clone(),
                    key: job.packet.key.clone(),
                };
                self.key_chain(key)
            }
        };
        self.append(chain, id, now);
        if self.is_stopped(chain) {
            self.stop(id);
        }
    }

    /// These, in the order of their batch, got no final answer, or it is not known whether they are taken: they wait at the
    /// head of their chains, and are handed over again.
    pub(super) fn hand_over_again(&mut self, jobs: &[Id<Job>], now: Instant) {
        self.return_to_chains(jobs);
        for (at, &id) in jobs.iter().enumerate() {
            let Job {
                chain,
                lane,
                taken,
                attempts,
                ..
            } = self.desk.jobs[id];
            let is_first = chain.is_none_or(|chain| self.chains[chain].jobs.front() == Some(&id));
            if !is_first {
                continue;
            }
            let together = jobs[at..].iter().map(|&job| &self.desk.jobs[job]);
            let asked = match chain {
                None => self.desk.jobs[id].not_before,
                // They are called together.
                Some(_) => together
                    .filter(|job| job.chain == chain)
                    .filter_map(|job| job.not_before)
                    .max(),
            };
            let retry = match taken {
                Some(_) => self.lanes[lane].settings.retry,
                // It is the store that is asked again.
                None => Retry::default(),
            };
            let until = match asked {
                Some(until) => until,
                None => now + self.jittered(&retry, attempts),
            };
            self.desk.jobs[id].attempts = attempts.saturating_add(1);
            self.hold(id, until);
        }
    }

    /// These, in their order, wait in their chains again as if they had not been called.
    pub(super) fn give_back(&mut self, jobs: &[Id<Job>], now: Instant) {
        let chains = self.chains_of(jobs);
        self.return_to_chains(jobs);
        for &id in jobs {
            if self.desk.jobs[id].chain.is_none() {
                self.run_free(id, now);
            }
        }
        self.settle_chains(chains, now);
    }

    /// The same, and they are not called before this time.
    pub(super) fn give_back_at(&mut self, jobs: &[Id<Job>], until: Instant, now: Instant) {
        let chains = self.chains_of(jobs);
        self.return_to_chains(jobs);
        for &id in jobs {
            self.hold(id, until);
        }
        self.settle_chains(chains, now);
    }

    /// What was in a batch stands at the head of its chain; in no chain, where it has no order.
    pub(super) fn return_to_chains(&mut self, jobs: &[Id<Job>]) {
        for &id in jobs.iter().rev() {
            let job = &mut self.desk.jobs[id];
            job.state = State::Waiting;
            let chain = job.chain.expect("what was in a batch came out of a chain");
            self.chains[chain].in_flight -= 1;
            if self.chains[chain].is_ordered() {
                self.chains[chain].jobs.push_front(id);
            } else {
                self.desk.jobs[id].chain = None;
            }
        }
    }

    /// It is not called before this time, nor is what is behind it.
    fn hold(&mut self, id: Id<Job>, until: Instant) {
        match self.desk.jobs[id].chain {
            None => drop(self.resuming.insert((until, Resume::Job(id)))),
            // The first of the chain: the others wait behind it.
            Some(chain) if self.chains[chain].jobs.front() == Some(&id) => {
                self.chains[chain].held = true;
                self.resuming.insert((until, Resume::Chain(chain)));
            }
            Some(_) => {}
        }
    }

    /// Full jitter.
    pub(super) fn jittered(&mut self, retry: &Retry, failures: u32) -> Duration {
        longest_pause(retry, failures).mul_f64(self.rng.random())
    }

    /// Goes on with what has paused long enough.
    pub(super) fn resume(&mut self, now: Instant) {
        while let Some(&(due, resume)) = self.resuming.first()
            && due <= now
        {
            self.resuming.pop_first();
            match resume {
                Resume::Chain(chain) => {
                    self.chains[chain].held = false;
                    self.attach(chain, now);
                }
                Resume::Job(job) => self.run_free(job, now),
                Resume::Finish(batch) => self.send_answers(batch),
                Resume::Search(search) => self.resume_search(search),
            }
        }
    }

    /// Commits the answers that these have got, or that they are held, or not any more.
    pub(super) fn finish(&mut self, lane: Id<Lane>, jobs: Vec<Id<Job>>, now: Instant) {
        let share = self.lanes[lane].share;
        for &id in &jobs {
            let job = &mut self.desk.jobs[id];
            let messages: usize = job.messages.iter().map(Draft::size).sum();
            job.answer_bytes = job.answer.as_ref().map_or(0, |answer| answer.size()) + messages;
            self.shares.hold_answer(share, job.answer_bytes);
        }
        let batch = self.finishing(lane, jobs, 0, now);
        self.send_answers(batch);
    }

    /// Whether its handler, or all of them, have so much waiting for the disk that no further call is made: what was taken would
    /// bring more, however little comes in.
    pub(super) fn has_too_many_answers(&self, share: Id<Share>) -> bool {
        let (its_own, all) = self.shares.answers(share);
        its_own >= self.settings.lane_bytes || all >= self.settings.bytes
    }

    /// An answer is on disk, and goes.
    pub(super) fn answer_is_gone(&mut self, share: Id<Share>, bytes: usize) {
        let (its_own, all) = self.shares.answers(share);
        self.shares.release_answer(share, bytes);
        let fell_below = |before: usize, bound: usize| before >= bound && before - bytes < bound;
        let Settings {
            lane_bytes,
            bytes: most,
            ..
        } = self.settings;
        if !fell_below(its_own, lane_bytes) && !fell_below(all, most) {
            return;
        }
        for lane in self.lanes.ids() {
            if self.lanes[lane].backend.is_some() {
                self.notice(lane);
            }
        }
    }

    /// The store did not take them: the answers are here, and the packets stay open.
    pub(super) fn finish_again(
        &mut self,
        lane: Id<Lane>,
        jobs: Vec<Id<Job>>,
        failures: u32,
        now: Instant,
    ) {
        let batch = self.finishing(lane, jobs, failures, now);
        let pause = self.jittered(&Retry::default(), failures - 1);
        self.resuming.insert((now + pause, Resume::Finish(batch)));
    }

    fn finishing(
        &mut self,
        lane: Id<Lane>,
        jobs: Vec<Id<Job>>,
        failures: u32,
        now: Instant,
    ) -> BatchId {
        self.batches.insert(InFlight {
            lane,
            jobs,
            started: now,
            failures,
            call: 0,
            passed: 0,
            probe: false,
            search: None,
        })
    }

    fn send_answers(&mut self, batch: BatchId) {
        let InFlight { lane, jobs, .. } = &self.batches[batch];
        let mut finishes = Vec::with_capacity(jobs.len());
        for &id in jobs {
            let job = &mut self.desk.jobs[id];
            let awaited = !job.waiters.is_empty();
            job.awaited |= awaited && job.answer.is_some();
            finishes.push(RunFinish {
                taken: job.taken.expect("only what was taken is finished"),
                origin: job.origin.clone(),
                answer: job.answer.clone(),
                death: job.death.clone(),
                messages: job.messages.clone(),
                awaited,
            });
        }
        self.outgoing.push_back(Run {
            batch,
            kind: RunKind::Finish,
            settings: self.lanes[*lane].settings.clone(),
            action: None,
            settles: Vec::new(),
            owed: Vec::new(),
            items: Vec::new(),
            finishes,
        });
    }
}
