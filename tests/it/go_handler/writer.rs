//! One who writes a document, and asks until every packet is done.

use std::sync::Arc;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult};

use super::NAME;
use crate::support::{Trace, until_final};

/// What one request has.
const TOGETHER: usize = 2_000;
/// Every request whose first place is one above a multiple of this is sent again when it is done.
const AGAIN: usize = 10 * TOGETHER;

/// Sends each patch as an UPDATE of one document. The `req_id` and the place of a packet are its number in the trace, from 1.
pub struct Writer {
    client: Client,
    /// And the document's key.
    client_id: &'static str,
    trace: Arc<Trace>,
}

/// What became of packets.
#[derive(Default)]
pub struct Tally {
    pub ok: usize,
    /// Those with another final outcome.
    pub not: usize,
    /// The first of these.
    pub refused: Option<PacketResult>,
    /// Packets that were sent again after that, and told the same.
    pub again: usize,
}

impl Writer {
    pub fn new(client: Client, client_id: &'static str, trace: Arc<Trace>) -> Self {
        Self {
            client,
            client_id,
            trace,
        }
    }

    pub async fn write(self) -> Tally {
        let mut tally = Tally::default();
        for (done, patches) in self.trace.patches.chunks(TOGETHER).enumerate() {
            let done = done * TOGETHER;
            let packets = patches.iter().zip(done + 1..).map(|(patch, place)| {
                Packet::update(NAME, self.client_id)
                    .text(patch)
                    .req_id(place.to_string())
                    .seq(place as u64)
            });
            let request = BatchRequest::of(packets).client_id(self.client_id);
            let request = request.settle(NAME, done as u64);
            let results = until_final(&self.client, request.clone()).await;
            if done.is_multiple_of(AGAIN) {
                let again = until_final(&self.client, request).await;
                let outcomes = |results: &[PacketResult]| -> Vec<_> {
                    results.iter().map(PacketResult::outcome).collect()
                };
                assert_eq!(outcomes(&again), outcomes(&results), "final is final");
                assert!(again.iter().all(|result| result.replayed));
                tally.again += again.len();
            }
            assert_eq!(results.len(), patches.len());
            for (result, place) in results.into_iter().zip(done + 1..) {
                assert_eq!(result.req_id, place.to_string());
                tally.count(result);
            }
        }
        tally
    }
}

impl Tally {
    fn count(&mut self, result: PacketResult) {
        if result.outcome() == Outcome::Ok {
            self.ok += 1;
        } else {
            self.not += 1;
            self.refused.get_or_insert(result);
        }
    }
}
