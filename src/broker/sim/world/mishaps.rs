//! What goes wrong.

use rand::Rng;

use super::World;
use crate::broker::sim::client::What;
use crate::broker::sim::gateway::{Ending, Gateway};
use crate::broker::sim::packet;
use crate::broker::sim::plan::Mishap;

impl World {
    pub(super) fn goes_wrong(&mut self, mishap: Mishap) {
        if !matches!(mishap, Mishap::Meddle) {
            self.note(|| format!("{mishap:?}"));
        }
        match mishap {
            Mishap::Restart => self.restart(Ending::Killed),
            Mishap::TakeOver => self.restart(Ending::Replaced),
            Mishap::Usurped => {
                self.figures.count("usurped");
                let (from, count) = (self.rng.random_range(0..64), self.rng.random_range(1..64));
                let domains = (from..from + count).map(|domain| domain % Gateway::DOMAINS);
                self.gateway.usurp(domains);
            }
            Mishap::Away(target, away) => {
                self.figures
                    .more("times a handler was away", u64::from(away.is_some()));
                let service = self.services.get_mut(&target);
                service.expect("it is called").set_away(away);
            }
            Mishap::Disk(disk) => {
                self.figures.count("times the disk went or came");
                self.store.hook.set_disk(disk);
            }
            Mishap::Meddle => self.meddle(),
        }
    }

    /// Everything but the store is gone. Who waited hears nothing.
    fn restart(&mut self, ending: Ending) {
        self.figures.count(match ending {
            Ending::Killed => "restarts",
            Ending::Replaced => "take-overs",
        });
        self.waiting.clear();
        let seed = self.rng.random();
        let restored = self.gateway.restart(ending, seed, self.now);
        self.figures.more("taken and restored", restored);
        self.checker.restored(self.gateway.core.sizes());
    }

    /// Somebody reads, or uses a place that is used.
    fn meddle(&mut self) {
        let at = self.rng.random_range(0..self.queues.len());
        let queue = &self.queues[at];
        let call = self.last_call + 1;
        let is_judged = queue.plan.manner.is_placed() && queue.plan.target.keeps();
        let used = queue.used();
        let sent = if is_judged && !used.is_empty() && self.rng.random() {
            self.figures.count("impostors");
            let index = used[self.rng.random_range(0..used.len())];
            let other = packet::impostor(&queue.packets[index], (at, index));
            queue.aside(call, What::Impostor, index, other)
        } else {
            self.figures.count("reads");
            let read = packet::read(queue.plan.target, call);
            queue.aside(call, What::Read, 0, read)
        };
        self.last_call = call;
        self.send(sent);
    }
}
