//! Random interleavings of writing, showing, telling, reading, lagging, cutting and resuming: every kept message and result
//! that is owed comes exactly once and in order.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::log::{Log, client};
use super::{Client, gateway_with_ring, numbers, on};
use crate::events::cursor::{Cursor, Place};
use crate::events::{Hub, Start, Subscription};
use crate::store::EntryKind;
use crate::types::ClientKey;
use crate::wire::proto::event::Event as Kind;

const TOPICS: [&str; 4] = ["a.1", "a.2", "b.1", "@user.ann"];

#[tokio::test(start_paused = true)]
async fn everything_owed_comes_once_and_in_order() {
    for seed in 0..400 {
        Run::new(seed).go().await;
    }
}

struct Run {
    seed: u64,
    random: StdRng,
    hub: Hub,
    log: Arc<Log>,
    me: Arc<ClientKey>,
    subscription: Subscription,
    stream: Client,
    /// Every event: its cursor and what it brought.
    seen: Vec<(String, Vec<u128>)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (hub, log) = gateway_with_ring(random.random_range(1..6));
        let me = client("", "ann", "phone");
        let patterns: &[&str] = [
            &["a.>"][..],
            &["a.1"],
            &["a.1", "a.*", "@user.ann", "a.1"],
            &[">"],
            &[],
        ]
        .choose(&mut random)
        .unwrap();
        let mut subscription = on(patterns).start(Start::Earliest);
        if random.random_bool(0.7) {
            subscription = subscription.client(&me);
        }
        if random.random_bool(0.3) {
            subscription = subscription.skipping_own();
        }
        let stream = Client(hub.open(log.clone(), subscription.clone()).unwrap());
        Self {
            seed,
            random,
            hub,
            log,
            me,
            subscription,
            stream,
            seen: Vec::new(),
        }
    }

    async fn go(mut self) {
        for _ in 0..self.random.random_range(5..60) {
            match self.random.random_range(0..10) {
                0..=3 => self.write(),
                4 => self.log.show(),
                5 => self.log.tell(),
                6 | 7 => self.read().await,
                8 => self.log.fail(1),
                _ => self.resume(),
            }
        }
        self.log.show_and_tell();
        self.read_all().await;
        self.check();
        if let Some((cursor, _)) = self.seen.last() {
            let subscription = self.subscription.clone().after(cursor);
            let mut again = Client::open(&self.hub, &self.log, subscription).await;
            assert!(
                again.rest().await.is_empty(),
                "nothing is left, seed {}",
                self.seed
            );
        }
    }

    fn write(&mut self) {
        let stranger = client("", "ann", "laptop");
        for _ in 0..self.random.random_range(1..6) {
            let topic = TOPICS.choose(&mut self.random).unwrap();
            match self.random.random_range(0..10) {
                0..=3 => self.log.write("", &stranger, topic),
                4 => self.log.write("", &self.me, topic),
                5 => self.log.write("other", &stranger, topic),
                6 => self
                    .log
                    .write_ephemeral(&format!("a.1.live.{topic}").replace('@', "")),
                7 => self.log.write_result(&stranger, false),
                8 => self.log.write_result(&self.me, true),
                _ => self.log.write_result(&self.me, false),
            };
        }
        if self.random.random_bool(0.5) {
            self.log.show_and_tell();
        }
    }

    async fn read(&mut self) {
        for _ in 0..self.random.random_range(1..12) {
            let next = tokio::time::timeout(Duration::from_millis(10), self.stream.next());
            let Ok(event) = next.await else {
                return;
            };
            self.seen.push((event.cursor.clone(), numbers(&event)));
        }
    }

    async fn read_all(&mut self) {
        loop {
            let event = self.stream.next().await;
            self.seen.push((event.cursor.clone(), numbers(&event)));
            if matches!(event.event, Some(Kind::Heartbeat(_))) {
                return;
            }
        }
    }

    /// Cuts the stream and resumes at any event that it brought, as if nothing after that had arrived.
    fn resume(&mut self) {
        if self.seen.is_empty() {
            return;
        }
        let at = match self.random.random_bool(0.7) {
            true => self.seen.len() - 1,
            false => self.random.random_range(0..self.seen.len()),
        };
        self.seen.truncate(at + 1);
        let subscription = self.subscription.clone().after(&self.seen[at].0);
        self.stream = Client(self.hub.open(self.log.clone(), subscription).unwrap());
    }

    fn check(&self) {
        let places = self
            .seen
            .iter()
            .map(|(cursor, _)| Cursor::parse(cursor).unwrap().place);
        let places: Vec<Place> = places.collect();
        for pair in places.windows(2) {
            let forward =
                pair[0].messages <= pair[1].messages && pair[0].results <= pair[1].results;
            assert!(
                forward,
                "a cursor went back with seed {}: {pair:?}",
                self.seed
            );
        }
        let entries = self.log.entries();
        let is_result = |number: &u128| {
            let entry = &entries[usize::try_from(*number).unwrap()];
            matches!(entry.kind, EntryKind::Result(_))
        };
        let is_kept = |number: &u128| {
            let entry = &entries[usize::try_from(*number).unwrap()];
            !matches!(entry.kind, EntryKind::Ephemeral(_))
        };
        let all = self.seen.iter().flat_map(|(_, numbers)| numbers).copied();
        let (results, messages): (Vec<u128>, Vec<u128>) = all.filter(is_kept).partition(is_result);

        let owed = (0..entries.len() as u128).filter(|number| self.is_owed(*number, &entries));
        let (owed_results, owed_messages): (Vec<u128>, Vec<u128>) = owed.partition(is_result);
        assert_eq!(messages, owed_messages, "messages with seed {}", self.seed);
        assert_eq!(results, owed_results, "results with seed {}", self.seed);
    }

    fn is_owed(&self, number: u128, entries: &[crate::store::Entry]) -> bool {
        let asked = &self.subscription;
        match &entries[usize::try_from(number).unwrap()].kind {
            EntryKind::Message(message) => {
                let own = message.client_id == self.me.client_id;
                message.tenant.is_empty()
                    && asked
                        .patterns
                        .iter()
                        .any(|pattern| pattern.matches(&message.topic))
                    && !(own && asked.skip_own && asked.client.is_some())
            }
            EntryKind::Result(result) => {
                !result.awaited && asked.client.as_ref() == Some(&result.client)
            }
            EntryKind::Ephemeral(_) => false,
        }
    }
}
