//! What commands write for people: tables, and amounts in words.

use std::io::{self, Write};
use std::time::Duration;

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// What a client wrote, for a terminal: it shows what would move the cursor, or do worse.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// Lines of as many cells as there are columns.
pub(super) fn table<L: AsRef<[String]>>(
    lines: &[L],
    columns: &[Side],
    out: &mut dyn Write,
) -> io::Result<()> {
    let cells = |line: &L| line.as_ref().iter().map(|cell| shown(cell)).collect();
    let lines: Vec<Vec<String>> = lines.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = lines.iter();
        let widths = cells.map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(columns).zip(&widths);
        let cells = cells.map(|((cell, side), &width)| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        let text = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// The same, with the names of its columns above.
pub(super) fn headed<const N: usize>(
    columns: [(&str, Side); N],
    lines: impl Iterator<Item = [String; N]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut all = vec![columns.map(|(name, _)| name.to_owned())];
    all.extend(lines);
    table(&all, &columns.map(|(_, side)| side), out)
}

pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
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

/// In its largest unit.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => format!("{} ms", age.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
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
    fn nothing_that_a_client_wrote_commands_the_terminal() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{9b}é"), "a\\u{1b}[2J\\nb\\u{9b}é");
        let mut out = Vec::new();
        table(&[["a\n\r".to_owned()]], &[Side::Left], &mut out).unwrap();
        assert_eq!(out, b"a\\n\\r\n");
    }

    #[test]
    fn columns_are_aligned() {
        let line = |cells: [&str; 4]| cells.map(str::to_owned);
        let lines = [
            line(["a", "1", "10 B", "x"]),
            line(["long", "200", "1 B", ""]),
        ];
        let columns = [Side::Left, Side::Right, Side::Right, Side::Left];
        let mut out = Vec::new();
        table(&lines, &columns, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "a       1  10 B  x\nlong  200   1 B\n");
    }
}
