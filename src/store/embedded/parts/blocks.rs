//! The blocks that were read last, verified, for all parts of a store together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// A bounded cache. What was asked for since it was last looked at gets another round (the clock's way of being least
/// recently used).
#[derive(Debug)]
pub(in super::super) struct Blocks {
    /// How many bytes of blocks it holds at most.
    bound: usize,
    parts: AtomicU64,
    /// A lock, as readers come from many threads; it covers one look-up.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: HashMap<Place, Block>,
    /// In the order in which they are looked at when room is needed.
    order: VecDeque<Place>,
    bytes: usize,
}

/// A part's number, and where in its file the block is.
type Place = (u64, u64);

#[derive(Debug)]
struct Block {
    payload: Bytes,
    asked_for: bool,
}

/// What a block costs beside its bytes, about.
const OVERHEAD: usize = 128;

impl Blocks {
    pub(in super::super) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            bound,
            parts: AtomicU64::new(0),
            held: Mutex::default(),
        })
    }

    /// The number under which a part keeps its blocks here.
    pub(super) fn part(&self) -> u64 {
        self.parts.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, place: Place) -> Option<Bytes> {
        let mut held = self.held.lock();
        let block = held.blocks.get_mut(&place)?;
        block.asked_for = true;
        Some(block.payload.clone())
    }

    pub(super) fn put(&self, place: Place, payload: Bytes) {
        let size = payload.len() + OVERHEAD;
        if size > self.bound / 4 {
            return;
        }
        let mut held = self.held.lock();
        let block = Block {
            payload,
            asked_for: false,
        };
        if held.blocks.insert(place, block).is_some() {
            return;
        }
        held.bytes += size;
        held.order.push_back(place);
        while held.bytes > self.bound {
            let Some(oldest) = held.order.pop_front() else {
                break;
            };
            match held.blocks.get_mut(&oldest) {
                Some(block) if block.asked_for => {
                    block.asked_for = false;
                    held.order.push_back(oldest);
                }
                Some(block) => {
                    let size = block.payload.len() + OVERHEAD;
                    held.blocks.remove(&oldest);
                    held.bytes -= size;
                }
                None => {}
            }
        }
    }

    /// Of a part that is gone.
    pub(super) fn forget(&self, part: u64) {
        let mut held = self.held.lock();
        let held = &mut *held;
        held.order.retain(|(of, _)| *of != part);
        held.blocks.retain(|(of, _), block| {
            if *of == part {
                held.bytes -= block.payload.len() + OVERHEAD;
            }
            *of != part
        });
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.held.lock().bytes
    }
}
