//! A handler whose database is away: it answers, and fails every call.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::before;
use super::patient::clients;
use crate::support::{Service, answers, echoed, until_final};

const PATIENCE: Duration = Duration::from_secs(200);

const CLIENTS: usize = 50;
const AWAY: Duration = Duration::from_secs(60);
/// A client's pause before its next request of two packets.
const PAUSE: Duration = Duration::from_millis(200);
const CALL: Duration = Duration::from_millis(5);

/// What the handler's database has, and whether it is there.
#[derive(Default)]
struct Database {
    away: AtomicBool,
    /// By client, in the order in which they were applied.
    applied: Mutex<BTreeMap<String, Vec<u64>>>,
    ids: Mutex<HashSet<String>>,
    failed: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_3_nobody_is_rejected_for_an_outage_and_everything_is_applied_once() {
    let database = Arc::new(Database::default());
    let held = database.clone();
    let service = Service::new(move |request| {
        let held = held.clone();
        Box::pin(async move {
            sleep(CALL).await;
            if held.away.load(Ordering::Relaxed) {
                held.failed.fetch_add(1, Ordering::Relaxed);
                return Err(Status::unknown("no connection to the database"));
            }
            let (mut applied, mut ids) = (held.applied.lock(), held.ids.lock());
            for item in &request.items {
                applied
                    .entry(item.client_id.clone())
                    .or_default()
                    .push(item.seq);
                assert!(ids.insert(item.id.clone()), "{} is applied twice", item.id);
            }
            Ok(answers(request.items.iter().map(echoed)))
        })
    });
    let _running = service.begin();
    // Quicker than it is by default, so that it is not half a minute until somebody looks whether it is back.
    let gateway = before(&[service.uri()], "retry = { max = \"5s\" }").await;
    let sending = watch::Sender::new(true);
    let clients = clients(&gateway, CLIENTS).await.into_iter().enumerate();
    let clients = clients.map(|(at, client)| tokio::spawn(send(client, at, sending.subscribe())));
    let clients: Vec<_> = clients.collect();

    // In the middle of their work.
    sleep(Duration::from_secs(1)).await;
    let before = database.ids.lock().len();
    database.away.store(true, Ordering::Relaxed);
    sleep(AWAY).await;
    let held_back = database.ids.lock().len();
    database.away.store(false, Ordering::Relaxed);
    let back = Instant::now();
    sleep(Duration::from_secs(1)).await;
    sending.send_replace(false);
    let sent = timeout(PATIENCE, join_all(clients)).await;
    let sent = sent.expect("all is final in time").into_iter();
    let sent: Vec<u64> = sent.map(Result::unwrap).collect();
    let after = back.elapsed();

    let applied = database.applied.lock();
    for (at, &sent) in sent.iter().enumerate() {
        let expected: Vec<_> = (1..=sent).collect();
        assert_eq!(applied[&at.to_string()], expected, "of client {at}");
    }
    let all: u64 = sent.iter().sum();
    let failed = database.failed.load(Ordering::Relaxed);
    assert!(before > 0 && failed > 0 && all as usize > held_back);
    println!(
        "SHOWS 4.3 {} s without a database: {failed} calls failed, {before} packets applied before and {} of those afterwards \
         that {CLIENTS} clients had sent and went on to send, each once and in order, and nobody rejected; all were done {:.1} s \
         after it was back",
        AWAY.as_secs(),
        all as usize - held_back,
        after.as_secs_f64(),
    );
}

/// Sends two packets after the other two, all of them OK in the end. Gives how many.
async fn send(client: Client, at: usize, sending: watch::Receiver<bool>) -> u64 {
    let mut seq = 0;
    while *sending.borrow() {
        let packets = [seq + 1, seq + 2].map(|seq| Packet::create("orders").text("x").seq(seq));
        let request = BatchRequest::of(packets).client_id(at.to_string());
        for result in until_final(&client, request).await {
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        }
        seq += 2;
        sleep(PAUSE).await;
    }
    seq
}
