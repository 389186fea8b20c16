//! What is known of a handler that is called: whether calls go through, and whether any are made.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::fill::InFlight;
use super::lane::{Class, Lane, Next};
use super::meter::Fate;
use super::search::Search;
use crate::handler::{CallError, Failure, HandlerSettings};
use crate::types::{HandlerName, Retry};

/// So many calls in a row that failed in passing, or did not get there, open the circuit.
const IN_A_ROW: u32 = 5;

/// How long the handler's other calls wait at most for one that is made with nothing beside it, before it and during it.
const QUIET: Duration = Duration::from_secs(1);

/// One handler that is called, whatever lanes it has.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Calls that were made: each has its number.
    pub(super) calls: u64,
    /// The latest of those that went through.
    pub(super) passed: u64,
    pub(super) in_flight: usize,
    /// How many packets failed alone and are not judged yet.
    pub(super) suspects: usize,
    /// Calls that failed in passing, or did not get there, since one went through.
    row: u32,
    circuit: Circuit,
    /// How often it opened.
    pub(super) opened: u64,
    quiet: Option<Quiet>,
    /// Packets that wait for a person.
    pub(crate) held: u64,
    /// Those and what is behind them, as far as they are not counted in their lanes.
    pub(super) aside: Aside,
}

/// What takes no room in the lanes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aside {
    pub(super) packets: usize,
    pub(super) bytes: usize,
}

/// What there is to see of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    Closed,
    /// One call at a time shows whether calls go through.
    HalfOpen,
    /// No calls for a while.
    Open,
}

/// A circuit has opened, or closed: for a log.
#[derive(Debug)]
pub(crate) struct Turned {
    pub(crate) handler: HandlerName,
    /// Why it opened; `None`: a call went through, and it closed.
    pub(crate) why: Option<String>,
}

/// Whether calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed,
    /// None until then, afterwards one packet or one part of a search at a time, until a call goes through.
    Open {
        until: Instant,
        /// How often in a row.
        times: u32,
        /// Whether the one call is in flight.
        probing: bool,
        /// Whether a new packet came in since the last one failed.
        let_in: bool,
    },
}

/// A crash takes all calls in flight with it: who is to be judged by one is called with nothing beside it.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    search: Id<Search>,
    /// Nobody else waits longer.
    until: Instant,
}

impl Backend {
    pub(super) fn new() -> Self {
        Self {
            calls: 0,
            passed: 0,
            in_flight: 0,
            suspects: 0,
            row: 0,
            circuit: Circuit::Closed,
            opened: 0,
            quiet: None,
            held: 0,
            aside: Aside::default(),
        }
    }

    /// Only one call at a time is made, to see whether it goes through.
    pub(super) fn is_probed(&self) -> bool {
        self.circuit != Circuit::Closed
    }

    pub(super) fn state(&self, now: Instant) -> CircuitState {
        match self.circuit {
            Circuit::Closed => CircuitState::Closed,
            Circuit::Open { until, .. } if until > now => CircuitState::Open,
            Circuit::Open { .. } => CircuitState::HalfOpen,
        }
    }

    /// New packets do not come in: how long that will last, about.
    pub(super) fn refuses(&self, retry: &Retry, now: Instant) -> Option<Duration> {
        match self.circuit {
            Circuit::Open { until, .. } if until > now => Some(until - now),
            // The pause that follows if this call fails too; nobody knows how long it takes.
            Circuit::Open { probing, times, .. } if probing => Some(longest_pause(retry, times)),
            _ => None,
        }
    }

    /// When what would leave may leave.
    fn gate(&self, now: Instant, next: Next) -> Next {
        match self.circuit {
            Circuit::Open { until, .. } if until > now => next.not_before(until),
            Circuit::Open { probing: true, .. } => Next::Rest,
            _ => next,
        }
    }

    /// The same for what is not a search's.
    pub(super) fn gate_chains(&self, now: Instant, next: Next) -> Next {
        let next = self.gate(now, next);
        match self.quiet {
            Some(quiet) if quiet.until > now => next.not_before(quiet.until),
            _ => next,
        }
    }

    /// The same for a search's. `alone`: with nothing beside it.
    pub(super) fn gate_search(&mut self, now: Instant, search: Id<Search>, alone: bool) -> Next {
        let next = self.gate(now, Next::Leave);
        if next != Next::Leave {
            return next;
        }
        match self.quiet {
            Some(quiet) if quiet.search != search && quiet.until > now => Next::At(quiet.until),
            Some(quiet) if quiet.search == search && self.in_flight > 0 && quiet.until > now => {
                Next::At(quiet.until)
            }
            Some(quiet) if quiet.search == search => next,
            _ if alone && self.in_flight > 0 => {
                let until = now + QUIET;
                self.quiet = Some(Quiet { search, until });
                Next::At(until)
            }
            _ => next,
        }
    }

    /// A call leaves. Gives its number, and whether it is the one that shows whether calls go through.
    pub(super) fn leaves(&mut self, now: Instant, alone: Option<Id<Search>>) -> (u64, bool) {
        self.calls += 1;
        self.in_flight += 1;
        if let Some(search) = alone {
            let until = now + QUIET;
            self.quiet = Some(Quiet { search, until });
        }
        let mut probe = false;
        if let Circuit::Open { probing, .. } = &mut self.circuit {
            (*probing, probe) = (true, true);
        }
        (self.calls, probe)
    }

    /// A call is back. True: lanes may have waited for that.
    fn is_back(&mut self, batch: &InFlight) -> bool {
        self.in_flight -= 1;
        let waited = self.quiet.is_some() || self.is_probed();
        if self
            .quiet
            .is_some_and(|quiet| Some(quiet.search) == batch.search)
        {
            self.quiet = None;
        }
        waited
    }

    /// True: that closes its circuit.
    fn went_through(&mut self, batch: &InFlight) -> bool {
        self.passed = self.passed.max(batch.call);
        self.row = 0;
        let before = std::mem::replace(&mut self.circuit, Circuit::Closed);
        before != Circuit::Closed
    }

    /// Whether the circuit is to open, and how often it has in a row.
    fn failed(&mut self, batch: &InFlight, error: &CallError) -> Option<u32> {
        let failure = error.failure;
        self.row += u32::from(failure == Failure::Passing || !error.reached);
        match self.circuit {
            Circuit::Open { times, .. } if batch.probe => Some(times.saturating_add(1)),
            Circuit::Open { .. } => None,
            Circuit::Closed => (failure == Failure::Handler || self.row >= IN_A_ROW).then_some(0),
        }
    }

    /// How often in a row calls failed in passing, or did not get there.
    pub(super) fn row(&self) -> u32 {
        self.row
    }
}

impl Core {
    /// The handler of a lane; none of one that only goes to the store.
    pub(super) fn backend(
        &mut self,
        settings: &HandlerSettings,
        class: &Class,
    ) -> Option<Id<Backend>> {
        if !settings.drive.is_called() || *class == Class::Intake {
            return None;
        }
        if let Some(&backend) = self.backend_index.get(&settings.name) {
            return Some(backend);
        }
        // Called handlers are listed: there are never many.
        let backend = self.backends.insert(Backend::new());
        self.backend_index.insert(settings.name.clone(), backend);
        Some(backend)
    }

    /// A call of a handler went through.
    pub(super) fn call_went_through(&mut self, batch: &InFlight) {
        let Some(id) = self.lanes[batch.lane].backend else {
            return;
        };
        self.lanes[batch.lane].meter.is_back(Fate::Answered);
        let waited = self.backends[id].is_back(batch);
        if self.backends[id].went_through(batch) {
            let handler = self.lanes[batch.lane].key.handler.clone();
            self.turned.push_back(Turned { handler, why: None });
        }
        if waited {
            self.notice_all(id);
        }
    }

    /// A call failed as a whole.
    pub(super) fn call_failed(&mut self, batch: &InFlight, error: &CallError, now: Instant) {
        let id = self.lanes[batch.lane].backend;
        let id = id.expect("only handlers that are called fail");
        self.lanes[batch.lane].meter.is_back(Fate::of(error));
        let waited = self.backends[id].is_back(batch);
        if let Some(times) = self.backends[id].failed(batch, error) {
            self.open(id, batch.lane, times, &error.message, now);
        }
        if waited {
            self.notice_all(id);
        }
    }

    /// Nothing of the handler goes through: no calls for a while.
    pub(super) fn open_circuit(&mut self, id: Id<Backend>, lane: Id<Lane>, now: Instant) {
        if !self.backends[id].is_probed() {
            const WHY: &str = "calls of single packets fail, and nothing else went through";
            self.open(id, lane, 0, WHY, now);
        }
    }

    /// `lane`: one of its own.
    fn open(&mut self, id: Id<Backend>, lane: Id<Lane>, times: u32, why: &str, now: Instant) {
        let lane = &self.lanes[lane];
        let pause = longest_pause(&lane.settings.retry, times);
        let pause = pause.mul_f64(self.rng.random_range(0.5..1.0));
        if !self.backends[id].is_probed() {
            self.backends[id].opened += 1;
            self.turned.push_back(Turned {
                handler: lane.key.handler.clone(),
                why: Some(why.to_owned()),
            });
        }
        self.backends[id].circuit = Circuit::Open {
            until: now + pause,
            times,
            probing: false,
            let_in: false,
        };
        self.notice_all(id);
    }

    /// Whether a new packet comes in although the circuit is open: where all that could be called failed alone, nothing else
    /// would ever show whether it is them or the handler.
    pub(super) fn lets_one_in(&mut self, id: Id<Backend>) -> bool {
        let backend = &mut self.backends[id];
        let Circuit::Open { let_in, .. } = &mut backend.circuit else {
            return false;
        };
        if *let_in || backend.suspects == 0 {
            return false;
        }
        let mut lanes = self.lanes.iter();
        if lanes.any(|lane| lane.backend == Some(id) && !lane.oldest.is_empty()) {
            return false;
        }
        *let_in = true;
        true
    }

    /// Whether another lane of the handler has waited longer for the one call that is made: not always the same is tried.
    pub(super) fn yields_probe(&self, id: Id<Lane>) -> bool {
        let lane = &self.lanes[id];
        let backend = lane
            .backend
            .filter(|&backend| self.backends[backend].is_probed());
        let Some(backend) = backend else { return false };
        let others = self.lanes.ids().into_iter().filter(|&other| other != id);
        others.into_iter().any(|other| {
            let held = &self.lanes[other];
            let waits = !held.oldest.is_empty() || !held.searches.is_empty();
            let free = held.calls < held.limits.calls;
            held.backend == Some(backend)
                && waits
                && free
                && (held.probed, other) < (lane.probed, id)
        })
    }

    pub(super) fn notice_all(&mut self, backend: Id<Backend>) {
        for lane in self.lanes.ids() {
            if self.lanes[lane].backend == Some(backend) {
                self.notice(lane);
            }
        }
    }
}

/// What the pause after so many failures is drawn from.
pub(super) fn longest_pause(retry: &Retry, failures: u32) -> Duration {
    let doubled = retry
        .initial
        .saturating_mul(2_u32.saturating_pow(failures.min(16)));
    doubled.min(retry.max)
}
