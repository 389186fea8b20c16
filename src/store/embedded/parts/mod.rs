//! Messages in files that never change, like the sorted tables of a log-structured store.
//!
//! A checkpoint writes a part from the messages of one retention class, in order of position ([`PartWriter`]); a [`Part`]
//! reads it; retention removes it whole. Parts of several classes cover the same stretch of positions.
//!
//! A part is frames, each with its checksums ([`frame`]): the header, the messages in blocks of about 16 KiB, an index of
//! topics in blocks of about 8 KiB, the fences (where each block is, and with what it begins), and the footer, whose place
//! is the file's end. Fences and footer are what is in memory of an open part. All of them can be read back from the
//! blocks, so that damage loses the messages of the blocks that it is in, and no others: a damaged block is told as
//! [`Damage`] and stepped over, and without its index a topic is found by walking the messages.

mod blocks;
mod frame;
mod index;
mod messages;
mod open;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::SystemTime;

pub(super) use blocks::Blocks;
pub(super) use read::{Part, Step};
pub(super) use write::PartWriter;

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartInfo {
    /// The retention class that it was written for.
    pub(super) class: String,
    pub(super) messages: u64,
    /// Of the packed messages.
    pub(super) bytes: u64,
    /// Of the file.
    pub(super) file_bytes: u64,
    /// The positions of the first and the last message; 0 and 0 if there is none.
    pub(super) first: u64,
    pub(super) last: u64,
    /// The time of the oldest message; 1970 if there is none.
    pub(super) oldest: SystemTime,
    /// What it ages from ([`PartWriter::ages_from`]), else the time of the newest message; 1970 if there is none.
    pub(super) newest: SystemTime,
}

/// Something of a part that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// The part's path.
    pub(super) part: Arc<str>,
    /// All messages of the part in this stretch are missing, and there may have been some. `None`: no message is missing,
    /// it is the index, the fences, the header or the footer. Of a file that was cut the end of the stretch is not known
    /// and `u64::MAX`.
    pub(super) positions: Option<RangeInclusive<u64>>,
    pub(super) what: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nothing of the file can be read as a part.
    #[error("{0} is not a part, or nothing of it is left")]
    Unreadable(Arc<str>),
    #[error("{0}")]
    Io(#[from] io::Error),
}
