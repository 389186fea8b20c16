//! One that sends until everything is final, whatever happens to the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, PacketResult};
use tokio::sync::watch;
use tonic::Code;

use super::plan::{Plan, Step};

/// Packets of a request.
const BATCH: usize = 50;

/// Requests on their way at once, one sent after the other.
const IN_FLIGHT: usize = 4;

pub struct Writer {
    client: Client,
    plan: Arc<Plan>,
    /// Which of its scripts.
    script: usize,
    gateway: watch::Receiver<bool>,
    /// Batches that are final, from the first one on.
    through: watch::Sender<usize>,
    /// Packets that are final, of all writers.
    finished: watch::Sender<usize>,
    /// The final result of each packet, as it was first told.
    told: Mutex<Vec<Option<PacketResult>>>,
    pub tally: Tally,
}

#[derive(Default)]
pub struct Tally {
    /// Requests that had no answer.
    lost: AtomicUsize,
    /// Results that were told again.
    replayed: AtomicUsize,
}

impl Writer {
    pub fn new(
        client: Client,
        plan: &Arc<Plan>,
        script: usize,
        gateway: watch::Receiver<bool>,
        finished: watch::Sender<usize>,
    ) -> Self {
        Self {
            client,
            plan: plan.clone(),
            script,
            gateway,
            through: watch::Sender::new(0),
            finished,
            told: Mutex::new(vec![None; plan.scripts[script].steps.len()]),
            tally: Tally::default(),
        }
    }

    /// Until every packet has its final result.
    pub async fn write(&self) {
        let batches = 0..self.steps().len().div_ceil(BATCH);
        let mut finished =
            stream::iter(batches.map(|batch| self.finish(batch))).buffered(IN_FLIGHT);
        while finished.next().await.is_some() {
            self.through.send_modify(|through| *through += 1);
        }
    }

    /// Every packet once more: all of them are repeats by now.
    pub async fn repeat(&self) {
        let before = self.tally.replayed();
        for batch in 0..self.steps().len().div_ceil(BATCH) {
            let answer = self.client.sync(self.request(batch)).await.unwrap();
            assert!(self.note(batch, answer.results), "all of it was final");
        }
        assert_eq!(self.tally.replayed() - before, self.steps().len());
    }

    async fn finish(&self, batch: usize) {
        loop {
            let is_next = *self.through.borrow() >= batch;
            match self.client.sync(self.request(batch)).await {
                Ok(answer) => {
                    let is_early = answer.results.iter().any(|result| result.next_seq != 0);
                    assert!(
                        !(is_next && is_early),
                        "what was told before batch {batch} is gone"
                    );
                    if self.note(batch, answer.results) {
                        return;
                    }
                    // What comes before it was lost: its turn comes when that is there.
                    let mut through = self.through.subscribe();
                    through.wait_for(|through| *through >= batch).await.unwrap();
                }
                Err(error) => {
                    let wrong = [Code::InvalidArgument, Code::ResourceExhausted];
                    assert!(!wrong.map(Some).contains(&error.code()), "{error}");
                    self.tally.lost.fetch_add(1, Ordering::Relaxed);
                    self.gateway.clone().wait_for(|runs| *runs).await.unwrap();
                }
            }
        }
    }

    fn request(&self, batch: usize) -> BatchRequest {
        let packets = self.batch(batch).iter().map(|step| step.packet.clone());
        let request = BatchRequest::of(packets).until_accepted();
        request.client_id(&self.plan.scripts[self.script].client_id)
    }

    /// Whether all of the batch is final.
    fn note(&self, batch: usize, results: Vec<PacketResult>) -> bool {
        let mut told = self.told.lock();
        let told = told[batch * BATCH..].iter_mut();
        assert_eq!(results.len(), self.batch(batch).len());
        let (mut is_final, mut finished) = (true, 0);
        for ((step, mut result), told) in self.batch(batch).iter().zip(results).zip(told) {
            if !result.outcome().is_final() {
                is_final = false;
                continue;
            }
            step.assert_answered(&result);
            let replayed = std::mem::take(&mut result.replayed);
            self.tally
                .replayed
                .fetch_add(usize::from(replayed), Ordering::Relaxed);
            match told {
                Some(first) => {
                    assert!(replayed, "it was told before: {result:?}");
                    assert_eq!(*first, result, "one packet, one final result");
                }
                None => {
                    *told = Some(result);
                    finished += 1;
                }
            }
        }
        self.finished.send_modify(|all| *all += finished);
        is_final
    }

    fn batch(&self, batch: usize) -> &[Step] {
        let first = batch * BATCH;
        let last = self.steps().len().min(first + BATCH);
        &self.steps()[first..last]
    }

    fn steps(&self) -> &[Step] {
        &self.plan.scripts[self.script].steps
    }
}

impl Tally {
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    pub fn replayed(&self) -> usize {
        self.replayed.load(Ordering::Relaxed)
    }
}
