//! A client that does what the contract asks of one, until every packet is done.

use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, PacketResult};
use tokio::time::sleep;

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
