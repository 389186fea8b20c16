//! What each handler holds of what the broker may, whatever lanes it has: packets, and answers on their way to the disk.

use hashbrown::HashMap;

use super::arena::{Arena, Id};
use crate::types::HandlerName;

/// What a packet takes here besides its own bytes, about: without it, a million empty ones would count as nothing.
pub(super) const PACKET_COST: usize = 512;

/// All handlers' shares.
#[derive(Debug, Default)]
pub(super) struct Shares {
    shares: Arena<Share>,
    index: HashMap<HandlerName, Id<Share>>,
    /// The sum of all.
    pub(super) held: Held,
}

/// One handler's.
#[derive(Debug)]
pub(crate) struct Share {
    handler: HandlerName,
    /// How many lanes it has: without one it is gone.
    lanes: usize,
    held: Held,
}

/// What is held, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// Of packets, with what each takes besides its own.
    pub(super) packets: usize,
    /// Of final answers that the store has not said yes to, with what they publish.
    pub(super) answers: usize,
}

impl Held {
    pub(super) fn both(self) -> usize {
        self.packets + self.answers
    }
}

impl Shares {
    /// The handler has one more lane.
    pub(super) fn enter(&mut self, handler: &HandlerName) -> Id<Share> {
        let shares = &mut self.shares;
        let id = *self.index.entry(handler.clone()).or_insert_with(|| {
            shares.insert(Share {
                handler: handler.clone(),
                lanes: 0,
                held: Held::default(),
            })
        });
        self.shares[id].lanes += 1;
        id
    }

    /// A lane of it is gone.
    pub(super) fn leave(&mut self, id: Id<Share>) {
        self.shares[id].lanes -= 1;
        if self.shares[id].lanes == 0 {
            let share = self.shares.remove(id);
            self.index.remove(&share.handler);
        }
    }

    /// A packet of so many bytes comes in.
    pub(super) fn hold(&mut self, id: Id<Share>, size: usize) {
        self.shares[id].held.packets += size + PACKET_COST;
        self.held.packets += size + PACKET_COST;
    }

    /// It is gone.
    pub(super) fn release(&mut self, id: Id<Share>, size: usize) {
        self.shares[id].held.packets -= size + PACKET_COST;
        self.held.packets -= size + PACKET_COST;
    }

    /// An answer of so many bytes is on its way to the disk.
    pub(super) fn hold_answer(&mut self, id: Id<Share>, size: usize) {
        self.shares[id].held.answers += size;
        self.held.answers += size;
    }

    /// It is there.
    pub(super) fn release_answer(&mut self, id: Id<Share>, size: usize) {
        self.shares[id].held.answers -= size;
        self.held.answers -= size;
    }

    /// The bytes of answers that wait: of this handler, and of all.
    pub(super) fn answers(&self, id: Id<Share>) -> (usize, usize) {
        (self.shares[id].held.answers, self.held.answers)
    }

    /// Whether so large a packet fits in what all may hold. Above half of that, a handler may hold as much as is free: so
    /// however many hang, there is always room for others.
    pub(super) fn has_room(&self, id: Id<Share>, size: usize, bound: usize) -> bool {
        let cost = size + PACKET_COST;
        let free = bound.saturating_sub(self.held.both());
        if cost > free {
            return false;
        }
        free - cost >= bound / 2 || self.shares[id].held.both() + cost <= free - cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_goes_with_its_last_lane() {
        let mut shares = Shares::default();
        let name = HandlerName::new("h").unwrap();
        let (one, same) = (shares.enter(&name), shares.enter(&name));
        assert_eq!(one, same);
        shares.leave(one);
        assert_eq!(shares.index.len(), 1);
        shares.leave(one);
        assert!(shares.index.is_empty());
    }

    #[test]
    fn above_half_a_handler_holds_as_much_as_is_free_in_all_its_lanes() {
        let mut shares = Shares::default();
        let hangs = shares.enter(&HandlerName::new("hangs").unwrap());
        let other = shares.enter(&HandlerName::new("other").unwrap());
        let (bound, size) = (100 * PACKET_COST, PACKET_COST);
        let mut packets = 0;
        while shares.has_room(hangs, size, bound) {
            shares.hold(hangs, size);
            packets += 1;
        }
        assert_eq!(packets, 25, "of two costs each, half of all");
        assert!(shares.has_room(other, size, bound));
        shares.hold_answer(other, 30 * PACKET_COST);
        assert!(!shares.has_room(other, size, bound), "answers count");
        shares.release_answer(other, 30 * PACKET_COST);
        assert!(shares.has_room(other, size, bound));
    }
}
