//! What `Admin` tells, for programs: the names of the contract, times in seconds.

use serde_json::{Value, json};

use super::show::{action, span};
use crate::wire::proto;

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
