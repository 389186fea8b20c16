//! One that writes records and publishes until it is told to stop, and sends again what is not final.

use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult, Reason};
use tokio::sync::watch;

/// Packets of a request to each of its two handlers.
const BATCH: usize = 20;

/// Records of a source, which it puts in turns.
const KEYS: usize = 50;

/// What a client waits for that is not told how long: on average. It is what a client does, and nothing that the test waits
/// for: without it four of them would ask a full disk as fast as they can.
const DELAY: Duration = Duration::from_millis(20);

pub struct Source {
    client: Client,
    number: usize,
    /// Of each handler's queue, in order: what was told of the packets that are final.
    told: [Vec<PacketResult>; 2],
    pub progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Packets that are applied.
    pub applied: usize,
    /// Requests some of which the store could not take.
    pub refused: usize,
    /// Results that say that nobody knows.
    pub in_doubt: usize,
}

impl Source {
    pub fn new(client: Client, number: usize) -> Self {
        Self {
            client,
            number,
            told: [Vec::new(), Vec::new()],
            progress: watch::Sender::default(),
        }
    }

    /// Until it is told to stop, and a request is final as a whole.
    pub async fn write(mut self, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            let first = self.told[0].len();
            while self.told.iter().any(|told| told.len() < first + BATCH) {
                let answer = self.client.sync(self.request(first)).await.unwrap();
                if !self.note(first, answer.results) {
                    tokio::time::sleep(DELAY.mul_f64(rand::random::<f64>() * 2.0)).await;
                }
            }
        }
        self
    }

    /// Every packet again: the same results.
    pub async fn repeat(&self) {
        for first in (0..self.told[0].len()).step_by(BATCH) {
            let answer = self.client.sync(self.request(first)).await.unwrap();
            let first_told = self
                .told
                .iter()
                .flat_map(|told| &told[first..first + BATCH]);
            assert_eq!(answer.results.len(), 2 * BATCH);
            for (mut again, told) in answer.results.into_iter().zip(first_told) {
                assert!(std::mem::take(&mut again.replayed), "{again:?}");
                assert_eq!(again, *told);
            }
        }
    }

    /// The newest content of each record, and its version.
    pub fn records(&self) -> impl Iterator<Item = (String, u64, String)> {
        let count = self.told[0].len();
        let newest = count.saturating_sub(KEYS)..count;
        newest.map(|at| (self.key(at), version(at), self.text(at)))
    }

    pub fn topic(&self) -> String {
        topic(self.number)
    }

    /// What was published, in order.
    pub fn published(&self) -> impl Iterator<Item = String> {
        (0..self.told[1].len()).map(|at| self.text(at))
    }

    /// Whether all of it is final.
    fn note(&mut self, first: usize, results: Vec<PacketResult>) -> bool {
        assert_eq!(results.len(), 2 * BATCH);
        let mut progress = *self.progress.borrow();
        let (mut is_final, mut is_refused) = (true, false);
        for (number, mut result) in results.into_iter().enumerate() {
            let (queue, at) = (number / BATCH, first + number % BATCH);
            match (result.outcome(), result.reason()) {
                (Outcome::Ok, Reason::Unspecified) => {
                    result.replayed = false;
                    let told = &mut self.told[queue];
                    if let Some(before) = told.get(at) {
                        assert_eq!(*before, result, "one packet, one final result");
                        continue;
                    }
                    assert_eq!(told.len(), at, "in order: {result:?}");
                    let is_record = queue == 0;
                    if is_record {
                        assert_eq!(result.records[0].version, version(at));
                    }
                    told.push(result);
                    progress.applied += 1;
                }
                (Outcome::Retry, Reason::StoreUnavailable) => {
                    (is_final, is_refused) = (false, true)
                }
                (Outcome::Retry, Reason::EarlierRefused) => is_final = false,
                (Outcome::InDoubt, Reason::StoreUnavailable) => {
                    is_final = false;
                    progress.in_doubt += 1;
                }
                _ => panic!("{result:?}"),
            }
        }
        progress.refused += usize::from(is_refused);
        self.progress.send_replace(progress);
        is_final
    }

    fn request(&self, first: usize) -> BatchRequest {
        let places = first..first + BATCH;
        let records = places.clone().map(|at| {
            let put = Packet::put("notes", self.key(at)).text(self.text(at));
            put.at_version(version(at) - 1).seq(at as u64 + 1)
        });
        let messages = places.map(|at| {
            let publish = Packet::publish(topic(self.number)).text(self.text(at));
            publish.seq(at as u64 + 1)
        });
        let request = BatchRequest::of(records.chain(messages));
        request.client_id(format!("source-{}", self.number))
    }

    fn key(&self, at: usize) -> String {
        format!("{}.{}", self.number, at % KEYS)
    }

    /// 200 bytes that no other one has.
    fn text(&self, at: usize) -> String {
        format!("{} {at:0198}", self.number)
    }
}

fn topic(number: usize) -> String {
    format!("feed.{number}")
}

/// The record's, after the packet at this place.
fn version(at: usize) -> u64 {
    (at / KEYS) as u64 + 1
}
