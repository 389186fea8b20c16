//! The rows that req_ids are kept in, oldest first: what goes first at a bound. There may be a million with one req_id each,
//! so that little is kept of one; the rest is read from the row when it goes.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Blocks of a chunk.
const CHUNK: u32 = 1_024;

/// In order of their numbers, with those that went before their turn. 24 bytes for each that is there: chunk by chunk, so
/// that nothing is copied while it grows, and a chunk that has lost all of its blocks takes no room.
#[derive(Debug, Default)]
pub(in super::super) struct Blocks {
    chunks: VecDeque<Chunk>,
    /// The ordinal of the first chunk's first block. Blocks are counted on from it, around the end.
    start: u32,
    /// How many came since, those that went too.
    span: u32,
    /// The ordinal of the first one that is there, counted from the start.
    first: u32,
}

#[derive(Debug)]
struct Chunk {
    /// Of its first block.
    number: u64,
    /// In order; empty once none is there.
    blocks: Vec<Block>,
    /// How many are there.
    there: u32,
}

/// One row.
#[derive(Debug)]
pub(in super::super) struct Block {
    number: u64,
    /// Milliseconds since 1970.
    time: u64,
    bytes: u32,
    is_gone: bool,
    /// Whether some of its req_ids are settled, which a row of its own says.
    pub(super) has_marks: bool,
}

impl Blocks {
    /// The most that it counts, those that went before their turn too.
    const MOST: u32 = 1 << 31;

    /// Numbers go up.
    pub(super) fn push(&mut self, block: Block) {
        if self.span.is_multiple_of(CHUNK) {
            self.chunks.push_back(Chunk {
                number: block.number,
                blocks: Vec::with_capacity(CHUNK as usize),
                there: 0,
            });
        }
        let chunk = self.chunks.back_mut().expect("one that has room");
        debug_assert!(chunk.number <= block.number, "numbers go up");
        chunk.blocks.push(block);
        chunk.there += 1;
        self.span += 1;
    }

    /// The ordinal of the next one. A block has it as long as it is there.
    pub(super) fn next(&self) -> u32 {
        self.start.wrapping_add(self.span)
    }

    /// One more might not be counted.
    pub(super) fn is_full(&self) -> bool {
        self.span >= Self::MOST
    }

    pub(in super::super) fn first(&self) -> Option<&Block> {
        self.at(self.first)
    }

    pub(super) fn get(&self, ordinal: u32) -> Option<&Block> {
        self.at(ordinal.wrapping_sub(self.start))
    }

    pub(super) fn get_mut(&mut self, ordinal: u32) -> Option<&mut Block> {
        let at = ordinal.wrapping_sub(self.start);
        let chunk = self.chunks.get_mut((at / CHUNK) as usize)?;
        let block = chunk.blocks.get_mut((at % CHUNK) as usize)?;
        Some(block).filter(|block| !block.is_gone)
    }

    /// The ordinal of a number's block.
    pub(super) fn find(&self, number: u64) -> Option<u32> {
        let behind = self.chunks.partition_point(|chunk| chunk.number <= number);
        let at = behind.checked_sub(1)?;
        let blocks = &self.chunks[at].blocks;
        let within = blocks
            .binary_search_by_key(&number, |block| block.number)
            .ok()?;
        let before = at as u32 * CHUNK;
        (!blocks[within].is_gone).then(|| self.start.wrapping_add(before + within as u32))
    }

    /// How many bytes it had.
    pub(super) fn remove(&mut self, ordinal: u32) -> Option<u64> {
        let block = self.get_mut(ordinal)?;
        block.is_gone = true;
        let bytes = u64::from(block.bytes);
        let at = ordinal.wrapping_sub(self.start);
        let chunk = &mut self.chunks[(at / CHUNK) as usize];
        chunk.there -= 1;
        if chunk.there == 0 && chunk.blocks.len() == CHUNK as usize {
            chunk.blocks = Vec::new();
        }
        self.leave();
        Some(bytes)
    }

    fn at(&self, at: u32) -> Option<&Block> {
        let chunk = self.chunks.get((at / CHUNK) as usize)?;
        let block = chunk.blocks.get((at % CHUNK) as usize)?;
        Some(block).filter(|block| !block.is_gone)
    }

    /// Goes on to the first one that is there, and leaves the chunks before it.
    fn leave(&mut self) {
        while self.first < self.span && self.at(self.first).is_none() {
            let chunk = &self.chunks[(self.first / CHUNK) as usize];
            self.first = match chunk.blocks.is_empty() {
                true => (self.first / CHUNK + 1) * CHUNK,
                false => self.first + 1,
            };
        }
        while self.first >= CHUNK {
            self.chunks.pop_front();
            self.start = self.start.wrapping_add(CHUNK);
            self.span -= CHUNK;
            self.first -= CHUNK;
        }
    }
}

impl Block {
    pub(super) fn new(number: u64, time: SystemTime, bytes: u64, has_marks: bool) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            number,
            time: since.as_millis() as u64,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            is_gone: false,
            has_marks,
        }
    }

    pub(in super::super) fn number(&self) -> u64 {
        self.number
    }

    pub(in super::super) fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.time)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_block_is_found_as_long_as_it_is_there() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut blocks = Blocks {
            // It goes around the end.
            start: u32::MAX - 7 * CHUNK,
            ..Blocks::default()
        };
        let mut there = BTreeMap::new();
        let mut number = 0;
        for step in 0..200_000 {
            // It fills up, then empties, again and again.
            let out_of = if step / 20_000 % 2 == 0 { 4 } else { 1 };
            if random.random_ratio(out_of, 5) {
                number += random.random_range(1..5);
                there.insert(number, blocks.next());
                blocks.push(Block::new(number, UNIX_EPOCH, number % 100, false));
            } else if let Some((&first, _)) = there.iter().next() {
                // Some before their turn, whole chunks of them, too.
                let near = random.random_range(first..=number);
                let (&gone, &ordinal) = match random.random_ratio(1, 3) {
                    true => there.range(near..).next(),
                    false => there.iter().nth(1),
                }
                .unwrap_or_else(|| (&first, &there[&first]));
                assert_eq!(blocks.remove(ordinal), Some(gone % 100));
                assert!(blocks.get(ordinal).is_none());
                assert_eq!(blocks.find(gone), None);
                there.remove(&gone);
            }
            let first = blocks.first().map(Block::number);
            assert_eq!(first, there.keys().next().copied(), "step {step}");
            let asked = random.random_range(0..=number);
            let ordinal = blocks.find(asked);
            assert_eq!(ordinal, there.get(&asked).copied(), "step {step}");
            if let Some(ordinal) = ordinal {
                assert_eq!(blocks.get(ordinal).map(Block::number), Some(asked));
                assert!(blocks.get_mut(ordinal).is_some());
            }
        }
        for (_, ordinal) in there {
            assert!(blocks.remove(ordinal).is_some());
        }
        assert!(blocks.first().is_none());
        assert!(blocks.chunks.len() <= 1);
    }
}
