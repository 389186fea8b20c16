//! Queues: one client's packets to one handler, while some of them are here.

use std::collections::VecDeque;

use super::arena::Id;
use super::chain::Chain;
use super::job::Job;
use super::lane::Lane;
use crate::store::QueueKey;

/// What the broker knows of a queue. How far its places have got is the store's to say: here are only those that are under
/// way, so that a repeat joins them and a READ waits for them.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// `None`: a call without client_id, whose packets stand alone.
    pub(crate) key: Option<QueueKey>,
    pub(crate) jobs: usize,
    pub(crate) chain: Option<Id<Chain>>,
    /// Of what is taken and not finished.
    pub(crate) taken: Option<Id<Chain>>,
    /// Its packets outside every order, by lane.
    pub(crate) free: Vec<(Id<Lane>, Id<Chain>)>,
    /// The places that are here, ascending.
    placed: VecDeque<(u64, Id<Job>)>,
    /// The turns of its packets that are not done, ascending: one that is held for days keeps none but its own.
    open: VecDeque<u64>,
    last_turn: u64,
    /// READs, each with the turn that it waits for.
    reads: VecDeque<(u64, Id<Job>)>,
}

impl Queue {
    pub(crate) fn new(key: Option<QueueKey>) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }

    /// The packet that is under way in this place.
    pub(crate) fn at(&self, seq: u64) -> Option<Id<Job>> {
        match self.placed.back() {
            Some(&(last, _)) if seq <= last => self.find(seq).ok().map(|at| self.placed[at].1),
            _ => None,
        }
    }

    pub(crate) fn place(&mut self, seq: u64, job: Id<Job>) {
        match self.placed.back() {
            Some(&(last, _)) if seq < last => {
                let at = self.find(seq).unwrap_or_else(|at| at);
                self.placed.insert(at, (seq, job));
            }
            _ => self.placed.push_back((seq, job)),
        }
    }

    /// Whether nothing with a later place is here.
    pub(crate) fn is_last(&self, seq: u64) -> bool {
        self.placed.back().is_none_or(|&(last, _)| last <= seq)
    }

    pub(crate) fn unplace(&mut self, seq: u64) {
        // Nearly always the first: places are taken in order.
        match self.placed.front() {
            Some(&(first, _)) if first == seq => drop(self.placed.pop_front()),
            _ => {
                if let Ok(at) = self.find(seq) {
                    self.placed.remove(at);
                }
            }
        }
    }

    fn find(&self, seq: u64) -> Result<usize, usize> {
        self.placed.binary_search_by_key(&seq, |&(place, _)| place)
    }

    /// The turn of its next packet.
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.last_turn += 1;
        self.open.push_back(self.last_turn);
        self.last_turn
    }

    /// The packet of this turn is done.
    pub(crate) fn finish_turn(&mut self, turn: u64) {
        // Mostly the first: then nothing is moved.
        if let Ok(at) = self.open.binary_search(&turn) {
            self.open.remove(at);
        }
    }

    /// A READ waits for everything that is under way now. False: there is nothing to wait for.
    pub(crate) fn hold_read(&mut self, job: Id<Job>) -> bool {
        if self.open.is_empty() {
            return false;
        }
        self.reads.push_back((self.last_turn, job));
        true
    }

    /// The next READ that waits for nothing any more.
    pub(crate) fn release_read(&mut self) -> Option<Id<Job>> {
        let &(turn, job) = self.reads.front()?;
        if self.open.front().is_some_and(|&open| open <= turn) {
            return None;
        }
        self.reads.pop_front();
        Some(job)
    }

    /// READs that wait.
    pub(crate) fn waiting_reads(&self) -> Vec<Id<Job>> {
        self.reads.iter().map(|&(_, read)| read).collect()
    }

    /// A READ that gave up.
    pub(crate) fn forget_read(&mut self, job: Id<Job>) {
        self.reads.retain(|&(_, read)| read != job);
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn one_that_is_held_keeps_nothing_of_what_goes_past_it() {
        let mut queue = Queue::default();
        let held = queue.next_turn();
        for _ in 0..1_000 {
            let turn = queue.next_turn();
            queue.finish_turn(turn);
        }
        assert_eq!(queue.open, [held]);
        queue.finish_turn(held);
        assert!(queue.open.is_empty());
    }
}
