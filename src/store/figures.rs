//! What there is to see of a store, and its metrics.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{LetterCounts, Store};
use crate::metrics::{Family, Kind, Powers, Source};

/// How an engine stands, and what it has done since its start. `None` is what it does not know, or has none of.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// The position of the newest entry.
    pub tail: u64,
    /// Queues whose place is known.
    pub queues: Option<u64>,
    /// Packets without a place that are known by their req_ids.
    pub req_ids: Option<u64>,
    /// Of kept results, in bytes.
    pub results: Option<u64>,
    /// What is kept in files, and what is in memory before it goes there.
    pub files: Option<Files>,
    /// Of everything that is in memory and that readers look through.
    pub memory_bytes: u64,
    /// Findings of damage.
    pub damages: u64,
    pub log: LogFigures,
}

/// The size of files, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files {
    pub log: u64,
    pub parts: u64,
    pub table: u64,
}

/// What went into the commit log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFigures {
    /// Of what was made durable.
    pub bytes: u64,
    /// Commits that were made durable by one sync.
    pub group: Powers,
    /// How long a write with its sync took, in microseconds.
    pub took: Powers,
    /// Writes that failed.
    pub failed: u64,
}

/// The metrics of a store.
#[derive(Debug)]
pub struct StoreSource(pub Arc<dyn Store>);

impl Source for StoreSource {
    fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
        async { families(&self.0.figures().await, self.0.letter_counts()) }.boxed()
    }
}

fn families(store: &Figures, letters: LetterCounts) -> Vec<Family> {
    let gauge = |name, help, level: Option<u64>| {
        let mut family = Family::new(name, Kind::Gauge, help);
        if let Some(level) = level {
            family.level(&[], level as f64);
        }
        family
    };
    let counter = |name, help, count| {
        let mut family = Family::new(name, Kind::Counter, help);
        family.count(&[], count);
        family
    };
    let mut group = Family::new(
        "tidegate_log_group_commits",
        Kind::Numbers,
        "Commits that one sync of the commit log made durable.",
    );
    group.spread(&[], &store.log.group);
    let mut took = Family::new(
        "tidegate_log_sync_seconds",
        Kind::Times,
        "How long a write to the commit log took, with its sync, in seconds.",
    );
    took.spread(&[], &store.log.took);
    let mut files = Family::new(
        "tidegate_store_bytes",
        Kind::Gauge,
        "The size of the store's files, in bytes.",
    );
    if let Some(sizes) = store.files {
        let all = [
            ("log", sizes.log),
            ("parts", sizes.parts),
            ("table", sizes.table),
        ];
        for (what, bytes) in all {
            files.level(&[("what", what)], bytes as f64);
        }
    }
    let mut dead = Family::new(
        "tidegate_store_dead_letters",
        Kind::Gauge,
        "Dead letters that wait for a person: final ones, and those that are held at the head of their order.",
    );
    dead.level(&[("state", "final")], letters.kept as f64);
    dead.level(&[("state", "held")], letters.held as f64);
    vec![
        gauge(
            "tidegate_store_tail",
            "The position of the newest entry of the log: messages, and results that streams get.",
            Some(store.tail),
        ),
        gauge(
            "tidegate_store_queues",
            "Queues whose place is known: each of a client and a handler.",
            store.queues,
        ),
        gauge(
            "tidegate_store_req_ids",
            "Packets without a place that are known by their req_ids, finished or not.",
            store.req_ids,
        ),
        gauge(
            "tidegate_store_result_bytes",
            "Bytes of the results that are kept for repeats, of packets with a place.",
            store.results,
        ),
        files,
        gauge(
            "tidegate_store_memory_bytes",
            "Bytes in memory that no checkpoint has moved yet; of the engine in memory, of its messages.",
            Some(store.memory_bytes),
        ),
        dead,
        counter(
            "tidegate_store_dead_letters_dropped",
            "Dead letters that went because there were more than are kept.",
            letters.dropped,
        ),
        counter(
            "tidegate_store_damages",
            "Findings of damage, each told in the log.",
            store.damages,
        ),
        group,
        took,
        counter(
            "tidegate_log_written_bytes",
            "Bytes that were made durable in the commit log.",
            store.log.bytes,
        ),
        counter(
            "tidegate_log_failures",
            "Writes to the commit log that failed.",
            store.log.failed,
        ),
    ]
}
