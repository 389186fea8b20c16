//! Who holds how much of the kept results, so that the one that holds most is found without looking at all.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::State;
use crate::store::Error;
use crate::store::embedded::rows::{HolderRow, Key, OwnedRow, Owner, Space, end_of};

/// Holders whose rows are read at once.
const TOGETHER: usize = 4_096;

#[derive(Debug)]
pub(super) struct Holders {
    rows: HashMap<Owner, HolderRow>,
    changed: HashSet<Owner>,
    pub(super) bytes: u64,
    /// By the power of two of the bytes that they hold.
    by_size: [BTreeSet<Owner>; u64::BITS as usize],
}

impl Default for Holders {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            changed: HashSet::new(),
            bytes: 0,
            by_size: std::array::from_fn(|_| BTreeSet::new()),
        }
    }
}

impl Holders {
    pub(super) fn hold(&mut self, owner: Owner, bytes: u64) {
        self.set(owner, |row| row.bytes += bytes);
    }

    fn set(&mut self, owner: Owner, change: impl FnOnce(&mut HolderRow)) {
        let row = self.rows.entry(owner).or_default();
        let before = row.bytes;
        change(row);
        let after = row.bytes;
        self.bytes = self.bytes - before + after;
        self.changed.insert(owner);
        let (before, after) = (before.checked_ilog2(), after.checked_ilog2());
        if before != after {
            if let Some(power) = before {
                self.by_size[power as usize].remove(&owner);
            }
            if let Some(power) = after {
                self.by_size[power as usize].insert(owner);
            }
        }
    }

    /// One that holds most, to within a factor of two.
    pub(super) fn largest(&self) -> Option<Owner> {
        self.by_size.iter().rev().find_map(BTreeSet::first).copied()
    }

    /// The first that holds something, from this one on.
    pub(super) fn after(&self, owner: Owner) -> Option<Owner> {
        let next = |size: &BTreeSet<Owner>| size.range(owner..).next().copied();
        self.by_size.iter().filter_map(next).min()
    }
}

impl State {
    pub(super) fn load_holders(&mut self) -> Result<(), Error> {
        let mut from = Key::named(Space::Holder, "");
        let end = end_of(&from);
        loop {
            let rows = self.range(&from, &end, TOGETHER)?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            from = last.next();
            for (key, row) in rows {
                let owner = Owner::of_key(&key);
                let read = HolderRow::read(row);
                self.holders.set(owner, |row| *row = read);
            }
        }
        self.holders.changed.clear();
        Ok(())
    }

    /// A row of results is removed.
    pub(super) fn release(&mut self, owner: Owner, number: u64, bytes: u64) -> Result<(), Error> {
        self.delete(Key::owned(owner, number));
        self.holders
            .set(owner, |row| row.bytes = row.bytes.saturating_sub(bytes));
        Ok(())
    }

    /// The oldest row of results of an owner.
    pub(super) fn oldest_owned(&self, owner: Owner) -> Result<Option<(Key, OwnedRow)>, Error> {
        let (from, to) = (Key::owned(owner, 0), Key::owned(owner, u64::MAX));
        let rows = self.range(&from, &to, 1)?;
        let first = rows.into_iter().next();
        Ok(first.map(|(key, row)| (key, OwnedRow::read(row))))
    }

    /// Results that a bound removes before they were settled: streams are told.
    pub(super) fn drop_owned(
        &mut self,
        owner: Owner,
        key: Key,
        owned: OwnedRow,
    ) -> Result<(), Error> {
        let number = key.last_number();
        if owned.key.space() == Space::Once as u8 {
            self.forget_block(owned.key.last_number())?;
        } else {
            self.delete(owned.key);
        }
        self.release(owner, number, owned.bytes)?;
        self.holders
            .set(owner, |row| row.lost = row.lost.max(owned.positions.1));
        Ok(())
    }

    pub(super) fn write_holders(&mut self) {
        for owner in std::mem::take(&mut self.holders.changed) {
            let row = self.holders.rows.get(&owner).copied().unwrap_or_default();
            if row == HolderRow::default() {
                self.holders.rows.remove(&owner);
                self.delete(Key::holder(owner));
            } else {
                self.put(Key::holder(owner), |out| row.write(out));
            }
        }
    }
}
