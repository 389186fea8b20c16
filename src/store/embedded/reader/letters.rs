//! Dead letters, with their packets.

use bytes::Bytes;

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
        if let Some(packet) = packet(shared, &key)? {
            page.items.push(row.with(packet));
        }
    }
    Ok(page)
}

/// `None`: the letter has gone since its row was read. Where the row is still there, its packet was lost with damage: there is
/// nothing left of it, but whoever looks is to know of it, and to be able to discard it.
fn packet(shared: &Shared, letter: &Key) -> Result<Option<Bytes>, Error> {
    let packet = shared.get(&Key::number(Space::DeadPacket, letter.last_number()))?;
    if packet.is_some() {
        return Ok(packet);
    }
    Ok(shared.get(letter)?.map(|_| Bytes::new()))
}
