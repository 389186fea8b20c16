//! What goes out: chains become ready, and batches are filled from them.

use std::sync::Arc;

use tokio::time::Instant;

use super::arena::Id;
use super::chain::{Chain, Ready};
use super::job::{Job, State};
use super::lane::{Class, Lane, cost};
use super::meter::Why;
use super::search::Search;
use super::{BatchId, Core, expired};
use crate::handler::{Drive, HandlerSettings, ItemId};
use crate::store::{Death, Draft, LetterId, Origin, Owed, Settle, TakenId};
use crate::types::{Action, Answer, Packet};

/// A batch that leaves.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) batch: BatchId,
    pub(crate) kind: RunKind,
    pub(crate) settings: Arc<HandlerSettings>,
    /// Set when all items have the same one by the lane's nature.
    pub(crate) action: Option<Action>,
    /// To be applied before the items.
    pub(crate) settles: Vec<Settle>,
    /// The same.
    pub(crate) owed: Vec<Owed>,
    pub(crate) items: Vec<RunItem>,
    /// Instead of items, where it is the answers that are to be committed.
    pub(crate) finishes: Vec<RunFinish>,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunKind {
    /// Its handler is called.
    Call,
    /// It is committed as its handler plans, or read.
    Plan,
    /// It is taken.
    Take,
    /// Its answers are committed.
    Finish,
}

/// What becomes of a packet that was taken: mostly its final answer.
#[derive(Debug)]
pub(crate) struct RunFinish {
    pub(crate) taken: TakenId,
    pub(crate) origin: Arc<Origin>,
    /// `None`: it stays open, and is held if there is a `death`, or not any more.
    pub(crate) answer: Option<Arc<Answer>>,
    /// Set where it is given up.
    pub(crate) death: Option<Box<Death>>,
    /// Published with the answer.
    pub(crate) messages: Vec<Draft>,
    /// Whether a call waits for it.
    pub(crate) awaited: bool,
}

/// One packet of a batch that leaves.
#[derive(Debug)]
pub(crate) struct RunItem {
    pub(crate) id: ItemId,
    /// Items with the same number are one order; 0: no order.
    pub(crate) chain: u32,
    /// Items with the same number are one chain of one request.
    pub(crate) group: u64,
    pub(crate) origin: Arc<Origin>,
    pub(crate) packet: Arc<Packet>,
    pub(crate) expires: Option<Instant>,
    /// When it was let in, or taken.
    pub(crate) since: Instant,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    /// Whether a call waits for the answer.
    pub(crate) awaited: bool,
    /// The dead letter that it sends anew.
    pub(crate) letter: Option<LetterId>,
}

/// A batch that was handed over and has no answer yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(super) lane: Id<Lane>,
    pub(super) jobs: Vec<Id<Job>>,
    pub(super) started: Instant,
    /// How often the store did not take its answers.
    pub(super) failures: u32,
    /// Which call of its handler it is; 0: none.
    pub(super) call: u64,
    /// The latest call of its handler that had gone through when it left.
    pub(super) passed: u64,
    /// Whether it is the one call that shows whether calls go through.
    pub(super) probe: bool,
    /// Which search has it called.
    pub(super) search: Option<Id<Search>>,
}

/// A batch that is being filled.
struct Filling {
    lane: Id<Lane>,
    jobs: Vec<Id<Job>>,
    /// Packets that were answered while they waited, out of their chains now.
    gone: Vec<Id<Job>>,
    /// Taken ones whose time is over: their handler does not get them.
    expired: Vec<Id<Job>>,
    bytes: usize,
    /// Packets at most: fewer than usual where it is tried whether calls go through.
    room: usize,
    max_packets: usize,
    max_bytes: usize,
}

impl Filling {
    /// One larger than the bound travels alone.
    fn has_room(&self, size: usize) -> bool {
        let fits = self.jobs.len() < self.room && self.bytes + size <= self.max_bytes;
        fits || self.jobs.is_empty()
    }
}

impl Core {
    /// A packet waits at the end of its chain; where the gateway keeps no places, `seq` is the order among what is there.
    pub(super) fn append(&mut self, id: Id<Chain>, job: Id<Job>, now: Instant) {
        let Job {
            at, packet, held, ..
        } = &self.desk.jobs[job];
        let (lane, size, seq, held) = (*at, packet.size, packet.seq, *held);
        self.desk.jobs[job].chain = Some(id);
        if seq != 0 && !self.lanes[lane].settings.is_durable() {
            let (at, ready) = (self.ahead_of(id, job), self.chains[id].ready);
            if at < self.chains[id].jobs.len() {
                if let Some(ready) = ready {
                    self.detach(id, ready);
                }
                self.chains[id].jobs.insert(at, job);
                // Who comes later never makes the others wait longer.
                return self.attach(id, ready.map_or(now, |ready| ready.since));
            }
        }
        let cap = self.lanes[lane].limits.max_packets;
        let chain = &mut self.chains[id];
        chain.jobs.push_back(job);
        let free = !chain.is_ordered();
        let before = chain.jobs.len() - 1;
        match &mut chain.ready {
            Some(ready) if ready.lane == lane && ready.packets == before && !held => {
                if free || ready.packets < cap {
                    ready.packets += 1;
                    ready.bytes += size;
                    self.lanes[lane].ready_packets += 1;
                    self.lanes[lane].ready_bytes += size;
                    self.notice(lane);
                }
            }
            Some(_) => {}
            None => self.attach(id, now),
        }
    }

    /// Where a packet with a place goes in a chain: before the first of its own queue with a later one. The chain of a key
    /// has packets of other clients too, whose places mean nothing to it.
    fn ahead_of(&self, chain: Id<Chain>, job: Id<Job>) -> usize {
        let jobs = &self.chains[chain].jobs;
        let Job { queue, packet, .. } = &self.desk.jobs[job];
        if self.queues[*queue].is_last(packet.seq) {
            return jobs.len();
        }
        let behind = |other: &Id<Job>| {
            let other = &self.desk.jobs[*other];
            other.queue == *queue && other.packet.seq > packet.seq
        };
        jobs.iter().position(behind).unwrap_or(jobs.len())
    }

    /// Makes a chain's head run ready in the lane of its head, if it has one and is not busy.
    pub(super) fn attach(&mut self, id: Id<Chain>, now: Instant) {
        let chain = &self.chains[id];
        if chain.is_busy() || chain.ready.is_some() {
            return;
        }
        let Some(&head) = chain.jobs.front() else {
            return;
        };
        let head = &self.desk.jobs[head];
        // It waits for a person, and the others behind it.
        if head.held {
            return;
        }
        let lane = head.at;
        let limits = self.lanes[lane].limits;
        let cap = if chain.is_ordered() {
            limits.max_packets
        } else {
            usize::MAX
        };
        let (mut packets, mut bytes) = (0, 0);
        for &job in chain.jobs.iter().take(cap) {
            let job = &self.desk.jobs[job];
            if job.at != lane || job.held {
                break;
            }
            packets += 1;
            bytes += job.packet.size;
        }
        // What waited behind others of its chain is ready from now on; what just came, since it came.
        let since = if chain.is_ordered() {
            now
        } else {
            head.since.min(now)
        };
        let held = &mut self.lanes[lane];
        let client = held.fair.attach(&head.origin, id);
        held.ready_packets += packets;
        held.ready_bytes += bytes;
        held.oldest.insert((since, id));
        self.chains[id].ready = Some(Ready {
            lane,
            client,
            since,
            packets,
            bytes,
        });
        self.notice(lane);
    }

    pub(super) fn detach(&mut self, id: Id<Chain>, ready: Ready) {
        let lane = &mut self.lanes[ready.lane];
        lane.fair.detach(ready.client, id);
        lane.ready_packets -= ready.packets;
        lane.ready_bytes -= ready.bytes;
        lane.oldest.remove(&(ready.since, id));
        self.chains[id].ready = None;
    }

    /// Fills a batch. `None`: all that was ready had been answered already.
    pub(super) fn leave(&mut self, lane: Id<Lane>, now: Instant) -> Option<Run> {
        let held = &self.lanes[lane];
        let (limits, why) = (held.limits, held.why());
        let why = match why {
            Why::Flush if self.draining => Why::Drain,
            why => why,
        };
        let backend = held.backend.map(|backend| &self.backends[backend]);
        let room = match backend {
            Some(backend) if backend.is_probed() => 1,
            _ => limits.max_packets,
        };
        let mut filling = Filling {
            lane,
            room,
            jobs: Vec::with_capacity(held.ready_packets.min(room)),
            gone: Vec::new(),
            expired: Vec::new(),
            bytes: 0,
            max_packets: limits.max_packets,
            max_bytes: limits.max_bytes,
        };
        let mut served = Vec::new();
        while let Some((chain, allowance)) = self.lanes[lane].fair.turn() {
            served.push(chain);
            let full = self.serve(&mut filling, chain, allowance, now);
            if full {
                break;
            }
        }
        served.sort_unstable();
        served.dedup();
        for chain in served {
            self.close(chain, now);
        }
        for job in filling.gone {
            self.remove(job, now);
        }
        if !filling.expired.is_empty() {
            for &id in &filling.expired {
                self.desk.jobs[id].answer = Some(Arc::new(expired()));
            }
            self.finish(lane, filling.expired, now);
        }
        let settles = std::mem::take(&mut self.lanes[lane].settles);
        self.lanes[lane].settled_ids = 0;
        self.lanes[lane].owed_from = None;
        let settles: Vec<_> = settles.into_values().collect();
        if self.lanes[lane].oldest.is_empty() {
            self.lanes[lane].flushing = self.draining;
        }
        let owed = std::mem::take(&mut self.lanes[lane].owed);
        if filling.jobs.is_empty() && settles.is_empty() && owed.is_empty() {
            // Another lane of the handler may have waited for this one to try whether calls go through.
            if let Some(backend) = self.lanes[lane].backend {
                self.notice_all(backend);
            }
            return None;
        }
        if !filling.jobs.is_empty() {
            self.lanes[lane].meter.leaves(why);
        }
        let mut run = self.hand_over(lane, filling.jobs, None, now);
        (run.settles, run.owed) = (settles, owed);
        Some(run)
    }

    /// Takes from one chain what its turn allows. True: the batch is full.
    fn serve(
        &mut self,
        filling: &mut Filling,
        id: Id<Chain>,
        allowance: i64,
        now: Instant,
    ) -> bool {
        let mut ready = self.chains[id].ready.expect("a chain in turn is ready");
        let (first_packets, first_bytes) = (ready.packets, ready.bytes);
        let mut spent = 0;
        let mut full = false;
        // Of the ordered chain: whether what leaves now is over; the other kind waits.
        let (mut now_over, mut divided) = (None, false);
        while spent < allowance {
            // The run ends where another lane begins.
            let head = self.chains[id].jobs.front();
            let Some(&head) = head.filter(|_| ready.packets > 0) else {
                break;
            };
            let job = &self.desk.jobs[head];
            let size = job.packet.size;
            let gone = job.state == State::Gone;
            // That it expired is durable before anything behind it is applied: else a restart might apply it afterwards.
            let over = job.is_over(now);
            if !gone && self.chains[id].is_ordered() && *now_over.get_or_insert(over) != over {
                divided = true;
                break;
            }
            if !gone && !over && !filling.has_room(size) {
                full = true;
                break;
            }
            self.chains[id].jobs.pop_front();
            ready.packets -= 1;
            ready.bytes -= size;
            if gone {
                filling.gone.push(head);
                continue;
            }
            self.desk.jobs[head].state = State::InFlight;
            if let Some(expires) = self.desk.jobs[head].expires {
                self.expiring.remove(&(expires, head));
            }
            self.chains[id].in_flight += 1;
            if over {
                filling.expired.push(head);
                continue;
            }
            filling.jobs.push(head);
            filling.bytes += size;
            spent += cost(size, filling.max_packets, filling.max_bytes);
        }
        let lane = &mut self.lanes[filling.lane];
        lane.ready_packets -= first_packets - ready.packets;
        lane.ready_bytes -= first_bytes - ready.bytes;
        lane.fair.charge(ready.client, spent);
        self.chains[id].ready = Some(ready);
        if ready.packets == 0 || divided {
            self.detach(id, ready);
            // A free chain may have more behind.
            if !self.chains[id].is_busy() {
                self.attach(id, now);
            }
        }
        full
    }

    /// Part of the chain may have left: it is busy now.
    fn close(&mut self, id: Id<Chain>, now: Instant) {
        let chain = &self.chains[id];
        match chain.ready {
            Some(ready) if chain.is_busy() => self.detach(id, ready),
            Some(_) => {}
            None => self.settle_chain(id, now),
        }
    }

    /// `search`: which one has it called, and whether it is to be called with nothing beside it.
    pub(super) fn hand_over(
        &mut self,
        lane: Id<Lane>,
        jobs: Vec<Id<Job>>,
        search: Option<(Id<Search>, bool)>,
        now: Instant,
    ) -> Run {
        let held = &mut self.lanes[lane];
        held.leaves(now);
        let (mut call, mut passed, mut probe) = (0, 0, false);
        if let Some(backend) = held.backend {
            passed = self.backends[backend].passed;
            let alone = search.and_then(|(search, alone)| alone.then_some(search));
            (call, probe) = self.backends[backend].leaves(now, alone);
            if probe {
                held.probed = call;
            }
        }
        let (settings, action) = (held.settings.clone(), held.key.action());
        let kind = match (&held.key.class, &settings.drive) {
            (Class::Intake, _) => RunKind::Take,
            (_, Drive::Planned(_)) => RunKind::Plan,
            (_, Drive::Called(_)) => RunKind::Call,
        };
        let meter = &mut held.meter;
        meter.searched += u64::from(search.is_some());
        if !jobs.is_empty() {
            meter.fill.add(jobs.len() as u64);
        }
        // Packets of a request came together: how long they waited is worked out once.
        let (mut since, mut together) = (now, 0);
        let mut items: Vec<RunItem> = Vec::with_capacity(jobs.len());
        for &id in &jobs {
            let job = &mut self.desk.jobs[id];
            if job.attempts > 0 || search.is_some() {
                meter.again += 1;
            } else if job.since == since {
                together += 1;
            } else {
                meter
                    .waited
                    .add_time(now.saturating_duration_since(since), together);
                (since, together) = (job.since, 1);
            }
            job.not_before = None;
            let awaited = !job.waiters.is_empty();
            // What is called is not committed now.
            job.awaited |= awaited && kind != RunKind::Call;
            let chain = job.chain.filter(|&chain| self.chains[chain].is_ordered());
            let packet = match job.expires {
                Some(expires) if expires <= now && job.taken.is_none() && !job.doubted => {
                    expired_in_place(&job.packet)
                }
                _ => job.packet.clone(),
            };
            items.push(RunItem {
                id: job.item,
                chain: chain.map_or(0, |chain| chain.number() + 1),
                group: group(job),
                origin: job.origin.clone(),
                packet,
                expires: job.expires,
                since: job.since,
                attempt: job.attempts.saturating_add(1),
                awaited,
                letter: job.letter,
            });
        }
        meter
            .waited
            .add_time(now.saturating_duration_since(since), together);
        let batch = self.batches.insert(InFlight {
            lane,
            jobs,
            started: now,
            failures: 0,
            call,
            passed,
            probe,
            search: search.map(|(search, _)| search),
        });
        Run {
            batch,
            kind,
            settings,
            action,
            settles: Vec::new(),
            owed: Vec::new(),
            items,
            finishes: Vec::new(),
        }
    }
}

/// One number for each chain of each request, as far as one batch can tell.
fn group(job: &Job) -> u64 {
    let chain = job.chain.map_or(0, |chain| chain.number() + 1);
    job.request.0 << 32 | u64::from(chain)
}

/// A packet whose `ttl` passed while it waited, and that the store may know: a place is used up by the refusal.
fn expired_in_place(packet: &Arc<Packet>) -> Arc<Packet> {
    let mut packet = (**packet).clone();
    packet.refusal = Some(Box::new(expired()));
    Arc::new(packet)
}
