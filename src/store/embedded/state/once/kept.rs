//! Where the answers of req_ids are, by the req_ids' hashes. There may be millions, so that the room that one takes is all
//! that matters: a table of open addressing in many shards, each of which grows by an eighth and alone. So a third of it is
//! never empty, and what is copied while it grows is a small part of it.

/// The hashes are spread over as many.
const SHARDS: usize = 256;

/// A shard grows when more than 5 of 6 slots would be taken.
const FULL: (usize, usize) = (5, 6);

/// A shard has as many slots at least, once it has any.
const LEAST: usize = 8;

/// At most 33 bytes for each that is in it, once there are some thousands.
#[derive(Debug)]
pub(super) struct Kept {
    shards: Box<[Shard]>,
    len: usize,
}

/// Where one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// The ordinal of its block.
    pub(super) block: u32,
    /// Which of the block's; below 2³¹.
    pub(super) index: u32,
    pub(super) is_settled: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Each stands at its home, or in the first free slot behind it, around the end.
    slots: Box<[Slot]>,
    taken: usize,
}

/// The hash in parts, so that a slot has 24 bytes and not 32.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u32; 4],
    block: u32,
    /// With [`SETTLED`]; [`FREE`] where there is none.
    index: u32,
}

const SETTLED: u32 = 1 << 31;
const FREE: u32 = u32::MAX;

impl Default for Kept {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            len: 0,
        }
    }
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, hash: u128) -> Option<At> {
        let shard = &self.shards[shard_of(hash)];
        shard.find(hash).map(|at| shard.slots[at].at())
    }

    pub(super) fn insert(&mut self, hash: u128, at: At) {
        let slot = Slot::new(hash, at);
        let shard = &mut self.shards[shard_of(hash)];
        match shard.find(hash) {
            Some(found) => shard.slots[found] = slot,
            None => {
                shard.add(slot);
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, hash: u128) {
        let shard = &mut self.shards[shard_of(hash)];
        if let Some(at) = shard.find(hash) {
            shard.remove(at);
            self.len -= 1;
        }
    }
}

impl Shard {
    fn find(&self, hash: u128) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let parts = parts(hash);
        let mut at = home(hash, self.slots.len());
        // One is free: it grows before that changes.
        while self.slots[at].index != FREE {
            if self.slots[at].hash == parts {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    /// One that is not there.
    fn add(&mut self, slot: Slot) {
        if (self.taken + 1) * FULL.1 > self.slots.len() * FULL.0 {
            self.grow();
        }
        self.place(slot);
        self.taken += 1;
    }

    fn grow(&mut self) {
        let room = (self.slots.len() + self.slots.len() / 8 + 1).max(LEAST);
        let slots = vec![Slot::NONE; room].into_boxed_slice();
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot.index != FREE {
                self.place(slot);
            }
        }
    }

    fn place(&mut self, slot: Slot) {
        let mut at = self.home(slot);
        while self.slots[at].index != FREE {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// What stands behind it moves up, unless it would come before its home: nothing is left that says one was here.
    fn remove(&mut self, at: usize) {
        let mut free = at;
        let mut next = self.after(at);
        while self.slots[next].index != FREE {
            let home = self.home(self.slots[next]);
            if self.steps(home, next) >= self.steps(free, next) {
                self.slots[free] = self.slots[next];
                free = next;
            }
            next = self.after(next);
        }
        self.slots[free] = Slot::NONE;
        self.taken -= 1;
    }

    fn home(&self, slot: Slot) -> usize {
        home(slot.hash(), self.slots.len())
    }

    fn after(&self, at: usize) -> usize {
        match at + 1 == self.slots.len() {
            true => 0,
            false => at + 1,
        }
    }

    fn steps(&self, from: usize, to: usize) -> usize {
        match from <= to {
            true => to - from,
            false => to + self.slots.len() - from,
        }
    }
}

impl Slot {
    const NONE: Self = Self {
        hash: [0; 4],
        block: 0,
        index: FREE,
    };

    fn new(hash: u128, at: At) -> Self {
        debug_assert!(at.index < SETTLED - 1, "a frame has not as many");
        let settled = if at.is_settled { SETTLED } else { 0 };
        Self {
            hash: parts(hash),
            block: at.block,
            index: at.index | settled,
        }
    }

    fn at(&self) -> At {
        At {
            block: self.block,
            index: self.index & !SETTLED,
            is_settled: self.index & SETTLED != 0,
        }
    }

    fn hash(&self) -> u128 {
        let wide = |part: u32| u128::from(part);
        let [a, b, c, d] = self.hash.map(wide);
        a | b << 32 | c << 64 | d << 96
    }
}

fn parts(hash: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|shift| (hash >> shift) as u32)
}

/// By the highest bits, which are not those that say where in it.
fn shard_of(hash: u128) -> usize {
    (hash >> 120) as usize % SHARDS
}

/// Where in a shard of so many slots it belongs: any number of them is used evenly.
fn home(hash: u128, slots: usize) -> usize {
    ((u128::from(hash as u64) * slots as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    /// Few shards and homes, so that many stand in each other's way, around the end too.
    fn crowded(random: &mut StdRng) -> u128 {
        let shard = u128::from(random.random_range(0..2_u8)) << 120;
        let home = u128::from(u64::MAX - random.random_range(0..4_u64) * (u64::MAX / 8));
        shard | u128::from(random.random_range(0..40_u8)) << 64 | home
    }

    #[test]
    fn it_knows_what_a_map_knows() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (mut kept, mut map) = (Kept::default(), BTreeMap::new());
        for step in 0..200_000_u32 {
            let hash = crowded(&mut random);
            // It fills up and empties again.
            if random.random_ratio(1 + step / 20_000, 11) {
                kept.remove(hash);
                map.remove(&hash);
            } else {
                let at = At {
                    block: step,
                    index: step % 3,
                    is_settled: random.random(),
                };
                kept.insert(hash, at);
                map.insert(hash, at);
            }
            let asked = crowded(&mut random);
            assert_eq!(kept.get(asked), map.get(&asked).copied(), "step {step}");
            assert_eq!(kept.len(), map.len());
        }
        for (hash, at) in map {
            assert_eq!(kept.get(hash), Some(at));
            kept.remove(hash);
            assert_eq!(kept.get(hash), None);
        }
        assert_eq!(kept.len(), 0);
    }

    #[test]
    fn one_takes_33_bytes_at_most() {
        let mut random = StdRng::seed_from_u64(1);
        let mut kept = Kept::default();
        for index in 0..200_000 {
            let at = At {
                block: 0,
                index,
                is_settled: false,
            };
            kept.insert(random.random(), at);
            let slots = |shard: &Shard| shard.slots.len() * size_of::<Slot>();
            if index > 20_000 && index % 1_000 == 0 {
                let bytes: usize = kept.shards.iter().map(slots).sum();
                assert!(bytes <= 33 * kept.len(), "{bytes} of {index}");
            }
        }
    }
}
