//! What is compared, as text.

use crate::store::{Entry, EntryKind};
use crate::types::{Answer, Message, MessageBody, Outcome, Reason};

pub(super) fn said(answer: &Answer) -> String {
    if answer.reason == Reason::Application {
        return answer.message.to_string();
    }
    if answer.outcome != Outcome::Ok {
        return format!("{:?}", answer.reason);
    }
    let Some(body) = &answer.body else {
        return "ok".into();
    };
    let records = body.records.iter();
    let records = records.map(|record| format!("{}@{}", record.key, record.version));
    records.collect::<Vec<_>>().join(",")
}

pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn text(entry: &Entry) -> String {
    match &entry.kind {
        EntryKind::Message(message) | EntryKind::Ephemeral(message) => message_text(message),
        EntryKind::Result(result) => format!("result {}", result.req_id),
    }
}

fn message_text(message: &Message) -> String {
    match &message.body {
        MessageBody::Content(_, bytes) => text_of(bytes),
        MessageBody::Record(record) => format!("{}@{}", record.key, record.version),
    }
}

pub(super) fn result_of(entry: &Entry) -> (u64, String, String) {
    match &entry.kind {
        EntryKind::Result(result) => (
            entry.position.0,
            result.req_id.to_string(),
            said(&result.answer),
        ),
        other => panic!("{other:?} is no result"),
    }
}
