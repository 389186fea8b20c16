//! One who writes a document, and asks until every packet is done.

use std::sync::Arc;
use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult};
use tokio::time::sleep;

use super::NAME;
use crate::support::Trace;

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

/// Sends the whole request again while some of it is open. What was final once stays so.
pub async fn until_final(client: &Client, request: BatchRequest) -> Vec<PacketResult> {
    let mut before: Vec<PacketResult> = Vec::new();
    loop {
        let results = client.sync(request.clone()).await.unwrap().results;
        for (result, known) in results.iter().zip(&before) {
            if !is_open(known) {
                assert_eq!(result.outcome(), known.outcome(), "{known:?}, {result:?}");
            }
        }
        let open: Vec<_> = results.iter().filter(|result| is_open(result)).collect();
        if open.is_empty() {
            return results;
        }
        // What the contract asks of a client.
        let pauses = open.iter().filter_map(|result| result.retry_after);
        let longest = pauses
            .filter_map(|pause| Duration::try_from(pause).ok())
            .max();
        sleep(longest.unwrap_or_default()).await;
        before = results;
    }
}

fn is_open(result: &PacketResult) -> bool {
    use Outcome::{Accepted, InDoubt, Retry};
    matches!(result.outcome(), Accepted | InDoubt | Retry)
}
