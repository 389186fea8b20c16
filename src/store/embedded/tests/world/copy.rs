//! A copy that was made while commits went on: what was told before it began is there, and of what came then a beginning.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::model::Model;
use super::super::plan::{HANDLERS, Plan, TICKS};
use super::{Flying, Heard, Stopped, World, open_on};
use crate::store::embedded::OpenError;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::{Committing, Error, LetterId, Place, Store as _};
use crate::types::Record;

/// What was told when a copy was begun, and what was sent and may be in it.
pub(in super::super) struct Before {
    model: Model,
    letters: BTreeMap<u64, LetterId>,
    plans: Vec<Sent>,
}

/// A commit, and the numbers that dead letters had which it sends anew.
struct Sent {
    plan: Plan,
    anew: Vec<(u64, LetterId)>,
}

impl World {
    pub(in super::super) fn before(&self) -> Before {
        Before {
            model: self.model.clone(),
            letters: self.letters.clone(),
            plans: self
                .flight
                .iter()
                .map(|flying| self.sent(&flying.plan))
                .collect(),
        }
    }

    /// The next random commit, while a copy is made.
    pub(in super::super) async fn step_beside(
        &mut self,
        before: &mut Before,
    ) -> Result<(), Stopped> {
        self.land_all().await?;
        let plan = self.plan();
        before.plans.push(self.sent(&plan));
        self.send(plan).await
    }

    fn sent(&self, plan: &Plan) -> Sent {
        let places = plan.units.iter().map(|unit| &unit.place);
        let anew = places.filter_map(|place| match place {
            Place::Letter(LetterId(name)) => Some((*name, self.letters[name])),
            _ => None,
        });
        Sent {
            anew: anew.collect(),
            plan: plan.clone(),
        }
    }

    /// The copy, opened, in the place of this store, whose ids are not to be given again.
    pub(in super::super) async fn restored(
        &mut self,
        before: Before,
        image: SimulatedDisk,
    ) -> Result<Self, OpenError> {
        let (disk, heard) = (Arc::new(image), Arc::new(Heard::default()));
        let store = open_on(&disk, &self.options, heard.clone())?;
        let unknown = || Some(Error::Unavailable("it was after the copy, or not".into()));
        let version = |record: Option<Record>| record.map_or(0, |record| record.version);
        let there = version(store.record(HANDLERS[TICKS], "tick").await.unwrap());
        let within = there.saturating_sub(before.model.commits()) as usize;
        let mut letters = before.letters;
        for sent in before.plans.iter().take(within) {
            letters.extend(sent.anew.iter().copied());
        }
        let plans = before.plans.into_iter();
        let flight: VecDeque<_> = plans
            .map(|sent| Flying {
                plan: sent.plan,
                committing: Committing::Durable(Vec::new()),
                failed: unknown(),
            })
            .collect();
        let mut restored = Self {
            disk,
            options: self.options.clone(),
            store,
            heard,
            random: StdRng::seed_from_u64(self.random.random()),
            seen: (before.model.commits(), before.model.tail),
            ahead: before.model.clone(),
            model: before.model,
            flight,
            ids: self.ids.clone(),
            letters,
            terms: Vec::new(),
            origins: self.origins.clone(),
            next_name: self.next_name,
            pace: self.pace,
            told: 0,
            epochs: self.epochs.clone(),
            told_before: 0,
            seed: self.seed,
        };
        restored.resolve(true).await;
        restored.notice_epoch();
        Ok(restored)
    }

    /// How many commits it has that were not told when the copy was begun.
    pub(in super::super) fn commits_beyond(&self, before: u64) -> u64 {
        self.model.commits() - before
    }
}

impl Before {
    pub(in super::super) fn commits(&self) -> u64 {
        self.model.commits()
    }
}
