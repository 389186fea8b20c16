//! Pages of LIST: how much one brings, and the token that names where the next begins.

use crate::store::ScanLimit;
use crate::types::{Answer, Packet, Reason, limits};

/// What a page begins after: a record's key, or a position of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    Key(String),
    Position(u64),
}

/// What the packet asks for: 1 to 1000 items, 100 unless it says, and 1 MiB.
pub(super) fn limit(packet: &Packet) -> ScanLimit {
    let items = match packet.page_size() {
        0 => limits::PAGE_SIZE,
        asked => asked.min(limits::PAGE_SIZE_MAX),
    };
    ScanLimit {
        items: items as usize,
        bytes: limits::PAGE_BYTES,
    }
}

/// Opaque to clients: a letter for what it is, and the rest in hexadecimal.
pub(super) fn token(after: &After) -> String {
    match after {
        After::Key(key) => {
            let digits = key.bytes().map(|byte| format!("{byte:02x}"));
            std::iter::once("k".to_owned()).chain(digits).collect()
        }
        After::Position(position) => format!("p{position:x}"),
    }
}

/// What the packet's page begins after, if it is not the first page.
pub(super) fn after(packet: &Packet) -> Result<Option<After>, Answer> {
    let token = packet.page_token();
    if token.is_empty() {
        return Ok(None);
    }
    read(token).map(Some).ok_or_else(|| {
        Answer::rejected(
            Reason::InvalidPacket,
            "the page_token cannot be read: give the next_page_token of the page before, for the same key",
        )
    })
}

fn read(token: &str) -> Option<After> {
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (kind, digits) = token.split_at_checked(1)?;
    match kind {
        "k" if digits.len().is_multiple_of(2) => {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
            let bytes: Result<Vec<u8>, _> = (0..digits.len()).step_by(2).map(byte).collect();
            String::from_utf8(bytes.ok()?).ok().map(After::Key)
        }
        "p" => u64::from_str_radix(digits, 16).ok().map(After::Position),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_and_nothing_else_is_one() {
        for after in [
            After::Key("a.b ü".into()),
            After::Key(String::new()),
            After::Position(0),
            After::Position(u64::MAX),
        ] {
            assert_eq!(read(&token(&after)), Some(after));
        }
        for wrong in [
            "x",
            "k1",
            "kzz",
            "kff",
            "p",
            "p-1",
            "p+1",
            "ü",
            "p10000000000000000",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
