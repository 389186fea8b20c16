//! The text that a client keeps to resume from: `t1-<epoch>-<messages>[-<results>]-<check>`, numbers in hexadecimal.

use xxhash_rust::xxh3::xxh3_64;

use super::CursorError;
use crate::store::Position;
use crate::types::limits;

/// The version of the format.
const VERSION: &str = "t1";

/// The place that a stream has reached: everything that it owes up to here was sent. Results come before messages when a
/// stream catches up, so there are two positions; at the tail they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) messages: Position,
    pub(super) results: Position,
}

/// A place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) epoch: u64,
    pub(super) place: Place,
}

impl Place {
    pub(super) fn at(position: Position) -> Self {
        Self {
            messages: position,
            results: position,
        }
    }

    /// Everything up to `position` was sent, too.
    pub(super) fn advance(&mut self, position: Position) {
        self.messages = self.messages.max(position);
        self.results = self.results.max(position);
    }

    pub(super) fn farthest(&self) -> Position {
        self.messages.max(self.results)
    }
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Result<Self, CursorError> {
        if text.len() > limits::CURSOR_BYTES {
            let limit = limits::CURSOR_BYTES;
            let message = format!(
                "the cursor has {} bytes, at most {limit} are allowed",
                text.len()
            );
            return Err(CursorError(message));
        }
        Self::read(text).ok_or_else(|| {
            let right = "send one back exactly as an answer or event brought it, or leave it out";
            CursorError(format!("this is not a cursor of this gateway: {right}"))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (body, sum) = text.rsplit_once('-')?;
        if sum != check(body) {
            return None;
        }
        let mut parts = body.split('-');
        if parts.next()? != VERSION {
            return None;
        }
        let epoch = number(parts.next()?)?;
        let messages = Position(number(parts.next()?)?);
        let results = match parts.next() {
            Some(part) => Position(number(part)?),
            None => messages,
        };
        let place = Place { messages, results };
        parts.next().is_none().then_some(Self { epoch, place })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { messages, results } = self.place;
        let mut body = format!("{VERSION}-{:x}-{:x}", self.epoch, messages.0);
        if results != messages {
            body.push_str(&format!("-{:x}", results.0));
        }
        write!(f, "{body}-{}", check(&body))
    }
}

/// Tells garbage and cut-off text from a cursor. It is no secret: whoever makes one up only skips or repeats their own
/// events.
fn check(body: &str) -> String {
    format!("{:08x}", xxh3_64(body.as_bytes()) as u32)
}

/// Only as we write it, so that a place has one text.
fn number(text: &str) -> Option<u64> {
    let value = u64::from_str_radix(text, 16).ok()?;
    (format!("{value:x}") == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (messages, results) in [(0, 0), (7, 7), (7, 9), (u64::MAX, u64::MAX - 1)] {
            let place = Place {
                messages: Position(messages),
                results: Position(results),
            };
            let cursor = Cursor {
                epoch: u64::MAX,
                place,
            };
            let text = cursor.to_string();
            assert!(text.len() < 128, "{text}");
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            );
            assert_eq!(Cursor::parse(&text), Ok(cursor));
        }
    }

    #[test]
    fn garbage_is_told_from_a_cursor() {
        let place = Place::at(Position(0x1234));
        let text = Cursor {
            epoch: 0xabcdef,
            place,
        }
        .to_string();
        for cut in 0..text.len() {
            assert!(Cursor::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Cursor::parse(&changed).is_err(), "{changed}");
        }
        for garbage in ["-", "----", "t1", "ü-1-1-1", &"x".repeat(513)] {
            assert!(Cursor::parse(garbage).is_err(), "{garbage}");
        }
    }
}
