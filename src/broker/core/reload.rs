//! A handler is driven otherwise from now on: other bounds of its batches, other retries, another way to call it.

use std::sync::Arc;

use super::Core;
use super::arena::Id;
use super::lane::Lane;
use crate::handler::HandlerSettings;

impl Core {
    /// What waits, and what comes, goes by these settings; what is in flight ends as it began. Nothing is lost, and no chain is
    /// in another order. They name a handler that is listed, and differ from those it has in `batch`, `retry` and what is
    /// called: the rest says which lanes and chains there are.
    pub(crate) fn reload(&mut self, settings: HandlerSettings) {
        let settings = Arc::new(settings);
        self.registry.replace(settings.clone());
        for lane in self.lanes.ids() {
            if self.lanes[lane].key.handler == settings.name {
                self.reload_lane(lane, settings.clone());
            }
        }
    }

    fn reload_lane(&mut self, id: Id<Lane>, settings: Arc<HandlerSettings>) {
        // What is ready is counted up to a whole batch: it is counted anew, and is as old as it was.
        let ready: Vec<_> = self.lanes[id].oldest.iter().copied().collect();
        for &(_, chain) in &ready {
            let counted = self.chains[chain].ready;
            self.detach(chain, counted.expect("what is among the oldest is ready"));
        }
        self.lanes[id].drive_by(settings);
        for (since, chain) in ready {
            self.attach(chain, since);
        }
        self.notice(id);
    }
}
