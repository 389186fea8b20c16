//! What comes back: answers go to whoever waits, chains go on or end in their request.

use tokio::time::Instant;

use super::arena::Id;
use super::arrival::req_id_key;
use super::chain::{Chain, ChainKind};
use super::job::{Job, RequestNo, State};
use super::queue::Queue;
use super::{BatchId, Core};
use crate::types::Answer;

impl Core {
    /// The answers to a batch, in the order of its items.
    pub(crate) fn complete(&mut self, now: Instant, batch: BatchId, answers: Vec<Answer>) {
        let batch = self.batches.remove(batch);
        assert_eq!(batch.jobs.len(), answers.len(), "an answer per item");
        let lane = &mut self.lanes[batch.lane];
        lane.calls -= 1;
        lane.took(now.saturating_duration_since(batch.started));
        let mut ended = Vec::new();
        for (&id, answer) in batch.jobs.iter().zip(answers) {
            let job = &self.desk.jobs[id];
            if answer.outcome.ends_chain() && !job.packet.action.is_read() {
                self.note_ends(id, &mut ended);
            }
            self.desk.tell(id, answer);
            if let Some(chain) = self.desk.jobs[id].chain {
                self.chains[chain].in_flight -= 1;
            }
        }
        for (chain, request) in ended {
            self.end_chain(chain, request);
        }
        // Chains before packets: a chain is gone before its queue is.
        let mut chains: Vec<_> = batch
            .jobs
            .iter()
            .filter_map(|&id| self.desk.jobs[id].chain)
            .collect();
        chains.sort_unstable();
        chains.dedup();
        for chain in chains {
            self.settle_chain(chain, now);
        }
        for id in batch.jobs {
            self.remove(id, now);
        }
        self.notice(batch.lane);
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
            .filter(|&job| self.desk.jobs[job].state == State::Waiting)
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
        if job.packet.seq != 0 {
            let (queue, seq) = (job.queue, job.packet.seq);
            self.queues[queue].unplace(seq);
        } else if let Some(key) = req_id_key(&job.origin, &job.packet) {
            self.req_ids.remove(&key);
        }
    }

    /// Gives back the room that a packet took.
    fn release(&mut self, id: Id<Job>) {
        let job = self.desk.jobs.remove(id);
        self.bytes -= job.packet.size;
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
