//! Records by collection and key.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;

use crate::store::{PageOf, ScanLimit};
use crate::types::Record;

/// Deletions that one commit forgets at most.
const FORGOTTEN_AT_ONCE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Collections {
    by_name: HashMap<Arc<str>, Collection>,
    /// Every deletion in the order of time, also those that a later change undid.
    deletions: VecDeque<Deletion>,
}

#[derive(Debug, Default)]
struct Collection {
    /// The keys are copies of their own: those in the records go with each version's buffer.
    records: BTreeMap<Box<str>, Record>,
    /// The versions of deletions that are kept.
    deleted: HashMap<Box<str>, u64>,
    /// The highest version of a deletion that is not kept any more.
    floor: u64,
}

#[derive(Debug)]
struct Deletion {
    time: SystemTime,
    collection: Arc<str>,
    key: Box<str>,
    version: u64,
}

impl Collections {
    pub(super) fn record(&self, collection: &str, key: &str) -> Option<&Record> {
        self.by_name.get(collection)?.records.get(key)
    }

    pub(super) fn used_version(&self, collection: &str, key: &str) -> u64 {
        let Some(collection) = self.by_name.get(collection) else {
            return 0;
        };
        let deleted = collection.deleted.get(key).copied();
        deleted.unwrap_or(collection.floor)
    }

    /// Of those that have records, in byte order.
    pub(super) fn names(&self, limit: usize) -> Vec<String> {
        let all = self.by_name.iter();
        let some = all.filter(|(_, collection)| !collection.records.is_empty());
        let mut names: Vec<_> = some.map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        names.truncate(limit);
        names
    }

    /// Puts a version in, or the deletion that it is. `now`: by the store's own time.
    pub(super) fn put(&mut self, name: &Arc<str>, record: Record, now: SystemTime) {
        let collection = match self.by_name.get_mut(&**name) {
            Some(collection) => collection,
            None => self.by_name.entry(name.clone()).or_default(),
        };
        let key = &*record.key;
        if record.deleted {
            collection.records.remove(key);
            collection.deleted.insert(key.into(), record.version);
            self.deletions.push_back(Deletion {
                time: now,
                collection: name.clone(),
                key: key.into(),
                version: record.version,
            });
        } else if let Some(present) = collection.records.get_mut(key) {
            *present = record;
        } else {
            collection.deleted.remove(key);
            collection.records.insert(key.into(), record);
        }
    }

    /// Forgets deletions that are older than that; the floors of their collections rise to their versions.
    pub(super) fn trim(&mut self, now: SystemTime, age: Duration) {
        let Some(oldest) = now.checked_sub(age) else {
            return;
        };
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self
                .deletions
                .front()
                .is_none_or(|first| first.time >= oldest)
            {
                return;
            }
            let Some(old) = self.deletions.pop_front() else {
                return;
            };
            if let Some(collection) = self.by_name.get_mut(&old.collection)
                && collection.deleted.get(&old.key) == Some(&old.version)
            {
                collection.deleted.remove(&old.key);
                collection.floor = collection.floor.max(old.version);
            }
        }
    }

    pub(super) fn list(
        &self,
        collection: &str,
        prefix: &str,
        after: Option<&str>,
        limit: ScanLimit,
    ) -> PageOf<Record> {
        let mut page = PageOf {
            items: Vec::new(),
            more: false,
        };
        let Some(collection) = self.by_name.get(collection) else {
            return page;
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut bytes = 0;
        for (key, record) in collection.records.range::<str, _>((from, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            bytes += record.size();
            let full = page.items.len() >= limit.items || bytes > limit.bytes;
            if full && !page.items.is_empty() {
                page.more = true;
                break;
            }
            page.items.push(record.clone());
        }
        page
    }
}
