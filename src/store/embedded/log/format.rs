//! What the log's files are made of. All numbers are little-endian.
//!
//! A segment is a header of 64 bytes, then frames without gaps, then zeros (room reserved and not written). The checksums
//! of headers are keyed with the log's id and the segment's number: neither a message whose content looks like a frame
//! nor a file of another log or place can be taken for one.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(super) const VERSION: u32 = 1;
pub(super) const SEGMENT_HEADER: usize = 64;
pub(super) const FRAME_HEADER: usize = 40;
pub(super) const MARKER: usize = 32;

/// The largest frame, its header counted. Whatever a file says, no more than this is allocated for it.
pub(in super::super) const MAX_FRAME: usize = 256 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"TGLOGSEG";
const MARKER_MAGIC: [u8; 8] = *b"TGLOGEND";
pub(super) const FRAME_MAGIC: [u8; 4] = [0xF7, b'T', b'G', 0xA5];

/// The start of a segment. Its layout and checksum are those of every version, so that another version is told from
/// damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The log's.
    pub(super) id: u64,
    pub(super) segment: u64,
    /// The number of its first frame. All frames before it were durable when this was written.
    pub(super) first: u64,
}

/// What the start of a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Right(SegmentHeader),
    OtherVersion(u32),
    Bad,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        self.encode_as(VERSION)
    }

    pub(super) fn encode_as(&self, version: u32) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        let check = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads the header of the file that should be `segment`.
    pub(super) fn decode(bytes: &[u8], segment: u64) -> Head {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER) else {
            return Head::Bad;
        };
        if bytes[..8] != SEGMENT_MAGIC || u64_at(bytes, 56) != xxh3_64(&bytes[..56]) {
            return Head::Bad;
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Head::OtherVersion(version);
        }
        let header = Self {
            id: u64_at(bytes, 16),
            segment: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
        };
        // Frame numbers start at 1, and one is added to them.
        if header.segment != segment || header.first == 0 || header.first == u64::MAX {
            return Head::Bad;
        }
        Head::Right(header)
    }
}

/// The start of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Of the payload.
    pub(super) length: u32,
    pub(super) number: u64,
    /// The last frame that was durable when this one was written. It tells a frame that was lost from one that nobody was
    /// told of.
    pub(super) durable: u64,
    pub(super) payload_check: u64,
}

impl FrameHeader {
    pub(super) fn encode(&self, key: u64) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.payload_check.to_le_bytes());
        let check = xxh3_64_with_seed(&bytes[..32], key);
        bytes[32..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], key: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER)?;
        if bytes[..4] != FRAME_MAGIC || u64_at(bytes, 32) != xxh3_64_with_seed(&bytes[..32], key) {
            return None;
        }
        let header = Self {
            length: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            payload_check: u64_at(bytes, 24),
        };
        (header.durable < header.number && header.number < u64::MAX).then_some(header)
    }
}

/// What the checksums of a segment's frame headers are keyed with.
pub(super) fn key(id: u64, segment: u64) -> u64 {
    xxh3_64_with_seed(&segment.to_le_bytes(), id)
}

/// The content of the file beside the segments: the log's id, and the last frame that was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) id: u64,
    pub(super) durable: u64,
}

impl Marker {
    pub(super) fn encode(&self) -> [u8; MARKER] {
        let mut bytes = [0; MARKER];
        bytes[..8].copy_from_slice(&MARKER_MAGIC);
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        let check = xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; MARKER]) -> Option<Self> {
        if bytes[..8] != MARKER_MAGIC || u64_at(bytes, 24) != xxh3_64(&bytes[..24]) {
            return None;
        }
        let marker = Self {
            id: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
        };
        (marker.durable < u64::MAX - 1).then_some(marker)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
