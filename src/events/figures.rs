//! The streams' metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::Hub;
use crate::metrics::{Family, Kind, Source};

/// What all streams have done, added up by each when it has nothing more to give for the moment.
#[derive(Debug, Default)]
pub(super) struct Sent {
    events: AtomicU64,
    bytes: AtomicU64,
    /// Pages of the store.
    reads: AtomicU64,
}

/// What one stream has done since it added it up.
#[derive(Debug, Default)]
pub(super) struct Sending {
    events: u64,
    bytes: u64,
}

/// What the live ring and its streams look like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Levels {
    pub(super) streams: usize,
    /// How many entries of the ring the stream that is farthest behind has not looked at.
    pub(super) lag: u64,
    /// How often the ring went past a stream.
    pub(super) overtaken: u64,
    /// Ephemeral messages that streams lost by that.
    pub(super) lost: u64,
}

impl Sent {
    pub(super) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sending {
    pub(super) fn event(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes as u64;
    }

    pub(super) fn add_to(&mut self, sent: &Sent) {
        if self.events > 0 {
            let Self { events, bytes } = std::mem::take(self);
            sent.events.fetch_add(events, Ordering::Relaxed);
            sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Source for Hub {
    fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
        let (levels, sent) = (self.levels(), self.sent());
        let gauge = |name, help, level: u64| {
            let mut family = Family::new(name, Kind::Gauge, help);
            family.level(&[], level as f64);
            family
        };
        let counter = |name, help, count: u64| {
            let mut family = Family::new(name, Kind::Counter, help);
            family.count(&[], count);
            family
        };
        let so_far = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ready(vec![
            gauge(
                "tidegate_streams",
                "Event streams that are open.",
                levels.streams as u64,
            ),
            gauge(
                "tidegate_stream_lag_entries",
                "Entries that the stream farthest behind has not looked at; one that the ring has passed reads the store.",
                levels.lag,
            ),
            counter(
                "tidegate_stream_events",
                "Events that streams gave to their connections, heartbeats too.",
                so_far(&sent.events),
            ),
            counter(
                "tidegate_stream_bytes",
                "Their bytes, as encoded.",
                so_far(&sent.bytes),
            ),
            counter(
                "tidegate_stream_overtaken",
                "How often the ring of new entries went past a stream, which reads the store then.",
                levels.overtaken,
            ),
            counter(
                "tidegate_stream_lost_messages",
                "Ephemeral messages that streams lost by that, each told as a Gap.",
                levels.lost,
            ),
            counter(
                "tidegate_stream_reads",
                "Pages that streams read from the store, when they began, resumed or were behind.",
                so_far(&sent.reads),
            ),
        ])
        .boxed()
    }
}
