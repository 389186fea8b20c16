//! What batches are worth to a database, and that the guide's calls do what it says.

use std::time::Duration;

use tempfile::tempdir;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome};
use tokio::time::Instant;

use super::{PATIENCE, Stage, handle, item, reading, until_final};
use crate::support::Process;

/// With a thousand packets each they stay below the half of a lane, above which clients are admitted by their share.
const CALLERS: u64 = 4;
/// What each of them writes in a round, one row a call, and calls of a thousand packets through the gateway.
const ROWS: u64 = 150;
const CALLS: u64 = 5;
const PACKETS: u64 = 1000;
const ROUNDS: u64 = 2;

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
async fn shows_4_6_postgresql_one_by_one_and_through_the_gateway() {
    /// Far below what it is on any machine, and far above what a batch of one packet would give.
    const GAIN: f64 = 5.0;

    let stage = Stage::set().await;
    let data = tempdir().unwrap();
    let batches = stage.config("batch = { max_packets = 1000 }");
    let gateway = Process::with(data.path()).config(&batches);
    let gateway = gateway.start().await;
    let (mut alone, mut together, mut through) =
        (Rate::default(), Rate::default(), Rate::default());
    for round in 0..ROUNDS {
        let since = Instant::now();
        one_by_one(&stage, round, CALLERS).await;
        alone.add(ROWS, since);
        let since = Instant::now();
        let callers = (0..CALLERS).map(|caller| one_by_one(&stage, round, caller));
        futures_util::future::join_all(callers).await;
        together.add(CALLERS * ROWS, since);
        let since = Instant::now();
        let writers = (0..CALLERS).map(|caller| in_batches(&gateway, round, caller));
        futures_util::future::join_all(writers).await;
        through.add(CALLERS * CALLS * PACKETS, since);
    }
    let rows = alone.rows + together.rows + through.rows;
    assert_eq!(stage.count().await as u64, rows, "every row is there once");
    let gain = |rate: &Rate| through.a_second() / rate.a_second();
    println!(
        "SHOWS 4.6 PostgreSQL, rows a second: {:.0} one by one, {:.0} one by one from {CALLERS} callers at once, {:.0} through the \
         gateway from {CALLERS} clients with {PACKETS} packets a call: {:.0} and {:.0} times as many, every row there once",
        alone.a_second(),
        together.a_second(),
        through.a_second(),
        gain(&alone),
        gain(&together),
    );
    assert!(gain(&together) > GAIN, "{:.1} times", gain(&together));
}

/// What a service does without a gateway: a call a row, each waited for.
async fn one_by_one(stage: &Stage, round: u64, caller: u64) {
    let mut connection = stage.caller().await;
    for row in 0..ROWS {
        let id = format!("{round} {caller} {row}");
        // A domain of its own: nobody waits for anybody.
        let item = item(&id, 0, caller as u32, 1);
        let results = handle(&mut connection, "alone", [item]).await.unwrap();
        assert_eq!(results[0].outcome(), tidegate::wire::proto::Outcome::Ok);
    }
}

/// Each call is on the gateway's disk before the handler gets it, and its results before they are told.
async fn in_batches(gateway: &Process, round: u64, caller: u64) {
    let client = Client::builder(gateway.uri()).call_timeout(PATIENCE);
    let client = client.connect().await.unwrap();
    for call in 0..CALLS {
        let first = (round * CALLS + call) * PACKETS + 1;
        let seqs = first..first + PACKETS;
        let packets = seqs.map(|seq| reading(caller.to_string(), seq).seq(seq));
        let request = BatchRequest::of(packets).client_id(caller.to_string());
        for result in until_final(&client, request).await {
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        }
    }
}
