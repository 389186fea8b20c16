//! Clients that do as they are told: what is open they send again, after the time that they were told to wait.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, PacketResult};
use tokio::time::sleep;

use crate::support::Gateway;

/// Each on a connection of its own.
pub async fn clients(gateway: &Gateway, count: usize) -> Vec<Client> {
    join_all((0..count).map(|_| gateway.client())).await
}

/// Sends this until everything in it is final, and gives the results.
pub async fn until_final(client: &Client, request: BatchRequest) -> Vec<PacketResult> {
    loop {
        let results = client.sync(request.clone()).await.unwrap().results;
        let open = results.iter().filter(|result| !result.outcome().is_final());
        let told: Vec<_> = open.map(retry_after).collect();
        match told.iter().max() {
            None => return results,
            Some(pause) => sleep(*pause).await,
        }
    }
}

/// None: nothing is to be waited for.
pub fn retry_after(result: &PacketResult) -> Duration {
    let told = result.retry_after;
    told.map_or(Duration::ZERO, |told| told.try_into().unwrap())
}
