//! One who writes a document, and asks until every packet is done.

use std::sync::Arc;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult};

use super::NAME;
use crate::support::{Trace, until_final};

/// What one request has.
const TOGETHER: usize = 4_000;

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
    /// Results that were told again.
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
            let results = until_final(&self.client, request).await;
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
        self.again += usize::from(result.replayed);
        if result.outcome() == Outcome::Ok {
            self.ok += 1;
        } else {
            self.not += 1;
            self.refused.get_or_insert(result);
        }
    }
}
