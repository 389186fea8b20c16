//! Who is given up: suspicion, and what is counted of a packet's own failures.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::time::Instant;

use super::arena::Id;
use super::job::Job;
use super::lane::Lane;
use super::search::Search;
use super::{Core, Step};
use crate::store::{Cause, Death, Origin};
use crate::types::{Answer, OnDead, Packet, Reason, beginning};

/// Of what a handler said that is kept with a dead letter.
const MESSAGE_BYTES: usize = 1 << 10;

/// What is known of a packet that failed alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspicion {
    /// The last call that had been made when it failed last.
    pub(super) since: u64,
}

/// What is counted of a packet's own failures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tries {
    pub(crate) count: u32,
    first: Option<Instant>,
}

/// A packet that is given up, for a log.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) packet: Arc<Packet>,
    pub(crate) origin: Arc<Origin>,
    /// Of its own.
    pub(crate) attempts: u32,
    pub(crate) cause: Cause,
    /// What its handler said last.
    pub(crate) message: ByteString,
    /// It stays open until a person decides.
    pub(crate) held: bool,
}

/// For the client, and for a log.
pub(crate) fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::Poison => "its handler fails with it, and not without it",
        Cause::Spent => "its handler did not finish it in all its attempts",
    }
}

impl Core {
    /// It failed alone.
    pub(super) fn suspect(&mut self, id: Id<Job>, lane: Id<Lane>) {
        let backend = self.lanes[lane].backend.expect("its handler is called");
        let backend = &mut self.backends[backend];
        let now = Suspicion {
            since: backend.calls,
        };
        let before = self.desk.jobs[id].suspicion.replace(now);
        backend.suspects += usize::from(before.is_none());
    }

    /// A call went through with it, or it is given up.
    pub(super) fn clear(&mut self, id: Id<Job>) {
        let job = &mut self.desk.jobs[id];
        if job.suspicion.take().is_some()
            && let Some(backend) = self.lanes[job.lane].backend
        {
            self.backends[backend].suspects -= 1;
        }
    }

    /// One more failure of its own. True: that was the last one.
    pub(super) fn counts(&mut self, id: Id<Job>, now: Instant) -> bool {
        let job = &mut self.desk.jobs[id];
        let retry = self.lanes[job.lane].settings.retry;
        job.tries.count = job.tries.count.saturating_add(1);
        let first = *job.tries.first.get_or_insert(now);
        job.tries.count >= retry.attempts && now.saturating_duration_since(first) >= retry.budget
    }

    /// Its final answer is that it is given up, or it is to be held; what is behind it in a search goes back to its chain,
    /// which goes on after it. `why`: what its handler said last.
    pub(super) fn give_up(
        &mut self,
        search: Option<Id<Search>>,
        id: Id<Job>,
        cause: Cause,
        why: &str,
        now: Instant,
    ) {
        self.clear(id);
        let job = &mut self.desk.jobs[id];
        let meter = &mut self.lanes[job.lane].meter;
        match cause {
            Cause::Poison => meter.poison += 1,
            Cause::Spent => meter.spent += 1,
        }
        let lane = &self.lanes[job.lane];
        let held = lane.settings.retry.on_dead == OnDead::Stop;
        let message = ByteString::from(beginning(why, MESSAGE_BYTES));
        if !held {
            let answer = Answer::rejected(Reason::HandlerFailed, reason(cause));
            job.answer = Some(Arc::new(answer));
        }
        job.death = Some(Box::new(Death {
            cause,
            message: message.clone(),
            attempts: job.tries.count,
            packet: job.packet.kept(),
        }));
        self.notes.push_back(Step::Dead(GivenUp {
            packet: job.packet.clone(),
            origin: job.origin.clone(),
            attempts: job.tries.count,
            cause,
            message,
            held,
        }));
        if let (Some(search), Some(chain)) = (search, self.order_of(id)) {
            let later = self.take_chain(search, chain);
            let later: Vec<_> = later.into_iter().filter(|&other| other != id).collect();
            self.give_back(&later, now);
        }
    }
}
