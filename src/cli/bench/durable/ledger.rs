//! What one client has sent, and which results came.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The places of one queue, by the calls that they went out with. Each is to get one result, in whatever order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: VecDeque<Call>,
    /// The last place that was sent.
    sent: u64,
    /// How many of those sent have no result.
    missing: u64,
}

#[derive(Debug)]
struct Call {
    first: u64,
    at: Instant,
    missing: usize,
    has_result: Vec<bool>,
}

impl Ledger {
    /// The place of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.sent + 1
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Up to here every result came: this is what may be settled.
    pub(super) fn settled(&self) -> u64 {
        self.calls.front().map_or(self.sent, |call| call.first - 1)
    }

    pub(super) fn send(&mut self, packets: usize, now: Instant) {
        self.calls.push_back(Call {
            first: self.next(),
            at: now,
            missing: packets,
            has_result: vec![false; packets],
        });
        self.sent += packets as u64;
        self.missing += packets as u64;
    }

    /// The last so many of the last call were not taken: their places go out again.
    pub(super) fn take_back(&mut self, packets: usize) {
        let Some(call) = self.calls.back_mut() else {
            return;
        };
        let packets = packets.min(call.has_result.len());
        call.has_result.truncate(call.has_result.len() - packets);
        call.missing -= packets;
        self.missing -= packets as u64;
        self.sent -= packets as u64;
        self.forget_finished();
    }

    /// Takes a result: how long it took since its packet was sent. A second one for a packet is an error, as is one for a
    /// packet that was never sent.
    pub(super) fn receive(&mut self, seq: u64, now: Instant) -> Result<Duration, String> {
        if seq == 0 || seq > self.sent {
            return Err(format!("a result came for {seq}, which was not sent"));
        }
        let at = self.calls.partition_point(|call| call.first <= seq);
        let Some(call) = at.checked_sub(1).and_then(|at| self.calls.get_mut(at)) else {
            return Err(doubled(seq));
        };
        let has_result = &mut call.has_result[(seq - call.first) as usize];
        if std::mem::replace(has_result, true) {
            return Err(doubled(seq));
        }
        call.missing -= 1;
        self.missing -= 1;
        let took = now.saturating_duration_since(call.at);
        self.forget_finished();
        Ok(took)
    }

    fn forget_finished(&mut self) {
        while self.calls.front().is_some_and(|call| call.missing == 0) {
            self.calls.pop_front();
        }
    }
}

fn doubled(seq: u64) -> String {
    format!("{seq} got a second result")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_has_no_hole_before_it() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        assert_eq!((ledger.next(), ledger.settled()), (1, 0));
        ledger.send(2, now);
        ledger.send(2, now);
        for seq in [3, 4, 1] {
            ledger.receive(seq, now).unwrap();
            assert_eq!(ledger.settled(), 0, "2 has no result");
        }
        assert_eq!(ledger.missing(), 1);
        let later = now + Duration::from_millis(5);
        assert_eq!(ledger.receive(2, later), Ok(Duration::from_millis(5)));
        assert_eq!(
            (ledger.settled(), ledger.next(), ledger.missing()),
            (4, 5, 0)
        );
    }

    #[test]
    fn what_was_not_taken_goes_out_again() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        ledger.send(3, now);
        ledger.take_back(2);
        assert_eq!((ledger.next(), ledger.missing()), (2, 1));
        ledger.receive(1, now).unwrap();
        assert!(ledger.receive(2, now).is_err(), "it was taken back");
        ledger.send(3, now);
        ledger.take_back(3);
        assert_eq!(
            (ledger.next(), ledger.missing(), ledger.settled()),
            (2, 0, 1)
        );
    }

    #[test]
    fn a_second_result_is_noticed() {
        let now = Instant::now();
        let mut ledger = Ledger::default();
        ledger.send(1, now);
        ledger.send(2, now);
        ledger.receive(3, now).unwrap();
        ledger.receive(1, now).unwrap();
        for seq in [3, 1] {
            assert!(ledger.receive(seq, now).unwrap_err().contains("second"));
        }
        for seq in [0, 4] {
            assert!(ledger.receive(seq, now).unwrap_err().contains("not sent"));
        }
    }
}
