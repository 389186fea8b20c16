//! What is in memory of an open part: from its footer and fences, or, where those are damaged, from its blocks.

use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, UNIX_EPOCH};

use super::PartInfo;
use super::frame::{self, HEAD, Head, Kind, take_bytes, take_number};
use super::index;
use super::messages::Entries;
use crate::store::embedded::disk::DiskFile;

/// How long the footer's frame is.
pub(super) const FOOTER: u64 = (HEAD + 9 * 8) as u64;

/// A block of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageFence {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) at: u64,
    /// Of the frame.
    pub(super) len: u32,
}

/// A block of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexFence {
    /// Not above the block's first key, and above all that is before it, unless that is the same key.
    pub(super) key: Box<[u8]>,
    /// The block's first position if it continues the topic before it, else 0.
    pub(super) first: u64,
    pub(super) at: u64,
    /// Of the frame.
    pub(super) len: u32,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) info: PartInfo,
    pub(super) messages: Vec<MessageFence>,
    /// `None` if it is not known to be whole: topics are found by walking the messages then.
    pub(super) index: Option<Vec<IndexFence>>,
    /// Stretches of messages whose blocks could not even be found, in order, none of which overlaps a block.
    pub(super) lost: Vec<RangeInclusive<u64>>,
    /// What else is damaged.
    pub(super) damage: Vec<String>,
}

/// `None` if nothing of it can be read.
pub(super) fn layout(file: &dyn DiskFile) -> io::Result<Option<Layout>> {
    let header = header(file)?;
    let mut damage = Vec::new();
    if let Err(err) = &header {
        damage.push(format!("header: {err}"));
    }
    let fences = match by_fences(file)? {
        Ok(mut layout) => {
            layout.damage = damage;
            return Ok(Some(layout));
        }
        Err(err) => err,
    };
    damage.push(format!("footer or fences: {fences}"));
    let (class, at) = match header {
        Ok((class, at)) => (class, at),
        Err(_) => (String::new(), 0),
    };
    let footer = footer(file).ok();
    walk(file, at, PartInfo { class, ..empty() }, footer, damage)
}

/// The class, and where the first block is.
fn header(file: &dyn DiskFile) -> io::Result<Result<(String, u64), io::Error>> {
    let len = file.len()?;
    let read = || {
        let mut head = [0; HEAD];
        file.read_at(0, &mut head)?;
        let head = Head::parse(&head, 0).ok_or_else(bad)?;
        if head.kind != Kind::Header || head.frame_len() > len {
            return Err(bad());
        }
        let (head, class) = frame::read(file, 0, head.frame_len())?;
        let class = String::from_utf8(class.to_vec()).map_err(|_| bad())?;
        Ok((class, head.frame_len()))
    };
    damage_apart(read())
}

fn by_fences(file: &dyn DiskFile) -> io::Result<Result<Layout, io::Error>> {
    let read = || {
        let footer = footer(file)?;
        let (head, fences) = frame::read(file, footer.fences_at, footer.fences_len)?;
        if head.kind != Kind::Fences {
            return Err(bad());
        }
        parse(footer.info, head, &fences).ok_or_else(bad)
    };
    damage_apart(read())
}

struct Footer {
    /// All but the class.
    info: PartInfo,
    fences_at: u64,
    fences_len: u64,
}

fn footer(file: &dyn DiskFile) -> io::Result<Footer> {
    let len = file.len()?;
    let at = len.checked_sub(FOOTER).ok_or_else(bad)?;
    let (head, footer) = frame::read(file, at, FOOTER)?;
    let mut numbers = [0; 9];
    for (number, bytes) in numbers.iter_mut().zip(footer.as_chunks().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    let [messages, bytes, file_bytes, first, last, ..] = numbers;
    let [.., oldest, newest, fences_at, fences_len] = numbers;
    if head.kind != Kind::Footer || file_bytes != len || fences_at > len {
        return Err(bad());
    }
    Ok(Footer {
        info: PartInfo {
            messages,
            bytes,
            file_bytes,
            first,
            last,
            oldest: UNIX_EPOCH + Duration::from_nanos(oldest),
            newest: UNIX_EPOCH + Duration::from_nanos(newest),
            ..empty()
        },
        fences_at,
        fences_len,
    })
}

fn parse(mut info: PartInfo, head: Head, mut from: &[u8]) -> Option<Layout> {
    let from = &mut from;
    info.class = String::from_utf8(take_bytes(from)?.to_vec()).ok()?;
    let mut at = (HEAD + info.class.len()) as u64;
    let mut before = 0_u64;
    let mut messages = Vec::with_capacity((head.count as usize).min(from.len()));
    for _ in 0..head.count {
        let first = before.checked_add(take_number(from)?)?;
        let last = first.checked_add(take_number(from)?)?;
        let len = u32::try_from(take_number(from)?).ok()?;
        messages.push(MessageFence {
            first,
            last,
            at,
            len,
        });
        at += u64::from(len);
        before = last;
    }
    let mut index = Vec::with_capacity((head.first as usize).min(from.len()));
    for _ in 0..head.first {
        let key = take_bytes(from)?.into();
        let first = take_number(from)?;
        let len = u32::try_from(take_number(from)?).ok()?;
        index.push(IndexFence {
            key,
            first,
            at,
            len,
        });
        at += u64::from(len);
    }
    Some(Layout {
        info,
        messages,
        index: Some(index),
        lost: Vec::new(),
        damage: Vec::new(),
    })
}

/// Reads all blocks, from one head to the next. Where a head is damaged the next whole one is searched for.
fn walk(
    file: &dyn DiskFile,
    start: u64,
    info: PartInfo,
    footer: Option<Footer>,
    damage: Vec<String>,
) -> io::Result<Option<Layout>> {
    let end = file.len()?;
    let mut walk = Walk {
        info: PartInfo {
            file_bytes: end,
            ..info
        },
        messages: Vec::new(),
        index: Vec::new(),
        index_whole: true,
        fences: None,
        last: None,
        lost: Vec::new(),
    };
    let mut at = start;
    let mut found = start > 0;
    while let Some((next, head)) = frame::find(file, at, end)? {
        let gap = next > at;
        // A block that was cut off says what it had.
        at = (next + head.frame_len()).min(end);
        found = true;
        match head.kind {
            Kind::Header | Kind::Footer => {}
            Kind::Messages => walk.messages(file, next, head, gap)?,
            Kind::Index => walk.index(file, next, head)?,
            Kind::Fences => {
                walk.fences = Some(head.first);
                walk.last = walk.last.max(Some(head.last));
            }
        }
    }
    if let Some(footer) = &footer {
        walk.last = Some(footer.info.last);
        let class = walk.info.class;
        walk.info = PartInfo {
            class,
            ..footer.info.clone()
        };
        found = true;
    }
    Ok(found.then(|| walk.done(damage)))
}

/// What a walk has found so far.
struct Walk {
    info: PartInfo,
    messages: Vec<MessageFence>,
    index: Vec<IndexFence>,
    /// Whether each block of the index was found and read, as far as it was found.
    index_whole: bool,
    /// How many blocks of the index there are, if the fences' head is whole.
    fences: Option<u64>,
    /// The position of the part's last message, 0 if there is none, once anything has told.
    last: Option<u64>,
    lost: Vec<RangeInclusive<u64>>,
}

impl Walk {
    fn messages(&mut self, file: &dyn DiskFile, at: u64, head: Head, gap: bool) -> io::Result<()> {
        let through = self.through();
        if head.first <= through || head.last < head.first {
            return Ok(());
        }
        if gap {
            self.lose(head.first - 1);
        }
        self.messages.push(MessageFence {
            first: head.first,
            last: head.last,
            at,
            len: head.frame_len() as u32,
        });
        let info = &mut self.info;
        if info.messages == 0 {
            info.first = head.first;
        }
        info.last = head.last;
        info.messages += u64::from(head.count);
        let Ok((_, payload)) = damage_apart(frame::read(file, at, head.frame_len()))? else {
            return Ok(());
        };
        for (_, message) in Entries::new(payload, head.first) {
            let time = message.time();
            let first = info.bytes == 0;
            info.bytes += message.len() as u64;
            info.oldest = if first { time } else { info.oldest.min(time) };
            info.newest = info.newest.max(time);
        }
        Ok(())
    }

    fn index(&mut self, file: &dyn DiskFile, at: u64, head: Head) -> io::Result<()> {
        self.last = self.last.max(Some(head.last));
        let read = damage_apart(frame::read(file, at, head.frame_len()))?.ok();
        let payload = read.map(|(_, payload)| payload);
        let entry = payload
            .as_deref()
            .and_then(|block| index::Entries(block).next());
        match entry {
            Some(entry) if head.first == self.index.len() as u64 => self.index.push(IndexFence {
                key: entry.key.into(),
                // What it does not continue begins with it, so that this is right for both.
                first: entry.positions().next().unwrap_or(0),
                at,
                len: head.frame_len() as u32,
            }),
            _ => self.index_whole = false,
        }
        Ok(())
    }

    /// The position up to which is known what there is.
    fn through(&self) -> u64 {
        self.messages.last().map_or(0, |fence| fence.last)
    }

    fn lose(&mut self, last: u64) {
        let first = self.through() + 1;
        if first <= last {
            self.lost.push(first..=last);
        }
    }

    fn done(mut self, damage: Vec<String>) -> Layout {
        self.lose(self.last.unwrap_or(u64::MAX));
        let whole = self.index_whole && self.fences == Some(self.index.len() as u64);
        Layout {
            info: self.info,
            messages: self.messages,
            index: whole.then_some(self.index),
            lost: self.lost,
            damage,
        }
    }
}

fn empty() -> PartInfo {
    PartInfo {
        class: String::new(),
        messages: 0,
        bytes: 0,
        file_bytes: 0,
        first: 0,
        last: 0,
        oldest: UNIX_EPOCH,
        newest: UNIX_EPOCH,
    }
}

/// Damage is an answer, any other error is not.
fn damage_apart<T>(read: io::Result<T>) -> io::Result<Result<T, io::Error>> {
    match read {
        Err(err) if !frame::is_damage(&err) => Err(err),
        read => Ok(read),
    }
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not what it should be")
}
