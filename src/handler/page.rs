//! Pages of LIST: how much one brings, and the token that names where the next begins.

use xxhash_rust::xxh3::xxh3_64;

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

/// Opaque to clients: a letter for what it is, eight digits for the list that it is of, and the rest, in hexadecimal.
pub(super) fn token(after: &After, list: &str) -> String {
    let of = mark(list);
    match after {
        After::Key(key) => {
            let digits = key.bytes().map(|byte| format!("{byte:02x}"));
            std::iter::once(format!("k{of:08x}"))
                .chain(digits)
                .collect()
        }
        After::Position(position) => format!("p{of:08x}{position:x}"),
    }
}

/// What the packet's page begins after, if it is not the first page. `list` names what is listed: a token of another list
/// would silently leave out what lies before it.
pub(super) fn after(packet: &Packet, list: &str) -> Result<Option<After>, Answer> {
    let token = packet.page_token();
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = match read(token) {
        Some((of, after)) if of == mark(list) => return Ok(Some(after)),
        Some(_) => "is of another list: it goes on for the same handler and key only",
        None => "cannot be read: give the next_page_token of the page before",
    };
    let message = format!("the page_token {wrong}");
    Err(Answer::rejected(Reason::InvalidPacket, message))
}

/// Tells lists apart. Two may share one by chance; then a token is taken for the other as it would be without it.
fn mark(list: &str) -> u32 {
    xxh3_64(list.as_bytes()) as u32
}

/// The mark of the list that it is of, and what it says.
fn read(token: &str) -> Option<(u32, After)> {
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (kind, rest) = token.split_at_checked(1)?;
    let (of, digits) = rest.split_at_checked(8)?;
    let of = u32::from_str_radix(of, 16).ok()?;
    let after = match kind {
        "k" if digits.len().is_multiple_of(2) => {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
            let bytes: Result<Vec<u8>, _> = (0..digits.len()).step_by(2).map(byte).collect();
            String::from_utf8(bytes.ok()?).ok().map(After::Key)
        }
        "p" => u64::from_str_radix(digits, 16).ok().map(After::Position),
        _ => None,
    };
    Some((of, after?))
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
            assert_eq!(read(&token(&after, "l")), Some((mark("l"), after)));
        }
        for wrong in [
            "x",
            "k1",
            "k000000001",
            "k00000000zz",
            "k00000000ff",
            "p",
            "p00000000",
            "p00000000-1",
            "p00000000+1",
            "pzzzzzzzz1",
            "ü",
            "p0000000010000000000000000",
            "x0000000061",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
