//! Who holds how much of the kept results, so that the one that holds most is found without looking at all. How many hold
//! something is not bounded, and their rows are in the table; in memory are those that hold much, and those of late.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::State;
use crate::store::Error;
use crate::store::embedded::keep::Keep;
use crate::store::embedded::rows::{HolderRow, Key, OwnedRow, Owner, Space, end_of};

/// Holders whose rows are read at once.
const TOGETHER: usize = 4_096;

/// Who holds a share of the bound that is not smaller than 1 / `SHARES` holds much: there are no more of them, give or take
/// what one frame brings.
const SHARES: u64 = 1 << 16;

/// Rows of those that were changed last, at most, after a frame.
const RECENT: usize = 50_000;

/// Candidates that are looked for at once when nobody holds much.
const CANDIDATES: usize = 256;

#[derive(Debug)]
pub(super) struct Holders {
    /// Of all.
    pub(super) bytes: u64,
    /// As they are in the table, or will be with the next frame.
    recent: HashMap<Owner, HolderRow>,
    changed: HashSet<Owner>,
    /// By the power of two of the bytes that they hold: all that hold much, and the candidates.
    by_size: [BTreeSet<Owner>; u64::BITS as usize],
    /// The power of two from which on it is much.
    much: u32,
    /// Where candidates are looked for next.
    next: Owner,
}

impl Holders {
    pub(super) fn new(keep: &Keep) -> Self {
        let much = (keep.result_bytes / SHARES).max(1);
        Self {
            bytes: 0,
            recent: HashMap::new(),
            changed: HashSet::new(),
            by_size: std::array::from_fn(|_| BTreeSet::new()),
            much: much.next_power_of_two().ilog2(),
            next: Owner(0),
        }
    }

    fn count(&mut self, owner: Owner, before: u64, after: u64) {
        self.bytes = self.bytes - before + after;
        let (before, after) = (before.checked_ilog2(), after.checked_ilog2());
        if before == after {
            return;
        }
        let was_there = before.is_some_and(|power| self.by_size[power as usize].remove(&owner));
        let was_candidate = was_there && before.is_some_and(|power| power < self.much);
        if let Some(power) = after
            && (power >= self.much || was_candidate)
        {
            self.by_size[power as usize].insert(owner);
        }
    }

    fn largest(&self) -> Option<Owner> {
        self.by_size.iter().rev().find_map(BTreeSet::first).copied()
    }
}

impl State {
    pub(super) fn load_holders(&mut self) -> Result<(), Error> {
        let mut from = Key::named(Space::Holder, "");
        let end = end_of(&from);
        loop {
            let rows = self.range(&from, &end, TOGETHER)?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            from = last.next();
            for (key, row) in rows {
                let bytes = HolderRow::read(row).bytes;
                self.holders.count(Owner::of_key(&key), 0, bytes);
            }
        }
    }

    fn holder(&self, owner: Owner) -> Result<HolderRow, Error> {
        if let Some(row) = self.holders.recent.get(&owner) {
            return Ok(*row);
        }
        let row = self.get(&Key::holder(owner))?;
        Ok(row.map(HolderRow::read).unwrap_or_default())
    }

    fn change_holder(
        &mut self,
        owner: Owner,
        change: impl FnOnce(&mut HolderRow),
    ) -> Result<(), Error> {
        let mut row = self.holder(owner)?;
        let before = row.bytes;
        change(&mut row);
        self.holders.count(owner, before, row.bytes);
        self.holders.recent.insert(owner, row);
        self.holders.changed.insert(owner);
        Ok(())
    }

    /// A row of results is written.
    pub(super) fn hold(&mut self, owner: Owner, bytes: u64) -> Result<(), Error> {
        self.change_holder(owner, |row| row.bytes += bytes)
    }

    /// One that holds most, to within a factor of two, of those that hold much. Nobody does: one of some candidates, each of
    /// which has its turn, that holds most of them. Who holds something since this frame only is not one yet.
    pub(super) fn largest_holder(&mut self) -> Result<Option<Owner>, Error> {
        let end = end_of(&Key::named(Space::Holder, ""));
        let mut rounds = 0;
        while self.holders.largest().is_none() && rounds < 2 {
            let from = Key::holder(self.holders.next);
            let rows = self.range(&from, &end, CANDIDATES)?;
            self.holders.next = match rows.last() {
                Some((last, _)) => Owner(Owner::of_key(last).0.saturating_add(1)),
                None => Owner(0),
            };
            rounds += usize::from(rows.is_empty());
            for (key, _) in rows {
                let owner = Owner::of_key(&key);
                if let Some(power) = self.holder(owner)?.bytes.checked_ilog2() {
                    self.holders.by_size[power as usize].insert(owner);
                }
            }
        }
        Ok(self.holders.largest())
    }

    /// A row of results is removed.
    pub(super) fn release(&mut self, owner: Owner, number: u64, bytes: u64) -> Result<(), Error> {
        self.delete(Key::owned(owner, number));
        self.change_holder(owner, |row| row.bytes = row.bytes.saturating_sub(bytes))
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
        self.change_holder(owner, |row| row.lost = row.lost.max(owned.positions.1))
    }

    pub(super) fn write_holders(&mut self) {
        for owner in std::mem::take(&mut self.holders.changed) {
            let row = self.holders.recent.get(&owner).copied();
            match row.filter(|row| *row != HolderRow::default()) {
                Some(row) => self.put(Key::holder(owner), |out| row.write(out)),
                None => self.delete(Key::holder(owner)),
            }
        }
        if self.holders.recent.len() > RECENT {
            self.holders.recent = HashMap::new();
        }
    }
}
