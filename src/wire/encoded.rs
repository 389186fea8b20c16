//! The bytes of a packet, for tests that make packets and not bytes.

use bytes::Bytes;
use prost::Message as _;

use super::answer::duration;
use super::proto;
use crate::types::{Action, Packet};

/// What its bytes were.
pub(crate) fn encoded(packet: &Packet) -> Bytes {
    let number = match packet.action {
        Action::Create => proto::Action::Create,
        Action::Put => proto::Action::Put,
        _ => proto::Action::Call,
    };
    let text = |item: &Bytes| String::from_utf8(item.to_vec()).unwrap();
    let message = proto::Packet {
        req_id: packet.req_id.to_string(),
        handler: packet.handler.to_string(),
        seq: packet.seq,
        action: number.into(),
        key: packet.key.to_string(),
        text: packet.content.items.iter().map(text).collect(),
        if_version: packet.if_version,
        ttl: packet.ttl.map(duration),
        ..proto::Packet::default()
    };
    message.encode_to_vec().into()
}
