//! Judges a run by what clients sent, what they were told, and what the store has; it knows nothing of what lies between.

use std::collections::BTreeMap;

use super::jobs::{CRASH, POISON};
use crate::types::{Outcome, Packet};

/// Which packet: its queue, and its place in it.
pub(super) type Name = (usize, u64);

/// Something that the gateway said of a packet, to whomever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) name: Name,
    pub(super) outcome: Outcome,
    /// Whether the client had settled it before.
    pub(super) settled: bool,
}

/// What a run left.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) sent: BTreeMap<Name, &'a Packet>,
    /// What the client knew in the end.
    pub(super) ends: BTreeMap<Name, Option<Outcome>>,
    pub(super) told: &'a [Told],
    /// What the store told its tail, in order.
    pub(super) applied: &'a [Name],
    /// What was published with results.
    pub(super) published: &'a [Name],
}

impl Evidence<'_> {
    /// Everything that must not be, as sentences.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.applied_in_order(&mut wrong);
        let (mut times, mut published) = (times(self.applied), times(self.published));
        for (&name, packet) in &self.sent {
            let times = times.remove(&name).unwrap_or(0);
            self.ended_well(name, packet, times, &mut wrong);
            let published = published.remove(&name).unwrap_or(0);
            self.published_well(name, packet, published, &mut wrong);
        }
        wrong.extend(
            times
                .keys()
                .map(|name| format!("{name:?} was applied and never sent")),
        );
        self.told_one_thing(&mut wrong);
        wrong
    }

    /// Each queue's places go up, so nothing is applied twice either.
    fn applied_in_order(&self, wrong: &mut Vec<String>) {
        let mut reached: BTreeMap<usize, u64> = BTreeMap::new();
        for &(queue, seq) in self.applied {
            let before = reached.insert(queue, seq).unwrap_or(0);
            if seq == before {
                wrong.push(format!("{queue}:{seq} was applied twice"));
            } else if seq < before {
                wrong.push(format!("{queue}:{seq} was applied after {before}"));
            }
        }
    }

    fn ended_well(&self, name: Name, packet: &Packet, times: usize, wrong: &mut Vec<String>) {
        let outcome = self.ends.get(&name).copied().flatten();
        let (expected, or) = match is_refused_for_good(packet) {
            true => (Outcome::Rejected, Outcome::Rejected),
            false if packet.ttl.is_some() => (Outcome::Ok, Outcome::Expired),
            false => (Outcome::Ok, Outcome::Ok),
        };
        match outcome {
            None => wrong.push(format!(
                "{name:?} is stuck: its client was told nothing final"
            )),
            Some(told) if told != expected && told != or => {
                wrong.push(format!(
                    "{name:?} ended {told:?} and should be {expected:?}"
                ));
            }
            Some(Outcome::Ok) if times == 0 => wrong.push(format!("{name:?} is OK and lost")),
            Some(Outcome::Ok) => {}
            Some(told) if times > 0 => wrong.push(format!("{name:?} is {told:?} and was applied")),
            Some(_) => {}
        }
        if times > 1 {
            wrong.push(format!("{name:?} was applied {times} times"));
        }
    }

    /// With its result, once.
    fn published_well(&self, name: Name, packet: &Packet, times: usize, wrong: &mut Vec<String>) {
        let is_done = self.ends.get(&name).copied().flatten() == Some(Outcome::Ok);
        let expected = usize::from(is_done && packet.handler == "jobs");
        if times != expected {
            wrong.push(format!(
                "{name:?} published {times} times and should {expected}"
            ));
        }
    }

    /// One final outcome, ever, whoever asks; forgotten only once it was told and settled.
    fn told_one_thing(&self, wrong: &mut Vec<String>) {
        let mut first: BTreeMap<Name, Outcome> = BTreeMap::new();
        for told in self.told.iter().filter(|told| told.outcome.is_final()) {
            let name = told.name;
            if told.outcome == Outcome::Forgotten {
                if !told.settled {
                    wrong.push(format!("{name:?} was forgotten before it was settled"));
                }
                continue;
            }
            let before = *first.entry(name).or_insert(told.outcome);
            if before != told.outcome {
                wrong.push(format!(
                    "{name:?} was {before:?} and then {:?}",
                    told.outcome
                ));
            }
        }
    }
}

fn times(names: &[Name]) -> BTreeMap<Name, usize> {
    let mut times = BTreeMap::new();
    for &name in names {
        *times.entry(name).or_default() += 1;
    }
    times
}

/// What the packets of this model look like that no handler applies.
fn is_refused_for_good(packet: &Packet) -> bool {
    packet.refusal.is_some()
        || packet.action == crate::types::Action::Call
        || packet.key.starts_with("records.")
        || packet.key == POISON
        || packet.key == CRASH
        || packet.if_version.is_some()
}

#[test]
fn each_kind_of_violation_is_found() {
    use Outcome::{Forgotten, Ok, Rejected};
    let packet = super::client::sample();
    let found = |ends: Option<Outcome>, told: &[(Outcome, bool)], applied: &[Name]| {
        let name = (0, 1);
        let told = told.iter().map(|&(outcome, settled)| Told {
            name,
            outcome,
            settled,
        });
        let told: Vec<_> = told.collect();
        let evidence = Evidence {
            sent: BTreeMap::from([(name, &packet), ((0, 2), &packet)]),
            ends: BTreeMap::from([(name, ends), ((0, 2), Some(Ok))]),
            told: &told,
            applied,
            published: &[],
        };
        evidence.violations().join("; ")
    };
    let (first, second) = ((0, 1), (0, 2));
    assert_eq!(
        found(
            Some(Ok),
            &[(Ok, false), (Forgotten, true)],
            &[first, second]
        ),
        ""
    );
    let cases = [
        (
            found(Some(Ok), &[], &[first, first, second]),
            "applied twice",
        ),
        (found(Some(Ok), &[], &[second, first]), "applied after 2"),
        (found(Some(Ok), &[], &[second]), "OK and lost"),
        (found(None, &[], &[first, second]), "stuck"),
        (found(Some(Rejected), &[], &[second]), "ended Rejected"),
        (found(Some(Ok), &[], &[first, second, (1, 1)]), "never sent"),
        (
            found(Some(Ok), &[(Forgotten, false)], &[first, second]),
            "forgotten before",
        ),
        (
            found(
                Some(Ok),
                &[(Ok, false), (Rejected, false)],
                &[first, second],
            ),
            "and then",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{expected} is not in {found:?}");
    }
}
