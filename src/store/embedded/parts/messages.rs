//! A block of messages: each with its position, as what it adds to the one before.

use bytes::Bytes;

use super::frame::{put_bytes, put_number, take_bytes, take_number};
use crate::store::packed::PackedMessage;

/// A block ends with the message that reaches this.
pub(super) const FULL: usize = 16 << 10;

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    pub(super) payload: Vec<u8>,
    pub(super) count: u32,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Filling {
    pub(super) fn add(&mut self, position: u64, message: &PackedMessage) {
        if self.count == 0 {
            self.first = position;
            self.last = position;
        }
        put_number(&mut self.payload, position - self.last);
        put_bytes(&mut self.payload, message.bytes());
        self.last = position;
        self.count += 1;
    }
}

/// The messages of a block, whose bytes were verified. Each shares the block's memory.
#[derive(Debug)]
pub(super) struct Entries {
    payload: Bytes,
    at: usize,
    position: u64,
}

impl Entries {
    pub(super) fn new(payload: Bytes, first: u64) -> Self {
        Self {
            payload,
            at: 0,
            position: first,
        }
    }
}

impl Iterator for Entries {
    type Item = (u64, PackedMessage);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.payload.get(self.at..)?;
        let position = self.position.checked_add(take_number(&mut rest)?)?;
        let message = take_bytes(&mut rest)?;
        self.position = position;
        self.at = self.payload.len() - rest.len();
        let message = self.payload.slice_ref(message);
        Some((position, PackedMessage::restored(message)))
    }
}
