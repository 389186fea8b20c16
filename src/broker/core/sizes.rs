//! How much is here, for tests that hold the bounds.

use super::Core;

/// What is here now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
    /// Bytes of answers that are on their way to the disk.
    pub(crate) answers: usize,
    pub(crate) calls: usize,
    pub(crate) lanes: usize,
    /// Of the lane that has most packets.
    pub(crate) lane_packets: usize,
    /// Of the lane that has most bytes.
    pub(crate) lane_bytes: usize,
    /// Everything else that exists as long as packets do: chains, batches, searches, names.
    pub(crate) things: usize,
}

impl Core {
    pub(crate) fn sizes(&self) -> Sizes {
        let lanes = self.lanes.iter();
        let (packets, bytes) = lanes.fold((0, 0), |(packets, bytes), lane| {
            (lane.packets.max(packets), lane.bytes.max(bytes))
        });
        let chains = self.chains.len() + self.key_chains.len() + self.queues.len();
        let names = self.req_ids.len() + self.expiring.len() + self.resuming.len();
        Sizes {
            packets: self.desk.jobs.len(),
            bytes: self.shares.held.packets,
            answers: self.shares.held.answers,
            calls: self.desk.calls.len(),
            lanes: self.lanes.len(),
            lane_packets: packets,
            lane_bytes: bytes,
            things: chains + names + self.batches.len() + self.searches.len(),
        }
    }
}
