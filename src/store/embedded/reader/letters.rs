//! Dead letters, with their packets.

use super::Walk;
use crate::store::coding::Reader;
use crate::store::embedded::levels::Shared;
use crate::store::embedded::rows::{Key, LetterRow, Space, end_of};
use crate::store::read::Room;
use crate::store::{DeadLetter, Error, LetterId, PageOf, ScanLimit};
use crate::types::HandlerName;

/// Of one handler or of all, after this one.
pub(in super::super) fn dead_letters(
    shared: &Shared,
    handler: Option<&HandlerName>,
    after: LetterId,
    limit: ScanLimit,
) -> Result<PageOf<DeadLetter>, Error> {
    let from = Key::number(Space::Dead, after.0).next();
    let mut rows = Walk::new(shared, from, end_of(&Key::named(Space::Dead, "")));
    let mut room = Room::new(limit);
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    while let Some((key, row)) = rows.next()? {
        let row = LetterRow::read(key.last_number(), &mut Reader(row));
        if handler.is_some_and(|handler| row.letter.origin.handler != *handler) {
            continue;
        }
        if !room.takes(row.weight() as usize) {
            page.more = true;
            break;
        }
        // It may have gone since its row was read.
        if let Some(packet) = shared.get(&Key::number(Space::DeadPacket, key.last_number()))? {
            page.items.push(row.with(packet));
        }
    }
    Ok(page)
}
