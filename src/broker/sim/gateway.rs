//! The gateway of the model: the real state machine, the real way to the store and to services, and what a start has in hand.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::task::noop_waker_ref;
use tokio::time::Instant;

use super::plan::{Plan, Target};
use super::service::Door;
use super::store::Unsteady;
use crate::broker::Settings;
use crate::broker::apply::Applier;
use crate::broker::core::{BatchId, Completed, Core, Run};
use crate::broker::restore::restored;
use crate::handler::{
    Drive, HandlerSettings, Kind, Records, Registry, TopicRules, Topics, Unlisted,
};
use crate::store::hooked::Hooked;
use crate::store::{Domain, Store};
use crate::types::HandlerName;

/// Something that a start of the gateway has in hand: a batch on its way to the store, or a call.
struct Work {
    life: u32,
    batch: BatchId,
    future: Pin<Box<dyn Future<Output = Completed> + Send>>,
}

/// What became of a work that was looked at.
pub(super) enum Looked {
    /// It calls a service, and has no answer yet.
    Calls,
    /// It is done; the start that wants to know is still there.
    Done(BatchId, Completed),
    Nothing,
}

/// Whether what a start had in hand ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The process is gone. What is on its way to services is not.
    Killed,
    /// It was replaced, and does not know.
    Replaced,
}

pub(super) struct Gateway {
    pub(super) core: Core,
    applier: Applier,
    registry: Arc<Registry>,
    settings: Settings,
    store: Arc<Hooked<Unsteady>>,
    /// Which start this is: what an earlier one had in hand tells nobody.
    pub(super) life: u32,
    works: BTreeMap<u64, Work>,
    last_work: u64,
}

impl Gateway {
    pub(super) fn new(plan: &Plan, door: Arc<Door>, store: Arc<Hooked<Unsteady>>) -> Self {
        let registry = Arc::new(registry(plan, door));
        let settings = plan.settings.clone();
        Self {
            core: Core::new(registry.clone(), settings.clone()),
            applier: Applier::new(store.clone()),
            registry,
            settings,
            store,
            life: 0,
            works: BTreeMap::new(),
            last_work: 0,
        }
    }

    /// A batch leaves. [`Gateway::look`] carries it out.
    pub(super) fn leaves(&mut self, run: Run) -> u64 {
        self.last_work += 1;
        let work = Work {
            life: self.life,
            batch: run.batch,
            future: Box::pin(self.applier.clone().apply(run)),
        };
        self.works.insert(self.last_work, work);
        self.last_work
    }

    /// Goes on with a work as far as it gets.
    pub(super) fn look(&mut self, number: u64) -> Looked {
        let Some(work) = self.works.get_mut(&number) else {
            return Looked::Nothing;
        };
        let is_old = work.life != self.life;
        self.store.hook.set_deposed(is_old);
        let mut context = Context::from_waker(noop_waker_ref());
        let polled = work.future.as_mut().poll(&mut context);
        self.store.hook.set_deposed(false);
        let Poll::Ready(completed) = polled else {
            return Looked::Calls;
        };
        let batch = work.batch;
        self.works.remove(&number);
        match is_old {
            true => Looked::Nothing,
            false => Looked::Done(batch, completed),
        }
    }

    /// Another start with the same store: everything else is gone. Gives how many packets came back.
    pub(super) fn restart(&mut self, ending: Ending, seed: u64, now: Instant) -> u64 {
        self.life += 1;
        match ending {
            Ending::Killed => self.works.clear(),
            Ending::Replaced => self.usurp(0..Self::DOMAINS),
        }
        let settings = Settings {
            seed,
            ..self.settings.clone()
        };
        self.core = Core::new(self.registry.clone(), settings);
        self.applier = Applier::new(self.store.clone());
        let runs = self.store.open_runs().now_or_never();
        let runs = runs.expect("memory waits for nothing").unwrap();
        let mut packets = 0;
        // The wall clock has no say in a run: as if all of it were taken now.
        for run in restored(runs, SystemTime::UNIX_EPOCH) {
            packets += run.packets.len() as u64;
            assert!(self.core.restore(now, run), "its handler is there");
        }
        packets
    }

    /// So many there are.
    pub(super) const DOMAINS: u32 = 64;

    /// Another owner takes these domains over.
    pub(super) fn usurp(&self, domains: impl Iterator<Item = u32>) {
        for domain in domains {
            let taken = self.store.memory.take_over(Domain(domain)).now_or_never();
            taken.expect("memory waits for nothing").unwrap();
        }
    }
}

fn registry(plan: &Plan, door: Arc<Door>) -> Registry {
    let handler = |target: Target| {
        let (_, batch, mixed_actions) = plan.handlers[target as usize];
        let (kind, drive) = match target {
            Target::Topics => {
                let rules = TopicRules::default();
                (Kind::Topics, Drive::Planned(Arc::new(Topics { rules })))
            }
            Target::Orders => (Kind::Records, Drive::Planned(Arc::new(Records))),
            _ => (Kind::Custom, Drive::Called(Arc::new(door.clone()))),
        };
        HandlerSettings {
            name: HandlerName::new(target.name()).unwrap(),
            kind,
            ordering: target.ordering(),
            mixed_actions: mixed_actions || !target.is_called(),
            isolate_tenants: false,
            batch,
            durable: target.keeps(),
            retry: plan.retry,
            drive,
        }
    };
    let listed = Target::ALL.map(handler).to_vec();
    Registry::new(listed, handler(Target::Orders), Unlisted::AreUnknown)
}
