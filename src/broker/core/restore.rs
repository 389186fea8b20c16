//! What was taken before this start and is not finished: it is here before anything is offered, in the order in which it was
//! taken, whatever the bounds.

use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::arrival::req_id_key;
use super::job::{Job, RequestNo, State};
use super::lane::{Class, LaneKey};
use super::queue::Queue;
use super::verdict::Tries;
use crate::handler::{HandlerSettings, ItemId};
use crate::store::{LetterId, Origin, TakenId};
use crate::types::Packet;

/// A run that is open.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) origin: Arc<Origin>,
    /// How long ago it was taken.
    pub(crate) age: Duration,
    pub(crate) packets: Vec<RestoredPacket>,
}

/// One packet of it.
#[derive(Debug)]
pub(crate) struct RestoredPacket {
    pub(crate) taken: TakenId,
    pub(crate) packet: Arc<Packet>,
    /// The dead letter that it sends anew.
    pub(crate) letter: Option<LetterId>,
    /// It waits for a person.
    pub(crate) held: bool,
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
        for restored in run.packets {
            let (packet, held) = (&restored.packet, restored.held);
            let expires = packet.ttl.map(|ttl| ttl.saturating_sub(run.age));
            let expires = expires.and_then(|left| now.checked_add(left));
            let job = self.restore_one(&settings, &run.origin, queue, restored, now);
            self.desk.jobs[job].expires = expires;
            self.desk.jobs[job].since = now.checked_sub(run.age).unwrap_or(now);
            self.apply_in_order(job, now);
            if held {
                self.hold_for_good(job);
            }
        }
        self.forget_queue_if_empty(queue);
        true
    }

    fn restore_one(
        &mut self,
        settings: &Arc<HandlerSettings>,
        origin: &Arc<Origin>,
        queue: Id<Queue>,
        restored: RestoredPacket,
        now: Instant,
    ) -> Id<Job> {
        let RestoredPacket {
            taken,
            packet,
            letter,
            held,
        } = restored;
        let class = Class::of(settings, &packet);
        let lane = self.lane_at_any_rate(
            LaneKey::of(settings, &origin.principal.tenant, class),
            settings,
        );
        let holder = self.lanes[lane].hold(&origin.principal, packet.size);
        let share = self.lanes[lane].share;
        self.shares.hold(share, packet.size);
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
            answer_bytes: 0,
            death: None,
            held,
            deciding: None,
            aside: false,
            letter,
        });
        if let Some(letter) = letter {
            self.letters.insert(letter, job);
        } else if packet.seq != 0 {
            self.queues[queue].place(packet.seq, job);
        } else if let Some(key) = req_id_key(origin, &packet) {
            self.req_ids.insert(key, job);
        }
        job
    }
}
