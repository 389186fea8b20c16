//! Many clients, and what they are told.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::Client;
use tidegate_client::proto::PacketResult;

use crate::support::Gateway;

/// Each on a connection of its own.
pub async fn clients(gateway: &Gateway, count: usize) -> Vec<Client> {
    join_all((0..count).map(|_| gateway.client())).await
}

/// None: nothing is to be waited for.
pub fn retry_after(result: &PacketResult) -> Duration {
    let told = result.retry_after;
    told.map_or(Duration::ZERO, |told| told.try_into().unwrap())
}
