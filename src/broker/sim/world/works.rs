//! What a gateway has in hand: batches on their way to the store, and calls of services.

use rand::Rng;

use super::{Event, World};
use crate::broker::sim::client::Queue;
use crate::broker::sim::gateway::Looked;
use crate::broker::sim::network;
use crate::broker::sim::packet::read_label;
use crate::broker::sim::plan::Target;
use crate::store::KeptResult;

impl World {
    /// Goes on with what a gateway has in hand.
    pub(super) fn look(&mut self, work: u64) {
        match self.gateway.look(work) {
            Looked::Nothing => {}
            Looked::Done(batch, done) => {
                let later = self.part_of(self.commit);
                let life = self.gateway.life;
                self.after(later, Event::Completed(life, batch, done));
            }
            Looked::Calls => self.call(work),
        }
        self.see();
    }

    fn call(&mut self, work: u64) {
        let Some(asked) = self.door.take() else {
            return;
        };
        let target = Target::named(asked.batch.handler.as_str()).expect("it is of the model");
        self.last_event += 1;
        let call = self.last_event;
        self.figures.count("calls");
        self.note(|| {
            let items = asked.batch.items.iter();
            let labels = items.map(|item| item.packet.content.items.first().cloned());
            let labels: Vec<_> = labels.map(Option::unwrap_or_default).collect();
            format!("calls {} {call} {labels:?}", target.name())
        });
        let service = self.services.get_mut(&target).expect("it is called");
        let fate = service.is_called(call, asked, self.now);
        for name in std::mem::take(&mut service.confused) {
            self.checker.confused(name);
        }
        self.service_calls.insert(call, (target, work));
        if let Some(works) = fate.works {
            self.after(works, Event::Works(call));
        }
        self.after(fate.replies, Event::Replies(call));
    }

    pub(super) fn works(&mut self, call: u64) {
        let Some(&(target, _)) = self.service_calls.get(&call) else {
            return;
        };
        let service = self.services.get_mut(&target).expect("it is called");
        match service.works(call, self.now) {
            Ok(applied) => {
                self.note(|| format!("{} {call} applies {applied:?}", target.name()));
                for (queue, index) in applied {
                    self.checker.applied((queue, index), queue == usize::MAX);
                }
            }
            Err(calls) => {
                self.note(|| format!("{} {call} crashes: {calls:?}", target.name()));
                for call in calls {
                    self.replies(call);
                }
            }
        }
    }

    pub(super) fn replies(&mut self, call: u64) {
        let Some(&(target, work)) = self.service_calls.get(&call) else {
            return;
        };
        self.note(|| format!("{} {call} is back", target.name()));
        self.services
            .get_mut(&target)
            .expect("it is called")
            .replies(call);
        if let Looked::Done(batch, done) = self.gateway.look(work) {
            self.gateway.core.complete(self.now, batch, done);
        }
    }

    /// What the store told since it was looked at last.
    fn see(&mut self) {
        for content in self.witness.take_applied() {
            let label = read_label(&content).expect("the model's own content");
            self.note(|| format!("applies {:?}", label.name));
            self.checker.applied(label.name, label.impostor);
        }
        for content in self.witness.take_published() {
            let label = read_label(&content).expect("the model's own content");
            self.checker.published(label.name);
        }
        for result in self.witness.take_results() {
            self.streamed(&result);
        }
    }

    fn streamed(&mut self, result: &KeptResult) {
        let of = |queue: &&Queue| {
            queue.client.as_deref() == Some(&*result.client)
                && queue.plan.target.name() == result.handler.as_str()
        };
        let Some(queue) = self.queues.iter().position(|queue| of(&queue)) else {
            return;
        };
        let known = &self.queues[queue].packets;
        let index = match result.seq {
            0 => known
                .iter()
                .position(|packet| packet.req_id == result.req_id),
            seq => Some(seq as usize - 1),
        };
        let Some(index) = index else { return };
        self.figures.count("results for streams");
        self.checker
            .told(self.now - self.start, (queue, index), &result.answer);
        if self.rng.random_ratio(1, 4) {
            let delay = network::delay(&mut self.rng);
            self.after(delay, Event::Streamed(queue, index));
        }
    }
}
