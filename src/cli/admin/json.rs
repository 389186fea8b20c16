//! What `Admin` tells, for programs: the names of the contract, times in seconds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::show::{action, moment, span};
use crate::wire::proto;
use crate::wire::proto::file::Source;

pub(super) fn lanes(response: &proto::LanesResponse) -> Value {
    let lanes: Vec<Value> = response.lanes.iter().map(lane).collect();
    json!({ "lanes": lanes })
}

fn lane(lane: &proto::Lane) -> Value {
    let reasons = lane.reasons.unwrap_or_default();
    json!({
        "handler": lane.handler,
        "tenant": lane.tenant,
        "kind": word(lane.kind().as_str_name(), "LANE_KIND_"),
        "action": named(lane.action()),
        "method": lane.method,
        "waiting": amount(lane.waiting.as_ref()),
        "in_flight": amount(lane.in_flight.as_ref()),
        "held": amount(lane.held.as_ref()),
        "oldest": seconds(lane.oldest.as_ref()),
        "batches": lane.batches,
        "packets": lane.packets,
        "reasons": {
            "idle": reasons.idle,
            "whole": reasons.whole,
            "latency": reasons.latency,
            "window": reasons.window,
            "flush": reasons.flush,
            "drain": reasons.drain,
            "search": reasons.search,
        },
        "calls_in_flight": lane.calls_in_flight,
        "calls_failed": lane.calls_failed,
        "latency": seconds(lane.latency.as_ref()),
        "backlog": seconds(lane.backlog.as_ref()),
        "searches": lane.searches,
        "circuit": word(lane.circuit().as_str_name(), "CIRCUIT_"),
        "circuit_open_for": seconds(lane.circuit_open_for.as_ref()),
    })
}

pub(super) fn amount(amount: Option<&proto::Amount>) -> Value {
    let amount = amount.copied().unwrap_or_default();
    json!({ "packets": amount.packets, "bytes": amount.bytes })
}

pub(super) fn streams(streams: &[proto::StreamInfo], open: u64) -> Value {
    let stream = |stream: &proto::StreamInfo| {
        json!({
            "number": stream.number,
            "subject": stream.subject,
            "tenant": stream.tenant,
            "client_id": stream.client_id,
            "patterns": stream.patterns,
            "peer": stream.peer,
            "age": seconds(stream.age.as_ref()),
            "lag": stream.lag,
            "events": stream.events,
            "bytes": stream.bytes,
        })
    };
    let streams: Vec<Value> = streams.iter().map(stream).collect();
    json!({ "streams": streams, "open": open })
}

pub(super) fn letters(letters: &[proto::DeadLetter], more: bool) -> Value {
    let letters: Vec<Value> = letters.iter().map(letter).collect();
    json!({ "letters": letters, "more": more })
}

/// Both messages are taken apart field by field, so that none is forgotten that the contract will get.
fn letter(letter: &proto::DeadLetter) -> Value {
    let proto::DeadLetter {
        id,
        packet,
        client_id,
        subject,
        tenant,
        bytes,
        attempts,
        cause: _,
        message,
        taken_at,
        given_up_at,
        held,
    } = letter;
    let packet = packet.clone().unwrap_or_default();
    let action = named(packet.action());
    let proto::Packet {
        req_id,
        handler,
        action: _,
        data,
        key,
        headers,
        text,
        method,
        if_version,
        page_size,
        page_token,
        ttl,
        files,
        seq,
        unordered,
    } = packet;
    let data: Vec<String> = data.iter().map(|data| STANDARD.encode(data)).collect();
    let files = files.into_iter().map(|(field, of)| (field, file(of)));
    let files: serde_json::Map<String, Value> = files.collect();
    json!({
        "id": id,
        "handler": handler,
        "action": action,
        "method": method,
        "key": key,
        "req_id": req_id,
        "seq": seq,
        "unordered": unordered,
        "if_version": if_version,
        "ttl": seconds(ttl.as_ref()),
        "page_size": page_size,
        "page_token": page_token,
        "headers": headers,
        "text": text,
        "data": data,
        "files": files,
        "client_id": client_id,
        "subject": subject,
        "tenant": tenant,
        "bytes": bytes,
        "attempts": attempts,
        "cause": word(letter.cause().as_str_name(), "DEATH_CAUSE_"),
        "message": message,
        "taken_at": stamp(taken_at.as_ref()),
        "given_up_at": stamp(given_up_at.as_ref()),
        "held": held,
    })
}

fn file(file: proto::File) -> Value {
    let proto::File {
        name,
        content_type,
        size,
        sha256,
        source,
    } = file;
    let (content, upload_id) = match source {
        Some(Source::Content(content)) => (Some(STANDARD.encode(content)), None),
        Some(Source::UploadId(id)) => (None, Some(id)),
        None => (None, None),
    };
    json!({
        "name": name,
        "content_type": content_type,
        "size": size,
        "sha256": STANDARD.encode(sha256),
        "content": content,
        "upload_id": upload_id,
    })
}

pub(super) fn reasons(left: &[proto::LetterLeft]) -> Value {
    let reason = |left: &proto::LetterLeft| json!({ "id": left.id, "message": left.message });
    left.iter().map(reason).collect()
}

/// `null`: none.
pub(super) fn named(of: proto::Action) -> Value {
    match of {
        proto::Action::Unspecified => Value::Null,
        of => Value::String(action(of)),
    }
}

pub(super) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

fn seconds(of: Option<&prost_types::Duration>) -> Value {
    span(of).map_or(Value::Null, |span| json!(span.as_secs_f64()))
}

/// As RFC 3339 writes it.
fn stamp(of: Option<&prost_types::Timestamp>) -> Value {
    moment(of).map_or(Value::Null, |time| {
        Value::String(humantime::format_rfc3339_millis(time).to_string())
    })
}
