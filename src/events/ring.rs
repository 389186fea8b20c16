//! The live ring: the newest entries that somebody wanted, encoded. Bounded by number and bytes; the oldest go first.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use smallvec::SmallVec;

use super::interest::Met;
use super::live::StreamId;
use crate::store::Position;
use crate::wire::event::ResultsEvent;
use crate::wire::proto;

/// Small events share buffers of this size, so that an event costs no allocation and one that is held on to holds little
/// else.
const BLOCK_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Ring {
    items: VecDeque<Item>,
    /// The number of the first item. Numbers count everything that was ever in the ring, ephemeral entries too.
    first: u64,
    bytes: usize,
    max_items: usize,
    max_bytes: usize,
    block: Block,
}

/// One event for those whom it concerns.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: ItemKind,
    /// Of its last entry: the place in the cursor that it was encoded with.
    pub(super) position: Position,
    pub(super) met: Met,
    /// Streams that meet an interest of it but skip what their own client published.
    pub(super) skipped_by: SmallVec<[StreamId; 2]>,
    pub(super) event: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    Message,
    Ephemeral,
    /// Results of one client, the first of them at this position.
    Results {
        first: Position,
    },
}

impl Ring {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        Self {
            items: VecDeque::new(),
            first: 0,
            bytes: 0,
            max_items,
            max_bytes,
            block: Block::default(),
        }
    }

    pub(super) fn encode(&mut self, event: &proto::Event) -> Bytes {
        let write = |out: &mut BytesMut| event.encode_raw(out);
        self.block.encode(event.encoded_len(), write)
    }

    pub(super) fn encode_results(&mut self, event: &ResultsEvent) -> Bytes {
        self.block
            .encode(event.encoded_len(), |out| event.encode(out))
    }

    /// The newest item stays, however large it is. The oldest go before it comes: at the bound the items must not move to
    /// twice the room.
    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.event.len();
        while self.items.len() >= self.max_items || self.bytes > self.max_bytes {
            let Some(oldest) = self.items.pop_front() else {
                break;
            };
            self.bytes -= oldest.event.len();
            self.first += 1;
        }
        self.items.push_back(item);
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next item gets.
    pub(super) fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// `None` if it has left or is still to come.
    pub(super) fn get(&self, number: u64) -> Option<&Item> {
        let at = number.checked_sub(self.first)?;
        self.items.get(usize::try_from(at).ok()?)
    }

    /// Nobody is left who could read it.
    pub(super) fn clear(&mut self) {
        self.first = self.end();
        self.items = VecDeque::new();
        self.bytes = 0;
        self.block = Block::default();
    }
}

/// Packs encoded events into shared buffers.
#[derive(Debug, Default)]
struct Block(BytesMut);

impl Block {
    /// `length`: how much will be written.
    fn encode(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if length > BLOCK_BYTES / 4 {
            let mut alone = BytesMut::with_capacity(length);
            write(&mut alone);
            return alone.freeze();
        }
        if self.0.capacity() < length {
            self.0 = BytesMut::with_capacity(BLOCK_BYTES);
        }
        write(&mut self.0);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: usize) -> Item {
        Item {
            kind: ItemKind::Message,
            position: Position(1),
            met: Met::new(),
            skipped_by: SmallVec::new(),
            event: vec![0; bytes].into(),
        }
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let mut ring = Ring::new(3, 100);
        for _ in 0..5 {
            ring.push(item(10));
        }
        assert_eq!((ring.first(), ring.end()), (2, 5));
        ring.push(item(85));
        assert_eq!((ring.first(), ring.end()), (4, 6));
        ring.push(item(1000));
        assert_eq!((ring.first(), ring.end()), (6, 7));
        assert!(ring.get(5).is_none() && ring.get(6).is_some() && ring.get(7).is_none());
    }

    #[test]
    fn a_full_one_takes_no_more_room() {
        let mut ring = Ring::new(1024, usize::MAX);
        (0..1024).for_each(|_| ring.push(item(1)));
        let room = ring.items.capacity();
        (0..3000).for_each(|_| ring.push(item(1)));
        assert_eq!((ring.first(), ring.items.capacity()), (3000, room));
    }
}
