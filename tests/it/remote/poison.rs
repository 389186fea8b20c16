//! One packet that its handler cannot stand, among a thousand of fifty clients.

use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult, Reason};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::before;
use super::patient::clients;
use crate::support::{Backend, Call, Conduct, until_final};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const CLIENTS: usize = 50;
const EACH: usize = 20;
const POISON: &str = "poison";

/// So long that others come meanwhile: batches are large.
const CALL: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_2_a_packet_that_fails_its_batch_is_rejected_alone() {
    const ROUNDS: usize = 5;

    let mut rng = seeded();
    let mut backend = Backend::start(Conduct {
        call: CALL,
        fails_at: Some(POISON.into()),
        ..Conduct::default()
    })
    .await;
    let gateway = before(&[backend.uri()], "").await;
    let clients = clients(&gateway, CLIENTS).await;
    let (mut batches, mut more) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let earlier = backend.calls().await.len();
        let rejected = a_thousand(&clients, round, &mut rng).await;
        assert_eq!(rejected.reason(), Reason::HandlerFailed, "{rejected:?}");
        let calls = &backend.calls().await[earlier..];
        let batch = batch_of(calls);
        let again = calls.iter().filter(|call| call.again).count();
        let bound = 2.0 * (batch as f64).log2() + 2.0;
        assert!(again as f64 <= bound, "{again} more for {batch}: {calls:?}");
        batches.push(batch);
        more.push(again);
    }
    println!(
        "SHOWS 4.2 {ROUNDS} times one poison packet in {} of {CLIENTS} clients: all others OK and that one REJECTED; it was in \
         batches of {batches:?}, and cost {more:?} more calls",
        CLIENTS * EACH,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_2_a_packet_that_crashes_its_handler_is_rejected_alone() {
    const ROUNDS: usize = 2;

    let mut rng = seeded();
    let mut backend = Backend::start(Conduct {
        call: CALL,
        crashes_at: Some(POISON.into()),
        ..Conduct::default()
    })
    .await;
    // Quicker than it is by default, so that a crash costs the test less than a minute.
    let config = "retry = { initial = \"20ms\", max = \"500ms\" }";
    let gateway = before(&[backend.uri()], config).await;
    let clients = clients(&gateway, CLIENTS).await;
    let (mut batches, mut crashes, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let earlier = backend.calls().await.len();
        let (done, is_done) = oneshot::channel();
        let restarting = tokio::spawn(restart_until(backend, is_done));
        let started = Instant::now();
        let rejected = a_thousand(&clients, round, &mut rng).await;
        took.push(started.elapsed().as_secs_f64());
        assert_eq!(rejected.reason(), Reason::HandlerFailed, "{rejected:?}");
        done.send(()).unwrap();
        let crashed;
        (backend, crashed) = restarting.await.unwrap();
        let calls = &backend.calls().await[earlier..];
        let batch = batch_of(calls);
        let bad = calls.iter().filter(|call| call.bad).count();
        assert_eq!(crashed, bad, "each call with it is a crash");
        let bound = (batch as f64).log2() + 3.0;
        assert!(crashed as f64 <= bound, "{crashed} for {batch}: {calls:?}");
        batches.push(batch);
        crashes.push(crashed);
    }
    println!(
        "SHOWS 4.2 {ROUNDS} times one packet in {} that kills its handler's process: all others OK and that one REJECTED after \
         {took:.1?} s; it was in batches of {batches:?}, and cost {crashes:?} processes",
        CLIENTS * EACH,
    );
}

fn seeded() -> StdRng {
    let seed = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// Sends a thousand packets at once, one of them poison. Gives what became of that one: all others are OK.
async fn a_thousand(clients: &[Client], round: usize, rng: &mut StdRng) -> PacketResult {
    let poison = rng.random_range(0..CLIENTS * EACH);
    let sending = clients.iter().enumerate().map(|(at, client)| {
        let packets = (0..EACH).map(|packet| {
            let text = match at * EACH + packet {
                number if number == poison => POISON.to_owned(),
                number => number.to_string(),
            };
            Packet::create("orders").text(text).seq(packet as u64 + 1)
        });
        let request = BatchRequest::of(packets).client_id(format!("{round}-{at}"));
        until_final(client, request)
    });
    let sent = timeout(PATIENCE, join_all(sending)).await;
    let mut results = sent.expect("all is final in time").concat();
    let rejected = results.remove(poison);
    assert_eq!(rejected.outcome(), Outcome::Rejected, "{rejected:?}");
    for result in results {
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    }
    rejected
}

/// How many packets the first call had in which it was.
fn batch_of(calls: &[Call]) -> usize {
    let first = calls.iter().find(|call| call.bad);
    first.expect("it was called").items
}

/// Begins it again whenever it ends. Gives how often that was.
async fn restart_until(mut backend: Backend, mut done: oneshot::Receiver<()>) -> (Backend, usize) {
    let mut ended = 0;
    loop {
        tokio::select! {
            _ = &mut done => return (backend, ended),
            () = backend.ended() => {
                backend.begin().await;
                ended += 1;
            }
        }
    }
}
