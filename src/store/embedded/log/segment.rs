//! One segment, read whole: its frames, and the stretches that are none.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::format::{FRAME_HEADER, FRAME_MAGIC, FrameHeader, MAX_FRAME, SEGMENT_HEADER};
use crate::store::embedded::disk::DiskFile;

/// No segment of ours is longer: a frame of the largest size has one of its own.
const MAX_SEGMENT: u64 = (SEGMENT_HEADER + MAX_FRAME) as u64;

/// The content of a segment's file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    /// How long the file is; more than was read if it is longer than any segment can be.
    pub(super) file_bytes: u64,
    /// Where the zeros at the end begin.
    pub(super) end: usize,
}

/// What follows what in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole frame.
    Frame { at: usize, header: FrameHeader },
    /// A frame whose header is right and whose payload is not, or is not all there.
    Broken { at: usize, header: FrameHeader },
    /// No frame.
    Bad { at: usize, bytes: usize },
}

impl Content {
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Self> {
        let file_bytes = file.len()?;
        let length = file_bytes.min(MAX_SEGMENT) as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        file.read_at(0, &mut bytes)?;
        let end = end_of_content(&bytes);
        Ok(Self {
            bytes: Bytes::from(bytes),
            file_bytes,
            end,
        })
    }

    /// The part of it that is a frame's payload.
    pub(super) fn payload(&self, at: usize, header: &FrameHeader) -> Bytes {
        self.bytes.slice(payload(at, header))
    }

    /// What is behind the segment's header, whatever that is, in order.
    pub(super) fn pieces(&self, key: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = SEGMENT_HEADER;
        while at < self.end {
            let Some(header) = self.header_at(at, key) else {
                let next = self.next_header(at + 1, key);
                let end = next.unwrap_or(self.end);
                let bytes = end - at;
                pieces.push(Piece::Bad { at, bytes });
                at = end;
                continue;
            };
            let range = payload(at, &header);
            match self.bytes.get(range.clone()) {
                Some(bytes) if xxh3_64(bytes) == header.payload_check => {
                    pieces.push(Piece::Frame { at, header });
                }
                _ => pieces.push(Piece::Broken { at, header }),
            }
            at = range.end;
        }
        pieces
    }

    fn header_at(&self, at: usize, key: u64) -> Option<FrameHeader> {
        let header = FrameHeader::decode(self.bytes.get(at..)?, key)?;
        (header.length as usize <= MAX_FRAME - FRAME_HEADER).then_some(header)
    }

    fn next_header(&self, from: usize, key: u64) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = self.bytes.get(at..self.end)?;
            at += rest.iter().position(|byte| *byte == FRAME_MAGIC[0])?;
            if self.header_at(at, key).is_some() {
                return Some(at);
            }
            at += 1;
        }
    }
}

fn payload(at: usize, header: &FrameHeader) -> Range<usize> {
    let start = at + FRAME_HEADER;
    start..start + header.length as usize
}

fn end_of_content(bytes: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let zeros = [0; BLOCK];
    let blocks = bytes.chunks(BLOCK);
    let Some(last) = blocks
        .enumerate()
        .rev()
        .find(|(_, block)| *block != &zeros[..block.len()])
    else {
        return 0;
    };
    let (number, block) = last;
    let in_block = block.iter().rposition(|byte| *byte != 0);
    number * BLOCK + in_block.map_or(0, |at| at + 1)
}
