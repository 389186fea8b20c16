//! Reading a part.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::super::disk::{Disk, DiskFile};
use super::frame::{self, Kind};
use super::index;
use super::messages::Entries;
use super::open::{IndexFence, Layout, MessageFence, layout};
use super::{Blocks, Damage, Error, PartInfo};
use crate::store::packed::PackedMessage;

/// An open part. In memory are 32 bytes for each block of messages, and about twice that for each of the index. Everything
/// blocks; any number of threads may read.
pub(in super::super) struct Part {
    name: Arc<str>,
    file: Arc<dyn DiskFile>,
    blocks: Arc<Blocks>,
    /// Under which it keeps its blocks.
    number: u64,
    layout: Layout,
}

/// What a walk comes by, in order of position.
#[derive(Debug)]
pub(in super::super) enum Step {
    /// It shares the memory of its block: what is kept for long should be copied.
    Message(u64, PackedMessage),
    /// The part's messages in this stretch cannot be read.
    Lost(Damage),
}

/// What was found, and what could not be looked at.
#[derive(Debug)]
pub(in super::super) struct Found<T> {
    pub(in super::super) found: T,
    /// Empty unless the index is damaged as well as the messages: what is found by the index is all there is.
    pub(in super::super) damage: Vec<Damage>,
}

impl Part {
    /// Opens a part that is there. `written`: what is known of it from elsewhere, so that of one that was cut it is known
    /// what is missing.
    pub(in super::super) fn open(
        disk: &dyn Disk,
        path: &Path,
        blocks: Arc<Blocks>,
        written: Option<&PartInfo>,
    ) -> Result<Self, Error> {
        let name: Arc<str> = path.to_string_lossy().into();
        let file = disk.open(path)?;
        let Some(mut layout) = layout(&*file)? else {
            return Err(Error::Unreadable(name));
        };
        if let Some(written) = written {
            layout.info = written.clone();
            for lost in &mut layout.lost {
                *lost = *lost.start()..=(*lost.end()).min(written.last);
            }
            layout.lost.retain(|lost| !lost.is_empty());
        }
        Ok(Self {
            name,
            file,
            number: blocks.part(),
            blocks,
            layout,
        })
    }

    /// Of its file.
    pub(in super::super) fn path(&self) -> &str {
        &self.name
    }

    /// Itself, which is open and never changes: also where its name is gone.
    pub(in super::super) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// As it was written. Of a part whose footer is damaged: as far as its blocks tell.
    pub(in super::super) fn info(&self) -> &PartInfo {
        &self.layout.info
    }

    /// What was found to be damaged when it was opened; not all that is.
    pub(in super::super) fn damage(&self) -> Vec<Damage> {
        let rest = self.layout.damage.iter();
        let lost = self.layout.lost.iter();
        lost.map(|lost| self.lost(lost.clone(), "its block cannot be found"))
            .chain(rest.map(|what| self.harmless(what)))
            .collect()
    }

    /// Walks the messages after a position, in order, until told to stop.
    pub(in super::super) fn scan(
        &self,
        after: u64,
        visit: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let from = after.saturating_add(1);
        let fences = &self.layout.messages;
        let fences = &fences[fences.partition_point(|fence| fence.last < from)..];
        let mut lost = self.layout.lost.iter().peekable();
        let clipped = |lost: &RangeInclusive<u64>| (*lost.start()).max(from)..=*lost.end();
        for fence in fences.iter().map(Some).chain([None]) {
            let before =
                |lost: &&RangeInclusive<u64>| fence.is_none_or(|fence| *lost.start() < fence.first);
            while let Some(lost) = lost.next_if(before) {
                if *lost.end() < from {
                    continue;
                }
                let step = Step::Lost(self.lost(clipped(lost), "its block cannot be found"));
                if visit(step).is_break() {
                    return Ok(());
                }
            }
            let Some(fence) = fence else { break };
            match self.message_block(fence)? {
                Ok(payload) => {
                    let messages = Entries::new(payload, fence.first);
                    for (position, message) in messages.skip_while(|(at, _)| *at < from) {
                        if visit(Step::Message(position, message)).is_break() {
                            return Ok(());
                        }
                    }
                }
                Err(what) => {
                    let lost = clipped(&(fence.first..=fence.last));
                    if visit(Step::Lost(self.lost(lost, &what))).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The message at a position, or that it is lost. `None` if the part never had one there.
    pub(in super::super) fn get(&self, position: u64) -> io::Result<Option<Step>> {
        let mut found = None;
        let Some(before) = position.checked_sub(1) else {
            return Ok(None);
        };
        self.scan(before, &mut |step| {
            found = match step {
                Step::Message(at, _) if at != position => None,
                Step::Lost(damage) => {
                    let here = damage.positions.as_ref();
                    let here = here.is_some_and(|lost| lost.contains(&position));
                    here.then_some(Step::Lost(damage))
                }
                step => Some(step),
            };
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The positions of a topic's messages after a position, oldest first.
    pub(in super::super) fn topic(
        &self,
        tenant: &str,
        topic: &str,
        after: u64,
        limit: usize,
    ) -> io::Result<Found<Vec<u64>>> {
        let key = index::key(tenant, topic);
        let mut found = Vec::new();
        let whole = self.index(|fences| {
            let from = (key.as_slice(), after.saturating_add(1));
            let start = fences.partition_point(|fence| (&*fence.key, fence.first) <= from);
            for fence in &fences[start.saturating_sub(1)..] {
                if &*fence.key > key.as_slice() || found.len() >= limit {
                    break;
                }
                let Ok(block) = self.index_block(fence)? else {
                    return Ok(false);
                };
                for entry in index::Entries(&block).filter(|entry| entry.key == key) {
                    found.extend(entry.positions().filter(|at| *at > after));
                }
            }
            Ok(true)
        })?;
        let mut damage = Vec::new();
        if !whole {
            found.clear();
            self.scan(after, &mut |step| {
                match step {
                    Step::Message(at, message) if message.names() == (tenant, topic) => {
                        found.push(at);
                    }
                    Step::Message(..) => {}
                    Step::Lost(lost) => damage.push(lost),
                }
                match found.len() >= limit {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        }
        found.truncate(limit);
        Ok(Found { found, damage })
    }

    /// The positions of a topic's messages before a position, newest first.
    pub(in super::super) fn topic_before(
        &self,
        tenant: &str,
        topic: &str,
        before: u64,
        limit: usize,
    ) -> io::Result<Found<Vec<u64>>> {
        let key = index::key(tenant, topic);
        let mut found = Vec::new();
        let whole = self.index(|fences| {
            let to = (key.as_slice(), before);
            let end = fences.partition_point(|fence| (&*fence.key, fence.first) < to);
            for fence in fences[..end].iter().rev() {
                let Ok(block) = self.index_block(fence)? else {
                    return Ok(false);
                };
                let mut here = Vec::new();
                for entry in index::Entries(&block).filter(|entry| entry.key == key) {
                    here.extend(entry.positions().filter(|at| *at < before));
                }
                found.extend(here.into_iter().rev());
                if &*fence.key < key.as_slice() || found.len() >= limit {
                    break;
                }
            }
            Ok(true)
        })?;
        let mut damage = Vec::new();
        if !whole {
            let mut last = VecDeque::new();
            self.scan(0, &mut |step| {
                match step {
                    Step::Message(at, _) if at >= before => return ControlFlow::Break(()),
                    Step::Message(at, message) if message.names() == (tenant, topic) => {
                        last.push_front(at);
                        last.truncate(limit);
                    }
                    Step::Message(..) => {}
                    Step::Lost(lost) => {
                        let from = lost.positions.as_ref().map_or(0, |lost| *lost.start());
                        if from >= before {
                            return ControlFlow::Break(());
                        }
                        damage.push(lost);
                    }
                }
                ControlFlow::Continue(())
            })?;
            found = last.into();
        }
        found.truncate(limit);
        Ok(Found { found, damage })
    }

    /// The tenant's topics that begin so, in order, each with the position of its last message.
    pub(in super::super) fn topics(
        &self,
        tenant: &str,
        prefix: &str,
    ) -> io::Result<Found<BTreeMap<String, u64>>> {
        let key = index::key(tenant, prefix);
        let mut found = BTreeMap::new();
        let whole = self.index(|fences| {
            let start = fences.partition_point(|fence| *fence.key < *key);
            for fence in &fences[start.saturating_sub(1)..] {
                if *fence.key > *key && !fence.key.starts_with(&key) {
                    break;
                }
                let Ok(block) = self.index_block(fence)? else {
                    return Ok(false);
                };
                for entry in index::Entries(&block).filter(|entry| entry.key.starts_with(&key)) {
                    if let (Some((_, topic)), Some(last)) =
                        (index::names(entry.key), entry.positions().last())
                    {
                        found.insert(topic.to_owned(), last);
                    }
                }
            }
            Ok(true)
        })?;
        let mut damage = Vec::new();
        if !whole {
            found.clear();
            self.scan(0, &mut |step| {
                match step {
                    Step::Message(at, message) => {
                        let (of, topic) = message.names();
                        if of == tenant && topic.starts_with(prefix) {
                            found.insert(topic.to_owned(), at);
                        }
                    }
                    Step::Lost(lost) => damage.push(lost),
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(Found { found, damage })
    }

    /// Reads everything from the file, and tells all that is damaged.
    pub(in super::super) fn verify(&self) -> io::Result<Vec<Damage>> {
        let mut damage = Vec::new();
        let Some(layout) = layout(&*self.file)? else {
            damage.push(self.lost(0..=u64::MAX, "nothing of it can be read"));
            return Ok(damage);
        };
        for fence in &layout.messages {
            if let Err(what) = self.read(fence.at, fence.len, Kind::Messages)? {
                damage.push(self.lost(fence.first..=fence.last, &what));
            }
        }
        for lost in &layout.lost {
            damage.push(self.lost(lost.clone(), "its block cannot be found"));
        }
        damage.extend(layout.damage.iter().map(|what| self.harmless(what)));
        match &layout.index {
            None => damage.push(self.harmless("the index is not whole")),
            Some(fences) => {
                for fence in fences {
                    if let Err(what) = self.read(fence.at, fence.len, Kind::Index)? {
                        damage.push(self.harmless(&what));
                    }
                }
            }
        }
        Ok(damage)
    }

    /// Looks something up in the index. `false` if the index is damaged where it looked.
    fn index(&self, look: impl FnOnce(&[IndexFence]) -> io::Result<bool>) -> io::Result<bool> {
        match &self.layout.index {
            Some(fences) => look(fences),
            None => Ok(false),
        }
    }

    fn message_block(&self, fence: &MessageFence) -> io::Result<Result<Bytes, String>> {
        self.block(fence.at, fence.len, Kind::Messages)
    }

    fn index_block(&self, fence: &IndexFence) -> io::Result<Result<Bytes, String>> {
        self.block(fence.at, fence.len, Kind::Index)
    }

    fn block(&self, at: u64, len: u32, kind: Kind) -> io::Result<Result<Bytes, String>> {
        let place = (self.number, at);
        if let Some(block) = self.blocks.get(place) {
            return Ok(Ok(block));
        }
        let read = self.read(at, len, kind)?;
        if let Ok(payload) = &read {
            self.blocks.put(place, payload.clone());
        }
        Ok(read)
    }

    /// A block's payload as it is in the file, verified, or what is wrong with it.
    fn read(&self, at: u64, len: u32, kind: Kind) -> io::Result<Result<Bytes, String>> {
        match frame::read(&*self.file, at, u64::from(len)) {
            Ok((head, payload)) if head.kind == kind => Ok(Ok(payload)),
            Ok(_) => Ok(Err(format!("the block at {at} is another"))),
            Err(err) if frame::is_damage(&err) => Ok(Err(err.to_string())),
            Err(err) => Err(err),
        }
    }

    fn lost(&self, positions: RangeInclusive<u64>, what: &str) -> Damage {
        Damage {
            part: self.name.clone(),
            positions: Some(positions),
            what: what.to_owned(),
        }
    }

    fn harmless(&self, what: &str) -> Damage {
        Damage {
            part: self.name.clone(),
            positions: None,
            what: what.to_owned(),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.blocks.forget(self.number);
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("name", &self.name)
            .field("info", &self.layout.info)
            .finish_non_exhaustive()
    }
}
