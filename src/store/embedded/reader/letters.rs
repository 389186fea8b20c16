//! Dead letters, with their packets.

use std::collections::BTreeMap;

use crate::store::coding::Reader;
use crate::store::embedded::levels::Shared;
use crate::store::embedded::rows::{Key, LetterRow, Space, end_of};
use crate::store::{DeadLetter, Error, LetterId, PageOf, ScanLimit};
use crate::types::HandlerName;

/// Rows that are read at once.
const TOGETHER: usize = 256;

/// Of one handler or of all, after this one.
pub(in super::super) fn dead_letters(
    shared: &Shared,
    handler: Option<&HandlerName>,
    after: LetterId,
    limit: ScanLimit,
) -> Result<PageOf<DeadLetter>, Error> {
    let end = end_of(&Key::named(Space::Dead, ""));
    let mut from = Key::number(Space::Dead, after.0).next();
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    let mut bytes = 0;
    loop {
        let (rows, more) = shared.range(&BTreeMap::new(), &from, &end, TOGETHER)?;
        let Some((last, _)) = rows.last() else {
            return Ok(page);
        };
        from = last.next();
        for (key, row) in rows {
            let row = LetterRow::read(&mut Reader(row));
            if handler.is_some_and(|handler| row.origin.handler != *handler) {
                continue;
            }
            bytes += row.weight() as usize;
            let full = page.items.len() >= limit.items || bytes > limit.bytes;
            if full && !page.items.is_empty() {
                page.more = true;
                return Ok(page);
            }
            let number = key.last_number();
            // It may have gone since its row was read.
            if let Some(packet) = shared.get(&Key::number(Space::DeadPacket, number))? {
                page.items.push(row.letter(LetterId(number), packet));
            }
        }
        if !more {
            return Ok(page);
        }
    }
}
