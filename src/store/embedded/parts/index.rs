//! The index: topics in order, each with the positions of its messages.

use super::frame::{put_bytes, put_number, take_bytes, take_number};

/// A block ends with the entry that reaches this.
pub(super) const FULL: usize = 8 << 10;
/// A topic with more positions continues in another entry.
pub(super) const MOST: usize = 1000;

/// What topics are sorted by: the tenant with its length in front, so that it can hold anything, and the topic. Topics that
/// begin alike stand together.
pub(super) fn key(tenant: &str, topic: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(tenant.len() + topic.len() + 2);
    put_bytes(&mut key, tenant.as_bytes());
    key.extend_from_slice(topic.as_bytes());
    key
}

/// The tenant and the topic of a key.
pub(super) fn names(mut key: &[u8]) -> Option<(&str, &str)> {
    let tenant = take_bytes(&mut key)?;
    Some((
        std::str::from_utf8(tenant).ok()?,
        std::str::from_utf8(key).ok()?,
    ))
}

/// What a block's fence is: no longer than needed to sort above what is before it, and not above what it begins with.
pub(super) fn fence<'a>(before: &[u8], first: &'a [u8]) -> &'a [u8] {
    let same = before.iter().zip(first).take_while(|(a, b)| a == b).count();
    first.get(..=same).unwrap_or(first)
}

/// Adds an entry to a block. There is at least one position, and they go up.
pub(super) fn put(out: &mut Vec<u8>, key: &[u8], positions: &[u64]) {
    put_bytes(out, key);
    put_number(out, positions.len() as u64);
    let mut before = 0;
    for position in positions {
        put_number(out, position - before);
        before = *position;
    }
}

/// A part of a topic's positions.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    count: u64,
    /// The positions as they are stored, and what follows them.
    rest: &'a [u8],
}

impl Entry<'_> {
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> {
        let mut rest = self.rest;
        let mut position = 0_u64;
        (0..self.count).map_while(move |_| {
            position = position.checked_add(take_number(&mut rest)?)?;
            Some(position)
        })
    }
}

/// The entries of a block, whose bytes were verified.
#[derive(Debug)]
pub(super) struct Entries<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let key = take_bytes(&mut self.0)?;
        let count = take_number(&mut self.0)?;
        let entry = Entry {
            key,
            count,
            rest: self.0,
        };
        for _ in 0..count {
            take_number(&mut self.0)?;
        }
        Some(entry)
    }
}
