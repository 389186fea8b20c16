//! What the gateway tells, for programs: the names of the contract, what is not there left out, bytes in base64.

use std::collections::HashMap;
use std::time::SystemTime;

use prost_types::Timestamp;
use serde_json::{Map, Value, json};
use tidegate_client::proto::{Message, PacketResult, Reason, Record};

use super::content::base64;

pub(super) fn result(result: &PacketResult) -> Value {
    let mut object = Map::new();
    object.insert("outcome".into(), outcome(result).into());
    if result.reason() != Reason::Unspecified {
        object.insert("reason".into(), reason(result).into());
    }
    text(&mut object, "handler", &result.handler);
    text(&mut object, "req_id", &result.req_id);
    number(&mut object, "seq", result.seq);
    text(&mut object, "code", &result.code);
    text(&mut object, "message", &result.message);
    if result.replayed {
        object.insert("replayed".into(), true.into());
    }
    list(
        &mut object,
        "text",
        result.text.iter().map(|text| json!(text)),
    );
    list(
        &mut object,
        "data",
        result.data.iter().map(|data| json!(base64(data))),
    );
    list(&mut object, "records", result.records.iter().map(record));
    list(&mut object, "messages", result.messages.iter().map(message));
    headers(&mut object, &result.headers);
    text(&mut object, "next_page_token", &result.next_page_token);
    object.into()
}

pub(super) fn record(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("key".into(), record.key.clone().into());
    object.insert("version".into(), record.version.into());
    if record.deleted {
        object.insert("deleted".into(), true.into());
    }
    content(&mut object, &record.text, &record.data);
    time(&mut object, "created_at", record.created_at);
    time(&mut object, "updated_at", record.updated_at);
    text(&mut object, "updated_by", &record.updated_by);
    object.into()
}

pub(super) fn message(message: &Message) -> Value {
    let mut object = Map::new();
    object.insert("topic".into(), message.topic.clone().into());
    match &message.record {
        Some(change) => {
            object.insert("record".into(), record(change));
        }
        None => content(&mut object, &message.text, &message.data),
    }
    headers(&mut object, &message.headers);
    text(&mut object, "id", &message.id);
    time(&mut object, "time", message.time);
    text(&mut object, "publisher", &message.publisher);
    object.into()
}

/// As `OK`.
pub(super) fn outcome(result: &PacketResult) -> &'static str {
    let name = result.outcome().as_str_name();
    name.trim_start_matches("OUTCOME_")
}

/// As `NOT_FOUND`.
pub(super) fn reason(result: &PacketResult) -> &'static str {
    result.reason().as_str_name().trim_start_matches("REASON_")
}

/// RFC 3339; a time that cannot be is none.
pub(super) fn moment(stamp: Option<Timestamp>) -> Option<String> {
    let time = SystemTime::try_from(stamp?).ok()?;
    Some(humantime::format_rfc3339_millis(time).to_string())
}

/// The result of a write has none.
fn content(object: &mut Map<String, Value>, written: &str, data: &[u8]) {
    text(object, "text", written);
    text(object, "data", &base64(data));
}

fn text(object: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.into(), text.into());
    }
}

fn number(object: &mut Map<String, Value>, name: &str, number: u64) {
    if number > 0 {
        object.insert(name.into(), number.into());
    }
}

fn list(object: &mut Map<String, Value>, name: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    if !items.is_empty() {
        object.insert(name.into(), items.into());
    }
}

fn headers(object: &mut Map<String, Value>, headers: &HashMap<String, String>) {
    if !headers.is_empty() {
        object.insert("headers".into(), json!(headers));
    }
}

fn time(object: &mut Map<String, Value>, name: &str, stamp: Option<Timestamp>) {
    if let Some(moment) = moment(stamp) {
        object.insert(name.into(), moment.into());
    }
}
