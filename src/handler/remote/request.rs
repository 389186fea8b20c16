//! What is sent of a batch.

use prost_types::Timestamp;

use crate::handler::{Batch, Item};
use crate::types::Action;
use crate::wire::answer::duration;
use crate::wire::{handling, proto};

pub(super) fn of(batch: Batch) -> proto::HandleRequest {
    let action = batch
        .action
        .map_or(proto::Action::Unspecified, handling::action);
    let method = match (batch.action, batch.items.first()) {
        // A lane of CALLs is one method's.
        (Some(Action::Call), Some(item)) => item.packet.method().to_string(),
        _ => String::new(),
    };
    proto::HandleRequest {
        handler: batch.handler.to_string(),
        action: action.into(),
        method,
        batch_id: format!("{:032x}", rand::random::<u128>()),
        items: batch.items.into_iter().map(item).collect(),
    }
}

fn item(item: Item) -> proto::HandleItem {
    let client = item.origin.client.as_ref();
    proto::HandleItem {
        id: item.id.to_string(),
        chain: item.chain,
        principal: Some(handling::principal(&item.origin.principal)),
        client_id: client.map_or_else(String::new, |client| client.client_id.to_string()),
        attempt: item.attempt,
        remaining: item.remaining.map(duration),
        received_at: Some(Timestamp::from(item.received_at)),
        domain: item.fence.map_or(0, |fence| fence.domain.0),
        term: item.fence.map_or(0, |fence| fence.term.0),
        ..handling::item(&item.packet)
    }
}
