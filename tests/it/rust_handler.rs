//! The example in Rust, over a PostgreSQL of its own: what its README says, a database that goes and comes back, and what it
//! gains from batches.

mod gain;

use std::time::Duration;

use tidegate::wire::proto::{Action, HandleItem, HandleRequest, Outcome, Principal, Reason};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome as Told, Packet, PacketResult, Reason as Why};
use tokio::time::timeout;
use tonic::Code;

use crate::support::{Example, Gateway, Postgres, Process, gateway, until_final};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The handler, and what it writes to.
struct Stage {
    example: Example,
    process: Process,
    postgres: Postgres,
}

impl Stage {
    async fn set() -> Self {
        let postgres = Postgres::start().await;
        let schema = include_str!("../../examples/handlers/rust/schema.sql");
        let client = postgres.client().await;
        client.batch_execute(schema).await.unwrap();
        let example = Example::rust(&postgres);
        Self {
            process: example.start().await,
            example,
            postgres,
        }
    }

    /// What a gateway is told of it.
    fn config(&self, more: &str) -> String {
        let address = self.example.uri();
        format!("[handlers.readings]\nkind = \"grpc\"\naddresses = [{address:?}]\n{more}\n")
    }

    async fn gateway(&self, more: &str) -> Gateway {
        gateway().config(&self.config(more)).start().await
    }

    /// Every row, sorted: tenant, sensor, time, value.
    async fn rows(&self) -> Vec<(String, String, f64, f64)> {
        let all = "SELECT tenant, sensor, at, value FROM readings ORDER BY sensor, at, tenant";
        let rows = self.postgres.client().await.query(all, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2), row.get(3));
        rows.iter().map(row).collect()
    }

    async fn count(&self) -> i64 {
        let client = self.postgres.client().await;
        let count = client.query_one("SELECT count(*) FROM readings", &[]);
        count.await.unwrap().get(0)
    }
}

/// As the gateway hands over what it took.
fn item(id: &str, chain: u32, domain: u32, term: u64) -> HandleItem {
    HandleItem {
        id: id.into(),
        chain,
        domain,
        term,
        action: Action::Create.into(),
        key: id.into(),
        data: vec![content(1).into()],
        ..HandleItem::default()
    }
}

fn content(at: u64) -> String {
    format!("{{\"at\": {at}, \"value\": 21.5}}")
}

/// A packet in its place, which is also its time.
fn reading(sensor: &str, seq: u64) -> Packet {
    Packet::create("readings")
        .key(sensor)
        .text(content(seq))
        .seq(seq)
}

async fn written(client: &Client, request: BatchRequest) -> Vec<PacketResult> {
    let written = timeout(2 * PATIENCE, until_final(client, request)).await;
    written.expect("all of them are final in time")
}

/// The rows that so many packets of each of these sensors make.
fn rows_of(sensors: u64, each: u64) -> Vec<(String, String, f64, f64)> {
    let row = |sensor: u64, seq: u64| (String::new(), sensor.to_string(), seq as f64, 21.5);
    let rows = (0..sensors).flat_map(|sensor| (1..=each).map(move |seq| row(sensor, seq)));
    rows.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_become_rows_once_each() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 50;

    let stage = Stage::set().await;
    let gateway = stage.gateway("").await;
    let mut writers = Vec::new();
    for number in 0..CLIENTS {
        let builder = Client::builder(gateway.uri()).subject(format!("person{number}"));
        let client = builder.connect().await.unwrap();
        // All of them have the same names and places.
        let packets = (1..=EACH).map(|seq| reading(&number.to_string(), seq));
        let request = BatchRequest::of(packets).client_id("c");
        writers.push(tokio::spawn(async move {
            let results = written(&client, request.clone()).await;
            let again = written(&client, request).await;
            [results, again].concat()
        }));
    }
    for writer in writers {
        for result in writer.await.unwrap() {
            assert_eq!(result.outcome(), Told::Ok, "{result:?}");
        }
    }
    assert_eq!(stage.rows().await, rows_of(CLIENTS, EACH));
    assert!(stage.example.is_healthy().await);
    // With the gateway's connection open.
    assert!(stage.process.stop().await.success());
}

#[tokio::test]
async fn the_example_in_rust_does_what_it_says() {
    use Outcome::{Ok, Retry};

    let mut stage = Stage::set().await;
    let first = || [item("a", 0, 7, 5)];
    assert_eq!(stage.example.outcomes(first()).await, [Ok]);
    // The answer was lost, and so was the process.
    stage.process.kill().await;
    stage.process = stage.example.start().await;
    assert_eq!(stage.example.outcomes(first()).await, [Ok]);
    assert_eq!(stage.count().await, 1);

    // From before their domain had another owner, and what stands behind such a one.
    let mixed = [
        item("early", 1, 7, 5),
        item("old", 1, 7, 4),
        item("behind", 1, 7, 5),
        item("beside", 2, 7, 5),
        item("old and alone", 0, 7, 4),
        item("alone", 0, 7, 5),
        item("of another domain", 3, 8, 1),
    ];
    let outcomes = stage.example.outcomes(mixed).await;
    assert_eq!(outcomes, [Ok, Retry, Retry, Ok, Retry, Ok, Ok]);
    let of_another_handler = HandleRequest {
        handler: "another".into(),
        items: vec![item("of another handler", 0, 7, 1)],
        ..HandleRequest::default()
    };
    let answer = stage.example.calls().handle(of_another_handler).await;
    assert_eq!(answer.unwrap().into_inner().results[0].outcome(), Ok);

    // Names live inside the tenant. And nothing but readings is created, and nothing else is done.
    let ours = HandleItem {
        principal: Some(Principal {
            tenant: "ours".into(),
            ..Principal::default()
        }),
        key: "alone".into(),
        ..item("of a tenant", 0, 7, 5)
    };
    let delete = HandleItem {
        action: Action::Delete.into(),
        ..item("delete", 0, 7, 5)
    };
    let results = stage.example.handle([ours, delete]).await;
    assert_eq!(results[0].outcome(), Ok);
    assert_eq!(results[1].reason(), Reason::UnsupportedAction);

    let rows = stage.rows().await;
    let there: Vec<_> = rows.iter().map(|row| (&*row.0, &*row.1)).collect();
    let expected = [
        ("", "a"),
        ("", "alone"),
        ("ours", "alone"),
        ("", "beside"),
        ("", "early"),
        ("", "of another domain"),
        ("", "of another handler"),
    ];
    assert_eq!(there, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_packet_is_refused_and_the_others_are_rows() {
    const PACKETS: u64 = 200;

    let stage = Stage::set().await;
    // The handler does not look for this, and PostgreSQL refuses the whole statement.
    let rule = "ALTER TABLE readings ADD CHECK (value < 1000)";
    let postgres = stage.postgres.client().await;
    postgres.batch_execute(rule).await.unwrap();
    let gateway = stage.gateway("").await;
    let client = gateway.client().await;
    let bad = |seq, content: &str| {
        let packet = Packet::create("readings").key("0").seq(seq);
        packet.text(content)
    };
    let packets = (1..=PACKETS).map(|seq| match seq {
        20 => bad(seq, "cold"),
        30 => bad(seq, &content(seq).replace("21.5", "1e999")),
        40 => bad(seq, &content(seq)).text(content(seq)),
        // PostgreSQL's texts have no zero byte.
        50 => bad(seq, &content(seq)).key("0\0"),
        120 => bad(seq, &content(seq).replace("21.5", "1000")),
        _ => reading("0", seq),
    });
    let results = written(&client, BatchRequest::of(packets).client_id("c")).await;
    for (result, seq) in results.iter().zip(1..) {
        let expected = match seq {
            20 | 30 | 40 | 50 => (Told::Rejected, Why::InvalidData),
            120 => (Told::Rejected, Why::HandlerFailed),
            _ => (Told::Ok, Why::Unspecified),
        };
        let told = (result.outcome(), result.reason());
        assert_eq!(told, expected, "{seq}: {result:?}");
    }
    let mut expected = rows_of(1, PACKETS);
    expected.retain(|row| ![20.0, 30.0, 40.0, 50.0, 120.0].contains(&row.2));
    assert_eq!(stage.rows().await, expected);

    let delete = Packet::delete("readings", "0");
    let result = &client.sync(delete).await.unwrap().results[0];
    let told = (result.outcome(), result.reason());
    assert_eq!(told, (Told::Rejected, Why::UnsupportedAction));
}

#[tokio::test]
async fn the_example_in_rust_does_nothing_that_nobody_waits_for() {
    let stage = Stage::set().await;
    let mut other = stage.postgres.client().await;
    let transaction = other.transaction().await.unwrap();
    // Whoever has this table holds the handler up.
    let lock = "LOCK TABLE terms";
    transaction.batch_execute(lock).await.unwrap();
    stage.example.in_vain(item("a", 0, 7, 5)).await;
    let late = HandleItem {
        action: Action::Delete.into(),
        ..item("b", 0, 7, 5)
    };
    // By the end of this the handler knows of the end of that.
    stage.example.in_vain(late).await;
    transaction.rollback().await.unwrap();
    // Batches that share a domain are done one after the other.
    let outcomes = stage.example.outcomes([item("c", 0, 7, 5)]).await;
    assert_eq!(outcomes, [Outcome::Ok]);
    assert_eq!(stage.count().await, 1);

    // It stops waiting before the gateway does.
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute(lock).await.unwrap();
    let error = stage.example.refusal(item("d", 0, 7, 5)).await;
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_loses_and_doubles_nothing() {
    const CLIENTS: u64 = 4;
    const EACH: u64 = 1_000;
    const A_REQUEST: u64 = 25;

    let mut stage = Stage::set().await;
    let often = "retry = { initial = \"10ms\", max = \"100ms\" }";
    let gateway = stage.gateway(often).await;
    let mut writers = Vec::new();
    for number in 0..CLIENTS {
        let client = gateway.client().await;
        let name = number.to_string();
        writers.push(tokio::spawn(async move {
            let mut results = Vec::new();
            for first in (1..=EACH).step_by(A_REQUEST as usize) {
                let packets = (first..first + A_REQUEST).map(|seq| reading(&name, seq));
                let request = BatchRequest::of(packets).client_id(&name);
                results.extend(written(&client, request).await);
            }
            results
        }));
    }
    for part in [EACH * CLIENTS / 5, EACH * CLIENTS / 2] {
        let written = async {
            while (stage.count().await as u64) < part {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, written).await.expect("it goes on");
        stage.postgres.end();
        let request = HandleRequest {
            items: vec![item("away", 0, 1, 1)],
            ..HandleRequest::default()
        };
        let called = stage.example.calls().handle(request).await;
        assert_eq!(called.unwrap_err().code(), Code::Unavailable);
        // Nothing goes through for a second, and nobody is refused for it.
        let away = Packet::create("readings").key("away").text(content(part));
        let request = BatchRequest::from(away).wait(Duration::from_secs(1));
        let result = &gateway.client().await.sync(request).await.unwrap().results[0];
        assert!(!result.outcome().is_final(), "{result:?}");
        stage.postgres.begin().await;
    }
    for writer in writers {
        for result in writer.await.unwrap() {
            assert_eq!(result.outcome(), Told::Ok, "{result:?}");
        }
    }
    let mut rows = stage.rows().await;
    rows.retain(|row| row.1 != "away");
    assert_eq!(rows, rows_of(CLIENTS, EACH));
}
