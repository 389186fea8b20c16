//! Messages and records, as events and answers carry them.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use bytestring::ByteString;
use prost_types::Timestamp;

use super::proto;
use crate::types::{Form, Message, MessageBody, Record};

pub(crate) fn message(message: &Message) -> proto::Message {
    let mut out = proto::Message {
        topic: message.topic.as_str().to_owned(),
        headers: headers(&message.headers),
        id: format!("{:032x}", message.id.0),
        time: Some(Timestamp::from(message.time)),
        publisher: message.publisher.to_string(),
        ..proto::Message::default()
    };
    match &message.body {
        MessageBody::Content(Form::Bytes, data) => out.data = data.clone(),
        MessageBody::Content(Form::Text, data) => out.text = text(data.clone()),
        MessageBody::Record(changed) => out.record = Some(record(changed.clone())),
    }
    out
}

pub(crate) fn record(record: Record) -> proto::Record {
    let mut out = proto::Record {
        key: record.key.to_string(),
        version: record.version,
        created_at: Some(Timestamp::from(record.created_at)),
        updated_at: Some(Timestamp::from(record.updated_at)),
        updated_by: record.updated_by.to_string(),
        deleted: record.deleted,
        ..proto::Record::default()
    };
    match record.content {
        None => {}
        Some((Form::Bytes, data)) => out.data = data,
        Some((Form::Text, data)) => out.text = text(data),
    }
    out
}

pub(crate) fn headers<'a>(
    pairs: impl IntoIterator<Item = &'a (ByteString, ByteString)>,
) -> HashMap<String, String> {
    let owned = |(name, value): &(ByteString, ByteString)| (name.to_string(), value.to_string());
    pairs.into_iter().map(owned).collect()
}

/// Text was checked when it came in. Were it damaged since, it must not take down whoever tells it, nor become a frame that
/// no client can read: what is not UTF-8 is shown as U+FFFD.
pub(crate) fn text(data: Bytes) -> String {
    String::from_utf8(Vec::from(data))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The same, without a copy.
pub(crate) fn shown(data: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(data) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
