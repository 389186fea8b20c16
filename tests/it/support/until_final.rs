//! A client that does what the contract asks of one, until every packet is done.

use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, PacketResult};
use tokio::time::sleep;

/// Sends what is open again, until nothing is.
pub async fn until_final(client: &Client, mut request: BatchRequest) -> Vec<PacketResult> {
    let mut done: Vec<Option<PacketResult>> = vec![None; request.packets.len()];
    let mut open: Vec<usize> = (0..request.packets.len()).collect();
    loop {
        let results = client.sync(request.clone()).await.unwrap().results;
        assert_eq!(results.len(), open.len());
        let mut pause = Duration::ZERO;
        let mut still = Vec::new();
        let mut packets = Vec::new();
        for ((result, at), packet) in results.into_iter().zip(open).zip(request.packets) {
            if is_open(&result) {
                // What the contract asks of a client.
                let told = result.retry_after.and_then(|told| told.try_into().ok());
                pause = pause.max(told.unwrap_or_default());
                still.push(at);
                packets.push(packet);
            } else {
                done[at] = Some(result);
            }
        }
        if still.is_empty() {
            return done.into_iter().flatten().collect();
        }
        (open, request.packets) = (still, packets);
        sleep(pause).await;
    }
}

fn is_open(result: &PacketResult) -> bool {
    use Outcome::{Accepted, InDoubt, Retry};
    matches!(result.outcome(), Accepted | InDoubt | Retry)
}
