//! What was found, for people: a table of what takes the room, then what else there is to say.

use std::io::{self, Write};
use std::time::SystemTime;

use super::super::text::{self, Side, counted, size};
use crate::store::embedded::inspect::{Depth, Inspection, Messages};

/// How many collections are listed; the others are only counted.
const COLLECTIONS: usize = 20;

/// The cells of a line. The first column is left-aligned, the next two are numbers, the last is free text.
type Line = [String; 4];

pub(super) fn write(found: &Inspection, depth: Depth, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {}, {}",
        found.path.display(),
        found.format,
        size(found.bytes)
    )?;
    writeln!(out)?;
    table(&room(found), out)?;
    writeln!(out)?;
    if !found.collections.is_empty() {
        table(&collections(found), out)?;
        writeln!(out)?;
    }
    let newest = found.epochs.last();
    let newest = newest.map_or_else(String::new, |epoch| {
        format!(", the last one at position {}", epoch.start)
    });
    writeln!(
        out,
        "tail at position {}; {}{newest}; {}{}",
        found.tail,
        counted(found.epochs.len() as u64, "start", "starts"),
        counted(found.places, "place is known", "places are known"),
        match found.dead_letters {
            0 => String::new(),
            letters => format!("; {}", counted(letters, "dead letter", "dead letters")),
        },
    )?;
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    for damage in &found.damage {
        writeln!(out, "damage: {damage}")?;
    }
    if found.more_damage > 0 {
        writeln!(out, "damage: and {} more", found.more_damage)?;
    }
    match (found.damage.is_empty(), depth) {
        (true, Depth::Check) => writeln!(out, "everything was read, and is whole"),
        (true, Depth::Overview) => writeln!(out, "no damage was seen; --check reads everything"),
        (false, _) => Ok(()),
    }
}

fn room(found: &Inspection) -> Vec<Line> {
    let mut lines = vec![line("", "count", "size", "")];
    let log = &found.log;
    let frames = match log.frames {
        0 => "nothing that is not in parts and table".to_owned(),
        _ => format!(
            "frames {} to {}: {} and {}{}",
            log.first_frame,
            log.last_frame,
            counted(log.rows, "row", "rows"),
            counted(log.messages.count, "message", "messages"),
            span(&log.messages),
        ),
    };
    lines.push([
        "commit log".into(),
        counted(log.segments, "segment", "segments"),
        size(log.bytes),
        frames,
    ]);
    for class in &found.parts {
        let name = match class.class.as_str() {
            "" => "parts".to_owned(),
            pattern => format!("parts {pattern}"),
        };
        let messages = &class.messages;
        let text = format!(
            "{}, {}{}",
            counted(messages.count, "message", "messages"),
            size(messages.bytes),
            span(messages)
        );
        let parts = counted(class.parts, "part", "parts");
        lines.push([name, parts, size(class.file_bytes), text]);
    }
    lines.push([
        "table".into(),
        String::new(),
        size(found.table.bytes),
        String::new(),
    ]);
    for space in &found.table.spaces {
        let rows = counted(space.rows, "row", "rows");
        lines.push([
            format!("  {}", space.name),
            rows,
            size(space.bytes),
            String::new(),
        ]);
    }
    lines.push(line(
        "  free",
        "",
        &size(found.table.free_bytes),
        "used again",
    ));
    if found.quarantine_bytes > 0 {
        let text = "copies of what was damaged at an earlier start: they may be removed";
        lines.push(line("quarantine", "", &size(found.quarantine_bytes), text));
    }
    lines
}

fn collections(found: &Inspection) -> Vec<Line> {
    let mut all: Vec<_> = found.collections.iter().collect();
    all.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let mut lines = vec![line("collection", "records", "", "")];
    for (name, count) in all.iter().take(COLLECTIONS) {
        lines.push(line(name, &count.to_string(), "", ""));
    }
    if let Some(more) = all.len().checked_sub(COLLECTIONS).filter(|more| *more > 0) {
        lines.push(line(&format!("and {more} more"), "", "", ""));
    }
    lines
}

fn line(name: &str, count: &str, size: &str, text: &str) -> Line {
    [name, count, size, text].map(str::to_owned)
}

/// Where messages are, and how old they are.
fn span(messages: &Messages) -> String {
    if messages.count == 0 {
        return String::new();
    }
    let ages = match (messages.oldest, messages.newest) {
        (Some(oldest), Some(newest)) => format!(", {} to {} old", age(newest), age(oldest)),
        _ => String::new(),
    };
    format!(", positions {} to {}{ages}", messages.first, messages.last)
}

fn age(time: SystemTime) -> String {
    text::age(SystemTime::now().duration_since(time).unwrap_or_default())
}

fn table(lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    text::table(
        lines,
        &[Side::Left, Side::Right, Side::Right, Side::Left],
        out,
    )
}
