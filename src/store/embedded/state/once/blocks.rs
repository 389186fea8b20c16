//! The rows that req_ids are kept in, oldest first: what goes first at a bound. There may be a million with one req_id each,
//! so that little is kept of one; the rest is read from the row when it goes.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Default)]
pub(in super::super) struct Blocks {
    /// In order of their numbers, with those that went before their turn. The first one is there.
    all: VecDeque<Block>,
}

/// One row.
#[derive(Debug)]
pub(in super::super) struct Block {
    number: u64,
    /// Milliseconds since 1970.
    time: u64,
    bytes: u32,
    is_gone: bool,
    /// Which of its req_ids are settled; mostly none is.
    settled: Vec<u32>,
}

impl Blocks {
    /// Numbers go up.
    pub(super) fn push(&mut self, block: Block) {
        debug_assert!(
            self.all
                .back()
                .is_none_or(|last| last.number < block.number)
        );
        self.all.push_back(block);
    }

    pub(in super::super) fn first(&self) -> Option<&Block> {
        self.all.front()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Block> {
        let at = self
            .all
            .binary_search_by_key(&number, |block| block.number)
            .ok()?;
        Some(&mut self.all[at]).filter(|block| !block.is_gone)
    }

    /// How many bytes it had, and which of its req_ids were settled.
    pub(super) fn remove(&mut self, number: u64) -> Option<(u64, Vec<u32>)> {
        let block = self.get_mut(number)?;
        block.is_gone = true;
        let settled = std::mem::take(&mut block.settled);
        let bytes = u64::from(block.bytes);
        while self.all.front().is_some_and(|first| first.is_gone) {
            self.all.pop_front();
        }
        Some((bytes, settled))
    }
}

impl Block {
    pub(super) fn new(number: u64, time: SystemTime, bytes: u64, settled: Vec<u32>) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            number,
            time: since.as_millis() as u64,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            is_gone: false,
            settled,
        }
    }

    pub(in super::super) fn number(&self) -> u64 {
        self.number
    }

    pub(in super::super) fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.time)
    }

    /// All that are settled now.
    pub(super) fn settle(&mut self, index: u32) -> Vec<u32> {
        self.settled.push(index);
        self.settled.clone()
    }
}
