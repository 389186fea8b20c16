//! The example in Python: what its README says, and what it gains from batches.

use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::{Connection, OpenFlags};
use tidegate::wire::proto::{Action, HandleItem, HandleRequest, Outcome, Principal, Reason};
use tidegate_client::proto::{BatchRequest, Outcome as Told, Packet};
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::support::{Example, Gateway, gateway};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Of the owner that its domains have.
const TERM: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_6_sqlite_gains_from_batches() {
    let shown = timeout(PATIENCE, gain());
    println!("SHOWS 4.6 {}", shown.await.expect("it is done in time"));
}

async fn gain() -> String {
    const ROUNDS: usize = 3;
    const ALONE: usize = 200;
    const CLIENTS: usize = 4;
    const TOGETHER: usize = 1_000;
    const CALLS: usize = 8;
    /// Far below what it is on any machine, and far above what batches of one packet would give.
    const GAIN: f64 = 10.0;

    let example = Example::python();
    let _process = example.start().await;
    let data = tempfile::tempdir().unwrap();
    let config = format!(
        "[handlers.one]\nkind = \"grpc\"\naddresses = [{0:?}]\nbatch = {{ max_packets = 1 }}\n\
         [handlers.many]\nkind = \"grpc\"\naddresses = [{0:?}]\n",
        example.uri(),
    );
    let gateway = gateway().config(&config).data(data.path()).start().await;

    let [mut direct, mut together, mut alone, mut batched] = [Duration::ZERO; 4];
    for round in 0..ROUNDS {
        let from = round * ALONE;
        let started = Instant::now();
        call(&example, "direct", from, ALONE).await;
        direct += started.elapsed();

        let started = Instant::now();
        let callers = (0..CLIENTS).map(|caller| {
            let (example, sensor) = (&example, format!("caller{caller}"));
            async move { call(example, &sensor, from, ALONE).await }
        });
        join_all(callers).await;
        together += started.elapsed();

        let started = Instant::now();
        write(&gateway, "one", "alone", from, ALONE, 1).await;
        alone += started.elapsed();

        let started = Instant::now();
        let clients = (0..CLIENTS).map(|client| {
            let (gateway, sensor) = (&gateway, format!("client{client}"));
            let rows = TOGETHER * CALLS;
            async move { write(gateway, "many", &sensor, round * rows, rows, TOGETHER).await }
        });
        join_all(clients).await;
        batched += started.elapsed();
    }

    let alone = (ROUNDS * ALONE, alone);
    let direct = (ROUNDS * ALONE, direct);
    let together = (ROUNDS * ALONE * CLIENTS, together);
    let batched = (ROUNDS * TOGETHER * CALLS * CLIENTS, batched);
    let rows = [alone, direct, together, batched].map(|(rows, _)| rows);
    let rows = rows.iter().sum();
    assert_eq!(count(&example), (rows, rows), "each row is there once");
    let [alone, direct, together, batched] =
        [alone, direct, together, batched].map(|(rows, took)| rows as f64 / took.as_secs_f64());
    let gain = batched / together;
    assert!(gain > GAIN, "{gain:.1} times");
    format!(
        "SQLite, rows a second: {direct:.0} called one by one, {together:.0} from {CLIENTS} callers at once, {alone:.0} one by one \
         through the gateway; {batched:.0} through the gateway from {CLIENTS} clients with {TOGETHER} packets a call: {:.0}, \
         {gain:.0} and {:.0} times as many; each of {rows} rows is there once",
        batched / direct,
        batched / alone,
    )
}

/// So many readings of a sensor, from this number on, each in a call of its own that is waited for.
async fn call(example: &Example, sensor: &str, from: usize, rows: usize) {
    let mut calls = example.calls();
    for number in from..from + rows {
        let request = HandleRequest {
            items: vec![reading(&format!("{sensor} {number}"), sensor, number)],
            ..HandleRequest::default()
        };
        let answer = calls.handle(request).await.unwrap().into_inner();
        assert_eq!(answer.results[0].outcome(), Outcome::Ok);
    }
}

/// The same through the gateway, so many in a call.
async fn write(
    gateway: &Gateway,
    handler: &str,
    sensor: &str,
    from: usize,
    rows: usize,
    together: usize,
) {
    let client = gateway.client().await;
    for first in (from..from + rows).step_by(together) {
        let packets = (first..first + together).map(|number| {
            Packet::create(handler)
                .key(sensor)
                .text(content(number))
                .seq(number as u64 + 1)
        });
        let request = BatchRequest::of(packets)
            .client_id(sensor)
            .settle(handler, first as u64)
            .wait(Duration::from_secs(60));
        for result in client.sync(request).await.unwrap().results {
            assert_eq!(result.outcome(), Told::Ok, "{result:?}");
        }
    }
}

#[tokio::test]
async fn the_example_in_python_does_what_it_says() {
    let example = Example::python();
    let mut process = example.start().await;
    assert!(example.is_healthy().await);
    let first = || [reading("1", "a", 1), reading("2", "a", 2)];
    assert_eq!(example.outcomes(first()).await, [Outcome::Ok; 2]);

    // The answer was lost, and so was the process.
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.outcomes(first()).await, [Outcome::Ok; 2]);
    assert_eq!(count(&example), (2, 2));

    // What cannot be read is refused alone.
    let with = |id: &str, content: &str| HandleItem {
        data: vec![content.to_owned().into()],
        ..reading(id, "b", 0)
    };
    let deep = "[".repeat(100_000);
    let huge = format!(r#"{{"at": 1, "value": {}}}"#, "9".repeat(400));
    let wrong = [
        "",
        "1",
        "\u{0}",
        &deep,
        &huge,
        "{\"at\": 1}",
        "{\"at\": 1, \"value\": NaN}",
        "{\"at\": \"x\", \"value\": 1}",
    ];
    for (at, content) in wrong.into_iter().enumerate() {
        let batch = [
            reading(&format!("before {at}"), "b", 2 * at),
            with(&format!("wrong {at}"), content),
            reading(&format!("after {at}"), "b", 2 * at + 1),
        ];
        let results = example.handle(batch).await;
        let outcomes = [0, 1, 2].map(|at| results[at].outcome());
        assert_eq!(
            outcomes,
            [Outcome::Ok, Outcome::Rejected, Outcome::Ok],
            "{content:.20}"
        );
        assert_eq!(results[1].reason(), Reason::InvalidData);
    }
    let rows = 2 + 2 * wrong.len();
    assert_eq!(count(&example), (rows, rows));

    // For SQLite's JSON these two would be one sensor.
    let names = ["b\0c", "b\0d"].map(|sensor| reading(sensor, sensor, 0));
    for result in example.handle(names).await {
        assert_eq!(result.reason(), Reason::InvalidData);
    }

    // From before its domain had another owner; another domain goes on.
    let late = HandleItem {
        term: TERM - 1,
        ..reading("late", "c", 1)
    };
    let elsewhere = HandleItem {
        id: "elsewhere".into(),
        domain: 2,
        ..late.clone()
    };
    let outcomes = example.outcomes([late.clone(), elsewhere]).await;
    assert_eq!(outcomes, [Outcome::Retry, Outcome::Ok]);
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.outcomes([late]).await, [Outcome::Retry]);
    assert_eq!(count(&example).0, rows + 1);

    let delete = HandleItem {
        action: Action::Delete.into(),
        ..reading("delete", "c", 1)
    };
    let results = example.handle([delete]).await;
    assert_eq!(results[0].reason(), Reason::UnsupportedAction);
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn the_example_in_python_does_nothing_that_nobody_waits_for() {
    let example = Example::python();
    let _process = example.start().await;
    // Whoever writes the file holds the handler up.
    let other = Connection::open(example.data()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    example.in_vain(reading("1", "a", 1)).await;
    // By the end of this the handler knows of the end of that.
    let nothing = HandleItem {
        data: Vec::new(),
        ..reading("2", "a", 2)
    };
    example.in_vain(nothing).await;
    other.execute_batch("ROLLBACK").unwrap();
    // Batches are done one after the other.
    let outcomes = example.outcomes([reading("3", "a", 3)]).await;
    assert_eq!(outcomes, [Outcome::Ok]);
    assert_eq!(count(&example), (1, 1));

    // It stops waiting before the gateway does.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = example.refusal(reading("4", "a", 4)).await;
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

fn reading(id: &str, sensor: &str, number: usize) -> HandleItem {
    HandleItem {
        id: id.into(),
        action: Action::Create.into(),
        key: sensor.into(),
        data: vec![content(number).into()],
        principal: Some(Principal::default()),
        domain: 1,
        term: TERM,
        ..HandleItem::default()
    }
}

fn content(number: usize) -> String {
    format!("{{\"at\": {number}, \"value\": 21.5}}")
}

/// How many rows there are, and how many different ones.
fn count(example: &Example) -> (usize, usize) {
    let data = Connection::open_with_flags(example.data(), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let sql = "SELECT count(*), count(DISTINCT sensor || ' ' || at) FROM readings";
    let row = data.unwrap().query_row(sql, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    let (rows, different) = row.unwrap();
    (rows as usize, different as usize)
}
