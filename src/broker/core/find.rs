//! Queues, lanes and chains: found, or made when the first packet needs them.

use std::sync::Arc;

use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::chain::{Chain, ChainKind, KeyChain};
use super::job::Job;
use super::lane::{Lane, LaneKey};
use super::queue::Queue;
use crate::handler::HandlerSettings;
use crate::store::QueueKey;
use crate::types::ClientKey;

impl Core {
    /// The queue of a client to a handler; one of its own for a call that stands alone.
    pub(super) fn queue(
        &mut self,
        client: Option<&Arc<ClientKey>>,
        settings: &HandlerSettings,
    ) -> Id<Queue> {
        let key = client.map(|client| QueueKey {
            client: client.clone(),
            handler: settings.name.clone(),
        });
        let known = key.as_ref().and_then(|key| self.queue_index.get(key));
        if let Some(&queue) = known {
            return queue;
        }
        let queue = self.queues.insert(Queue::new(key.clone()));
        if let Some(key) = key {
            self.queue_index.insert(key, queue);
        }
        queue
    }

    /// The lane of this key, if there is one or room for one. It is looked at again, whether a packet comes in or not: until
    /// then it stays, and an empty one goes afterwards.
    pub(super) fn lane(
        &mut self,
        key: LaneKey,
        settings: &Arc<HandlerSettings>,
    ) -> Option<Id<Lane>> {
        let known = self.lane_index.contains_key(&key);
        if !known && self.lanes.len() >= self.settings.lanes && !self.remove_idle_lane() {
            return None;
        }
        Some(self.lane_at_any_rate(key, settings))
    }

    /// The same, whatever the bound.
    pub(super) fn lane_at_any_rate(
        &mut self,
        key: LaneKey,
        settings: &Arc<HandlerSettings>,
    ) -> Id<Lane> {
        if let Some(&lane) = self.lane_index.get(&key) {
            self.notice(lane);
            return lane;
        }
        let key = key.owned();
        let backend = self.backend(settings, &key.class);
        let share = self.shares.enter(&key.handler);
        let mut lane = Lane::new(key.clone(), settings.clone(), backend, share);
        lane.flushing = self.draining;
        let lane = self.lanes.insert(lane);
        self.lane_index.insert(key, lane);
        self.notice(lane);
        lane
    }

    /// Puts a packet outside every order: any batch of its lane may take it.
    pub(super) fn run_free(&mut self, job: Id<Job>, now: Instant) {
        let (queue, lane) = (self.desk.jobs[job].queue, self.desk.jobs[job].at);
        let free = &self.queues[queue].free;
        let known = free.iter().find(|(of, _)| *of == lane);
        let chain = match known {
            Some(&(_, chain)) => chain,
            None => {
                let chain = self.chains.insert(Chain::new(ChainKind::Free(queue, lane)));
                self.queues[queue].free.push((lane, chain));
                chain
            }
        };
        self.append(chain, job, now);
    }

    pub(super) fn queue_chain(&mut self, queue: Id<Queue>) -> Id<Chain> {
        if let Some(chain) = self.queues[queue].chain {
            return chain;
        }
        let chain = self.chains.insert(Chain::new(ChainKind::Queue(queue)));
        self.queues[queue].chain = Some(chain);
        chain
    }

    pub(super) fn taken_chain(&mut self, queue: Id<Queue>) -> Id<Chain> {
        if let Some(chain) = self.queues[queue].taken {
            return chain;
        }
        let chain = self.chains.insert(Chain::new(ChainKind::Taken(queue)));
        self.queues[queue].taken = Some(chain);
        chain
    }

    pub(super) fn key_chain(&mut self, key: KeyChain) -> Id<Chain> {
        if let Some(&chain) = self.key_chains.get(&key) {
            return chain;
        }
        let chain = self.chains.insert(Chain::new(ChainKind::Key(key.clone())));
        self.key_chains.insert(key, chain);
        chain
    }
}
