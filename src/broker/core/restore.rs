//! What was taken before this start and is not finished: it is here before anything is offered, in the order in which it was
//! taken, whatever the bounds.

use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;
use tokio::time::Instant;

use super::arena::Id;
use super::arrival::req_id_key;
use super::job::{Job, RequestNo, State};
use super::lane::{Class, LaneKey};
use super::queue::Queue;
use super::verdict::Tries;
use super::{Core, PACKET_COST};
use crate::handler::{HandlerSettings, ItemId};
use crate::store::{Origin, TakenId};
use crate::types::Packet;

/// A run that is open.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) origin: Arc<Origin>,
    /// How long ago it was taken.
    pub(crate) age: Duration,
    pub(crate) packets: Vec<(TakenId, Arc<Packet>)>,
}

impl Core {
    /// False: its handler is not there, or takes nothing any more. Nothing of the run comes in.
    pub(crate) fn restore(&mut self, now: Instant, run: Restored) -> bool {
        let handler = run.origin.handler.as_str();
        let settings = self.registry.resolve(handler).ok();
        let Some(settings) = settings.filter(|settings| settings.takes_first()) else {
            return false;
        };
        self.last_request += 1;
        let queue = self.queue(run.origin.client.as_ref(), &settings);
        for (taken, packet) in run.packets {
            let expires = packet.ttl.map(|ttl| ttl.saturating_sub(run.age));
            let expires = expires.and_then(|left| now.checked_add(left));
            let job = self.restore_one(&settings, &run.origin, queue, taken, packet, now);
            self.desk.jobs[job].expires = expires;
            self.desk.jobs[job].since = now.checked_sub(run.age).unwrap_or(now);
            self.apply_in_order(job, now);
        }
        self.forget_queue_if_empty(queue);
        true
    }

    fn restore_one(
        &mut self,
        settings: &Arc<HandlerSettings>,
        origin: &Arc<Origin>,
        queue: Id<Queue>,
        taken: TakenId,
        packet: Arc<Packet>,
        now: Instant,
    ) -> Id<Job> {
        let class = Class::of(settings, &packet);
        let lane = self.lane_at_any_rate(
            LaneKey::of(settings, &origin.principal.tenant, class),
            settings,
        );
        let holder = self.lanes[lane].hold(&origin.principal, packet.size);
        self.bytes += packet.size + PACKET_COST;
        self.queues[queue].jobs += 1;
        let turn = self.queues[queue].next_turn();
        let job = self.desk.jobs.insert(Job {
            packet: packet.clone(),
            origin: origin.clone(),
            item: ItemId::of_taken(taken),
            lane,
            at: lane,
            queue,
            chain: None,
            holder,
            request: RequestNo(self.last_request),
            turn,
            waiters: smallvec![],
            expires: None,
            since: now,
            state: State::Waiting,
            taken: Some(taken),
            attempts: 0,
            tries: Tries::default(),
            not_before: None,
            suspicion: None,
            // It may have been called before.
            doubted: true,
            awaited: false,
            answer: None,
            messages: Vec::new(),
        });
        if packet.seq != 0 {
            self.queues[queue].place(packet.seq, job);
        } else if let Some(key) = req_id_key(origin, &packet) {
            self.req_ids.insert(key, job);
        }
        job
    }
}
