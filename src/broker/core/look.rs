//! What a person sees of the lanes. Looked up when it is asked for, so that nothing is kept for it.

use hashbrown::HashMap;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::backend::{Backend, CircuitState};
use super::job::State;
use super::lane::Lane;
use super::meter::{Fate, Meter, Why};
use crate::broker::lanes::{Amount, CircuitView, Counts, Flushed, LaneView, Selection};
use crate::types::Retry;

/// What stands in one lane.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    all: Amount,
    in_flight: Amount,
    oldest: Option<Instant>,
}

impl Core {
    /// The lanes that are named, in an order that does not change. Looks at every packet that is here.
    pub(crate) fn lanes(&self, now: Instant, selection: &Selection) -> Vec<LaneView> {
        let standing = self.standing();
        let ids = self.lanes.ids().into_iter();
        let mut views: Vec<_> = ids
            .filter(|&id| {
                let key = &self.lanes[id].key;
                selection.has_lane(&key.handler, &key.class)
            })
            .map(|id| self.view(id, standing.get(&id).copied().unwrap_or_default(), now))
            .collect();
        views.sort_by(|one, other| {
            let handlers = one.handler.as_str().cmp(other.handler.as_str());
            handlers
                .then_with(|| one.tenant.cmp(&other.tenant))
                .then_with(|| one.class.cmp(&other.class))
        });
        views
    }

    /// Everything that is ready in these leaves now, whatever the size of its batches.
    pub(crate) fn flush(&mut self, selection: &Selection) -> Flushed {
        let mut flushed = Flushed::default();
        for id in self.lanes.ids() {
            let lane = &mut self.lanes[id];
            if !selection.has_lane(&lane.key.handler, &lane.key.class) {
                continue;
            }
            let ready = !lane.oldest.is_empty();
            flushed.lanes += u32::from(ready);
            flushed.packets += lane.ready_packets as u64;
            lane.flushing = self.draining || ready;
            self.notice(id);
        }
        flushed
    }

    /// Since when the first of those that are in a lane has been here.
    pub(super) fn oldest(&self) -> HashMap<Id<Lane>, Instant> {
        let standing = self.standing().into_iter();
        standing
            .filter_map(|(lane, standing)| Some((lane, standing.oldest?)))
            .collect()
    }

    fn standing(&self) -> HashMap<Id<Lane>, Standing> {
        let mut standing: HashMap<Id<Lane>, Standing> = HashMap::new();
        let here = self.desk.jobs.iter().filter(|job| job.state != State::Gone);
        for job in here {
            let lane = standing.entry(job.at).or_default();
            lane.all.add(job.packet.size);
            let oldest = lane.oldest.get_or_insert(job.since);
            *oldest = job.since.min(*oldest);
        }
        for id in self.batches.iter().flat_map(|batch| &batch.jobs) {
            let job = &self.desk.jobs[*id];
            let lane = standing.entry(job.at).or_default();
            lane.in_flight.add(job.packet.size);
        }
        standing
    }

    fn view(&self, id: Id<Lane>, standing: Standing, now: Instant) -> LaneView {
        let lane = &self.lanes[id];
        let backend = lane.backend.map(|backend| &self.backends[backend]);
        let searches = self.searches.iter().filter(|search| search.lane == id);
        LaneView {
            handler: lane.key.handler.clone(),
            tenant: lane.key.tenant.clone(),
            class: lane.key.class.clone(),
            waiting: standing.all.without(standing.in_flight),
            in_flight: standing.in_flight,
            held: Amount {
                packets: lane.packets as u64,
                bytes: lane.bytes as u64,
            },
            oldest: standing
                .oldest
                .map(|oldest| now.saturating_duration_since(oldest)),
            counts: counts(&lane.meter),
            calls_in_flight: lane.calls,
            latency: lane.latency,
            backlog: lane.backlog(now),
            searches: searches.count(),
            circuit: backend.map_or(CircuitView::Closed, |backend| {
                circuit(backend, &lane.settings.retry, now)
            }),
        }
    }
}

fn counts(meter: &Meter) -> Counts {
    let left = |why: Why| meter.left[why as usize];
    let answered = meter.calls[Fate::Answered as usize];
    Counts {
        batches: meter.fill.count(),
        packets: meter.fill.sum(),
        idle: left(Why::Idle),
        whole: left(Why::Whole),
        latency: left(Why::Latency),
        window: left(Why::Window),
        flush: left(Why::Flush),
        drain: left(Why::Drain),
        search: meter.searched,
        failed: meter.calls.iter().sum::<u64>() - answered,
    }
}

fn circuit(backend: &Backend, retry: &Retry, now: Instant) -> CircuitView {
    match backend.state(now) {
        CircuitState::Closed => CircuitView::Closed,
        CircuitState::HalfOpen => CircuitView::Probing,
        CircuitState::Open => CircuitView::Open(backend.refuses(retry, now).unwrap_or_default()),
    }
}
