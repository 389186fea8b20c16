//! A copy that was made while commits went on: what was told before it began is there, and of what came then a beginning.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::model::Model;
use super::super::plan::Plan;
use super::{Flying, Heard, Stopped, World, open_on};
use crate::store::embedded::OpenError;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::{Committing, Error, LetterId};

/// What was told when a copy was begun, and what was sent and may be in it.
pub(in super::super) struct Before {
    model: Model,
    letters: BTreeMap<u64, LetterId>,
    plans: Vec<Plan>,
}

impl World {
    pub(in super::super) fn before(&self) -> Before {
        Before {
            model: self.model.clone(),
            letters: self.letters.clone(),
            plans: self
                .flight
                .iter()
                .map(|flying| flying.plan.clone())
                .collect(),
        }
    }

    /// The next random commit, while a copy is made.
    pub(in super::super) async fn step_beside(
        &mut self,
        before: &mut Before,
        window: usize,
    ) -> Result<(), Stopped> {
        while self.flight.len() >= window {
            self.land().await?;
        }
        let plan = self.plan();
        before.plans.push(plan.clone());
        self.send(plan).await
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
        let plans = before.plans.into_iter();
        let flight: VecDeque<_> = plans
            .map(|plan| Flying {
                plan,
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
            letters: before.letters,
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
