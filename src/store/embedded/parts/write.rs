//! Writing a part.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hashbrown::HashMap;

use super::super::disk::{Disk, DiskFile};
use super::PartInfo;
use super::frame::{HEAD, Head, Kind, put_bytes, put_number};
use super::open::{IndexFence, MessageFence};
use super::{index, messages};
use crate::store::packed::PackedMessage;

/// How much is written to the file at once.
const STRETCH: usize = 1 << 20;

/// A part that is being written. Its messages go to the file as they come; its index is kept until the end, which is about
/// eight bytes a message and a name for each topic. Dropped unfinished, it removes its file.
pub(in super::super) struct PartWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// What is not in the file yet, and where it goes.
    buffer: Vec<u8>,
    buffer_at: u64,
    block: messages::Filling,
    topics: HashMap<Vec<u8>, Vec<u64>>,
    fences: Vec<MessageFence>,
    info: PartInfo,
    finished: bool,
}

impl PartWriter {
    /// Makes the file, which must not be there.
    pub(in super::super) fn new(disk: Arc<dyn Disk>, path: &Path, class: &str) -> io::Result<Self> {
        let file = disk.create(path)?;
        let mut part = Self {
            disk,
            path: path.to_owned(),
            file,
            buffer: Vec::new(),
            buffer_at: 0,
            block: messages::Filling::default(),
            topics: HashMap::new(),
            fences: Vec::new(),
            info: PartInfo {
                class: class.to_owned(),
                messages: 0,
                bytes: 0,
                file_bytes: 0,
                first: 0,
                last: 0,
                oldest: UNIX_EPOCH,
                newest: UNIX_EPOCH,
            },
            finished: false,
        };
        part.frame(Kind::Header, (0, 0, 0), class.as_bytes())?;
        Ok(part)
    }

    /// Adds a message. Positions go up, and start at 1.
    pub(in super::super) fn add(
        &mut self,
        position: u64,
        message: &PackedMessage,
    ) -> io::Result<()> {
        let info = &mut self.info;
        if position <= info.last {
            let what = format!("position {position} is not after {}", info.last);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let time = message.time();
        if info.messages == 0 {
            (info.first, info.oldest, info.newest) = (position, time, time);
        }
        info.last = position;
        info.messages += 1;
        info.bytes += message.len() as u64;
        info.oldest = info.oldest.min(time);
        info.newest = info.newest.max(time);

        self.block.add(position, message);
        let (tenant, topic) = message.names();
        let key = index::key(tenant, topic);
        self.topics.entry(key).or_default().push(position);
        if self.block.payload.len() >= messages::FULL {
            self.end_block()?;
        }
        Ok(())
    }

    /// When its messages were all there, by the store's own time, which is not that of the wall clock that messages have.
    pub(in super::super) fn ages_from(&mut self, time: SystemTime) {
        self.info.newest = time;
    }

    /// Writes the rest. The part is there after a crash once this returns.
    pub(in super::super) fn finish(mut self) -> io::Result<PartInfo> {
        self.end_block()?;
        let index = self.index()?;
        let at = self.at();
        let payload = self.fences(&index);
        let counts = (self.fences.len() as u32, index.len() as u64, self.info.last);
        self.frame(Kind::Fences, counts, &payload)?;
        let footer = self.footer(at);
        self.frame(Kind::Footer, (0, 0, 0), &footer)?;
        self.flush()?;
        self.file.sync()?;
        self.disk
            .sync_dir(self.path.parent().unwrap_or_else(|| Path::new("")))?;
        self.finished = true;
        Ok(self.info.clone())
    }

    fn index(&mut self) -> io::Result<Vec<IndexFence>> {
        let mut topics: Vec<_> = std::mem::take(&mut self.topics).into_iter().collect();
        topics.sort_unstable();
        let mut fences = Vec::new();
        let mut block = Vec::new();
        let mut entries = 0;
        let mut fence = (Vec::new(), 0);
        let mut before: &[u8] = &[];
        for (key, positions) in &topics {
            for positions in positions.chunks(index::MOST) {
                if entries == 0 {
                    let continues = before == key.as_slice();
                    let first = if continues { positions[0] } else { 0 };
                    fence = (index::fence(before, key).to_vec(), first);
                }
                index::put(&mut block, key, positions);
                before = key;
                entries += 1;
                if block.len() >= index::FULL {
                    fences.push(self.index_block(&fence, fences.len(), entries, &block)?);
                    block.clear();
                    entries = 0;
                }
            }
        }
        if entries > 0 {
            fences.push(self.index_block(&fence, fences.len(), entries, &block)?);
        }
        Ok(fences)
    }

    fn index_block(
        &mut self,
        (key, first): &(Vec<u8>, u64),
        number: usize,
        entries: u32,
        block: &[u8],
    ) -> io::Result<IndexFence> {
        let at = self.at();
        let counts = (entries, number as u64, self.info.last);
        let len = self.frame(Kind::Index, counts, block)?;
        Ok(IndexFence {
            key: key.as_slice().into(),
            first: *first,
            at,
            len,
        })
    }

    /// The blocks stand one after the other, so that their lengths say where they are.
    fn fences(&self, index: &[IndexFence]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.info.class.as_bytes());
        let mut before = 0;
        for fence in &self.fences {
            put_number(&mut out, fence.first - before);
            put_number(&mut out, fence.last - fence.first);
            put_number(&mut out, u64::from(fence.len));
            before = fence.last;
        }
        for fence in index {
            put_bytes(&mut out, &fence.key);
            put_number(&mut out, fence.first);
            put_number(&mut out, u64::from(fence.len));
        }
        out
    }

    fn footer(&mut self, fences_at: u64) -> Vec<u8> {
        let fences_len = self.at() - fences_at;
        let info = &mut self.info;
        info.file_bytes = fences_at + fences_len + super::open::FOOTER;
        [
            info.messages,
            info.bytes,
            info.file_bytes,
            info.first,
            info.last,
            nanos(info.oldest),
            nanos(info.newest),
            fences_at,
            fences_len,
        ]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
    }

    fn end_block(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        if block.count == 0 {
            return Ok(());
        }
        let at = self.at();
        let counts = (block.count, block.first, block.last);
        let len = self.frame(Kind::Messages, counts, &block.payload)?;
        self.fences.push(MessageFence {
            first: block.first,
            last: block.last,
            at,
            len,
        });
        Ok(())
    }

    /// Adds a frame, and says how long it is.
    fn frame(&mut self, kind: Kind, counts: (u32, u64, u64), payload: &[u8]) -> io::Result<u32> {
        let head = Head::seal(kind, counts, payload, self.at());
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() >= STRETCH {
            self.flush()?;
        }
        Ok((HEAD + payload.len()) as u32)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.buffer_at, &self.buffer)?;
        self.buffer_at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Where the next frame goes.
    fn at(&self) -> u64 {
        self.buffer_at + self.buffer.len() as u64
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is a file that nothing names.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("path", &self.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}
