//! Messages, as they are made of what is committed.

use std::time::SystemTime;

use bytestring::ByteString;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::{Draft, Origin};
use crate::types::{Message, MessageBody, MessageId, Record, Topic};

pub(super) fn message_of(draft: Draft, origin: &Origin, now: SystemTime) -> Message {
    Message {
        tenant: origin.principal.tenant.clone(),
        topic: draft.topic,
        id: draft.id,
        time: now,
        publisher: origin.principal.subject.clone(),
        client_id: client_id(origin),
        headers: draft.headers,
        body: MessageBody::Content(draft.form, draft.data),
    }
}

/// Whoever sent the packet did not publish what its handler did: nobody's `skip_own` leaves it out.
pub(super) fn message_of_handler(draft: Draft, origin: &Origin, now: SystemTime) -> Message {
    Message {
        publisher: ByteString::new(),
        client_id: ByteString::new(),
        ..message_of(draft, origin, now)
    }
}

pub(super) fn message_about(
    record: Record,
    collection: &str,
    origin: &Origin,
    now: SystemTime,
) -> Message {
    Message {
        tenant: origin.principal.tenant.clone(),
        topic: Topic::of_record(origin.handler.as_str(), &record.key),
        id: id_of_version(collection, &record.key, record.version),
        time: now,
        publisher: origin.principal.subject.clone(),
        client_id: client_id(origin),
        headers: Vec::new(),
        body: MessageBody::Record(record),
    }
}

fn client_id(origin: &Origin) -> ByteString {
    let client = origin.client.as_ref();
    client.map_or_else(ByteString::new, |client| client.client_id.clone())
}

/// A version is never used again, so it names its message for good.
fn id_of_version(collection: &str, key: &str, version: u64) -> MessageId {
    let mut name: SmallVec<[u8; 256]> = SmallVec::new();
    name.extend_from_slice(&version.to_le_bytes());
    name.extend_from_slice(&(collection.len() as u64).to_le_bytes());
    name.extend_from_slice(collection.as_bytes());
    name.extend_from_slice(key.as_bytes());
    MessageId(xxh3_128(&name))
}
