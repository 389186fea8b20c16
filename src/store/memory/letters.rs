//! Dead letters: what was taken and given up.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;

use super::super::judge::Burial;
use super::Bounds;
use crate::store::read::Room;
use crate::store::{DeadLetter, LetterCounts, LetterId, LetterState, PageOf, ScanLimit, TakenId};
use crate::types::HandlerName;

#[derive(Debug, Default)]
pub(super) struct Letters {
    by_id: BTreeMap<LetterId, DeadLetter>,
    held: HashMap<TakenId, LetterId>,
    last: u64,
    /// Of those whose packets are finished.
    bytes: usize,
    dropped: u64,
}

impl Letters {
    /// Keeps it without a share of the request's buffer.
    pub(super) fn bury(&mut self, burial: Burial) {
        self.last += 1;
        let id = LetterId(self.last);
        let mut letter = burial.letter(id);
        letter.death.message = ByteString::from(&*letter.death.message);
        letter.death.packet = Bytes::copy_from_slice(&letter.death.packet);
        match letter.state {
            LetterState::Held => drop(self.held.insert(letter.taken, id)),
            LetterState::Final => self.bytes += letter.size(),
        }
        self.by_id.insert(id, letter);
    }

    pub(super) fn is_held(&self, taken: TakenId) -> bool {
        self.held.contains_key(&taken)
    }

    pub(super) fn release(&mut self, taken: TakenId) {
        if let Some(id) = self.held.remove(&taken) {
            self.by_id.remove(&id);
        }
    }

    /// Whether it is there, and its packet finished.
    pub(super) fn is_final(&self, id: LetterId) -> bool {
        let letter = self.by_id.get(&id);
        letter.is_some_and(|letter| letter.state == LetterState::Final)
    }

    pub(super) fn discard(&mut self, id: LetterId) {
        if self.is_final(id)
            && let Some(letter) = self.by_id.remove(&id)
        {
            self.bytes -= letter.size();
        }
    }

    /// The oldest go, but for those that are held.
    pub(super) fn trim(&mut self, bounds: &Bounds) {
        let mut dropped = 0;
        while self.by_id.len() - self.held.len() > bounds.letters
            || self.bytes > bounds.letter_bytes
        {
            let mut ids = self.by_id.keys().copied();
            let Some(oldest) = ids.find(|id| self.is_final(*id)) else {
                break;
            };
            self.discard(oldest);
            dropped += 1;
        }
        if dropped > 0 {
            self.dropped += dropped;
            DeadLetter::tell_dropped(dropped);
        }
    }

    pub(super) fn page(
        &self,
        handler: Option<&HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> PageOf<DeadLetter> {
        let mut room = Room::new(limit);
        let mut page = PageOf {
            items: Vec::new(),
            more: false,
        };
        let later = self.by_id.range(LetterId(after.0.saturating_add(1))..);
        for (_, letter) in later {
            if handler.is_some_and(|handler| letter.origin.handler != *handler) {
                continue;
            }
            if !room.takes(letter.size()) {
                page.more = true;
                break;
            }
            page.items.push(letter.clone());
        }
        page
    }

    pub(super) fn counts(&self) -> LetterCounts {
        LetterCounts {
            kept: (self.by_id.len() - self.held.len()) as u64,
            held: self.held.len() as u64,
            dropped: self.dropped,
            newest: LetterId(self.last),
        }
    }
}
