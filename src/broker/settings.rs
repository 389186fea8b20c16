//! The broker's bounds.

use std::time::Duration;

use crate::telemetry::Traces;

/// How much the broker holds, and how it behaves at its bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of all packets that are here; each counts with what it takes besides its own bytes. Above half of it a handler may hold
    /// as much as is free.
    pub bytes: usize,
    /// Of the packets in one lane.
    pub lane_packets: usize,
    pub lane_bytes: usize,
    /// Clients name methods, and each has a lane: beyond this an idle one goes before its time, or a packet waits outside.
    pub lanes: usize,
    /// Calls that wait for one packet.
    pub waiters: usize,
    /// Of requests that the broker has not looked at yet; callers wait for room.
    pub intake_bytes: usize,
    /// How long a lane without packets stays.
    pub idle_lane: Duration,
    /// What the jitter of `retry_after` is drawn from.
    pub seed: u64,
    /// What makes the spans of batches.
    pub traces: Traces,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            lane_packets: 10_000,
            lane_bytes: 64 << 20,
            lanes: 4096,
            waiters: 16,
            intake_bytes: 64 << 20,
            idle_lane: Duration::from_secs(60),
            seed: rand::random(),
            traces: Traces::off(),
        }
    }
}
