//! Health that is seen, and not assumed: a packet of the gateway's own goes through the broker, and a commit through the
//! store, every two seconds. While none came through for five, the gateway is not serving.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::broker::{Ack, Broker, Request, SettledPart};
use crate::types::{Action, Answer, ClientKey, Content, Outcome, Packet, Principal, Reason};

/// How often it is tried.
const EVERY: Duration = Duration::from_secs(2);

/// How old the last success may be.
const LIMIT: Duration = Duration::from_secs(5);

/// The handler whose queue it uses: always there.
const HANDLER: &str = "topics";

/// Where no client is: `@` is no tenant's name.
const OWN: &str = "@";

/// Sends the packets, and sets the health.
#[derive(Debug)]
pub(super) struct Canary {
    broker: Broker,
    health: Health,
    /// The place of the next packet. `None`: not known, which is found out.
    next: Option<u64>,
    /// When one last came through; at first, when it was begun.
    passed: Instant,
    serving: bool,
}

impl Canary {
    pub(super) fn new(broker: Broker, health: Health) -> Self {
        Self {
            broker,
            health,
            next: None,
            passed: Instant::now(),
            serving: true,
        }
    }

    /// Runs until it is stopped. What it has sent by then is the broker's.
    pub(super) async fn run(mut self, stopped: CancellationToken) {
        // A health that is set after this has ended is not changed again.
        let _ = stopped.run_until_cancelled(self.watch()).await;
    }

    async fn watch(&mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = ask(self.broker.clone(), self.next.take());
            let mut asked = pin!(timeout(LIMIT, asked));
            let came = loop {
                tokio::select! {
                    came = &mut asked => break came,
                    () = sleep_until(self.passed + LIMIT), if self.serving => {
                        self.failed("it has no answer").await;
                    }
                }
            };
            match came {
                Ok(Ok(next)) => {
                    self.next = Some(next);
                    self.passed().await;
                }
                Ok(Err(why)) => self.failed(&why).await,
                Err(_) => self.failed("it has no answer").await,
            }
        }
    }

    async fn passed(&mut self) {
        self.passed = Instant::now();
        if !self.serving {
            self.serving = true;
            tracing::info!("serving again: a packet went through broker and store");
            self.health.set(None).await;
        }
    }

    async fn failed(&mut self, why: &str) {
        if self.serving && self.passed.elapsed() >= LIMIT {
            self.serving = false;
            let trouble = format!(
                "no packet went through broker and store for {LIMIT:?}; of the last one: {why}"
            );
            tracing::error!("not serving: {trouble}");
            self.health.set(Some(trouble)).await;
        }
    }
}

/// The place after the one that came through, or why none did.
async fn ask(broker: Broker, next: Option<u64>) -> Result<u64, String> {
    let seq = match next {
        Some(next) => next,
        None => expected(&broker).await?,
    };
    let answer = send(&broker, seq, seq - 1).await?;
    // Anything else, a repeat too, was said without a commit that changes something.
    match answer.outcome {
        Outcome::Rejected if !answer.replayed => Ok(seq.saturating_add(1)),
        _ => Err(why(&answer)),
    }
}

/// The place that the store expects next, whatever earlier processes did, and whatever their clocks said: a packet that is
/// ahead of every other is told.
async fn expected(broker: &Broker) -> Result<u64, String> {
    let answer = send(broker, u64::MAX, 0).await?;
    match answer.next_seq {
        0 => Err(why(&answer)),
        next => Ok(next),
    }
}

async fn send(broker: &Broker, seq: u64, settled: u64) -> Result<Answer, String> {
    let response = broker.sync(request(seq, settled)).await;
    let response = response.map_err(|error| error.to_string())?;
    let answer = response.answers.into_iter().next();
    let (_, answer) = answer.ok_or_else(|| "it has no answer".to_owned())?;
    Ok(answer)
}

fn why(answer: &Answer) -> String {
    format!(
        "{:?}, {:?}, {}",
        answer.outcome, answer.reason, answer.message
    )
}

/// A packet that was refused before it came: with its place that is one commit, and changes nothing. All before it are settled,
/// so that nothing of them is kept.
fn request(seq: u64, settled: u64) -> Request {
    let client = ClientKey {
        tenant: OWN.into(),
        subject: OWN.into(),
        client_id: "@canary".into(),
    };
    let packet = Packet {
        req_id: "".into(),
        handler: HANDLER.into(),
        seq,
        action: Action::Create,
        key: "".into(),
        content: Content::default(),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: 0,
        size: 0,
        raw: Bytes::new(),
        carried: None,
        refusal: Some(Box::new(Answer::rejected(Reason::Unspecified, ""))),
    };
    Request {
        principal: Arc::new(Principal {
            subject: OWN.into(),
            tenant: OWN.into(),
            roles: Vec::new(),
        }),
        client: Some(Arc::new(client)),
        ack: Ack::Applied,
        wait: LIMIT,
        settled: vec![SettledPart {
            handler: HANDLER.into(),
            through: settled,
            req_ids: Vec::new(),
        }],
        packets: vec![Arc::new(packet)],
        size: 0,
    }
}
