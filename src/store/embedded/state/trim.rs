//! What goes because of its age or of a bound, a little with each frame, so that nobody waits for it.

use std::time::{Duration, SystemTime};

use super::State;
use super::records::Deletion;
use crate::store::Error;
use crate::store::embedded::rows::{
    Key, OwnedRow, Owner, QueueHash, QueueRow, ResultsRow, Space, end_of,
};

/// How often is looked for what has become too old.
const EVERY: Duration = Duration::from_secs(1);

/// Of each kind, looked at each time.
const AT_ONCE: usize = 256;

/// Where the sweeps are.
#[derive(Debug)]
pub(super) struct Swept {
    last: SystemTime,
    owner: Owner,
    queue: Key,
}

impl Default for Swept {
    fn default() -> Self {
        Self {
            last: SystemTime::UNIX_EPOCH,
            owner: Owner(0),
            queue: Key::queue(QueueHash(0)),
        }
    }
}

impl State {
    /// Brings everything back to its bounds, and now and then removes what is too old.
    pub(super) fn trim(&mut self) -> Result<(), Error> {
        while self.holders.bytes > self.keep.result_bytes {
            let Some(owner) = self.largest_holder()? else {
                break;
            };
            let Some((key, owned)) = self.oldest_owned(owner)? else {
                break;
            };
            self.drop_owned(owner, key, owned)?;
        }
        while self.once.is_over(&self.keep) {
            if !self.forget_oldest_block()? {
                break;
            }
        }
        self.tell_letters();
        let now = self.header.time;
        if now
            .duration_since(self.swept.last)
            .is_ok_and(|passed| passed >= EVERY)
        {
            self.swept.last = now;
            self.sweep(now)?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: SystemTime) -> Result<(), Error> {
        let before = |age: Duration| now.checked_sub(age);
        if let Some(oldest) = before(self.keep.once_age) {
            for _ in 0..AT_ONCE {
                let first = self.once.blocks.first();
                if first.is_none_or(|block| block.time() >= oldest) {
                    break;
                }
                self.forget_oldest_block()?;
            }
        }
        if let Some(oldest) = before(self.keep.deletion_age) {
            let from = Key::named(Space::Deletion, "");
            for (key, row) in self.range(&from, &end_of(&from), AT_ONCE)? {
                let deletion = Deletion::read(row);
                if deletion.time >= oldest {
                    break;
                }
                self.forget_deletion(key, &deletion)?;
            }
        }
        if let Some(oldest) = before(self.keep.result_age) {
            self.sweep_results(oldest)?;
        }
        if let Some(oldest) = before(self.keep.place_age) {
            self.sweep_queues(oldest)?;
        }
        Ok(())
    }

    fn sweep_results(&mut self, oldest: SystemTime) -> Result<(), Error> {
        let end = end_of(&Key::named(Space::Holder, ""));
        let holders = self.range(&Key::holder(self.swept.owner), &end, AT_ONCE)?;
        let mut left = AT_ONCE;
        for (holder, _) in &holders {
            let owner = Owner::of_key(holder);
            self.swept.owner = owner;
            while let Some((key, owned)) = self.oldest_owned(owner)?
                && owned.time < oldest
            {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                self.drop_owned(owner, key, owned)?;
            }
        }
        self.swept.owner = match holders.len() < AT_ONCE {
            true => Owner(0),
            false => Owner(self.swept.owner.0.saturating_add(1)),
        };
        Ok(())
    }

    fn sweep_queues(&mut self, oldest: SystemTime) -> Result<(), Error> {
        let end = end_of(&Key::named(Space::Queue, ""));
        let rows = self.range(&self.swept.queue.clone(), &end, AT_ONCE)?;
        self.swept.queue = match rows.last() {
            Some((last, _)) if rows.len() >= AT_ONCE => last.next(),
            _ => Key::queue(QueueHash(0)),
        };
        for (key, row) in rows {
            self.forget_queue(key, &QueueRow::read(row), oldest)?;
        }
        Ok(())
    }

    fn forget_oldest_block(&mut self) -> Result<bool, Error> {
        let Some(number) = self.once.blocks.first().map(|block| block.number()) else {
            return Ok(false);
        };
        let row = self.get(&Key::number(Space::Once, number))?;
        let row = row.map(ResultsRow::read);
        let owner = row.map(|row| self.owner(&row.client, row.scope));
        let owned = match owner {
            Some(owner) => self.get(&Key::owned(owner, number))?.zip(Some(owner)),
            None => None,
        };
        match owned {
            Some((owned, owner)) => {
                let owned = OwnedRow::read(owned);
                self.drop_owned(owner, Key::owned(owner, number), owned)?;
            }
            None => self.forget_block(number)?,
        }
        Ok(true)
    }
}
