//! What comes back: answers go to whoever waits, chains go on or end in their request.

use std::time::Duration;

use std::sync::Arc;

use tokio::time::Instant;

use super::arena::Id;
use super::arrival::req_id_key;
use super::chain::{Chain, ChainKind};
use super::fill::InFlight;
use super::job::{Job, RequestNo, State};
use super::letters::Finished;
use super::owed::is_kept;
use super::queue::Queue;
use super::{BatchId, Core, Step};
use crate::handler::CallError;
use crate::store::{Cause, Draft, Owed, TakenId};
use crate::types::{Answer, Outcome, Reason};

/// About how long whoever was refused by the store, or does not know, had better wait.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The same after the call of a handler that keeps nothing failed.
const HANDLER_PAUSE: Duration = Duration::from_secs(1);

/// A handler that asks for another try later may ask for this.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) done: Done,
    /// Of final answers that are to be committed.
    pub(crate) messages: Vec<Messages>,
    /// What streams are still owed: the store did not take it.
    pub(crate) owed: Vec<Owed>,
}

/// What is published in the commit of an answer.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Where the item is in its batch.
    pub(crate) at: usize,
    pub(crate) drafts: Vec<Draft>,
}

/// What became of its items, in their order.
#[derive(Debug)]
pub(crate) enum Done {
    /// What was called, planned or read.
    Answered(Vec<Answer>),
    /// The call failed as a whole; the answers are those of items that are kept nowhere.
    Failed(CallError, Vec<Answer>),
    Took(Vec<Took>),
    /// Whether each of the answers is durable.
    Finished(Vec<bool>),
}

/// What became of a packet that was to be taken.
#[derive(Debug)]
pub(crate) enum Took {
    Taken(TakenId),
    /// It is not taken, or was finished earlier: the store judged so.
    Answered(Answer),
    /// Nothing of its commit was applied.
    NotApplied(Answer),
    /// Whether its commit was applied is not known; this is told where it cannot be found out.
    Unknown(Answer),
}

impl Core {
    /// A batch comes back.
    pub(crate) fn complete(&mut self, now: Instant, batch: BatchId, completed: Completed) {
        let batch = self.batches.remove(batch);
        if !completed.owed.is_empty() {
            self.owe_later(batch.lane, completed.owed, now);
        }
        for Messages { at, drafts } in completed.messages {
            self.desk.jobs[batch.jobs[at]].messages = drafts;
        }
        match completed.done {
            Done::Answered(answers) => self.answered(batch, answers, now),
            Done::Failed(error, answers) => self.failed(batch, &error, answers, now),
            Done::Took(took) => self.took(batch, took, now),
            Done::Finished(durable) => self.finished(batch, &durable, now),
        }
    }

    fn answered(&mut self, batch: InFlight, answers: Vec<Answer>, now: Instant) {
        assert_eq!(batch.jobs.len(), answers.len(), "an answer per item");
        self.call_is_back(&batch, now);
        self.call_went_through(&batch);
        let (mut ended, mut stopped) = (Vec::new(), Vec::new());
        let (mut finals, mut again) = (Vec::new(), Vec::new());
        for (&id, answer) in batch.jobs.iter().zip(answers) {
            if self.desk.jobs[id].taken.is_none() {
                self.told(id, answer, &mut ended);
                continue;
            }
            self.clear(id);
            if answer.outcome.is_final() && answer.outcome != Outcome::Forgotten {
                self.desk.jobs[id].answer = Some(Arc::new(answer));
                finals.push(id);
                continue;
            }
            let job = &mut self.desk.jobs[id];
            job.doubted |= answer.outcome == Outcome::InDoubt;
            job.not_before = answer
                .retry_after
                .map(|pause| now + pause.min(LONGEST_ASKED));
            // Behind another one of its chain, it is not itself that is to be tried again.
            let chain = job.chain.filter(|&chain| self.chains[chain].is_ordered());
            let its_own = chain.is_none_or(|chain| !stopped.contains(&chain));
            stopped.extend(chain);
            if its_own && self.counts(id, now) {
                self.give_up(batch.search, id, Cause::Spent, &answer.message, now);
                finals.push(id);
            } else {
                again.push(id);
            }
        }
        if let Some(search) = batch.search {
            self.part_went_through(search, &mut again);
        }
        self.end_chains(ended);
        // Chains before packets: a chain is gone before its queue is.
        let chains = self.chains_of(&batch.jobs);
        if !again.is_empty() {
            self.hand_over_again(&again, now);
        }
        self.settle_chains(chains, now);
        if !finals.is_empty() {
            self.finish(batch.lane, finals, now);
        }
        if let Some(search) = batch.search {
            self.search_went_on(search, now);
        }
        self.remove_untaken(&batch, now);
        self.notice(batch.lane);
    }

    fn failed(&mut self, batch: InFlight, error: &CallError, answers: Vec<Answer>, now: Instant) {
        assert_eq!(batch.jobs.len(), answers.len(), "an answer per item");
        self.call_is_back(&batch, now);
        self.call_failed(&batch, error, now);
        let (mut ended, mut taken) = (Vec::new(), Vec::new());
        for (&id, mut answer) in batch.jobs.iter().zip(answers) {
            let job = &self.desk.jobs[id];
            if job.taken.is_some() {
                taken.push(id);
                continue;
            }
            if job.packet.action.is_read() {
                answer = Answer::retry(Reason::HandlerUnavailable, "the handler failed: ask again");
            }
            if answer.outcome.ends_chain() {
                answer.retry_after = Some(self.later(HANDLER_PAUSE));
            }
            self.told(id, answer, &mut ended);
        }
        self.end_chains(ended);
        let untaken = batch.jobs.iter().copied();
        let untaken: Vec<_> = untaken.filter(|id| !taken.contains(id)).collect();
        let chains = self.chains_of(&untaken);
        self.settle_chains(chains, now);
        if !taken.is_empty() {
            self.search_on(&batch, taken, error, now);
        }
        self.remove_untaken(&batch, now);
        self.notice(batch.lane);
    }

    /// A packet that is not taken has its answer.
    fn told(&mut self, id: Id<Job>, answer: Answer, ended: &mut Vec<(Id<Chain>, RequestNo)>) {
        if answer.outcome.ends_chain() && !self.desk.jobs[id].packet.action.is_read() {
            self.note_ends(id, ended);
        }
        self.tell(id, answer);
        self.left_chain(id);
    }

    fn end_chains(&mut self, ended: Vec<(Id<Chain>, RequestNo)>) {
        for (chain, request) in ended {
            self.end_chain(chain, request);
        }
    }

    pub(super) fn settle_chains(&mut self, chains: Vec<Id<Chain>>, now: Instant) {
        for chain in chains {
            self.settle_chain(chain, now);
        }
    }

    fn remove_untaken(&mut self, batch: &InFlight, now: Instant) {
        for &id in &batch.jobs {
            if self.desk.jobs[id].taken.is_none() {
                self.remove(id, now);
            }
        }
    }

    /// What was taken goes on to its handler.
    fn took(&mut self, batch: InFlight, took: Vec<Took>, now: Instant) {
        assert_eq!(batch.jobs.len(), took.len(), "one for each item");
        self.call_is_back(&batch, now);
        let mut ended = Vec::new();
        let (mut taken, mut done, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (&id, took) in batch.jobs.iter().zip(took) {
            let job = &mut self.desk.jobs[id];
            match took {
                Took::Taken(name) => taken.push((id, name)),
                // What is taken may be known to the store and not to us: that is found out before anything goes past it.
                Took::NotApplied(_) if job.doubted => {
                    again.push(id);
                    continue;
                }
                Took::Unknown(_) if is_known_again(job) => {
                    job.doubted = true;
                    again.push(id);
                    continue;
                }
                Took::Answered(answer) | Took::NotApplied(answer) | Took::Unknown(answer) => {
                    if answer.outcome.ends_chain() {
                        self.note_ends(id, &mut ended);
                    }
                    self.tell(id, answer);
                    done.push(id);
                }
            }
            self.left_chain(id);
        }
        self.end_chains(ended);
        let chains = self.chains_of(&batch.jobs);
        if !again.is_empty() {
            self.in_order_of_places(&mut again);
            self.hand_over_again(&again, now);
        }
        self.settle_chains(chains, now);
        // The order in which they were taken: some of them by a commit before this one.
        taken.sort_unstable_by_key(|(_, name)| *name);
        for (id, name) in taken {
            self.go_on(id, name, now);
        }
        for id in done {
            self.remove(id, now);
        }
        self.notice(batch.lane);
    }

    /// What came ahead of its turn may have its turn now, or may have to stand behind what the store took without our
    /// knowing.
    fn in_order_of_places(&self, jobs: &mut [Id<Job>]) {
        let seq = |id: Id<Job>| self.desk.jobs[id].packet.seq;
        let placed = jobs.iter().copied().filter(|&id| seq(id) != 0);
        let mut placed: Vec<_> = placed.collect();
        placed.sort_by_key(|&id| seq(id));
        let slots = jobs.iter_mut().filter(|id| seq(**id) != 0);
        for (slot, id) in slots.zip(placed) {
            *slot = id;
        }
    }

    fn finished(&mut self, batch: InFlight, durable: &[bool], now: Instant) {
        assert_eq!(batch.jobs.len(), durable.len(), "one for each answer");
        let (mut done, mut open, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (&id, durable) in batch.jobs.iter().zip(durable) {
            if !durable {
                again.push(id);
                continue;
            }
            let job = &mut self.desk.jobs[id];
            self.notes.extend(job.deciding.map(Step::Decided));
            let Some(answer) = job.answer.take() else {
                open.push(id);
                continue;
            };
            if let Some(letter) = job.letter {
                self.notes.push_back(Step::Finished(Finished {
                    letter,
                    origin: job.origin.clone(),
                    outcome: answer.outcome,
                }));
            }
            let held = job.held;
            self.tell(id, Arc::unwrap_or_clone(answer));
            match held {
                true => self.leave_held(id),
                false => self.left_chain(id),
            }
            done.push(id);
        }
        let chains = self.chains_of(&done);
        self.settle_chains(chains, now);
        for id in open {
            self.stays_open(id, now);
        }
        if !again.is_empty() {
            self.finish_again(batch.lane, again, batch.failures + 1, now);
        }
        for id in done {
            self.remove(id, now);
        }
        self.notice(batch.lane);
    }

    fn call_is_back(&mut self, batch: &InFlight, now: Instant) {
        self.lanes[batch.lane].is_back(batch.started, now);
    }

    /// Tells everyone who waits. A final answer that the store thinks a call carries, and no call waits for, is the streams';
    /// so is one that the store may have, where all that the call is told is that nobody knows.
    fn tell(&mut self, id: Id<Job>, mut answer: Answer) {
        if answer.reason == Reason::StoreUnavailable && answer.outcome.ends_chain() {
            answer.retry_after = Some(self.later(STORE_PAUSE));
        }
        let job = &self.desk.jobs[id];
        let is_told = !job.waiters.is_empty() && answer.outcome != Outcome::InDoubt;
        let may_be_kept = is_kept(&answer) || answer.outcome == Outcome::InDoubt;
        if job.awaited && !is_told && may_be_kept {
            let (client, packet) = (job.origin.client.clone(), job.packet.clone());
            self.owe(client.as_ref(), &packet);
        }
        self.desk.tell(id, answer);
    }

    fn left_chain(&mut self, id: Id<Job>) {
        if let Some(chain) = self.desk.jobs[id].chain {
            self.chains[chain].in_flight -= 1;
        }
    }

    pub(super) fn chains_of(&self, jobs: &[Id<Job>]) -> Vec<Id<Chain>> {
        let chains = jobs.iter().filter_map(|&id| self.desk.jobs[id].chain);
        let mut chains: Vec<_> = chains.collect();
        chains.sort_unstable();
        chains.dedup();
        chains
    }

    /// A packet was not taken: its chain ends in the request that brought it and in those that joined it.
    fn note_ends(&self, id: Id<Job>, ended: &mut Vec<(Id<Chain>, RequestNo)>) {
        let job = &self.desk.jobs[id];
        let Some(chain) = job.chain.filter(|&chain| self.chains[chain].is_ordered()) else {
            return;
        };
        let joined = job
            .waiters
            .iter()
            .map(|waiter| self.desk.calls[waiter.call].request);
        for request in std::iter::once(job.request).chain(joined) {
            if ended.last() != Some(&(chain, request)) {
                ended.push((chain, request));
            }
        }
    }

    /// What waits in this chain of this request is not taken.
    fn end_chain(&mut self, chain: Id<Chain>, request: RequestNo) {
        let jobs = self.chains[chain].jobs.iter().copied();
        let later: Vec<_> = jobs
            .filter(|&job| self.desk.jobs[job].request == request)
            .filter(|&job| self.desk.jobs[job].is_withdrawable())
            .collect();
        for job in later {
            self.desk.tell(job, Answer::earlier_refused());
            self.withdraw(job);
        }
    }

    /// A packet that waits is not wanted any more: everyone was told. In a chain it leaves when its turn comes.
    pub(super) fn withdraw(&mut self, id: Id<Job>) {
        let job = &mut self.desk.jobs[id];
        job.state = State::Gone;
        if let Some(expires) = job.expires {
            self.expiring.remove(&(expires, id));
        }
        self.unname(id);
        if self.desk.jobs[id].chain.is_none() {
            let queue = self.desk.jobs[id].queue;
            self.queues[queue].forget_read(id);
            self.release(id);
        }
    }

    /// A packet that has its answer, and has left its chain, leaves.
    pub(super) fn remove(&mut self, id: Id<Job>, now: Instant) {
        if self.desk.jobs[id].state != State::Gone {
            self.unname(id);
        }
        let Job { queue, turn, .. } = self.desk.jobs[id];
        if turn != 0 {
            self.queues[queue].finish_turn(turn);
        }
        while let Some(read) = self.queues[queue].release_read() {
            self.run_free(read, now);
        }
        self.release(id);
    }

    /// A repeat does not find it any more.
    fn unname(&mut self, id: Id<Job>) {
        let job = &self.desk.jobs[id];
        if job.packet.action.is_read() {
            return;
        }
        if let Some(letter) = job.letter {
            self.letters.remove(&letter);
        } else if job.packet.seq != 0 {
            let (queue, seq) = (job.queue, job.packet.seq);
            self.queues[queue].unplace(seq);
        } else if let Some(key) = req_id_key(&job.origin, &job.packet) {
            self.req_ids.remove(&key);
        }
    }

    /// Gives back the room that a packet took.
    fn release(&mut self, id: Id<Job>) {
        self.bring_back(id);
        let job = self.desk.jobs.remove(id);
        self.clears.gone(id);
        let share = self.lanes[job.lane].share;
        self.shares.release(share, job.packet.size);
        self.answer_is_gone(share, job.answer_bytes);
        if job.at != job.lane {
            self.lanes[job.at].passing -= 1;
            self.notice(job.at);
        }
        self.lanes[job.lane].release(job.holder, job.packet.size);
        self.notice(job.lane);
        self.queues[job.queue].jobs -= 1;
        self.forget_queue_if_empty(job.queue);
    }

    /// A chain whose packets in flight are done goes on, or goes.
    pub(super) fn settle_chain(&mut self, id: Id<Chain>, now: Instant) {
        let chain = &self.chains[id];
        if !chain.jobs.is_empty() {
            return self.attach(id, now);
        }
        if chain.in_flight > 0 || chain.ready.is_some() {
            return;
        }
        match self.chains.remove(id).kind {
            ChainKind::Queue(queue) => self.queues[queue].chain = None,
            ChainKind::Taken(queue) => self.queues[queue].taken = None,
            ChainKind::Key(key) => drop(self.key_chains.remove(&key)),
            ChainKind::Free(queue, _) => self.queues[queue].free.retain(|&(_, free)| free != id),
        }
    }

    pub(super) fn forget_queue_if_empty(&mut self, id: Id<Queue>) {
        if self.queues[id].jobs > 0 {
            return;
        }
        if let Some(key) = self.queues.remove(id).key {
            self.queue_index.remove(&key);
        }
    }
}

/// Whether the store knows a repeat of it.
fn is_known_again(job: &Job) -> bool {
    let named = job.packet.seq != 0 || job.letter.is_some();
    named || req_id_key(&job.origin, &job.packet).is_some()
}
