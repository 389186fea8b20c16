//! A service as a backend behaves: it keeps the id of an item beside its effect, refuses, asks for another try, forgets to
//! answer, answers in another order, twice, or for nobody, fails as a whole before or after it has worked, works when nobody
//! waits any more, fails or crashes with some packets, refuses who was replaced, and is away for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::packet::{Kind, Name, read_label};
use super::plan::{MS, Target};
use crate::handler::testing::draft;
use crate::handler::{Batch, CallError, Failure, Handled, Handler, Item, ItemId};
use crate::store::{Domain, Term};
use crate::types::{Action, Answer, Content, Outcome, Reason};

/// Where it says with its answers what it has done.
pub(super) const DONE: &str = "done";

type Reply = Result<Vec<Handled>, CallError>;

/// A call that was made and is not looked at yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What the gateway calls: whoever moves the clock finds the calls here.
#[derive(Debug, Default)]
pub(super) struct Door(Mutex<Vec<Asked>>);

impl Door {
    pub(super) fn take(&self) -> Option<Asked> {
        self.0.lock().pop()
    }
}

impl Handler for Arc<Door> {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Reply> {
        let (reply, answer) = oneshot::channel();
        self.0.lock().push(Asked { batch, reply });
        let gone = |_| Err(CallError::passing("it is gone"));
        answer.map(move |reply| reply.unwrap_or_else(gone)).boxed()
    }

    fn actions(&self) -> &[Action] {
        &[Action::Create, Action::Put, Action::Read]
    }

    fn publishes(&self) -> bool {
        true
    }

    fn is_fenced(&self) -> bool {
        true
    }
}

/// How a service behaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Temper {
    /// A call is given up after so long.
    Moody { timeout: Duration },
    /// Each call takes so long; the one that hangs works once so much of the run is over.
    Steady { latency: Duration, hangs: Duration },
}

/// How every call fails for a while.
#[derive(Debug, Clone)]
pub(super) struct Away {
    pub(super) error: CallError,
    /// Its work is done nevertheless.
    pub(super) works: bool,
}

/// What becomes of one call: when its work is done, if it is, and when the gateway hears of it, and what.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) works: Option<Duration>,
    pub(super) replies: Duration,
    /// Instead of its answers.
    pub(super) error: Option<CallError>,
}

/// It outlives the gateway.
#[derive(Debug)]
pub(super) struct Service {
    rng: StdRng,
    temper: Temper,
    hangs: bool,
    publishes: bool,
    start: Instant,
    done: HashSet<ItemId>,
    /// Those of calls that failed though nothing is wrong with them: by chance an item has that once at most, and not after
    /// the service was away, else nobody could tell it from one that is to blame.
    unlucky: HashSet<ItemId>,
    /// Those of calls that failed while it was there.
    failed: HashSet<ItemId>,
    /// Packets of which a call failed, and then another one because the service was away: an outage that begins while the
    /// one to blame is searched for looks as if they were.
    pub(super) confused: Vec<Name>,
    /// How often by chance an item was to be tried again.
    put_off: HashMap<ItemId, u8>,
    /// The newest owner of each domain that it has heard of.
    terms: HashMap<Domain, Term>,
    away: Option<Away>,
    down_until: Instant,
    calls: BTreeMap<u64, Call>,
    pub(super) late: u64,
    pub(super) fenced: u64,
    pub(super) crashes: u64,
}

#[derive(Debug)]
struct Call {
    batch: Batch,
    reply: Option<oneshot::Sender<Reply>>,
    works: bool,
    answer: Option<Reply>,
}

impl Service {
    pub(super) fn new(seed: u64, temper: Temper, target: Target, start: Instant) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            temper,
            hangs: target == Target::Hung,
            publishes: target.keeps(),
            start,
            done: HashSet::new(),
            unlucky: HashSet::new(),
            failed: HashSet::new(),
            confused: Vec::new(),
            put_off: HashMap::new(),
            terms: HashMap::new(),
            away: None,
            down_until: start,
            calls: BTreeMap::new(),
            late: 0,
            fenced: 0,
            crashes: 0,
        }
    }

    pub(super) fn set_away(&mut self, away: Option<Away>) {
        self.away = away;
    }

    /// A call is made.
    pub(super) fn is_called(&mut self, call: u64, asked: Asked, now: Instant) -> Fate {
        let mut fate = self.draw(&asked.batch, now);
        let known = Call {
            works: fate.works.is_some(),
            batch: asked.batch,
            reply: Some(asked.reply),
            answer: fate.error.take().map(Err),
        };
        self.late += u64::from(fate.works.is_some_and(|works| works > fate.replies));
        self.calls.insert(call, known);
        fate
    }

    fn draw(&mut self, batch: &Batch, now: Instant) -> Fate {
        let timeout = match self.temper {
            Temper::Moody { timeout } => timeout,
            Temper::Steady { hangs, .. } if self.hangs && now < self.start + hangs => {
                return Fate {
                    works: Some(self.start + hangs - now),
                    replies: Duration::from_secs(1),
                    error: Some(deadline()),
                };
            }
            Temper::Steady { latency, .. } => {
                return Fate {
                    works: Some(latency / 2),
                    replies: latency,
                    error: None,
                };
            }
        };
        let soon = MS * self.rng.random_range(0..12);
        let later = soon + MS * self.rng.random_range(0..12);
        let fails = |works: bool, error| Fate {
            works: works.then_some(soon),
            replies: later,
            error: Some(error),
        };
        if let Some(away) = self.away.clone() {
            self.is_away_for(batch);
            return fails(away.works, away.error);
        }
        if now < self.down_until {
            return fails(false, unreached("it is down"));
        }
        match self.rng.random_range(0..240) {
            0..3 => return fails(false, unreached("the connection is gone")),
            3 => return fails(false, wrong_handler()),
            4..8 if self.accident(batch) => {
                return fails(false, CallError::passing("it is not there"));
            }
            8..10 if self.accident(batch) => return fails(false, of_items("it is confused")),
            10..14 if self.accident(batch) => {
                return fails(true, CallError::passing("its answer was lost"));
            }
            14 if self.accident(batch) => return fails(true, of_items("it failed after its work")),
            15..19 if !has(batch, Kind::Crash) && self.accident(batch) => {
                return Fate {
                    works: Some(timeout + MS * self.rng.random_range(0..2_000)),
                    replies: timeout,
                    error: Some(deadline()),
                };
            }
            _ => {}
        }
        Fate {
            works: Some(soon),
            replies: later.min(timeout),
            error: None,
        }
    }

    fn accident(&mut self, batch: &Batch) -> bool {
        let mut items = batch.items.iter();
        let spared = items.any(|item| self.unlucky.contains(&item.id));
        if !spared {
            self.unlucky.extend(batch.items.iter().map(|item| item.id));
            self.failed.extend(batch.items.iter().map(|item| item.id));
        }
        !spared
    }

    fn is_away_for(&mut self, batch: &Batch) {
        for item in &batch.items {
            self.unlucky.insert(item.id);
            let content = item.packet.content.items.first();
            let label = content.and_then(|content| read_label(content));
            if let Some(label) = label.filter(|_| self.failed.contains(&item.id)) {
                self.confused.push(label.name);
            }
        }
    }

    /// The work of a call is done. Gives what was applied. `Err`: it crashed, and these calls hear of that at once.
    pub(super) fn works(&mut self, call: u64, now: Instant) -> Result<Vec<Name>, Vec<u64>> {
        let Some(known) = self.calls.get_mut(&call).filter(|known| known.works) else {
            return Ok(Vec::new());
        };
        known.works = false;
        let items = std::mem::take(&mut known.batch.items);
        if has_kind(&items, Kind::Crash) {
            if let Some(known) = self.calls.get_mut(&call) {
                known.batch.items = items;
            }
            return Err(self.crash(now));
        }
        let mut applied = Vec::new();
        let answer = match has_kind(&items, Kind::Poison) {
            true => {
                self.failed.extend(items.iter().map(|item| item.id));
                Err(of_items("it cannot stand this"))
            }
            false => {
                let mut answers = self.work(&items, &mut applied);
                if matches!(self.temper, Temper::Moody { .. }) {
                    self.disorder(&mut answers);
                }
                Ok(answers)
            }
        };
        match self.calls.get_mut(&call) {
            Some(known) if known.reply.is_none() => drop(self.calls.remove(&call)),
            Some(known) => {
                known.answer.get_or_insert(answer);
            }
            None => {}
        }
        Ok(applied)
    }

    /// It takes all calls in flight with it.
    fn crash(&mut self, now: Instant) -> Vec<u64> {
        self.crashes += 1;
        self.down_until = now + MS * self.rng.random_range(5..150);
        let mut heard = Vec::new();
        let mut hit = Vec::new();
        for (&call, known) in &mut self.calls {
            known.works = false;
            if known.reply.is_some() {
                hit.extend(known.batch.items.iter().map(|item| item.id));
                known.answer = Some(Err(CallError::passing("it crashed")));
                heard.push(call);
            }
        }
        self.failed.extend(hit.iter().copied());
        self.unlucky.extend(hit);
        heard
    }

    /// The gateway hears of a call.
    pub(super) fn replies(&mut self, call: u64) {
        let Some(known) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(reply) = known.reply.take() else {
            return;
        };
        let answer = known.answer.take();
        let answer = answer.unwrap_or_else(|| Err(CallError::passing("it has no answer")));
        // Whoever called may be gone.
        let _ = reply.send(answer);
        if !known.works {
            self.calls.remove(&call);
        }
    }

    fn work(&mut self, items: &[Item], applied: &mut Vec<Name>) -> Vec<Handled> {
        let mut answers = Vec::with_capacity(items.len());
        let mut stopped: Vec<u32> = Vec::new();
        for item in items {
            let id = item.id;
            let answer = if item.packet.action.is_read() {
                Some(Answer::ok())
            } else if stopped.contains(&item.chain) && item.chain != 0 {
                Some(Answer::earlier_refused())
            } else {
                self.one(item, applied)
            };
            let Some(answer) = answer else {
                stopped.push(item.chain);
                continue;
            };
            if answer.outcome.ends_chain() {
                stopped.push(item.chain);
            }
            let content = item.packet.content.items.first();
            let done = content.filter(|_| self.publishes && answer.outcome == Outcome::Ok);
            answers.push(Handled {
                id,
                answer,
                // Every time that it answers.
                messages: done
                    .map(|content| draft(DONE, content))
                    .into_iter()
                    .collect(),
            });
        }
        answers
    }

    /// `None`: it gives no answer.
    fn one(&mut self, item: &Item, applied: &mut Vec<Name>) -> Option<Answer> {
        let content = &item.packet.content.items[0];
        let label = read_label(content).expect("the model's own content");
        let fence = item.fence.expect("it asks for one");
        let newest = self.terms.entry(fence.domain).or_insert(fence.term);
        if fence.term < *newest {
            self.fenced += 1;
            return Some(Answer::retry(
                Reason::HandlerUnavailable,
                "there is a newer owner",
            ));
        }
        *newest = fence.term;
        if item.packet.if_version.is_some() {
            let message = "it has no versions";
            return Some(Answer::rejected(Reason::VersionMismatch, message));
        }
        let mood = match self.temper {
            Temper::Moody { .. } => self.rng.random_range(0..240),
            Temper::Steady { .. } => u32::MAX,
        };
        if label.kind == Kind::Stubborn || mood < 6 && self.may_put_off(item.id) {
            let mut answer = Answer::retry(Reason::HandlerUnavailable, "later");
            let asks = self.rng.random_bool(0.5);
            answer.retry_after = asks.then(|| MS * self.rng.random_range(5..300));
            return Some(answer);
        }
        if mood == 6 && self.may_put_off(item.id) {
            return None;
        }
        if self.done.insert(item.id) {
            let mark = if label.impostor {
                usize::MAX
            } else {
                label.name.0
            };
            applied.push((mark, label.name.1));
        }
        if mood == 7 && self.may_put_off(item.id) {
            return None;
        }
        Some(Answer {
            content: Content::text(String::from_utf8_lossy(content)),
            ..Answer::ok()
        })
    }

    fn may_put_off(&mut self, id: ItemId) -> bool {
        let times = self.put_off.entry(id).or_default();
        *times += 1;
        *times <= 2
    }

    /// As answers come: in another order, with some for nobody, and some twice.
    fn disorder(&mut self, answers: &mut Vec<Handled>) {
        if self.rng.random_ratio(1, 8) {
            let answer = Answer::rejected(Reason::Application, "for nobody");
            let id = ItemId(self.rng.random());
            answers.push(without_messages(id, answer));
        }
        if self.rng.random_ratio(1, 3) {
            answers.shuffle(&mut self.rng);
        }
        if self.rng.random_ratio(1, 8)
            && let Some(first) = answers.first()
        {
            let answer = Answer::rejected(Reason::Application, "twice");
            let id = first.id;
            answers.push(without_messages(id, answer));
        }
    }
}

fn without_messages(id: ItemId, answer: Answer) -> Handled {
    Handled {
        id,
        answer,
        messages: Vec::new(),
    }
}

fn has(batch: &Batch, kind: Kind) -> bool {
    has_kind(&batch.items, kind)
}

fn has_kind(items: &[Item], kind: Kind) -> bool {
    let is = |item: &Item| {
        let content = item.packet.content.items.first();
        let label = content.and_then(|content| read_label(content));
        label.is_some_and(|label| label.kind == kind)
    };
    items.iter().any(is)
}

fn unreached(message: &str) -> CallError {
    CallError {
        reached: false,
        ..CallError::passing(message)
    }
}

fn of_items(message: &str) -> CallError {
    CallError {
        failure: Failure::Items,
        ..CallError::passing(message)
    }
}

fn wrong_handler() -> CallError {
    CallError {
        failure: Failure::Handler,
        ..CallError::passing("it is the wrong one")
    }
}

fn deadline() -> CallError {
    CallError::passing("its time is over")
}
