//! Dead letters that are here: packets that are held until a person decides, and those that are sent anew.
//!
//! A packet that is held stands at the head of its chain, which is not attached to its lane as long as it does: nothing of it
//! is ready, in flight or searched. What is in such a chain is counted beside its lane, so that it takes no room there; up to
//! the bounds of a lane, for each handler. Beyond them it is counted in its lane as everything else, which is full then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::arena::Id;
use super::arrival::{Arrival, Order, order_of_intake, unsupported};
use super::chain::Chain;
use super::job::{Call, Job, RequestNo};
use super::lane::Class;
use super::offer::Entry;
use super::verdict::Tries;
use super::{CallId, Core};
use crate::broker::Ack;
use crate::store::{LetterId, Origin, TakenId};
use crate::types::{Answer, Outcome, Packet, Reason};

/// A dead letter that is to be sent anew.
#[derive(Debug)]
pub(crate) struct Anew {
    pub(crate) letter: LetterId,
    pub(crate) origin: Arc<Origin>,
    pub(crate) packet: Arc<Packet>,
}

/// One that was sent anew is finished: for a log, as no client waits for it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) letter: LetterId,
    pub(crate) origin: Arc<Origin>,
    pub(crate) outcome: Outcome,
}

/// What becomes of a packet that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is called again, with a new budget.
    Retry,
    /// It is rejected.
    Discard,
}

/// Why nothing is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// It is not here at all.
    NotHere,
    /// It is on its way to being held, or to what was decided before.
    Decided,
}

impl Core {
    /// Sends dead letters anew: each comes in as a new packet would, at the end of its chain, and is answered once it is
    /// taken, or why it is not. The answers come out of [`Core::poll`].
    pub(crate) fn send_anew(&mut self, now: Instant, letters: Vec<Anew>, wait: Duration) -> CallId {
        self.last_request += 1;
        let request = RequestNo(self.last_request);
        let deadline = now + wait;
        let packets = letters.iter().map(|anew| anew.packet.clone());
        let call = self.desk.calls.insert(Call {
            request,
            client: None,
            ack: Ack::Accepted,
            packets: packets.collect(),
            slots: Vec::with_capacity(letters.len()),
            open: 0,
            deadline,
        });
        self.calls_due.insert((deadline, call));
        for anew in letters {
            let entry = self.enter_anew(now, request, anew);
            self.fill_slot(call, entry);
        }
        if self.desk.calls[call].open == 0 {
            self.desk.finished.push(call);
        }
        call
    }

    fn enter_anew(&mut self, now: Instant, request: RequestNo, anew: Anew) -> Entry {
        let Anew {
            letter,
            origin,
            packet,
        } = anew;
        if let Some(&job) = self.letters.get(&letter) {
            return self.join(job, &packet, Ack::Accepted, now);
        }
        let mut arrival = Arrival {
            now,
            request,
            ack: Ack::Accepted,
            principal: origin.principal.clone(),
            client: origin.client.clone(),
            parts: Vec::new(),
        };
        let at = match self.part(&mut arrival, &origin.handler.as_str().into()) {
            Ok(at) => at,
            Err(message) => {
                return Entry::Answered(Answer::rejected(Reason::UnknownHandler, message));
            }
        };
        let entry = self.let_in_anew(&mut arrival, at, letter, packet);
        self.forget_queue_if_empty(arrival.parts[at].queue);
        entry.unwrap_or_else(Entry::Answered)
    }

    fn let_in_anew(
        &mut self,
        arrival: &mut Arrival,
        at: usize,
        letter: LetterId,
        packet: Arc<Packet>,
    ) -> Result<Entry, Answer> {
        let settings = arrival.parts[at].settings.clone();
        if !settings.takes_first() {
            let message = format!(
                "{} keeps no packets for a later call: it is not durable, or not called",
                settings.name
            );
            return Err(Answer::rejected(Reason::UnsupportedAction, message));
        }
        let refusal = packet.refusal.as_deref().cloned();
        if let Some(refusal) = refusal.or_else(|| unsupported(&settings, &packet)) {
            return Err(refusal);
        }
        let (lane, holder) = self.admit(arrival, at, &packet)?;
        let (first, _) = self.lane_of(arrival, at, Class::Intake)?;
        let order = order_of_intake(&settings, &packet);
        let job = self.let_in(arrival, at, packet, (lane, first), holder);
        let queue = arrival.parts[at].queue;
        self.desk.jobs[job].letter = Some(letter);
        self.letters.insert(letter, job);
        self.desk.jobs[job].turn = self.queues[queue].next_turn();
        match order {
            Order::Queue => {
                let chain = self.queue_chain(queue);
                self.append(chain, job, arrival.now);
            }
            Order::Key | Order::Free => self.run_free(job, arrival.now),
        }
        Ok(Entry::LetIn(job))
    }

    /// A person decides about a packet that is held. [`super::Step::Decided`] brings the number back once that is on disk.
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        taken: TakenId,
        decision: Decision,
    ) -> Result<u64, Undecided> {
        let Some(&id) = self.held.get(&taken) else {
            // What is here and not held yet, or not any more, is driven: whoever asks must not finish it behind its back.
            let is_driven = self.desk.jobs.iter().any(|job| job.taken == Some(taken));
            return Err(if is_driven {
                Undecided::Decided
            } else {
                Undecided::NotHere
            });
        };
        let job = &mut self.desk.jobs[id];
        if job.deciding.is_some() {
            return Err(Undecided::Decided);
        }
        self.last_decision += 1;
        job.deciding = Some(self.last_decision);
        if decision == Decision::Discard {
            job.answer = Some(Arc::new(discarded()));
        }
        let lane = job.lane;
        self.finish(lane, vec![id], now);
        Ok(self.last_decision)
    }

    /// What is to be kept of a packet that is given up, or that it is not held any more, is on disk: it stays open.
    pub(super) fn stays_open(&mut self, id: Id<Job>, now: Instant) {
        let chains = self.chains_of(&[id]);
        let job = &mut self.desk.jobs[id];
        let bytes = std::mem::take(&mut job.answer_bytes);
        let share = self.lanes[job.lane].share;
        self.answer_is_gone(share, bytes);
        if self.desk.jobs[id].death.take().is_some() {
            self.return_to_chains(&[id]);
            self.hold_for_good(id);
            return self.settle_chains(chains, now);
        }
        self.let_go(id);
        let job = &mut self.desk.jobs[id];
        (job.tries, job.attempts, job.not_before) = (Tries::default(), 0, None);
        match job.chain {
            None => self.run_free(id, now),
            Some(chain) => self.attach(chain, now),
        }
    }

    /// That a packet that was held is discarded is on disk.
    pub(super) fn leave_held(&mut self, id: Id<Job>) {
        let chain = self.desk.jobs[id].chain;
        if let Some(chain) = chain {
            self.chains[chain].jobs.retain(|&job| job != id);
        }
        self.let_go(id);
    }

    /// It waits for a person, and what is behind it for that.
    pub(super) fn hold_for_good(&mut self, id: Id<Job>) {
        let job = &mut self.desk.jobs[id];
        job.held = true;
        let taken = job.taken.expect("only what was taken is held");
        let (chain, lane) = (job.chain, job.lane);
        self.held.insert(taken, id);
        if let Some(backend) = self.lanes[lane].backend {
            self.backends[backend].held += 1;
        }
        match chain {
            Some(chain) => self.count_chain(chain),
            None => self.stop(id),
        }
    }

    pub(super) fn let_go(&mut self, id: Id<Job>) {
        let job = &mut self.desk.jobs[id];
        job.held = false;
        job.deciding = None;
        let (chain, lane) = (job.chain, job.lane);
        if let Some(taken) = job.taken {
            self.held.remove(&taken);
        }
        if let Some(backend) = self.lanes[lane].backend {
            self.backends[backend].held -= 1;
        }
        self.bring_back(id);
        if let Some(chain) = chain {
            self.count_chain(chain);
        }
    }

    /// Whether its head is held.
    pub(super) fn is_stopped(&self, chain: Id<Chain>) -> bool {
        let head = self.chains[chain].jobs.front();
        head.is_some_and(|&head| self.desk.jobs[head].held)
    }

    /// Counts what is in a chain beside its lane, or in it, as its head is held or not.
    fn count_chain(&mut self, chain: Id<Chain>) {
        let stopped = self.is_stopped(chain);
        let jobs: Vec<_> = self.chains[chain].jobs.iter().copied().collect();
        for id in jobs {
            match stopped || self.desk.jobs[id].held {
                true => self.stop(id),
                false => self.bring_back(id),
            }
        }
    }

    /// Nothing becomes of it before a person decides: it takes no room of its lane, and holds up no stop.
    pub(super) fn stop(&mut self, id: Id<Job>) {
        self.set_aside(id);
        if self.draining {
            self.tell_stopped(id);
        }
    }

    /// Everybody who waits for what a person has to decide first is told that it is taken; READs behind it are not answered
    /// by this process any more.
    fn tell_stopped(&mut self, id: Id<Job>) {
        self.desk.tell(id, Answer::accepted());
        let queue = self.desk.jobs[id].queue;
        for read in self.queues[queue].waiting_reads() {
            let message = "the gateway is stopping, and what it waits for waits for a person";
            self.desk
                .tell(read, Answer::retry(Reason::Draining, message));
            self.withdraw(read);
        }
    }

    /// A stop does not wait for a person.
    pub(super) fn tell_all_stopped(&mut self) {
        let held: Vec<_> = self.held.values().copied().collect();
        for id in held {
            match self.desk.jobs[id].chain {
                Some(chain) => self.count_chain(chain),
                None => self.stop(id),
            }
        }
    }

    fn set_aside(&mut self, id: Id<Job>) {
        let job = &self.desk.jobs[id];
        let (size, lane, holder) = (job.packet.size, job.lane, job.holder);
        let Some(backend) = self.lanes[lane].backend.filter(|_| !job.aside) else {
            return;
        };
        // For how long, nobody knows: the rest of its request, or of its run, does not wait with it.
        let job = &mut self.desk.jobs[id];
        job.packet = Arc::new(job.packet.owned());
        let aside = &mut self.backends[backend].aside;
        let fits = aside.packets < self.settings.lane_packets
            && aside.bytes + size <= self.settings.lane_bytes;
        if !fits {
            return;
        }
        aside.packets += 1;
        aside.bytes += size;
        let share = self.lanes[lane].share;
        self.shares.release(share, size);
        self.lanes[lane].release(holder, size);
        self.lanes[lane].aside += 1;
        self.desk.jobs[id].aside = true;
        self.notice(lane);
    }

    /// It is counted in its lane again, whatever the bounds.
    pub(super) fn bring_back(&mut self, id: Id<Job>) {
        let job = &mut self.desk.jobs[id];
        if !std::mem::take(&mut job.aside) {
            return;
        }
        let (size, lane) = (job.packet.size, job.lane);
        job.holder = self.lanes[lane].hold(&job.origin.principal, size);
        self.lanes[lane].aside -= 1;
        let share = self.lanes[lane].share;
        self.shares.hold(share, size);
        if let Some(backend) = self.lanes[lane].backend {
            let aside = &mut self.backends[backend].aside;
            aside.packets -= 1;
            aside.bytes -= size;
        }
    }
}

/// The answer to a packet that was held.
pub(crate) fn discarded() -> Answer {
    let message = "its handler did not finish it, and it was discarded";
    Answer::rejected(Reason::HandlerFailed, message)
}
