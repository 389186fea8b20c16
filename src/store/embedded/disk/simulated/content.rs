//! What is in a file, synced or not, and what a crash leaves of it.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

#[derive(Debug, Default)]
pub(super) struct Content {
    /// What is read.
    pub(super) now: Vec<u8>,
    /// What a crash leaves at least.
    pub(super) synced: Vec<u8>,
    /// What turned the second into the first, in order.
    pub(super) pending: Vec<Pending>,
    /// The room that it has, written or not.
    pub(super) allocated: u64,
    pub(super) named: bool,
    pub(super) handles: usize,
}

#[derive(Debug)]
pub(super) enum Pending {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Content {
    pub(super) fn write(&mut self, write: Pending) {
        write.apply(&mut self.now);
        self.pending.push(write);
    }

    pub(super) fn harden(&mut self) {
        for write in self.pending.drain(..) {
            write.apply(&mut self.synced);
        }
    }

    pub(super) fn crash(&self, random: &mut StdRng) -> Content {
        let mut content = self.synced.clone();
        for write in &self.pending {
            match random.random_range(0..3) {
                0 => write.apply(&mut content),
                1 => write.tear(&mut content, random),
                _ => {}
            }
        }
        Content {
            allocated: content.len() as u64,
            synced: content.clone(),
            now: content,
            named: true,
            ..Content::default()
        }
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => put(content, *at, bytes),
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }

    fn tear(&self, content: &mut Vec<u8>, random: &mut StdRng) {
        match self {
            Self::Write(at, bytes) => {
                for sector in sectors(*at, bytes.len() as u64) {
                    if random.random() {
                        let part = (sector.start - at) as usize..(sector.end - at) as usize;
                        put(content, sector.start, &bytes[part]);
                    }
                }
            }
            Self::SetLen(len) => {
                let was = content.len() as u64;
                let (low, high) = (was.min(*len), was.max(*len));
                let torn = random.random_range(low / SECTOR..=high / SECTOR) * SECTOR;
                let torn = torn.clamp(low, high);
                content.resize(torn as usize, 0);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (start, end) = (at as usize, at as usize + bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(bytes);
}

/// The parts of a write that are in one sector each.
pub(super) fn sectors(at: u64, len: u64) -> Vec<Range<u64>> {
    let end = at + len;
    let mut parts = Vec::new();
    let mut start = at;
    while start < end {
        let next = ((start / SECTOR + 1) * SECTOR).min(end);
        parts.push(start..next);
        start = next;
    }
    parts
}
