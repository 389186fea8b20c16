//! What streams promise, against a log whose moments a test has in its hand.

mod log;
mod matching;
mod splice;
mod story;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use self::log::Log;
use super::{Hub, Session, Start, StreamSettings, Subscription};
use crate::types::{ClientKey, Pattern, Principal};
use crate::wire::proto;
use crate::wire::proto::event::Event as Kind;

const HEARTBEAT: Duration = Duration::from_secs(15);

fn hub_with_ring(ring_entries: usize) -> Hub {
    let settings = StreamSettings {
        node: "here".into(),
        heartbeat: HEARTBEAT,
        age: Duration::from_secs(600),
        ring_entries,
        ring_bytes: 1 << 20,
    };
    Hub::seeded(settings, 1)
}

/// A hub and its log.
fn gateway() -> (Hub, Arc<Log>) {
    gateway_with_ring(1000)
}

fn gateway_with_ring(entries: usize) -> (Hub, Arc<Log>) {
    let hub = hub_with_ring(entries);
    let log = Log::new(&hub);
    (hub, log)
}

/// From now on, without identity.
fn on(patterns: &[&str]) -> Subscription {
    Subscription {
        principal: Arc::new(Principal::default()),
        client: None,
        patterns: patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern, "").unwrap())
            .collect(),
        cursor: None,
        start: Start::Now,
        skip_own: false,
        peer: None,
    }
}

impl Subscription {
    fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    fn after(self, cursor: &str) -> Self {
        let cursor = Some(cursor.to_owned());
        Self { cursor, ..self }
    }

    fn client(self, client: &Arc<ClientKey>) -> Self {
        let client = Some(client.clone());
        Self { client, ..self }
    }

    fn skipping_own(self) -> Self {
        Self {
            skip_own: true,
            ..self
        }
    }

    fn tenant(self, tenant: &str) -> Self {
        let principal = Principal {
            tenant: tenant.into(),
            ..Principal::default()
        };
        Self {
            principal: Arc::new(principal),
            ..self
        }
    }
}

/// A stream as a client sees it.
struct Client(Session);

impl Client {
    /// Opens a stream and takes its Connected.
    async fn open(hub: &Hub, log: &Arc<Log>, subscription: Subscription) -> Self {
        let mut client = Self(hub.open(log.clone(), subscription).unwrap());
        let first = client.next().await;
        assert!(matches!(first.event, Some(Kind::Connected(_))), "{first:?}");
        client
    }

    async fn next(&mut self) -> proto::Event {
        let event = self.0.next().await.expect("the stream goes on");
        proto::Event::decode(event).expect("what is sent can be read")
    }

    /// The next event, unless it is a heartbeat.
    async fn event(&mut self) -> Option<proto::Event> {
        let event = self.next().await;
        (!matches!(event.event, Some(Kind::Heartbeat(_)))).then_some(event)
    }

    /// The numbers of the messages and results until the first heartbeat.
    async fn rest(&mut self) -> Vec<u128> {
        let mut all = Vec::new();
        while let Some(event) = self.event().await {
            all.extend(numbers(&event));
        }
        all
    }
}

/// The numbers of what an event brings.
fn numbers(event: &proto::Event) -> Vec<u128> {
    match event.event.as_ref().unwrap() {
        Kind::Message(message) => vec![u128::from_str_radix(&message.id, 16).unwrap()],
        Kind::Results(results) => {
            let numbers = results.results.iter();
            numbers
                .map(|result| result.req_id.parse().unwrap())
                .collect()
        }
        _ => Vec::new(),
    }
}
