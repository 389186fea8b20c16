//! What was told to be missing, read as a person reads it.

use std::ops::RangeInclusive;

use crate::store::embedded::damage::space_name;
use crate::store::embedded::rows::{Key, Space, collection_prefix};

/// Everything that was told of one disk.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) texts: Vec<String>,
    pub(super) frames: Vec<RangeInclusive<u64>>,
    pub(super) positions: Vec<RangeInclusive<u64>>,
    rows: Vec<Rows>,
}

/// Rows of a kind, after one key, up to and with another. `None` has no bound.
#[derive(Debug)]
struct Rows {
    kind: String,
    after: Option<Vec<u8>>,
    through: Option<Vec<u8>>,
}

impl Told {
    pub(super) fn add(&mut self, texts: Vec<String>) {
        for text in texts {
            self.read(&text);
            self.texts.push(text);
        }
    }

    pub(super) fn has_row(&self, key: &Key) -> bool {
        self.rows.iter().any(|rows| {
            rows.kind == space_name(key.space())
                && rows.after.as_deref().is_none_or(|after| key.rest() > after)
                && (rows.through.as_deref()).is_none_or(|through| key.rest() <= through)
        })
    }

    pub(super) fn has_frame(&self, frame: u64) -> bool {
        self.frames.iter().any(|frames| frames.contains(&frame))
    }

    pub(super) fn has_position(&self, position: u64) -> bool {
        self.positions.iter().any(|some| some.contains(&position))
    }

    fn read(&mut self, text: &str) {
        if text.contains("whether frames are missing is not known") {
            self.frames.push(0..=u64::MAX);
        } else if let Some((_, frame)) = text.split_once("what came after frame ") {
            self.frames.push(number(frame) + 1..=u64::MAX);
        } else if let Some((_, frame)) = text.split_once("missing is the frame ") {
            self.frames.push(number(frame)..=number(frame));
        } else if let Some((_, frames)) = text.split_once("missing are the frames ") {
            self.frames.push(range(frames));
        } else if let Some((_, positions)) = text.split_once("missing are the positions ") {
            self.positions.push(range(positions));
        } else if text.starts_with("parts/") && text.contains("missing are ") {
            let (_, positions) = text.rsplit_once(" position ").expect("it says which");
            self.positions.push(range(positions));
        } else if let Some((_, rows)) = text.rsplit_once("; missing are ") {
            let (kind, keys) = rows.split_once(", after ").expect("it says which");
            let (after, through) = keys.split_once(" up to ").expect("it says how far");
            self.rows.push(Rows {
                kind: kind.to_owned(),
                after: key(after, "the first"),
                through: key(through, "the last"),
            });
        } else {
            // It costs no row, or what it costs is told beside it.
            let harmless = [
                "no row is missing",
                "no message is missing",
                "nothing is missing",
            ];
            let is_harmless = harmless.iter().any(|words| text.contains(words));
            assert!(
                is_harmless || text.starts_with("the table of rows: "),
                "{text}"
            );
        }
    }
}

fn number(text: &str) -> u64 {
    let end = text.find(|digit: char| !digit.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().expect("a number")
}

fn range(text: &str) -> RangeInclusive<u64> {
    let (first, last) = text.split_once(" to ").expect("it says how far");
    number(first)..=number(last)
}

fn key(text: &str, none: &str) -> Option<Vec<u8>> {
    if text == none {
        return None;
    }
    if !text.starts_with('"') {
        let digits = text.as_bytes().chunks(2);
        let bytes = digits.map(|two| {
            let two = std::str::from_utf8(two).expect("digits");
            u8::from_str_radix(two, 16).expect("hexadecimal digits")
        });
        return Some(bytes.collect());
    }
    let words: Vec<&str> = text.split('"').collect();
    Some(match words[..] {
        [_, name, _] => name.into(),
        [_, collection, _, key, _] => {
            let prefix = collection_prefix(Space::Record, collection);
            [prefix.rest(), key.as_bytes()].concat()
        }
        _ => panic!("{text} is no key"),
    })
}

#[test]
fn what_is_told_is_read() {
    let mut told = Told::default();
    told.add(
        [
            "the commit log, segment 2 at 64: 12 bytes cannot be read; missing are the frames 3 to 5",
            "the commit log: missing are the positions 7 to 9",
            "parts/a.part: it is cut; missing are 3 messages from position 11 to 12",
            "the table of rows: a page; missing are records, after \"todos\" \"a\" up to the last",
            "the table of rows: a page; missing are places, after the first up to 0aff",
        ]
        .map(str::to_owned)
        .into(),
    );
    assert!(told.has_frame(5) && !told.has_frame(6));
    assert!(told.has_position(7) && told.has_position(12) && !told.has_position(10));
    let record = |key| Key::record(Space::Record, "todos", key);
    assert!(told.has_row(&record("b")) && !told.has_row(&record("a")));
    let place = |rest: &[u8]| Key::joined(Space::Queue as u8, rest);
    assert!(told.has_row(&place(&[0x0a, 0xff])) && !told.has_row(&place(&[0x0b])));
}
