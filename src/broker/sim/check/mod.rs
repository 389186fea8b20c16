//! Judges a run by what clients sent, what they were told, what was applied and how much was held; it knows nothing of what
//! lies between.

mod facts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::packet::{Kind, Name};
use super::plan::{Manner, Plan, Target};
use crate::broker::Settings;
use crate::broker::core::Sizes;
use crate::handler::Ordering;
use crate::types::{Answer, Outcome, Packet, Reason};

use self::facts::{Fact, Order, QueueFacts, is_of};

/// A promise that was broken, by its number in the README.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) promise: u32,
    pub(super) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}: {}", self.promise, self.what)
    }
}

/// More of one run say nothing new.
const MOST: usize = 20;

/// What is known of a run. Times are since its start.
#[derive(Debug)]
pub(super) struct Checker {
    queues: Vec<QueueFacts>,
    /// Of each key that has an order: the last one applied of each queue, and all of them as they were applied.
    keys: BTreeMap<(Target, String), KeyFacts>,
    bounds: Settings,
    /// What a start brought back comes in whatever the bounds.
    restored: (usize, usize),
    violations: Vec<Violation>,
}

#[derive(Debug, Default)]
struct KeyFacts {
    last: BTreeMap<usize, usize>,
    applied: Vec<Name>,
}

/// A request that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    pub(super) at: Duration,
    /// It is answered by then.
    pub(super) by: Duration,
}

impl Checker {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            queues: Vec::new(),
            keys: BTreeMap::new(),
            bounds: plan.settings.clone(),
            restored: (0, 0),
            violations: Vec::new(),
        }
    }

    /// There is another queue.
    pub(super) fn queue<'a>(
        &mut self,
        target: Target,
        manner: Manner,
        within: Option<Duration>,
        packets: impl Iterator<Item = (&'a Packet, Kind)>,
    ) {
        let fact = |(packet, kind): (&Packet, Kind)| {
            let order = match target.ordering() {
                _ if packet.unordered || manner == Manner::Alone || manner.is_flood() => {
                    Order::None
                }
                // What plans is applied as it is taken.
                Ordering::Client => Order::Queue,
                Ordering::Key if !packet.key.is_empty() => Order::Key(packet.key.to_string()),
                Ordering::Key | Ordering::None => Order::None,
            };
            Fact::new(kind, if target.keeps() { order } else { Order::None })
        };
        let packets = packets.map(fact).collect();
        self.queues
            .push(QueueFacts::new(target, manner, within, packets));
    }

    fn wrong(&mut self, promise: u32, what: impl FnOnce() -> String) {
        if self.violations.len() < MOST {
            let what = what();
            self.violations.push(Violation { promise, what });
        }
    }

    pub(super) fn sent(&mut self, at: Duration, queue: usize, indices: &[usize]) {
        for &index in indices {
            let fact = &mut self.queues[queue].packets[index];
            fact.first_sent.get_or_insert(at);
        }
    }

    /// The client knows what became of the first so many.
    pub(super) fn settled(&mut self, queue: usize, through: usize) {
        self.queues[queue].settled = self.queues[queue].settled.max(through);
    }

    pub(super) fn arrived(&mut self, queue: usize, indices: &[usize]) {
        for &index in indices {
            self.queues[queue].packets[index].copies += 1;
        }
    }

    /// A call is answered.
    pub(super) fn answered(
        &mut self,
        at: Duration,
        arrived: Arrived,
        queue: usize,
        answers: &[(bool, usize, &Answer)],
        asked: usize,
    ) {
        if answers.len() != asked || answers.iter().any(|(is_its_own, ..)| !is_its_own) {
            self.wrong(1, || {
                format!("queue {queue}: not one answer for each packet")
            });
        }
        if at > arrived.by {
            self.wrong(7, || {
                format!("queue {queue}: answered at {at:?}, after {:?}", arrived.by)
            });
        }
        for &(_, index, answer) in answers {
            self.told(at, (queue, index), answer);
        }
        let Some(within) = self.queues[queue].within else {
            return;
        };
        let took = at - arrived.at;
        if took > within {
            self.wrong(6, || {
                format!("queue {queue} waited {took:?}, and {within:?} is the most")
            });
        }
        if let Some((_, index, answer)) = answers
            .iter()
            .find(|(.., answer)| !answer.outcome.is_final())
        {
            let index = *index;
            self.wrong(6, || {
                format!("{:?} was put off: {answer:?}", (queue, index))
            });
        }
    }

    /// Something was said of a packet, in a call or on a stream.
    pub(super) fn told(&mut self, at: Duration, name: Name, answer: &Answer) {
        let queue = &mut self.queues[name.0];
        let (target, is_settled) = (queue.target, name.1 < queue.settled);
        let fact = &mut queue.packets[name.1];
        let outcome = answer.outcome;
        if matches!(outcome, Outcome::Ok | Outcome::Accepted) {
            fact.known_since.get_or_insert(at);
        }
        let told = answer.content.items.first();
        if outcome == Outcome::Ok && told.is_some_and(|told| !is_of(told, name)) {
            self.wrong(1, || format!("{name:?} was told {told:?}"));
        }
        if !outcome.is_final() || !target.keeps() && outcome != Outcome::Ok {
            if outcome == Outcome::Accepted && !target.keeps() {
                self.wrong(1, || format!("{name:?} is kept nowhere and was ACCEPTED"));
            }
            return;
        }
        if outcome == Outcome::Forgotten {
            if !is_settled {
                self.wrong(3, || {
                    format!("{name:?} was forgotten before it was settled")
                });
            }
            return;
        }
        let fact = &mut self.queues[name.0].packets[name.1];
        let before = *fact.end.get_or_insert(outcome);
        let is_given_up = answer.reason == Reason::HandlerFailed && outcome == Outcome::Rejected;
        fact.taken_for_poison |= is_given_up && fact.confused && !fact.kind.is_given_up();
        if is_given_up && !fact.kind.is_given_up() && !fact.confused {
            self.wrong(9, || format!("{name:?} was given up: {}", answer.message));
        } else if before != outcome {
            self.wrong(1, || {
                format!("{name:?} was {before:?} and then {outcome:?}")
            });
        }
    }

    /// What was told to somebody who used the place of another packet.
    pub(super) fn told_impostor(&mut self, name: Name, answer: &Answer) {
        let reused = answer.reason == Reason::ReqIdReused && answer.outcome == Outcome::Rejected;
        let open = matches!(answer.outcome, Outcome::Retry | Outcome::InDoubt);
        if !reused && !open && answer.outcome != Outcome::Forgotten {
            self.wrong(3, || {
                format!("other content in the place of {name:?} was told {answer:?}")
            });
        }
    }

    pub(super) fn applied(&mut self, name: Name, impostor: bool) {
        if impostor {
            return self.wrong(3, || {
                format!("other content in the place of {name:?} was applied")
            });
        }
        let known = self.queues.get_mut(name.0);
        let Some(queue) = known.filter(|queue| name.1 < queue.packets.len()) else {
            return self.wrong(3, || format!("{name:?} was applied and never sent"));
        };
        let fact = &mut queue.packets[name.1];
        fact.applied += 1;
        let (times, copies) = (fact.applied, fact.copies);
        let most = if queue.target.keeps() { 1 } else { copies };
        let order = fact.order.clone();
        let last = match &order {
            Order::None => None,
            Order::Queue => queue.last.replace(name.1),
            Order::Key(key) => {
                let target = queue.target;
                let key = self.keys.entry((target, key.clone())).or_default();
                key.applied.push(name);
                key.last.insert(name.0, name.1)
            }
        };
        if times > most {
            self.wrong(3, || format!("{name:?} was applied {times} times"));
        } else if let Some(last) = last
            && last > name.1
        {
            self.wrong(2, || {
                format!("{name:?} was applied after {last} of its order")
            });
        }
    }

    /// A call with it failed, and then its service was away: what is tolerated is that it is taken for poison.
    pub(super) fn confused(&mut self, (queue, index): Name) {
        let queue = self.queues.get_mut(queue);
        if let Some(fact) = queue.and_then(|queue| queue.packets.get_mut(index)) {
            fact.confused = true;
        }
    }

    pub(super) fn taken_for_poison(&self) -> u64 {
        let packets = self.queues.iter().flat_map(|queue| &queue.packets);
        packets.filter(|fact| fact.taken_for_poison).count() as u64
    }

    /// A service's answer brought a message.
    pub(super) fn published(&mut self, name: Name) {
        let queue = self.queues.get_mut(name.0);
        match queue.and_then(|queue| queue.packets.get_mut(name.1)) {
            Some(fact) => fact.published += 1,
            None => self.wrong(3, || format!("{name:?} was published and never sent")),
        }
    }

    pub(super) fn restored(&mut self, sizes: Sizes) {
        self.restored = (sizes.packets, sizes.bytes);
    }

    /// Nothing is larger than it may be.
    pub(super) fn holds(&mut self, sizes: Sizes) {
        let (packets, bytes) = self.restored;
        let Settings {
            bytes: most_bytes,
            lane_packets,
            lane_bytes,
            lanes,
            ..
        } = self.bounds;
        let ok = sizes.bytes <= most_bytes.max(bytes)
            && sizes.lane_packets <= lane_packets.max(packets)
            && sizes.lane_bytes <= lane_bytes.max(bytes)
            && sizes.lanes <= lanes
            && sizes.packets <= (lane_packets * sizes.lanes).max(packets);
        if !ok {
            self.wrong(7, || format!("too much is held: {sizes:?}"));
        }
    }

    /// Nothing more will happen. Gives what was wrong.
    pub(super) fn end(mut self, left: Sizes, held: usize) -> Vec<Violation> {
        for queue in 0..self.queues.len() {
            for index in 0..self.queues[queue].packets.len() {
                if let Some((promise, what)) = self.queues[queue].ended(index) {
                    self.wrong(promise, || format!("{:?} {what}", (queue, index)));
                }
            }
        }
        let keys = std::mem::take(&mut self.keys);
        for ((target, key), facts) in keys {
            if let Some((one, other)) = self.overtaken(&facts.applied) {
                self.wrong(2, || {
                    format!(
                        "{}, key {key}: {other:?} was sent after {one:?} was taken, and applied before it",
                        target.name()
                    )
                });
            }
        }
        if left.packets + left.calls + left.things > 0 {
            self.wrong(7, || format!("something is left in the broker: {left:?}"));
        }
        if held > 0 {
            self.wrong(7, || {
                format!("{held} copies are held that were never settled")
            });
        }
        self.violations
    }

    /// A packet that was applied before another one of its key, although that one was known to be taken when it was sent.
    fn overtaken(&self, applied: &[Name]) -> Option<(Name, Name)> {
        let fact = |name: &Name| &self.queues[name.0].packets[name.1];
        let mut earliest: Option<(Duration, Name)> = None;
        for name in applied.iter().rev() {
            if let (Some((known, other)), Some(sent)) = (earliest, fact(name).first_sent)
                && known < sent
            {
                return Some((other, *name));
            }
            if let Some(known) = fact(name).known_since
                && earliest.is_none_or(|(before, _)| known < before)
            {
                earliest = Some((known, *name));
            }
        }
        None
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = Option<Outcome>> {
        let packets = self.queues.iter().flat_map(|queue| &queue.packets);
        packets.map(|fact| fact.end)
    }

    pub(super) fn count_applied(&self) -> u64 {
        let packets = self.queues.iter().flat_map(|queue| &queue.packets);
        packets.map(|fact| u64::from(fact.applied > 0)).sum()
    }
}
