//! What must be equal in a repeat of a packet, as one number.

use bytestring::ByteString;
use xxhash_rust::xxh3::xxh3_64;

use crate::types::{Content, Form, PacketFile, Source};

/// The fields that count. Headers do not: a trace differs in every sending.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub(super) req_id: &'a str,
    pub(super) handler: &'a str,
    pub(super) action: i32,
    pub(super) method: &'a str,
    pub(super) key: &'a str,
    pub(super) content: &'a Content,
    pub(super) if_version: Option<u64>,
    /// In order of their names: on the wire a map has none.
    pub(super) files: &'a [(ByteString, PacketFile)],
}

/// Every part goes in with its length, so that no two packets run into the same bytes. `scratch` is reused from packet to
/// packet; what is long goes in as its own hash, so that it stays small.
pub(super) fn fingerprint(packet: &Counted<'_>, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    for name in [packet.req_id, packet.handler, packet.method, packet.key] {
        put(scratch, name.as_bytes());
    }
    scratch.extend_from_slice(&packet.action.to_le_bytes());
    scratch.push(u8::from(packet.content.form == Form::Text));
    put_number(scratch, packet.content.items.len() as u64);
    for item in &packet.content.items {
        put(scratch, item);
    }
    scratch.push(u8::from(packet.if_version.is_some()));
    put_number(scratch, packet.if_version.unwrap_or_default());
    for (field, file) in packet.files {
        put(scratch, field.as_bytes());
        put(scratch, file.name.as_bytes());
        put(scratch, file.content_type.as_bytes());
        put_number(scratch, file.size);
        put(scratch, &file.sha256);
        match &file.source {
            None => scratch.push(0),
            Some(Source::Content(content)) => {
                scratch.push(1);
                put(scratch, content);
            }
            Some(Source::Upload(id)) => {
                scratch.push(2);
                put(scratch, id.as_bytes());
            }
        }
    }
    xxh3_64(scratch)
}

fn put(scratch: &mut Vec<u8>, part: &[u8]) {
    const LONG: usize = 256;
    put_number(scratch, part.len() as u64);
    if part.len() > LONG {
        put_number(scratch, xxh3_64(part));
    } else {
        scratch.extend_from_slice(part);
    }
}

fn put_number(scratch: &mut Vec<u8>, number: u64) {
    scratch.extend_from_slice(&number.to_le_bytes());
}
