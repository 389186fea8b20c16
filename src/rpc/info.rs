//! What `Info` answers.

use crate::handler::{HandlerSettings, Registry};
use crate::types::{Principal, limits};
use crate::wire::{handling, proto};

pub(super) fn info(registry: &Registry, principal: &Principal, node: &str) -> proto::InfoResponse {
    let handlers = registry.all();
    proto::InfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: node.to_owned(),
        subject: principal.subject.to_string(),
        tenant: principal.tenant.to_string(),
        max_packets: limits::REQUEST_PACKETS as u32,
        max_request_bytes: limits::REQUEST_BYTES as u64,
        max_packet_bytes: limits::PACKET_BYTES as u64,
        handlers: handlers.iter().map(|settings| handler(settings)).collect(),
    }
}

fn handler(settings: &HandlerSettings) -> proto::HandlerInfo {
    let actions = settings.drive.actions().iter();
    proto::HandlerInfo {
        name: settings.name.to_string(),
        kind: settings.kind.name().to_owned(),
        actions: actions
            .map(|action| handling::action(*action) as i32)
            .collect(),
        methods: settings.drive.methods().to_vec(),
        durable: settings.is_durable(),
    }
}
