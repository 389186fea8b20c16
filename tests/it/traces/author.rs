//! One who writes a document: sends its patches in batches, some twice, some too early.

use std::sync::Arc;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult, Reason};

use crate::support::Trace;

/// Makes a record of each patch. The `req_id` and the place of a packet are its number in the trace, from 1.
pub struct Author {
    pub tally: Tally,
    client: Client,
    client_id: &'static str,
    handler: &'static str,
    /// What its keys begin with; without, the gateway makes them.
    prefix: Option<&'static str>,
    trace: Arc<Trace>,
    batch: usize,
    /// How many batches were written.
    written: usize,
}

/// Batches that were sent other than once and in turn.
#[derive(Default)]
pub struct Tally {
    pub repeats: usize,
    pub early: usize,
}

/// What became of a batch.
enum Sent {
    Applied(Vec<PacketResult>),
    /// It is ahead of its turn: this place is expected.
    Early(u64),
}

impl Author {
    pub fn new(client: Client, handler: &'static str, trace: &Arc<Trace>, batch: usize) -> Self {
        Self {
            tally: Tally::default(),
            client,
            client_id: "",
            handler,
            prefix: None,
            trace: trace.clone(),
            batch,
            written: 0,
        }
    }

    pub fn client_id(self, client_id: &'static str) -> Self {
        Self { client_id, ..self }
    }

    pub fn under(self, prefix: &'static str) -> Self {
        let prefix = Some(prefix);
        Self { prefix, ..self }
    }

    pub fn batches(&self) -> usize {
        self.trace.patches.len().div_ceil(self.batch)
    }

    /// Goes on until so many batches are applied, or all there are. Every third is sent twice, at once or again afterwards;
    /// some are first sent before the one that they follow.
    pub async fn write(&mut self, batches: usize) {
        for batch in self.written..batches.min(self.batches()) {
            if batch % 10 == 4 && batch + 1 < self.batches() {
                self.send_early(batch + 1).await;
            }
            match batch % 6 {
                2 => {
                    let (one, other) = tokio::join!(self.apply(batch), self.apply(batch));
                    assert_eq!(keys(&one), keys(&other), "one packet, one answer");
                    self.tally.repeats += 1;
                }
                5 => {
                    let first = self.apply(batch).await;
                    let again = self.apply(batch).await;
                    assert!(again.iter().all(|result| result.replayed));
                    assert_eq!(keys(&first), keys(&again), "one packet, one answer");
                    self.tally.repeats += 1;
                }
                _ => drop(self.apply(batch).await),
            }
            self.written = batch + 1;
        }
    }

    /// Its turn comes with the next batch, when it is sent again.
    async fn send_early(&mut self, batch: usize) {
        let expected = self.places(batch - 1).start;
        match self.send(batch).await {
            Sent::Early(next) => assert_eq!(next, expected as u64),
            Sent::Applied(_) => panic!("batch {batch} was applied before the one before it"),
        }
        self.tally.early += 1;
    }

    async fn apply(&self, batch: usize) -> Vec<PacketResult> {
        match self.send(batch).await {
            Sent::Applied(results) => results,
            Sent::Early(next) => panic!("batch {batch} is due, and {next} is said to be missing"),
        }
    }

    async fn send(&self, batch: usize) -> Sent {
        let packets = self.places(batch).map(|place| self.packet(place));
        let request = BatchRequest::of(packets).client_id(self.client_id);
        let results = self.client.sync(request).await.unwrap().results;
        assert_eq!(results.len(), self.places(batch).len());
        for (place, result) in self.places(batch).zip(&results) {
            assert_eq!(result.req_id, place.to_string());
            let outcome = results[0].outcome();
            assert_eq!(result.outcome(), outcome, "{result:?}");
        }
        let first = &results[0];
        match (first.outcome(), first.reason()) {
            (Outcome::Ok, _) => Sent::Applied(results),
            (Outcome::Retry, Reason::EarlierMissing) => Sent::Early(first.next_seq),
            _ => panic!("batch {batch}: {first:?}"),
        }
    }

    fn places(&self, batch: usize) -> std::ops::Range<usize> {
        let first = batch * self.batch;
        first + 1..self.trace.patches.len().min(first + self.batch) + 1
    }

    fn packet(&self, place: usize) -> Packet {
        let packet = Packet::create(self.handler)
            .text(&self.trace.patches[place - 1])
            .req_id(place.to_string())
            .seq(place as u64);
        match self.prefix {
            Some(prefix) => packet.key(format!("{prefix}.{place}")),
            None => packet,
        }
    }
}

fn keys(results: &[PacketResult]) -> Vec<&str> {
    let records = results.iter().flat_map(|result| &result.records);
    records.map(|record| record.key.as_str()).collect()
}
