//! What a part is made of: frames that say what and how long they are, so that a part can be walked without anything else.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::super::disk::DiskFile;

/// Magic, kind, length, count, first, last, the payload's checksum, the head's own.
pub(super) const HEAD: usize = 4 + 4 + 4 + 4 + 8 + 8 + 8 + 8;
const MAGIC: [u8; 4] = [0xf7, b'T', b'g', 1];
/// Longer than any frame: a block of one message, or the fences of a part of gigabytes.
pub(super) const LONGEST: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The class's name.
    Header,
    /// Messages: how many, and the first's and last's position.
    Messages,
    /// Topics: how many entries, the block's number from 0, and the position of the part's last message.
    Index,
    /// Where the blocks are: how many of messages, how many of topics, and the position of the part's last message.
    Fences,
    /// What the part holds. Always of the same length.
    Footer,
}

const KINDS: [Kind; 5] = [
    Kind::Header,
    Kind::Messages,
    Kind::Index,
    Kind::Fences,
    Kind::Footer,
];

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) len: u32,
    pub(super) count: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    sum: u64,
}

impl Head {
    /// The bytes of a frame that is to stand at `at`.
    pub(super) fn seal(
        kind: Kind,
        (count, first, last): (u32, u64, u64),
        payload: &[u8],
        at: u64,
    ) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let kind = KINDS.iter().position(|other| *other == kind).unwrap_or(0);
        head[..4].copy_from_slice(&MAGIC);
        head[4] = kind as u8;
        head[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[12..16].copy_from_slice(&count.to_le_bytes());
        head[16..24].copy_from_slice(&first.to_le_bytes());
        head[24..32].copy_from_slice(&last.to_le_bytes());
        head[32..40].copy_from_slice(&xxh3_64(payload).to_le_bytes());
        let sum = xxh3_64_with_seed(&head[..40], at);
        head[40..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// The head that stands at `at`, if it is whole.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Option<Self> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC || u64_at(bytes, 40) != xxh3_64_with_seed(&bytes[..40], at) {
            return None;
        }
        let len = u32_at(bytes, 8);
        (len as usize <= LONGEST).then_some(Self {
            kind: *KINDS.get(usize::from(bytes[4]))?,
            len,
            count: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
            last: u64_at(bytes, 24),
            sum: u64_at(bytes, 32),
        })
    }

    /// How long the frame is as a whole.
    pub(super) fn frame_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }
}

/// Reads a frame and verifies it. An error of kind `InvalidData` or `UnexpectedEof` is damage.
pub(super) fn read(file: &dyn DiskFile, at: u64, frame_len: u64) -> io::Result<(Head, Bytes)> {
    if frame_len < HEAD as u64 || frame_len > (HEAD + LONGEST) as u64 {
        return Err(damaged(at, "it cannot be so long"));
    }
    let mut frame = vec![0; frame_len as usize];
    file.read_at(at, &mut frame)?;
    let head = Head::parse(&frame, at).ok_or_else(|| damaged(at, "its head does not match"))?;
    if head.frame_len() != frame_len {
        return Err(damaged(at, "it has another length"));
    }
    let payload = Bytes::from(frame).slice(HEAD..);
    if xxh3_64(&payload) != head.sum {
        return Err(damaged(at, "it does not match its checksum"));
    }
    Ok((head, payload))
}

/// The first whole head at or after `from`, and where it stands.
pub(super) fn find(file: &dyn DiskFile, from: u64, end: u64) -> io::Result<Option<(u64, Head)>> {
    const STRETCH: u64 = 1 << 20;
    if from + (HEAD as u64) <= end {
        // Mostly it stands right there.
        let mut head = [0; HEAD];
        file.read_at(from, &mut head)?;
        if let Some(head) = Head::parse(&head, from) {
            return Ok(Some((from, head)));
        }
    }
    let mut start = from;
    while start + (HEAD as u64) <= end {
        // Stretches overlap, so that a head that begins in one is whole in it.
        let len = (end - start).min(STRETCH + HEAD as u64 - 1);
        let mut bytes = vec![0; len as usize];
        file.read_at(start, &mut bytes)?;
        for at in 0..=bytes.len() - HEAD {
            if bytes[at] != MAGIC[0] {
                continue;
            }
            if let Some(head) = Head::parse(&bytes[at..], start + at as u64) {
                return Ok(Some((start + at as u64, head)));
            }
        }
        start += STRETCH;
    }
    Ok(None)
}

pub(super) fn is_damage(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

fn damaged(at: u64, what: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the block at {at} is damaged: {what}"),
    )
}

fn u32_at(bytes: &[u8; HEAD], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8; HEAD], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Seven bits a byte, the lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes a number off the front.
pub(super) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..10 {
        let byte = *from.get(at)?;
        number |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte < 0x80 {
            *from = &from[at + 1..];
            return Some(number);
        }
    }
    None
}

/// Takes bytes with their length off the front.
pub(super) fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_number(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(bytes)
}
