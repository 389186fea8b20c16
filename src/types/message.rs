//! One message on a topic.

use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Form, Record, Topic};

/// Unique, and equal when the same publication is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

/// A message as it was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Whose names these are; empty where identities have no tenant.
    pub tenant: ByteString,
    pub topic: Topic,
    pub id: MessageId,
    /// When it was committed.
    pub time: SystemTime,
    /// The subject that published it; empty without identity and for handlers.
    pub publisher: ByteString,
    /// The client that published it, for `skip_own`; empty where it had no client_id.
    pub client_id: ByteString,
    pub headers: Vec<(ByteString, ByteString)>,
    pub body: MessageBody,
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageBody {
    Content(Form, Bytes),
    /// On the `records.` topics: the record after the change.
    Record(Record),
}

impl Message {
    /// About how much room it takes.
    pub fn size(&self) -> usize {
        let body = match &self.body {
            MessageBody::Content(_, bytes) => bytes.len(),
            MessageBody::Record(record) => record.size(),
        };
        let pairs = |(name, value): &(ByteString, ByteString)| name.len() + value.len() + 8;
        let headers: usize = self.headers.iter().map(pairs).sum();
        let names = self.topic.as_str().len() + self.publisher.len() + self.client_id.len();
        64 + names + headers + body
    }
}
