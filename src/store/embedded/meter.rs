//! What is counted of the engine.

use std::time::Duration;

use super::levels::Shared;
use crate::store::{Figures, Files, LogFigures};

/// Told by the threads that do the work, once a frame.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) log: LogFigures,
    /// The log's files, as they were after the last frame.
    log_bytes: u64,
    /// With the last frame that was made: packets known by their req_ids, and bytes of kept results.
    kept: Option<(u64, u64)>,
}

impl Meter {
    pub(super) fn wrote(&mut self, commits: usize, bytes: usize, took: Duration, log_bytes: u64) {
        self.log.bytes += bytes as u64;
        self.log.group.add(commits as u64);
        self.log.took.add_time(took, 1);
        self.log_bytes = log_bytes;
    }

    pub(super) fn keeps(&mut self, req_ids: u64, results: u64) {
        self.kept = Some((req_ids, results));
    }
}

impl Shared {
    /// Asks the disk how large the table is.
    pub(super) fn figures(&self) -> Figures {
        let table = self.table.bytes().unwrap_or_default();
        let levels = self.levels.read();
        let header = levels.active.header;
        let frozen = levels.frozen.as_ref().map_or(0, |frozen| frozen.bytes);
        let memory = levels.active.bytes + frozen;
        let parts = levels.parts.iter().map(|part| part.info().file_bytes).sum();
        drop(levels);
        let meter = self.meter.lock();
        Figures {
            tail: header.tail,
            queues: Some(header.places),
            req_ids: meter.kept.map(|(req_ids, _)| req_ids),
            results: meter.kept.map(|(_, results)| results),
            files: Some(Files {
                log: meter.log_bytes,
                parts,
                table,
            }),
            memory_bytes: memory as u64,
            damages: self.damages.count(),
            log: meter.log,
        }
    }
}
