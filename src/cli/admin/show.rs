//! What `Admin` tells, for people.

use std::io::{self, Write};
use std::time::Duration;

use super::super::text::{Side, age, counted, size, table};
use crate::wire::proto;

/// Patterns of a stream that are shown; the others are only counted.
const PATTERNS: usize = 3;

pub(super) fn lanes(lanes: &[proto::Lane], out: &mut dyn Write) -> io::Result<()> {
    if lanes.is_empty() {
        return writeln!(out, "no lanes: nothing came in the last minute");
    }
    const COLUMNS: [Side; 11] = [
        Side::Left,
        Side::Left,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Left,
    ];
    let head = [
        "HANDLER",
        "LANE",
        "WAITING",
        "SIZE",
        "IN FLIGHT",
        "OLDEST",
        "BATCHES",
        "FILL",
        "FAILED",
        "BACKLOG",
        "CIRCUIT",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(lanes.iter().map(lane));
    table(&lines, &COLUMNS, out)
}

fn lane(lane: &proto::Lane) -> [String; 11] {
    let waiting = lane.waiting.unwrap_or_default();
    let in_flight = lane.in_flight.unwrap_or_default();
    let fill = match lane.batches {
        0 => String::new(),
        batches => format!("{:.1}", lane.packets as f64 / batches as f64),
    };
    let shown = |span: Option<&prost_types::Duration>| {
        let span = super::show::span(span);
        span.map_or_else(String::new, age)
    };
    // What is not there will not take any time either.
    let backlog = lane.backlog.as_ref().filter(|_| lane.oldest.is_some());
    [
        lane.handler.clone(),
        named(lane),
        waiting.packets.to_string(),
        size(waiting.bytes),
        in_flight.packets.to_string(),
        shown(lane.oldest.as_ref()),
        lane.batches.to_string(),
        fill,
        lane.calls_failed.to_string(),
        shown(backlog),
        circuit(lane),
    ]
}

fn named(lane: &proto::Lane) -> String {
    let name = match lane.kind() {
        proto::LaneKind::Unspecified => String::new(),
        proto::LaneKind::Mixed => "all actions".into(),
        proto::LaneKind::Reads => "reads".into(),
        proto::LaneKind::Intake => "to be taken".into(),
        proto::LaneKind::Action if lane.method.is_empty() => action(lane.action()),
        proto::LaneKind::Action => format!("{} {}", action(lane.action()), lane.method),
    };
    match lane.tenant.as_str() {
        "" => name,
        tenant => format!("{name} of {tenant}"),
    }
}

/// As it is typed.
pub(super) fn action(action: proto::Action) -> String {
    let name = action.as_str_name().trim_start_matches("ACTION_");
    name.to_ascii_lowercase()
}

fn circuit(lane: &proto::Lane) -> String {
    let searches = match lane.searches {
        0 => String::new(),
        count => format!(", {}", counted(count.into(), "search", "searches")),
    };
    let circuit = match lane.circuit() {
        proto::Circuit::Unspecified | proto::Circuit::Closed => "closed".into(),
        proto::Circuit::Probing => "probing".into(),
        proto::Circuit::Open => {
            let left = span(lane.circuit_open_for.as_ref()).unwrap_or_default();
            format!("open for {}", age(left))
        }
    };
    circuit + &searches
}

pub(super) fn streams(
    streams: &[proto::StreamInfo],
    open: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    if streams.is_empty() {
        return writeln!(out, "no stream is open");
    }
    const COLUMNS: [Side; 9] = [
        Side::Right,
        Side::Left,
        Side::Left,
        Side::Left,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Right,
        Side::Left,
    ];
    let head = [
        "NUMBER", "SUBJECT", "CLIENT", "FROM", "AGE", "BEHIND", "EVENTS", "SIZE", "TOPICS",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(streams.iter().map(stream));
    table(&lines, &COLUMNS, out)?;
    match open.saturating_sub(streams.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

fn stream(stream: &proto::StreamInfo) -> [String; 9] {
    let mut topics = stream.patterns.iter();
    let mut shown: Vec<String> = topics.by_ref().take(PATTERNS).cloned().collect();
    let more = topics.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    let subject = match stream.tenant.as_str() {
        "" => stream.subject.clone(),
        tenant => format!("{} of {tenant}", stream.subject),
    };
    [
        stream.number.to_string(),
        subject,
        stream.client_id.clone(),
        stream.peer.clone(),
        age(span(stream.age.as_ref()).unwrap_or_default()),
        stream.lag.to_string(),
        stream.events.to_string(),
        size(stream.bytes),
        shown.join(", "),
    ]
}

pub(super) fn span(span: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*span?).ok()
}
