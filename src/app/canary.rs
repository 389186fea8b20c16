//! Health that is seen, and not assumed: a packet of the gateway's own goes through the broker, and a commit through the
//! store, every two seconds. While none came through for five, the gateway is not serving.

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::set_health;
use crate::broker::{Ack, Broker, Request, SettledPart};
use crate::types::{Action, Answer, ClientKey, Content, Packet, Principal, Reason};

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
    health: HealthReporter,
    /// The place of the last packet.
    seq: u64,
    /// When one last came through; at first, when it was begun.
    passed: Instant,
    serving: bool,
}

impl Canary {
    pub(super) fn new(broker: Broker, health: HealthReporter) -> Self {
        Self {
            broker,
            health,
            seq: 0,
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
            self.seq = next(self.seq);
            let asked = ask(self.broker.clone(), request(self.seq));
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
                Ok(Ok(())) => self.passed().await,
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
            set_health(&self.health, ServingStatus::Serving).await;
        }
    }

    async fn failed(&mut self, why: &str) {
        if self.serving && self.passed.elapsed() >= LIMIT {
            self.serving = false;
            tracing::error!(
                "not serving: no packet went through broker and store for {LIMIT:?}; of the last one: {why}"
            );
            set_health(&self.health, ServingStatus::NotServing).await;
        }
    }
}

/// Whether it came through, or why not.
async fn ask(broker: Broker, request: Request) -> Result<(), String> {
    let response = broker.sync(request).await;
    let response = response.map_err(|error| error.to_string())?;
    match response.answers.first() {
        // However it was judged, a commit has said so.
        Some((_, answer)) if answer.outcome.is_final() => Ok(()),
        Some((_, answer)) => Err(format!("{:?}, {}", answer.reason, answer.message)),
        None => Err("it has no answer".to_owned()),
    }
}

/// A packet that was refused before it came: with its place that is one commit, and changes nothing. All before it are settled,
/// so that nothing of them is kept; and as places are times, none of an earlier process is in the way.
fn request(seq: u64) -> Request {
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
            through: seq - 1,
            req_ids: Vec::new(),
        }],
        packets: vec![Arc::new(packet)],
        size: 0,
    }
}

/// The time, unless the clock was set back.
fn next(before: u64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.unwrap_or_default().as_millis() as u64;
    now.max(before + 1)
}
