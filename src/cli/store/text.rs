//! What was found, for people: a table of what takes the room, then what else there is to say.

use std::io::{self, Write};
use std::time::SystemTime;

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

fn table(lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (name, count, size) = (width(0), width(1), width(2));
    for line in lines {
        let [first, second, third, rest] = line;
        let text = format!("{first:<name$}  {second:>count$}  {third:>size$}  {rest}");
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
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

/// In its largest unit.
fn age(time: SystemTime) -> String {
    let seconds = SystemTime::now()
        .duration_since(time)
        .unwrap_or_default()
        .as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn counted(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    }
}

pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1_000.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_000 << 10, "1.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (10 << 30, "10.0 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let lines = [line("a", "1", "10 B", "x"), line("long", "200", "1 B", "")];
        let mut out = Vec::new();
        table(&lines, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "a       1  10 B  x\nlong  200   1 B\n");
    }
}
