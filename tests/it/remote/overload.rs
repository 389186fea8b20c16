//! Ten times as much as the handler can do, for a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, BatchResponse, Outcome, Packet, Reason};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::patient::retry_after;
use crate::support::{Backend, Conduct, Process};

const PATIENCE: Duration = Duration::from_secs(120);

/// A thousand packets a second, however they come.
const ITEM: Duration = Duration::from_millis(1);
/// How long that is measured alone, and for how long there is more.
const ALONE: Duration = Duration::from_secs(8);
const OVERLOAD: Duration = Duration::from_secs(60);
/// What is left out of both at first, until everything flows.
const START: Duration = Duration::from_secs(2);

/// Together ten thousand packets a second.
const CONNECTIONS: usize = 20;
const EVERY: Duration = Duration::from_millis(100);
const TOGETHER: usize = 50;
const BYTES: usize = 1_000;

const MIB: u64 = 1 << 20;
/// Of memory that the gateway may take besides what it had when it was busy and not overloaded: half a lane is 5 000
/// packets, and each of them is kept until it is applied.
const GROWTH: u64 = 64 * MIB;

/// What became of the packets.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    answered: AtomicUsize,
    taken: AtomicUsize,
    refused: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_9_ten_times_too_much_is_refused_and_the_rest_is_served_as_fast_as_ever() {
    let mut backend = Backend::start(Conduct {
        item: ITEM,
        one_by_one: true,
        terse: true,
        ..Conduct::default()
    })
    .await;
    let data = tempfile::tempdir().unwrap();
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\nbatch = {{ max_packets = 100 }}\n",
        backend.uri()
    );
    // That requests are refused is no news here.
    let setup = Process::with(data.path()).args(&["--log", "error"]);
    let gateway = setup.config(&config).start().await;
    let connecting = (0..CONNECTIONS).map(|_| Client::connect(gateway.uri()));
    let clients: Vec<_> = join_all(connecting).await;
    let clients: Vec<_> = clients.into_iter().map(Result::unwrap).collect();
    let tally = Arc::new(Tally::default());

    let busy = saturate(&clients, &tally);
    sleep(START).await;
    let own = rate(&mut backend, ALONE - START).await;
    let before = gateway.memory().resident;
    drop(busy);

    let flooding = clients.into_iter().enumerate();
    let flooding = flooding.map(|(at, client)| tokio::spawn(flood(client, at, tally.clone())));
    let flooding: Vec<_> = flooding.collect();
    sleep(START).await;
    let resident = sample(&gateway, OVERLOAD - START);
    let (served, resident) = tokio::join!(rate(&mut backend, OVERLOAD - START), resident);
    for flooding in flooding {
        timeout(PATIENCE, flooding)
            .await
            .expect("all are answered")
            .unwrap();
    }
    let load = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (sent, taken, refused) = (load(&tally.sent), load(&tally.taken), load(&tally.refused));
    assert_eq!(load(&tally.answered), sent, "every packet has its answer");
    assert!(
        sent as f64 >= 9.0 * own * OVERLOAD.as_secs_f64(),
        "{sent} sent"
    );
    let all = timeout(PATIENCE, all_done(&mut backend)).await;
    let all = all.expect("what was taken is done");
    // Of the first load, what was on its way when it ended is not counted.
    assert!(all >= taken, "{taken} taken, {all} done");

    let peak = *resident.iter().max().unwrap();
    assert!(
        peak <= before + GROWTH,
        "{before} bytes before, {peak} at the peak"
    );
    let ratio = served / own;
    assert!(
        (0.9..=1.1).contains(&ratio),
        "{served:.0}/s instead of {own:.0}/s"
    );
    let quarter = resident.len() / 4;
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64 / MIB as f64;
    println!(
        "SHOWS 4.9 {sent} packets in {} s, {:.1} times what the handler can do: each answered, {taken} taken and done, {refused} told \
         when to come back; {served:.0} a second served, {ratio:.3} of the {own:.0} without overload; memory {:.0} MiB before, {:.0} at \
         its peak, {:.1} in the first quarter and {:.1} in the last",
        OVERLOAD.as_secs(),
        sent as f64 / OVERLOAD.as_secs_f64() / own,
        before as f64 / MIB as f64,
        peak as f64 / MIB as f64,
        mean(&resident[..quarter]),
        mean(&resident[resident.len() - quarter..]),
    );
}

/// As much as it can do, and not more than a lane holds, until this is dropped.
fn saturate(clients: &[Client], tally: &Arc<Tally>) -> Vec<AbortOnDropHandle<()>> {
    let saturating = clients.iter().cloned().map(|client| {
        let tally = tally.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let answer = client.sync(request()).await.unwrap();
                let ok = answer
                    .results
                    .iter()
                    .all(|result| result.outcome() == Outcome::Ok);
                assert!(ok, "that is not too much");
                tally.taken.fetch_add(TOGETHER, Ordering::Relaxed);
            }
        }))
    });
    saturating.collect()
}

/// At its pace, whatever is answered. Ends when everything is.
async fn flood(client: Client, at: usize, tally: Arc<Tally>) {
    let end = Instant::now() + OVERLOAD;
    let mut ticks = interval(EVERY);
    let mut calls = JoinSet::new();
    while ticks.tick().await < end {
        // Some wait until theirs is done, and some only until it is taken.
        let request = match at % 2 {
            0 => request(),
            _ => request().client_id(at.to_string()).until_accepted(),
        };
        tally.sent.fetch_add(TOGETHER, Ordering::Relaxed);
        let client = client.clone();
        calls.spawn(async move { client.sync(request).await.unwrap() });
        while let Some(answer) = calls.try_join_next() {
            tally.count(&answer.unwrap());
        }
    }
    while let Some(answer) = calls.join_next().await {
        tally.count(&answer.unwrap());
    }
}

fn request() -> BatchRequest {
    let packet = || Packet::create("orders").data(vec![b'x'; BYTES]).unordered();
    BatchRequest::of((0..TOGETHER).map(|_| packet()))
}

impl Tally {
    fn count(&self, answer: &BatchResponse) {
        for result in &answer.results {
            self.answered.fetch_add(1, Ordering::Relaxed);
            match result.outcome() {
                Outcome::Ok | Outcome::Accepted => self.taken.fetch_add(1, Ordering::Relaxed),
                Outcome::Retry if result.reason() == Reason::Overloaded => {
                    assert!(!retry_after(result).is_zero(), "{result:?}");
                    self.refused.fetch_add(1, Ordering::Relaxed)
                }
                _ => panic!("{result:?}"),
            };
        }
    }
}

/// Packets that the handler does in a second.
async fn rate(backend: &mut Backend, period: Duration) -> f64 {
    let (before, started) = (done(backend).await, Instant::now());
    sleep(period).await;
    (done(backend).await - before) as f64 / started.elapsed().as_secs_f64()
}

async fn done(backend: &mut Backend) -> usize {
    let calls = backend.calls().await;
    let through = calls.iter().filter(|call| call.through);
    through.map(|call| call.items).sum()
}

/// Waits until a lane's length of time has brought nothing more. Gives how many packets were done.
async fn all_done(backend: &mut Backend) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = done(backend).await;
        if now == before {
            return now;
        }
        before = now;
        sleep(Duration::from_secs(1)).await;
    }
}

/// What the gateway's memory is, often.
async fn sample(gateway: &Process, period: Duration) -> Vec<u64> {
    let end = Instant::now() + period;
    let mut ticks = interval(Duration::from_millis(250));
    let mut resident = Vec::new();
    while ticks.tick().await < end {
        resident.push(gateway.memory().resident);
    }
    resident
}
