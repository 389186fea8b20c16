//! What batches are worth to a database.

use std::time::Duration;

use futures_util::future::join_all;
use tempfile::tempdir;
use tidegate::wire::proto::{HandleRequest, Outcome};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome as Told};
use tokio::time::Instant;

use super::{PATIENCE, Stage, item, reading, written};
use crate::support::Process;

/// With a thousand packets each they stay below the half of a lane, above which clients are admitted by their share.
const CALLERS: u64 = 4;
/// What each of them writes in a round, one row a call, and calls of a thousand packets through the gateway.
const ROWS: u64 = 200;
const CALLS: u64 = 8;
const PACKETS: u64 = 1_000;
const ROUNDS: u64 = 3;
/// Far below what it is on any machine, and above what batches of one packet would give.
const GAIN: f64 = 5.0;

/// Rows, and how long they took.
#[derive(Default)]
struct Rate {
    rows: u64,
    took: Duration,
}

impl Rate {
    fn add(&mut self, rows: u64, since: Instant) {
        self.rows += rows;
        self.took += since.elapsed();
    }

    fn a_second(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_6_postgresql_gains_from_batches() {
    let stage = Stage::set().await;
    let data = tempdir().unwrap();
    let config = stage.config("batch = { max_packets = 1000 }");
    let gateway = Process::with(data.path()).config(&config);
    let gateway = gateway.start().await;
    let [mut alone, mut together, mut batched] = [(); 3].map(|()| Rate::default());
    for round in 0..ROUNDS {
        let since = Instant::now();
        one_by_one(&stage, round, CALLERS).await;
        alone.add(ROWS, since);
        let since = Instant::now();
        join_all((0..CALLERS).map(|caller| one_by_one(&stage, round, caller))).await;
        together.add(CALLERS * ROWS, since);
        let since = Instant::now();
        join_all((0..CALLERS).map(|caller| in_batches(&gateway, round, caller))).await;
        batched.add(CALLERS * CALLS * PACKETS, since);
    }
    let rows = alone.rows + together.rows + batched.rows;
    assert_eq!(stage.count().await as u64, rows, "each is there once");
    let [alone, together, batched] = [alone, together, batched].map(|rate| rate.a_second());
    println!(
        "SHOWS 4.6 PostgreSQL (Rust): {alone:.0} rows/s called one by one, {together:.0} by {CALLERS} callers at once, {batched:.0} \
         through the gateway with {PACKETS} packets a call of {CALLERS} clients: {:.0} and {:.0} times as many; each of {rows} rows is \
         there once",
        batched / alone,
        batched / together,
    );
    assert!(batched > GAIN * together, "batches gain too little");
}

/// As a service has it without a gateway: a call a row, each waited for.
async fn one_by_one(stage: &Stage, round: u64, caller: u64) {
    let mut calls = stage.example.calls();
    for row in 0..ROWS {
        // A domain for each caller: nobody waits for another.
        let id = format!("{round} {caller} {row}");
        let request = HandleRequest {
            items: vec![item(&id, 0, caller as u32, 1)],
            ..HandleRequest::default()
        };
        let answer = calls.handle(request).await.unwrap().into_inner();
        assert_eq!(answer.results[0].outcome(), Outcome::Ok);
    }
}

/// Each packet is on the gateway's disk before the handler gets it, and its result before it is told.
async fn in_batches(gateway: &Process, round: u64, caller: u64) {
    let client = Client::builder(gateway.uri()).call_timeout(PATIENCE);
    let client = client.connect().await.unwrap();
    let name = caller.to_string();
    for call in 0..CALLS {
        let first = (round * CALLS + call) * PACKETS + 1;
        let packets = (first..first + PACKETS).map(|seq| reading(&name, seq));
        let request = BatchRequest::of(packets).client_id(&name);
        let request = request.settle("readings", first - 1);
        for result in written(&client, request).await {
            assert_eq!(result.outcome(), Told::Ok, "{result:?}");
        }
    }
}
