//! The messages by position, and by topic.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, SystemTime};

use hashbrown::{Equivalent, HashMap};

use super::super::packed::PackedMessage;
use crate::store::{Filter, Loss, LossCause, ScanLimit};
use crate::types::Topic;

/// How many entries one look at the log passes by, so that nobody waits long for its lock.
const EXAMINED: usize = 4096;

/// What an entry costs beside its bytes: its slot, its index entry and its allocations.
const ENTRY_BYTES: usize = 128;

/// How many times are told apart within the age that messages are kept for.
const MARKS: u32 = 1024;

/// Messages older than the bound that one commit removes at most.
const AGED_AT_ONCE: usize = 1024;

#[derive(Debug, Default)]
pub(in crate::store) struct Log {
    entries: VecDeque<(u64, PackedMessage)>,
    /// The positions of each topic's messages.
    topics: HashMap<Names, VecDeque<u64>>,
    bytes: usize,
    /// Which position the newest message had at a time, oldest first.
    reached: VecDeque<(SystemTime, u64)>,
    /// The newest position whose message was removed.
    floor: u64,
}

/// Messages that were found, and how far it was looked.
#[derive(Debug, Default)]
pub(in crate::store) struct Found {
    pub(in crate::store) messages: Vec<(u64, PackedMessage)>,
    pub(in crate::store) through: u64,
    /// Whether there may be more after `through`.
    pub(in crate::store) more: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Names {
    tenant: Box<str>,
    topic: Box<str>,
}

#[derive(Hash)]
struct NamesRef<'a> {
    tenant: &'a str,
    topic: &'a str,
}

impl Equivalent<Names> for NamesRef<'_> {
    fn equivalent(&self, key: &Names) -> bool {
        *self.topic == *key.topic && *self.tenant == *key.tenant
    }
}

impl Log {
    pub(in crate::store) fn append(&mut self, position: u64, message: PackedMessage) {
        let (tenant, topic) = message.names();
        if let Some(positions) = self.topics.get_mut(&NamesRef { tenant, topic }) {
            positions.push_back(position);
        } else {
            let names = Names {
                tenant: tenant.into(),
                topic: topic.into(),
            };
            self.topics.insert(names, VecDeque::from([position]));
        }
        self.bytes += message.len() + ENTRY_BYTES;
        self.entries.push_back((position, message));
    }

    /// It is so late by the store's own time, and what is here ages from now on.
    pub(in crate::store) fn reach(&mut self, now: SystemTime, age: Duration) {
        let Some((newest, _)) = self.entries.back() else {
            return;
        };
        match self.reached.back_mut() {
            Some((time, position)) if now < *time + age / MARKS => *position = *newest,
            _ => self.reached.push_back((now, *newest)),
        }
    }

    /// All of them, in order of position.
    pub(in crate::store) fn entries(&self) -> impl Iterator<Item = (u64, &PackedMessage)> {
        self.entries
            .iter()
            .map(|(position, message)| (*position, message))
    }

    /// Of all messages.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes the oldest, down to so many bytes, and what is older than that.
    pub(in crate::store) fn trim(&mut self, bytes: usize, now: SystemTime, age: Duration) {
        while self.bytes > bytes {
            self.remove_oldest();
        }
        let Some(oldest) = now.checked_sub(age) else {
            return;
        };
        for _ in 0..AGED_AT_ONCE {
            let Some((time, through)) = self.reached.front() else {
                return;
            };
            if *time + age / MARKS > oldest {
                return;
            }
            match self.entries.front() {
                Some((position, _)) if position <= through => self.remove_oldest(),
                _ => drop(self.reached.pop_front()),
            }
        }
    }

    fn remove_oldest(&mut self) {
        let Some((position, message)) = self.entries.pop_front() else {
            return;
        };
        let (tenant, topic) = message.names();
        let names = NamesRef { tenant, topic };
        if let Some(positions) = self.topics.get_mut(&names) {
            positions.pop_front();
            if positions.is_empty() {
                self.topics.remove(&names);
            }
        }
        self.bytes -= message.len() + ENTRY_BYTES;
        self.floor = position;
    }

    /// What was there after `from` and is not kept: it may have matched any pattern.
    pub(in crate::store) fn loss(&self, filter: &Filter, from: u64) -> Vec<Loss> {
        if from >= self.floor {
            return Vec::new();
        }
        let patterns = filter.patterns.iter();
        let lost = patterns.map(|pattern| Loss {
            pattern: pattern.as_str().into(),
            cause: LossCause::Retention,
            missed: 0,
        });
        lost.collect()
    }

    /// Matching messages after `from`. Exact topics read their index; with a wildcard the log is walked.
    pub(in crate::store) fn scan(
        &self,
        filter: &Filter,
        from: u64,
        tail: u64,
        limit: ScanLimit,
    ) -> Found {
        match self.exact_topics(filter) {
            Some(topics) => self.merge(&topics, from, tail, limit),
            None => self.walk(filter, from, tail, limit),
        }
    }

    pub(in crate::store) fn history(
        &self,
        tenant: &str,
        topic: &Topic,
        from: u64,
        tail: u64,
        limit: ScanLimit,
    ) -> Found {
        let topic = topic.as_str();
        let positions = self.topics.get(&NamesRef { tenant, topic });
        self.merge(positions.as_slice(), from, tail, limit)
    }

    /// The last message of each matching topic, by position.
    pub(in crate::store) fn latest(&self, filter: &Filter) -> Vec<(u64, PackedMessage)> {
        let mut positions: Vec<u64> = match self.exact_topics(filter) {
            Some(topics) => topics
                .iter()
                .filter_map(|topic| topic.back())
                .copied()
                .collect(),
            None => {
                let matching = self.topics.iter().filter(|(names, _)| {
                    *names.tenant == *filter.tenant && matches(filter, &names.topic)
                });
                matching
                    .filter_map(|(_, topic)| topic.back())
                    .copied()
                    .collect()
            }
        };
        positions.sort_unstable();
        let found = positions.into_iter();
        found
            .map(|position| (position, self.at(position).clone()))
            .collect()
    }

    /// The last `count` positions of exact topics: the first of them. `None` where a wildcard is in the filter.
    pub(in crate::store) fn last_exact(
        &self,
        filter: &Filter,
        count: usize,
    ) -> Option<Option<u64>> {
        let topics = self.exact_topics(filter)?;
        let kept: usize = topics.iter().map(|topic| topic.len()).sum();
        if count >= kept {
            return Some(
                topics
                    .iter()
                    .filter_map(|topic| topic.front())
                    .copied()
                    .min(),
            );
        }
        let newest = |(at, topic): (usize, &&VecDeque<u64>)| {
            topic
                .back()
                .map(|position| (*position, at, topic.len() - 1))
        };
        let mut heads: BinaryHeap<_> = topics.iter().enumerate().filter_map(newest).collect();
        let mut first = None;
        for _ in 0..count {
            let Some((position, at, index)) = heads.pop() else {
                break;
            };
            first = Some(position);
            if index > 0 {
                heads.push((topics[at][index - 1], at, index - 1));
            }
        }
        Some(first)
    }

    /// The newest `count` positions that match, newest first.
    pub(in crate::store) fn newest(&self, filter: &Filter, count: usize) -> Vec<u64> {
        let Some(topics) = self.exact_topics(filter) else {
            let entries = self.entries.iter().rev();
            let matching = entries.filter(|(_, message)| self.is_meant(filter, message));
            return matching
                .map(|(position, _)| *position)
                .take(count)
                .collect();
        };
        let newest = topics
            .iter()
            .flat_map(|topic| topic.iter().rev().take(count));
        let mut newest: Vec<u64> = newest.copied().collect();
        newest.sort_unstable_by_key(|position| Reverse(*position));
        newest.truncate(count);
        newest
    }

    /// Walks back from `before`: the positions that match, newest first, and where to go on, if anywhere.
    pub(in crate::store) fn walk_back(
        &self,
        filter: &Filter,
        before: u64,
    ) -> (Vec<u64>, Option<u64>) {
        let end = self
            .entries
            .partition_point(|(position, _)| *position < before);
        let start = end.saturating_sub(EXAMINED);
        let entries = self.entries.range(start..end).rev();
        let matching = entries.filter(|(_, message)| self.is_meant(filter, message));
        let found = matching.map(|(position, _)| *position).collect();
        let on = (start > 0).then(|| self.entries[start].0);
        (found, on)
    }

    fn walk(&self, filter: &Filter, from: u64, tail: u64, limit: ScanLimit) -> Found {
        let start = self
            .entries
            .partition_point(|(position, _)| *position <= from);
        let mut page = Collect::new(limit);
        let mut through = from;
        for (position, message) in self.entries.range(start..).take(EXAMINED) {
            if self.is_meant(filter, message) && !page.take(*position, message) {
                return page.found(through, true);
            }
            through = *position;
        }
        let more = self.entries.len() > start + EXAMINED;
        page.found(if more { through } else { tail.max(from) }, more)
    }

    fn merge(&self, topics: &[&VecDeque<u64>], from: u64, tail: u64, limit: ScanLimit) -> Found {
        let first = |(at, topic): (usize, &&VecDeque<u64>)| {
            let index = topic.partition_point(|position| *position <= from);
            topic
                .get(index)
                .map(|position| Reverse((*position, at, index)))
        };
        let mut heads: BinaryHeap<_> = topics.iter().enumerate().filter_map(first).collect();
        let mut page = Collect::new(limit);
        let mut through = from;
        while let Some(Reverse((position, at, index))) = heads.pop() {
            if !page.take(position, self.at(position)) {
                return page.found(through, true);
            }
            through = position;
            if let Some(next) = topics[at].get(index + 1) {
                heads.push(Reverse((*next, at, index + 1)));
            }
        }
        page.found(tail.max(from), false)
    }

    /// The positions of the filter's topics, each once. `None` where a pattern has a wildcard.
    fn exact_topics(&self, filter: &Filter) -> Option<Vec<&VecDeque<u64>>> {
        let mut all: Vec<&VecDeque<u64>> = Vec::with_capacity(filter.patterns.len());
        for pattern in &filter.patterns {
            let names = NamesRef {
                tenant: &filter.tenant,
                topic: pattern.exact()?.as_str(),
            };
            if let Some(topic) = self.topics.get(&names)
                && !all.iter().any(|known| std::ptr::eq(*known, topic))
            {
                all.push(topic);
            }
        }
        Some(all)
    }

    fn is_meant(&self, filter: &Filter, message: &PackedMessage) -> bool {
        let (tenant, topic) = message.names();
        *tenant == *filter.tenant && matches(filter, topic)
    }

    fn at(&self, position: u64) -> &PackedMessage {
        let found = self
            .entries
            .binary_search_by_key(&position, |entry| entry.0);
        let at = found.expect("the index holds the positions of kept messages only");
        &self.entries[at].1
    }
}

fn matches(filter: &Filter, topic: &str) -> bool {
    let mut patterns = filter.patterns.iter();
    patterns.any(|pattern| pattern.matches_name(topic))
}

/// Fills a page up to its limit. The first message always fits.
struct Collect {
    messages: Vec<(u64, PackedMessage)>,
    limit: ScanLimit,
    bytes: usize,
}

impl Collect {
    fn new(limit: ScanLimit) -> Self {
        Self {
            messages: Vec::new(),
            limit,
            bytes: 0,
        }
    }

    fn take(&mut self, position: u64, message: &PackedMessage) -> bool {
        let bytes = self.bytes + message.len();
        let full = self.messages.len() >= self.limit.items || bytes > self.limit.bytes;
        if full && !self.messages.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.messages.push((position, message.clone()));
        true
    }

    fn found(self, through: u64, more: bool) -> Found {
        Found {
            messages: self.messages,
            through,
            more,
        }
    }
}
