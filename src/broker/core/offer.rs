//! What comes in: each packet of a request is refused, joined to a pending repeat, or let in.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use smallvec::{SmallVec, smallvec};
use tokio::time::Instant;

use super::arena::Id;
use super::arrival::{
    Arrival, LanePart, Order, Part, order, order_of_intake, req_id_key, unsupported,
};
use super::chain::KeyChain;
use super::job::{Call, Job, RequestNo, Slot, State, Waiter};
use super::lane::{Class, Holder, Lane, LaneKey};
use super::verdict::Tries;
use super::{CallId, Core};
use crate::broker::{Ack, Request, SettledPart};
use crate::handler::ItemId;
use crate::store::{Origin, QueueKey, Settle};
use crate::types::{Answer, Packet, Reason, limits};

/// About how long it takes until it is known which of two packets has a place.
const STORE_PAUSE: Duration = Duration::from_millis(100);

/// What becomes of an offered packet.
pub(super) enum Entry {
    Answered(Answer),
    /// Another sending of a packet that is under way.
    Joined(Id<Job>),
    LetIn(Id<Job>),
}

impl Core {
    /// A request comes in. Its answer comes out of [`Core::poll`].
    pub(crate) fn offer(&mut self, now: Instant, request: Request) -> CallId {
        self.last_request += 1;
        let request_no = RequestNo(self.last_request);
        let deadline = now + request.wait;
        let count = request.packets.len();
        let call = self.desk.calls.insert(Call {
            request: request_no,
            client: request.client.clone(),
            ack: request.ack,
            packets: request.packets,
            slots: Vec::with_capacity(count),
            open: 0,
            deadline,
        });
        self.calls_due.insert((deadline, call));
        let mut arrival = Arrival {
            now,
            request: request_no,
            ack: request.ack,
            principal: request.principal,
            client: request.client,
            parts: Vec::new(),
        };
        for settled in request.settled {
            self.settle(&arrival, settled);
        }
        for slot in 0..count {
            let packet = self.desk.calls[call].packets[slot].clone();
            let entry = self.enter(&mut arrival, packet);
            self.fill_slot(call, entry);
        }
        for part in &arrival.parts {
            self.forget_queue_if_empty(part.queue);
        }
        if self.desk.calls[call].open == 0 {
            self.desk.finished.push(call);
        }
        call
    }

    /// What became of the next packet of a call.
    pub(super) fn fill_slot(&mut self, call: CallId, entry: Entry) {
        let waiter = Waiter {
            call,
            slot: self.desk.calls[call].slots.len() as u32,
        };
        let slot = match entry {
            Entry::Answered(answer) => Slot::Done(answer),
            Entry::Joined(job) | Entry::LetIn(job) => {
                self.desk.jobs[job].waiters.push(waiter);
                self.desk.calls[call].open += 1;
                Slot::Open(job)
            }
        };
        self.desk.calls[call].slots.push(slot);
    }

    /// What a client is done with goes to the store with the next batch of the handler, ahead of its packets.
    fn settle(&mut self, arrival: &Arrival, settled: SettledPart) {
        let Some(client) = &arrival.client else {
            return;
        };
        let Ok(settings) = self.registry.resolve(&settled.handler) else {
            return;
        };
        let Some(class) = Class::of_commits(&settings) else {
            return;
        };
        let key = LaneKey::of(&settings, &arrival.principal.tenant, class);
        let Some(lane) = self.lane(key, &settings) else {
            return;
        };
        let queue = QueueKey {
            client: client.clone(),
            handler: settings.name.clone(),
        };
        // A bound like that of the packets: what does not fit is told again with the client's next request.
        let bound = self.settings.lane_packets;
        let lane = &mut self.lanes[lane];
        if lane.settles.len() >= bound && !lane.settles.contains_key(&queue) {
            return;
        }
        let waiting = lane.settles.entry(queue.clone()).or_insert_with(|| Settle {
            queue,
            through: 0,
            req_ids: Vec::new(),
        });
        waiting.through = waiting.through.max(settled.through);
        let known = settled.req_ids.iter();
        let known = known.filter(|req_id| req_id.len() <= limits::ID_BYTES);
        let room = bound.saturating_sub(lane.settled_ids);
        let before = waiting.req_ids.len();
        // Copies: they may wait longer than the request, whose buffer they share.
        let copies = known.take(room).map(|req_id| ByteString::from(&**req_id));
        waiting.req_ids.extend(copies);
        lane.settled_ids += waiting.req_ids.len() - before;
    }

    fn enter(&mut self, arrival: &mut Arrival, mut packet: Arc<Packet>) -> Entry {
        let at = match self.part(arrival, &packet.handler) {
            Ok(at) => at,
            Err(message) => {
                return Entry::Answered(Answer::rejected(Reason::UnknownHandler, message));
            }
        };
        let part = &arrival.parts[at];
        let durable = part.settings.is_durable();
        let refusal = match &packet.refusal {
            Some(refusal) => Some((**refusal).clone()),
            None => unsupported(&part.settings, &packet),
        };
        // A refusal of a packet with a place is recorded in its turn; any other is told at once and stops nothing.
        if let Some(refusal) = refusal {
            if !durable || packet.seq == 0 {
                return Entry::Answered(refusal);
            }
            if packet.refusal.is_none() && part.settings.takes_first() {
                let refused = Packet {
                    refusal: Some(Box::new(refusal)),
                    ..(*packet).clone()
                };
                packet = Arc::new(refused);
            }
        }
        if arrival.ack == Ack::Accepted && !durable && !packet.action.is_read() {
            let message = format!(
                "{} is not durable: it cannot be asked for ACK_ACCEPTED",
                part.settings.name
            );
            return Entry::Answered(Answer::rejected(Reason::InvalidPacket, message));
        }
        if packet.action.is_read() {
            return self.enter_read(arrival, at, packet);
        }
        if !arrival.parts[at].established {
            if let Err(message) = self.registry.establish(&arrival.parts[at].settings) {
                return Entry::Answered(Answer::rejected(Reason::UnknownHandler, message));
            }
            arrival.parts[at].established = true;
        }
        self.enter_write(arrival, at, packet)
    }

    fn enter_read(&mut self, arrival: &mut Arrival, at: usize, packet: Arc<Packet>) -> Entry {
        let (lane, holder) = match self.admit(arrival, at, &packet) {
            Ok(admitted) => admitted,
            Err(answer) => return Entry::Answered(answer),
        };
        let part = &arrival.parts[at];
        let (queue, unordered) = (part.queue, packet.unordered);
        let job = self.let_in(arrival, at, packet, (lane, lane), holder);
        if unordered || !self.queues[queue].hold_read(job) {
            self.run_free(job, arrival.now);
        }
        Entry::LetIn(job)
    }

    fn enter_write(&mut self, arrival: &mut Arrival, at: usize, packet: Arc<Packet>) -> Entry {
        let part = &arrival.parts[at];
        let queue = part.queue;
        let order = match part.settings.takes_first() {
            true => order_of_intake(&part.settings, &packet),
            false => order(&part.settings, &packet),
        };
        if part.has_ended(order, &packet) {
            return Entry::Answered(Answer::earlier_refused());
        }
        let req_id = req_id_key(&part.origin, &packet);
        let pending = match &req_id {
            _ if packet.seq != 0 => self.queues[queue].at(packet.seq),
            Some(key) => self.req_ids.get(key).copied(),
            None => None,
        };
        if let Some(job) = pending {
            let entry = self.join(job, &packet, arrival.ack, arrival.now);
            if matches!(&entry, Entry::Answered(answer) if answer.outcome.ends_chain()) {
                arrival.parts[at].end(order, &packet);
            }
            return entry;
        }
        let admitted = self.admit(arrival, at, &packet);
        let admitted = admitted.and_then(|(lane, holder)| {
            let first = match arrival.parts[at].settings.takes_first() {
                true => self.lane_of(arrival, at, Class::Intake)?.0,
                false => lane,
            };
            Ok(((lane, first), holder))
        });
        let (lanes, holder) = match admitted {
            Ok(admitted) => admitted,
            Err(answer) => {
                arrival.parts[at].end(order, &packet);
                return Entry::Answered(answer);
            }
        };
        let job = self.let_in(arrival, at, packet.clone(), lanes, holder);
        if packet.seq != 0 {
            self.queues[queue].place(packet.seq, job);
        } else if let Some(key) = req_id {
            self.req_ids.insert(key, job);
        }
        self.desk.jobs[job].turn = self.queues[queue].next_turn();
        match order {
            Order::Free => self.run_free(job, arrival.now),
            Order::Queue => {
                let chain = self.queue_chain(queue);
                self.append(chain, job, arrival.now);
            }
            Order::Key => {
                let part = &arrival.parts[at];
                let chain = self.key_chain(KeyChain {
                    handler: part.settings.name.clone(),
                    tenant: part.origin.principal.tenant.clone(),
                    key: packet.key.clone(),
                });
                self.append(chain, job, arrival.now);
            }
        }
        Entry::LetIn(job)
    }

    pub(super) fn join(&mut self, job: Id<Job>, packet: &Packet, ack: Ack, now: Instant) -> Entry {
        let pending = &self.desk.jobs[job];
        if pending.packet.fingerprint != packet.fingerprint {
            let message = "a packet with the same place or req_id and other content is under way";
            // Until the store has judged it, that one may be the wrong one.
            let is_judged =
                pending.taken.is_some() || !self.lanes[pending.lane].settings.is_durable();
            if is_judged {
                return Entry::Answered(Answer::reused(message));
            }
            let mut answer = Answer::retry(Reason::ReqIdReused, message);
            answer.retry_after = Some(self.later(STORE_PAUSE));
            return Entry::Answered(answer);
        }
        if pending.taken.is_some() && ack == Ack::Accepted {
            return Entry::Answered(Answer::accepted());
        }
        if pending.waiters.len() >= self.settings.waiters {
            let mut answer = Answer::retry(
                Reason::Overloaded,
                format!("{} calls wait for it already", self.settings.waiters),
            );
            let backlog = self.lanes[pending.lane].backlog(now);
            answer.retry_after = Some(self.later(backlog));
            return Entry::Answered(answer);
        }
        Entry::Joined(job)
    }

    /// Finds the packet's lane and its place in the bounds.
    pub(super) fn admit(
        &mut self,
        arrival: &mut Arrival,
        at: usize,
        packet: &Packet,
    ) -> Result<(Id<Lane>, Option<Id<Holder>>), Answer> {
        let class = Class::of(&arrival.parts[at].settings, packet);
        let (lane, holder) = self.lane_of(arrival, at, class)?;
        let part = &arrival.parts[at];
        let backend = self.lanes[lane].backend;
        let refuses = |id| self.backends[id].refuses(&part.settings.retry, arrival.now);
        if let Some(id) = backend
            && let Some(left) = refuses(id)
            && !self.lets_one_in(id)
        {
            let message = format!(
                "{} does not answer: it is tried again soon",
                part.settings.name
            );
            let mut answer = Answer::retry(Reason::HandlerUnavailable, message);
            answer.retry_after = Some(self.later(left));
            return Err(answer);
        }
        let held = &self.lanes[lane];
        let fits = self
            .shares
            .has_room(held.share, packet.size, self.settings.bytes);
        if fits && held.admits(&arrival.principal, packet.size, &self.settings) {
            return Ok((lane, holder));
        }
        let message = format!(
            "{} has {} packets of {} bytes waiting: no room for one more of yours now",
            part.settings.name, held.packets, held.bytes
        );
        let backlog = held.backlog(arrival.now);
        let mut answer = Answer::retry(Reason::Overloaded, message);
        answer.retry_after = Some(self.later(backlog));
        Err(answer)
    }

    pub(super) fn lane_of(
        &mut self,
        arrival: &mut Arrival,
        at: usize,
        class: Class,
    ) -> Result<(Id<Lane>, Option<Id<Holder>>), Answer> {
        let part = &mut arrival.parts[at];
        let found = part.lanes.iter().find(|lane| lane.class == class);
        if let Some(found) = found {
            return Ok((found.lane, found.holder));
        }
        let key = LaneKey::of(&part.settings, &arrival.principal.tenant, class.clone());
        let Some(lane) = self.lane(key, &part.settings) else {
            let message = format!(
                "{} has too many methods under way: no room for one more now",
                part.settings.name
            );
            let mut answer = Answer::retry(Reason::Overloaded, message);
            answer.retry_after = Some(self.later(Duration::from_secs(1)));
            return Err(answer);
        };
        part.lanes.push(LanePart {
            class,
            lane,
            holder: None,
        });
        Ok((lane, None))
    }

    /// `lanes`: in which it is counted, and in which it becomes ready first.
    pub(super) fn let_in(
        &mut self,
        arrival: &mut Arrival,
        at: usize,
        packet: Arc<Packet>,
        (lane, first): (Id<Lane>, Id<Lane>),
        holder: Option<Id<Holder>>,
    ) -> Id<Job> {
        let part = &mut arrival.parts[at];
        let held = &mut self.lanes[lane];
        let holder = match holder {
            Some(holder) => {
                held.hold_more(holder, packet.size);
                holder
            }
            None => {
                let holder = held.hold(&arrival.principal, packet.size);
                let known = part.lanes.iter_mut().find(|known| known.lane == lane);
                known.expect("admitted through it").holder = Some(holder);
                holder
            }
        };
        held.idle_until = None;
        if first != lane {
            self.lanes[first].passing += 1;
            self.lanes[first].idle_until = None;
        }
        let share = self.lanes[lane].share;
        self.shares.hold(share, packet.size);
        self.queues[part.queue].jobs += 1;
        self.last_item += 1;
        let expires = packet.ttl.and_then(|ttl| arrival.now.checked_add(ttl));
        let job = self.desk.jobs.insert(Job {
            packet,
            origin: part.origin.clone(),
            item: ItemId::passing(self.start, self.last_item),
            lane,
            at: first,
            queue: part.queue,
            chain: None,
            holder,
            request: arrival.request,
            turn: 0,
            waiters: smallvec![],
            expires,
            since: arrival.now,
            state: State::Waiting,
            taken: None,
            attempts: 0,
            tries: Tries::default(),
            not_before: None,
            suspicion: None,
            doubted: false,
            awaited: false,
            answer: None,
            messages: Vec::new(),
            answer_bytes: 0,
            death: None,
            held: false,
            deciding: None,
            aside: false,
            letter: None,
        });
        if let Some(expires) = expires {
            self.expiring.insert((expires, job));
        }
        job
    }

    /// The part of the request for this handler.
    pub(super) fn part(
        &mut self,
        arrival: &mut Arrival,
        name: &ByteString,
    ) -> Result<usize, String> {
        // Most requests name one handler: the last one first.
        if let Some(at) = arrival.parts.iter().rposition(|part| part.name == *name) {
            return Ok(at);
        }
        let settings = self.registry.resolve(name)?;
        let queue = self.queue(arrival.client.as_ref(), &settings);
        let origin = Arc::new(Origin {
            principal: arrival.principal.clone(),
            client: arrival.client.clone(),
            handler: settings.name.clone(),
        });
        arrival.parts.push(Part {
            name: name.clone(),
            settings,
            origin,
            queue,
            lanes: SmallVec::new(),
            established: false,
            ended: false,
            ended_keys: Vec::new(),
        });
        Ok(arrival.parts.len() - 1)
    }
}
