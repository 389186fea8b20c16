//! One who sends a packet at a time, beside a hundred connections of someone who fills the lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, Reason};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{before, one};
use crate::support::{Backend, Call, Conduct, Gateway, median, quantile};

const CONNECTIONS: usize = 100;
/// More than all of them may have waiting at once: half of a lane is 5 000 packets.
const TOGETHER: usize = 80;
/// Who is refused comes back sooner than told.
const PAUSE: Duration = Duration::from_millis(50);

const CALL: Duration = Duration::from_millis(100);
/// At once, by default.
const CALLS: usize = 4;
const SAMPLES: usize = 30;
const LEAST: usize = 3;
const MOST: usize = 12;
/// Of a batch's time: whose calls end together, as here, is answered a whole one later, so that what is measured is the bound
/// itself and some milliseconds of a busy machine. Without fairness it is a dozen.
const NOISE: f64 = 0.1;

/// What the hundred did.
#[derive(Default)]
struct Flood {
    over: AtomicBool,
    served: AtomicUsize,
    refused: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_8_who_fills_a_lane_costs_another_one_batch_and_no_refusal() {
    let conduct = Conduct {
        call: CALL,
        ..Conduct::default()
    };
    let mut backend = Backend::start(conduct).await;
    let gateway = before(&[backend.uri()], "batch = { max_packets = 100 }").await;
    let single = Client::builder(gateway.uri()).subject("one");
    let single = single.connect().await.unwrap();
    one_at_a_time(&single).await;
    let flooders = join_all((0..CONNECTIONS).map(|_| flooder(&gateway))).await;

    let (mut later, mut times) = (Vec::new(), Vec::new());
    let (mut served, mut refused) = (0, 0);
    while later.len() < MOST {
        let alone = one_at_a_time(&single).await;
        let flood = Arc::new(Flood::default());
        let flooding = flooders.iter().cloned();
        let flooding = flooding.map(|client| tokio::spawn(fill(client, flood.clone())));
        let flooding: Vec<JoinHandle<()>> = flooding.collect();
        while flood.refused.load(Ordering::Relaxed) < TOGETHER {
            sleep(CALL).await;
        }
        let earlier = backend.calls().await.len();
        let before = flood.refused.load(Ordering::Relaxed);
        let beside = one_at_a_time(&single).await;
        let after = flood.refused.load(Ordering::Relaxed);
        assert!(after > before + SAMPLES, "the lane was not at its bound");
        let batch = batch_time(&backend.calls().await[earlier..]).as_secs_f64();
        flood.over.store(true, Ordering::Relaxed);
        for flooding in flooding {
            flooding.await.unwrap();
        }
        served += flood.served.load(Ordering::Relaxed);
        refused += flood.refused.load(Ordering::Relaxed);

        let [alone, beside] = [alone, beside].map(|times| quantile(&times, 0.99).as_secs_f64());
        println!(
            "p99 {:.1} ms alone, {:.1} ms beside, batches of {:.1} ms",
            alone * 1e3,
            beside * 1e3,
            batch * 1e3
        );
        later.push((beside - alone) / batch);
        times.push([alone, beside, batch].map(|time| time * 1e3));
        if later.len() >= LEAST && median(&later) <= 1.0 {
            break;
        }
    }
    let later = median(&later);
    assert!(later <= 1.0 + NOISE, "{later:.2} batches later");
    let middle = |of: usize| median(&times.iter().map(|times| times[of]).collect::<Vec<_>>());
    println!(
        "SHOWS 4.8 {CONNECTIONS} connections of one subject keep the lane at its bound ({served} packets served, {refused} refused); \
         another subject's packets, one at a time, are never refused, and their p99 is {:.1} ms against {:.1} alone: {later:.2} \
         batches of {:.1} ms later (medians of {} paired rounds)",
        middle(1),
        middle(0),
        middle(2),
        times.len(),
    );
}

/// The p99 of what a batch takes, from when it is called to when another one can be in its place: on this machine, beside
/// all this.
fn batch_time(calls: &[Call]) -> Duration {
    let next = calls.iter().zip(&calls[CALLS..]);
    let times: Vec<_> = next.map(|(call, next)| next.at - call.at).collect();
    quantile(&times, 0.99)
}

async fn flooder(gateway: &Gateway) -> Client {
    let client = Client::builder(gateway.uri()).subject("many");
    client.connect().await.unwrap()
}

async fn one_at_a_time(client: &Client) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        let result = one(client, Packet::create("orders").text("x")).await;
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        times.push(started.elapsed());
    }
    times
}

/// Sends as much as comes in, and more.
async fn fill(client: Client, flood: Arc<Flood>) {
    while !flood.over.load(Ordering::Relaxed) {
        let packets = (0..TOGETHER).map(|_| Packet::create("orders").text("x").unordered());
        let results = client
            .sync(BatchRequest::of(packets))
            .await
            .unwrap()
            .results;
        let refused = results
            .iter()
            .filter(|result| result.outcome() == Outcome::Retry);
        let refused: Vec<_> = refused.collect();
        for result in &refused {
            assert_eq!(result.reason(), Reason::Overloaded, "{result:?}");
        }
        flood.refused.fetch_add(refused.len(), Ordering::Relaxed);
        flood
            .served
            .fetch_add(results.len() - refused.len(), Ordering::Relaxed);
        if !refused.is_empty() {
            sleep(PAUSE).await;
        }
    }
}
