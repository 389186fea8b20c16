//! Who is given up: suspicion, what is counted of a packet's own failures, and dead letters.

use std::sync::Arc;

use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::job::Job;
use super::lane::Lane;
use super::search::Search;
use crate::store::Origin;
use crate::types::{Answer, Packet, Reason};

/// A taken packet that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It failed alone, and calls without it went through.
    Poison,
    /// It was tried for as long as its handler's configuration says.
    Spent,
}

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

/// For a log.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) packet: Arc<Packet>,
    pub(crate) origin: Arc<Origin>,
    /// Of its own.
    pub(crate) attempts: u32,
    pub(crate) verdict: Verdict,
}

impl Verdict {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Poison => "its handler fails with it, and not without it",
            Self::Spent => "its handler did not finish it in all its attempts",
        }
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

    /// Its final answer is that it is given up; what is behind it in a search goes back to its chain, which goes on after it.
    pub(super) fn give_up(
        &mut self,
        search: Option<Id<Search>>,
        id: Id<Job>,
        verdict: Verdict,
        now: Instant,
    ) {
        self.clear(id);
        let job = &mut self.desk.jobs[id];
        let answer = Answer::rejected(Reason::HandlerFailed, verdict.message());
        job.answer = Some(Arc::new(answer));
        self.dead_letters += 1;
        let meter = &mut self.lanes[job.lane].meter;
        match verdict {
            Verdict::Poison => meter.poison += 1,
            Verdict::Spent => meter.spent += 1,
        }
        self.dead.push_back(DeadLetter {
            packet: job.packet.clone(),
            origin: job.origin.clone(),
            attempts: job.tries.count,
            verdict,
        });
        if let (Some(search), Some(chain)) = (search, self.order_of(id)) {
            let later = self.take_chain(search, chain);
            let later: Vec<_> = later.into_iter().filter(|&other| other != id).collect();
            self.give_back(&later, now);
        }
    }
}
