//! A plan as the store takes it.

use rand::Rng;
use smallvec::SmallVec;

use super::super::plan::{HANDLERS, Plan, PlannedEffect, PlannedLetter, PlannedUnit, TICKS};
use super::{CLIENTS, World};
use crate::store::conformance::{at, change, client, draft};
use crate::store::{
    Cause, Commit, Death, Domain, Effect, Finish, Letter, LetterId, Op, Owed, Place, QueueKey,
    Settle, Unit,
};
use crate::types::{Answer, HandlerName, Reason};

impl World {
    pub(super) fn commit_of(&mut self, plan: &Plan) -> Commit {
        let domain = self.random.random_range(0..2_usize);
        let mut commit = Commit::new(Domain(domain as u32), self.terms[domain], at(plan.time));
        let key = |(of, handler): (usize, usize)| QueueKey {
            client: client(CLIENTS[of]),
            handler: HandlerName::new(HANDLERS[handler]).unwrap(),
        };
        for (queue, through, req_ids) in &plan.settles {
            commit.settles.push(Settle {
                queue: key(*queue),
                through: *through,
                req_ids: req_ids.iter().map(|id| id.as_str().into()).collect(),
            });
        }
        for (queue, seq, req_id) in &plan.owed {
            commit.owed.push(Owed {
                queue: key(*queue),
                seq: *seq,
                req_id: req_id.as_str().into(),
            });
        }
        for finish in &plan.finishes {
            let message = finish.message.iter();
            commit.finishes.push(Finish {
                taken: self.ids[&finish.name],
                answer: Answer::rejected(Reason::Application, finish.said.as_str()).into(),
                messages: message.map(|(topic, text)| draft(topic, text)).collect(),
                awaited: finish.awaited,
                death: finish.death.then(|| death(finish.name)),
            });
        }
        for letter in &plan.letters {
            commit.letters.push(match letter {
                PlannedLetter::Hold(name) => Letter::Hold(self.ids[name], death(*name)),
                PlannedLetter::Release(name) => Letter::Release(self.ids[name]),
                PlannedLetter::Discard(name) => Letter::Discard(self.letters[name]),
            });
        }
        let tick = PlannedUnit {
            client: None,
            handler: TICKS,
            group: u64::MAX,
            place: Place::None,
            fingerprint: 1,
            req_id: String::new(),
            awaited: true,
            effect: PlannedEffect::Change(vec![(
                Op::Put,
                "tick".into(),
                None,
                plan.time.to_string(),
            )]),
            name: 0,
        };
        for unit in std::iter::once(&tick).chain(&plan.units) {
            let unit = self.unit_of(unit);
            commit.units.push(unit);
        }
        commit
    }

    pub(super) fn unit_of(&mut self, unit: &PlannedUnit) -> Unit {
        let effect = match &unit.effect {
            PlannedEffect::Answer(said) => {
                Effect::Answer(Answer::rejected(Reason::Application, said.as_str()))
            }
            PlannedEffect::Change(changes) => Effect::Change {
                collection: HANDLERS[unit.handler].into(),
                changes: changes
                    .iter()
                    .map(|(op, key, if_version, text)| change(*op, key, *if_version, text))
                    .collect(),
            },
            PlannedEffect::Publish(messages) => {
                let drafts = messages.iter().map(|(topic, text)| draft(topic, text));
                Effect::Publish(drafts.collect::<SmallVec<_>>())
            }
            PlannedEffect::Take => Effect::Take(format!("packet {}", unit.name).into()),
        };
        Unit {
            origin: self.origin(unit.client, unit.handler),
            group: unit.group,
            place: self.place_of(&unit.place),
            fingerprint: unit.fingerprint,
            req_id: unit.req_id.as_str().into(),
            awaited: unit.awaited,
            effect,
        }
    }

    /// As the store knows it: a dead letter by its number.
    pub(super) fn place_of(&self, place: &Place) -> Place {
        match place {
            Place::Letter(LetterId(name)) => Place::Letter(self.letters[name]),
            other => other.clone(),
        }
    }
}

fn death(name: u64) -> Box<Death> {
    Box::new(Death {
        cause: if name.is_multiple_of(2) {
            Cause::Poison
        } else {
            Cause::Spent
        },
        message: format!("why {name}").into(),
        attempts: name as u32,
        packet: format!("packet {name}").into(),
    })
}
