//! What `Admin` tells, for people.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::super::text::{Side, age, counted, headed, shown, size};
use super::json::word;
use crate::wire::proto;
use crate::wire::proto::file::Source;

/// Patterns of a stream that are shown; the others are only counted.
const PATTERNS: usize = 3;

pub(super) fn lanes(lanes: &[proto::Lane], out: &mut dyn Write) -> io::Result<()> {
    if lanes.is_empty() {
        return writeln!(out, "no lanes: nothing came in the last minute");
    }
    let columns = [
        ("HANDLER", Side::Left),
        ("LANE", Side::Left),
        ("WAITING", Side::Right),
        ("SIZE", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("OLDEST", Side::Right),
        ("BATCHES", Side::Right),
        ("FILL", Side::Right),
        ("FAILED", Side::Right),
        ("BACKLOG", Side::Right),
        ("CIRCUIT", Side::Left),
    ];
    headed(columns, lanes.iter().map(lane), out)
}

fn lane(lane: &proto::Lane) -> [String; 11] {
    let waiting = lane.waiting.unwrap_or_default();
    let in_flight = lane.in_flight.unwrap_or_default();
    let fill = match lane.batches {
        0 => String::new(),
        batches => format!("{:.1}", lane.packets as f64 / batches as f64),
    };
    let aged = |time: Option<&prost_types::Duration>| span(time).map_or_else(String::new, age);
    // What is not there will not take any time either.
    let backlog = lane.backlog.as_ref().filter(|_| lane.oldest.is_some());
    [
        lane.handler.clone(),
        named(lane),
        waiting.packets.to_string(),
        size(waiting.bytes),
        in_flight.packets.to_string(),
        aged(lane.oldest.as_ref()),
        lane.batches.to_string(),
        fill,
        lane.calls_failed.to_string(),
        aged(backlog),
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
    let columns = [
        ("NUMBER", Side::Right),
        ("SUBJECT", Side::Left),
        ("CLIENT", Side::Left),
        ("FROM", Side::Left),
        ("AGE", Side::Right),
        ("BEHIND", Side::Right),
        ("EVENTS", Side::Right),
        ("SIZE", Side::Right),
        ("TOPICS", Side::Left),
    ];
    headed(columns, streams.iter().map(stream), out)?;
    match open.saturating_sub(streams.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

fn stream(stream: &proto::StreamInfo) -> [String; 9] {
    let mut topics = stream.patterns.iter();
    let mut first: Vec<String> = topics.by_ref().take(PATTERNS).cloned().collect();
    let more = topics.count();
    if more > 0 {
        first.push(format!("and {more} more"));
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
        first.join(", "),
    ]
}

pub(super) fn letters(
    letters: &[proto::DeadLetter],
    more: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if letters.is_empty() {
        return writeln!(out, "no dead letters");
    }
    let columns = [
        ("ID", Side::Right),
        ("HANDLER", Side::Left),
        ("ACTION", Side::Left),
        ("KEY", Side::Left),
        ("CLIENT", Side::Left),
        ("SEQ", Side::Right),
        ("SIZE", Side::Right),
        ("DEAD FOR", Side::Right),
        ("CAUSE", Side::Left),
        ("HANDLER SAID", Side::Left),
    ];
    headed(columns, letters.iter().map(letter), out)?;
    match more {
        true => writeln!(out, "and more: --limit N shows them"),
        false => Ok(()),
    }
}

fn letter(letter: &proto::DeadLetter) -> [String; 10] {
    let packet = letter.packet.clone().unwrap_or_default();
    let action = match packet.method.as_str() {
        "" => action(packet.action()),
        method => format!("{} {method}", action(packet.action())),
    };
    let seq = match packet.seq {
        0 => String::new(),
        seq => seq.to_string(),
    };
    let cause = word(letter.cause().as_str_name(), "DEATH_CAUSE_");
    let cause = match letter.held {
        true => format!("{cause}, held"),
        false => cause,
    };
    let dead_for = moment(letter.given_up_at.as_ref()).map_or_else(String::new, |time| {
        age(SystemTime::now().duration_since(time).unwrap_or_default())
    });
    [
        letter.id.to_string(),
        packet.handler,
        action,
        packet.key,
        letter.client_id.clone(),
        seq,
        size(letter.bytes),
        dead_for,
        cause,
        letter.message.clone(),
    ]
}

/// What dead letters carry, each line under the number of its letter.
pub(super) fn contents(letters: &[proto::DeadLetter], out: &mut dyn Write) -> io::Result<()> {
    for letter in letters {
        let (id, packet) = (letter.id, letter.packet.clone().unwrap_or_default());
        for text in &packet.text {
            writeln!(out, "{id}: {}", shown(text))?;
        }
        for data in &packet.data {
            writeln!(out, "{id}: {}", data.escape_ascii())?;
        }
        for (name, value) in &packet.headers {
            writeln!(out, "{id}: header {}: {}", shown(name), shown(value))?;
        }
        for (field, file) in &packet.files {
            let (field, name) = (shown(field), shown(&file.name));
            let (kind, size) = (shown(&file.content_type), size(file.size));
            write!(out, "{id}: file {field}: {name:?} {kind}, {size}")?;
            match &file.source {
                Some(Source::UploadId(upload)) => writeln!(out, ", upload {}", shown(upload))?,
                Some(Source::Content(_)) | None => writeln!(out)?,
            }
        }
    }
    Ok(())
}

pub(super) fn span(span: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*span?).ok()
}

pub(super) fn moment(stamp: Option<&prost_types::Timestamp>) -> Option<SystemTime> {
    SystemTime::try_from(*stamp?).ok()
}
