//! What one frame of the commit log holds: everything that a group of commits changed, row by row, and its messages. It is
//! written once: what is in the frame is what readers get, from memory or after a restart.

use std::time::SystemTime;

use bytes::Bytes;

use super::rows::Key;
use crate::store::coding::{Reader, Writer};
use crate::store::packed::PackedMessage;

/// The counts that go on from frame to frame, as they are behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The position of the newest entry.
    pub(super) tail: u64,
    /// The last number given to a run or to a row of results.
    pub(super) number: u64,
    /// The highest term given.
    pub(super) term: u64,
    /// How many queues there are.
    pub(super) places: u64,
    /// The store's own time, at its last commit.
    pub(super) time: SystemTime,
}

/// One change.
#[derive(Debug)]
pub(super) enum Op {
    /// A row, or that it is gone.
    Row(Key, Option<Bytes>),
    Message(u64, PackedMessage),
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const MESSAGE: u8 = 3;

impl Default for Header {
    fn default() -> Self {
        Self {
            tail: 0,
            number: 0,
            term: 0,
            places: 0,
            time: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Header {
    /// Always as long.
    const LEN: usize = 40;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer::with_room(Self::LEN);
        for number in [self.tail, self.number, self.term, self.places] {
            out.fixed(number);
        }
        out.time(self.time);
        out.0
    }

    pub(super) fn read(bytes: Bytes) -> Self {
        let mut from = Reader(bytes);
        Self {
            tail: from.fixed(),
            number: from.fixed(),
            term: from.fixed(),
            places: from.fixed(),
            time: from.time(),
        }
    }
}

/// A frame that is being written: the changes first, and the header when it is closed.
#[derive(Debug)]
pub(super) struct FrameWriter(Writer);

impl FrameWriter {
    pub(super) fn new() -> Self {
        Self(Writer(vec![0; Header::LEN]))
    }

    pub(super) fn put(
        &mut self,
        key: &Key,
        write: impl FnOnce(&mut Writer),
    ) -> std::ops::Range<usize> {
        self.0.byte(PUT);
        self.0.bytes(key.as_bytes());
        let at = self.0.0.len();
        self.0.0.extend_from_slice(&[0; 4]);
        write(&mut self.0);
        let (start, end) = (at + 4, self.0.0.len());
        self.0.0[at..start].copy_from_slice(&((end - start) as u32).to_le_bytes());
        start..end
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.0.byte(DELETE);
        self.0.bytes(key.as_bytes());
    }

    pub(super) fn message(&mut self, position: u64, write: impl FnOnce(&mut Writer)) {
        self.0.byte(MESSAGE);
        self.0.number(position);
        let at = self.0.0.len();
        self.0.0.extend_from_slice(&[0; 4]);
        write(&mut self.0);
        let len = (self.0.0.len() - at - 4) as u32;
        self.0.0[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    pub(super) fn at(&self, range: std::ops::Range<usize>) -> Bytes {
        Bytes::copy_from_slice(&self.0.0[range])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.0.len() == Header::LEN
    }

    pub(super) fn len(&self) -> usize {
        self.0.0.len()
    }

    pub(super) fn close(mut self, header: Header) -> Bytes {
        self.0.0[..Header::LEN].copy_from_slice(&header.to_bytes());
        self.0.0.into()
    }
}

/// The header of a frame, and its changes in order, which share its buffer.
pub(super) fn read(mut frame: Bytes) -> (Header, impl Iterator<Item = Op>) {
    let header = Header::read(frame.split_to(Header::LEN));
    (header, Ops(Reader(frame)))
}

struct Ops(Reader);

impl Ops {
    fn value(&mut self) -> Bytes {
        let len = u32::from_le_bytes(self.0.array()) as usize;
        self.0.0.split_to(len)
    }
}

impl Iterator for Ops {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.byte() {
            MESSAGE => Op::Message(self.0.number(), PackedMessage::restored(self.value())),
            kind => {
                let key = Key::from_bytes(&self.0.bytes());
                let row = (kind == PUT).then(|| self.value());
                Op::Row(key, row)
            }
        })
    }
}
