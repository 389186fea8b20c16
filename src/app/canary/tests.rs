//! Over a store that hangs, refuses, or does what it should, in held time.

use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_server::Health as _;
use tonic_health::server::HealthService;

use super::*;
use crate::app::handlers::{self, DropCounts};
use crate::app::health::NAMES;
use crate::broker::{self, Settings};
use crate::config::Config;
use crate::store::hooked::{Hook, Hooked};
use crate::store::memory::{Keep, Memory};
use crate::store::{
    Commit, Committing, Domain, Entry, Error, Position, QueueKey, ScanLimit, Settle, Store, Tail,
    Term, Which,
};
use crate::types::HandlerName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Works,
    Hangs,
    Refuses,
}

/// A store whose commits go by its mood.
#[derive(Debug)]
struct Moody(watch::Receiver<Mood>);

#[derive(Debug)]
struct NoTail;

impl Tail for NoTail {
    fn committed(&self, entries: &[Entry]) {
        assert!(entries.is_empty(), "a canary is no entry: {entries:?}");
    }
}

impl Hook for Moody {
    fn commit<'a>(
        &'a self,
        memory: &'a Memory,
        commit: Commit,
    ) -> BoxFuture<'a, Result<Committing, Error>> {
        let mut mood = self.0.clone();
        async move {
            let now = *mood.wait_for(|mood| *mood != Mood::Hangs).await.unwrap();
            match now {
                Mood::Refuses => Err(Error::Refused("no room on the disk".into())),
                _ => memory.commit(commit).await,
            }
        }
        .boxed()
    }
}

/// A canary that runs.
struct Cage {
    mood: watch::Sender<Mood>,
    trouble: watch::Receiver<Option<String>>,
    service: HealthService,
    stopped: CancellationToken,
    canary: JoinHandle<()>,
    store: Arc<Hooked<Moody>>,
}

impl Cage {
    async fn new() -> Self {
        Self::over(Memory::new(Keep::default(), Arc::new(NoTail))).await
    }

    async fn over(memory: Memory) -> Self {
        let (mood, moods) = watch::channel(Mood::Works);
        let store = Arc::new(Hooked {
            memory,
            hook: Moody(moods),
        });
        let registry =
            handlers::registry(&Config::default(), Vec::new(), &mut DropCounts::default());
        let registry = Arc::new(registry.unwrap());
        let (broker, worker) = broker::build(registry, store.clone(), Settings::default());
        // It ends with its last handle, which is the canary's.
        drop(tokio::spawn(worker.run()));
        let health = Health::serving().await;
        let stopped = CancellationToken::new();
        let canary = Canary::new(broker, health.clone()).run(stopped.clone());
        Self {
            mood,
            trouble: health.trouble(),
            service: HealthService::from_health_reporter(health.reporter),
            stopped,
            canary: tokio::spawn(canary),
            store,
        }
    }

    /// Of all names, which always say the same, and of pages.
    async fn is_serving(&self) -> bool {
        let mut serving = Vec::new();
        for service in NAMES {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let answer = self
                .service
                .check(tonic::Request::new(request))
                .await
                .unwrap();
            serving.push(answer.into_inner().status == 1);
        }
        assert!(serving.iter().all(|one| *one == serving[0]), "{serving:?}");
        assert_eq!(self.trouble.borrow().is_none(), serving[0]);
        serving[0]
    }

    /// How long it takes until it says so.
    async fn until(&self, serving: bool) -> Duration {
        let began = Instant::now();
        while self.is_serving().await != serving {
            assert!(began.elapsed() < 10 * LIMIT, "it never says so");
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }

    /// The places of the canary whose results are there.
    async fn places(&self) -> Vec<u64> {
        let client = request(1, 0).client.unwrap();
        let which = Which::Places {
            handler: queue().handler,
            from: 0,
        };
        let limit = ScanLimit {
            items: 100,
            bytes: 1 << 20,
        };
        let kept = self.store.kept(&client, &which, limit).await.unwrap();
        kept.items.iter().map(|kept| kept.seq).collect()
    }
}

fn queue() -> QueueKey {
    QueueKey {
        client: request(1, 0).client.unwrap(),
        handler: HandlerName::new(HANDLER).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn it_stays_serving_and_leaves_nothing_behind() {
    let cage = Cage::new().await;
    sleep(200 * EVERY).await;
    assert!(cage.is_serving().await);
    assert_eq!(cage.store.tail(), Position(0), "it is no entry of the log");
    let places = cage.places().await;
    assert_eq!(places.len(), 1, "only the last one's result is there");
    assert!((200..=201).contains(&places[0]), "each was one commit");
}

#[tokio::test(start_paused = true)]
async fn it_commits_each_time_whatever_clocks_said_before() {
    let memory = Memory::new(Keep::default(), Arc::new(NoTail));
    let (domain, at) = (Domain(0), SystemTime::now());
    // As one left it whose places were times, and whose clock was years ahead.
    let far = 4_000_000_000_000;
    let settled = Commit {
        settles: vec![Settle {
            queue: queue(),
            through: far,
            req_ids: Vec::new(),
        }],
        ..Commit::new(domain, memory.take_over(domain).await.unwrap(), at)
    };
    memory.commit(settled).await.unwrap().await.unwrap();
    let cage = Cage::over(memory).await;
    for tried in 1..=3 {
        sleep(EVERY / 2).await;
        assert_eq!(cage.places().await, [far + tried]);
        sleep(EVERY / 2).await;
    }
    assert!(cage.is_serving().await);
    // Nothing of what it sends next is new.
    let judged = Commit {
        settles: vec![Settle {
            queue: queue(),
            through: far + 100,
            req_ids: Vec::new(),
        }],
        ..Commit::new(domain, Term(u64::MAX), at)
    };
    cage.store.commit(judged).await.unwrap().await.unwrap();
    sleep(2 * EVERY).await;
    let places = cage.places().await;
    assert!(
        places[0] > far + 100,
        "it finds its place again: {places:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_not_serving_until_it_works_again() {
    for failing in [Mood::Hangs, Mood::Refuses] {
        let cage = Cage::new().await;
        sleep(3 * EVERY + EVERY / 2).await;
        for _ in 0..3 {
            cage.mood.send_replace(failing);
            let took = cage.until(false).await;
            let since_last_success = LIMIT - EVERY..=LIMIT + EVERY;
            assert!(since_last_success.contains(&took), "{failing:?}: {took:?}");
            sleep(20 * LIMIT).await;
            assert!(!cage.is_serving().await, "{failing:?}: as long as it fails");
            cage.mood.send_replace(Mood::Works);
            let took = cage.until(true).await;
            assert!(took <= EVERY + LIMIT, "{failing:?}: {took:?}");
            sleep(20 * LIMIT).await;
            assert!(cage.is_serving().await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told_to_whatever_it_waits_for() {
    let cage = Cage::new().await;
    cage.mood.send_replace(Mood::Hangs);
    sleep(EVERY).await;
    cage.stopped.cancel();
    let began = Instant::now();
    cage.canary.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
