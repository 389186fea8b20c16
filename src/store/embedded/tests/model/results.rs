//! Results for streams, said plainly.

use super::{Model, Once};

impl Model {
    /// What a client's streams get: position, req_id and answer.
    pub(in super::super) fn results(&self, client: usize) -> Vec<(u64, String, String)> {
        let places = self.queues.iter().filter(|(queue, _)| queue.0 == client);
        let places = places.flat_map(|(_, known)| known.kept.values());
        let once = self.once.iter().filter(|((of, _), _)| *of == Some(client));
        let once = once.filter_map(|(_, once)| match once {
            Once::Kept(_, kept) => Some(kept),
            _ => None,
        });
        let owed = self
            .owed
            .iter()
            .filter(|((queue, ..), _)| queue.0 == client);
        let all = places.chain(once).chain(owed.map(|(_, kept)| kept));
        let mut all: Vec<_> = all
            .filter(|kept| kept.position > 0)
            .map(|kept| (kept.position, kept.req_id.clone(), kept.said.clone()))
            .collect();
        all.sort();
        all
    }
}
