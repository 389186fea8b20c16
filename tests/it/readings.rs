//! The example's handler in Rust, run as its users run it: in a process of its own, over a PostgreSQL of its own.

mod shows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::wire::handler::handler_client::HandlerClient;
use tidegate::wire::proto::{self as wire, HandleItem, HandleRequest, HandleResult};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult, Reason};
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::{Gateway, Postgres, Process, gateway};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The handler, and what it writes to.
struct Stage {
    handler: Process,
    postgres: Postgres,
}

impl Stage {
    async fn set() -> Self {
        let postgres = Postgres::start().await;
        let schema = include_str!("../../examples/handlers/rust/schema.sql");
        postgres.client().await.batch_execute(schema).await.unwrap();
        let handler = begin(&postgres).await;
        Self { handler, postgres }
    }

    /// What a gateway is told of it.
    fn config(&self, more: &str) -> String {
        let address = self.handler.uri();
        format!("[handlers.readings]\nkind = \"grpc\"\naddresses = [{address:?}]\n{more}\n")
    }

    async fn gateway(&self, more: &str) -> Gateway {
        gateway().config(&self.config(more)).start().await
    }

    /// A connection to the handler, as the gateway has it.
    async fn caller(&self) -> HandlerClient<Channel> {
        HandlerClient::connect(self.handler.uri()).await.unwrap()
    }

    /// What the handler answers when the gateway calls it for `readings`.
    async fn handle(
        &self,
        items: impl IntoIterator<Item = HandleItem>,
    ) -> Result<Vec<HandleResult>, Status> {
        handle(&mut self.caller().await, "readings", items).await
    }

    /// Every row, sorted: sensor, value, who sent it.
    async fn rows(&self) -> Vec<(String, f64, String)> {
        let all = "SELECT sensor, value, sent_by FROM readings ORDER BY sent_by, sensor, value";
        let rows = self.postgres.client().await.query(all, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
        rows.iter().map(row).collect()
    }

    async fn count(&self) -> i64 {
        let client = self.postgres.client().await;
        let count = client.query_one("SELECT count(*) FROM readings", &[]);
        count.await.unwrap().get(0)
    }
}

async fn handle(
    caller: &mut HandlerClient<Channel>,
    handler: &str,
    items: impl IntoIterator<Item = HandleItem>,
) -> Result<Vec<HandleResult>, Status> {
    let request = HandleRequest {
        handler: handler.into(),
        action: wire::Action::Create.into(),
        items: items.into_iter().collect(),
        ..HandleRequest::default()
    };
    let response = caller.handle(request).await?.into_inner();
    Ok(response.results)
}

async fn begin(postgres: &Postgres) -> Process {
    let mut command = Command::new(program().await);
    command.args(["--listen", "127.0.0.1:0"]);
    Process::spawn(command.env("DATABASE_URL", postgres.url())).await
}

/// The example's program, built as it is now. These tests are chosen beside it: then what both are made of is built in one way,
/// and not once more.
async fn program() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || {
        let mut cargo = Command::new(env!("CARGO"));
        // Of the package that is tested: build scripts that ask for such variables would run again.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--locked", "--workspace"])
            .args(["--bin", "readings", "--test", "it"])
            .status();
        assert!(built.await.unwrap().success(), "the example compiles");
        Path::new(env!("CARGO_BIN_EXE_tidegate")).with_file_name("readings")
    };
    BUILT.get_or_init(build).await
}

/// As the gateway hands over what it took.
fn item(id: &str, chain: u32, domain: u32, term: u64) -> HandleItem {
    HandleItem {
        id: id.into(),
        chain,
        domain,
        term,
        action: wire::Action::Create.into(),
        key: id.into(),
        data: vec!["21.5".into()],
        ..HandleItem::default()
    }
}

fn reading(sensor: impl Into<String>, value: impl ToString) -> Packet {
    let packet = Packet::create("readings").key(sensor);
    packet.text(value.to_string())
}

fn outcomes(results: &[HandleResult]) -> Vec<(&str, wire::Outcome)> {
    let outcome = |result: &HandleResult| result.outcome();
    let results = results.iter();
    results
        .map(|result| (&*result.id, outcome(result)))
        .collect()
}

/// Sends the same packets until all of them are final, as a client does.
async fn until_final(client: &Client, request: BatchRequest) -> Vec<PacketResult> {
    let sending = async {
        loop {
            let results = client.sync(request.clone()).await.unwrap().results;
            if results.iter().all(|result| result.outcome().is_final()) {
                return results;
            }
        }
    };
    let sent = timeout(2 * PATIENCE, sending).await;
    sent.expect("all of them are final in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_become_rows_once_each_with_who_sent_it() {
    const CLIENTS: u32 = 10;
    const EACH: u32 = 50;

    let stage = Stage::set().await;
    let gateway = stage.gateway("").await;
    let mut writers = Vec::new();
    for client in 0..CLIENTS {
        let builder = Client::builder(gateway.uri()).subject(format!("person{client}"));
        let client = builder.connect().await.unwrap();
        // All of them have the same names and numbers.
        let packets = (1..=EACH).map(|seq| reading("roof", seq).seq(seq.into()));
        let request = BatchRequest::of(packets).client_id("c");
        writers.push(tokio::spawn(async move {
            let results = until_final(&client, request.clone()).await;
            let again = until_final(&client, request).await;
            [results, again].concat()
        }));
    }
    for writer in writers {
        for result in writer.await.unwrap() {
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        }
    }
    let expected = (0..CLIENTS).flat_map(|client| {
        let who = format!("person{client}");
        (1..=EACH).map(move |seq| ("roof".to_owned(), f64::from(seq), who.clone()))
    });
    assert_eq!(stage.rows().await, expected.collect::<Vec<_>>());

    let channel = Channel::from_shared(stage.handler.uri()).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let service = "tidegate.v1.Handler".to_owned();
    let asked = health.check(HealthCheckRequest { service }).await.unwrap();
    let serving = HealthCheckResponse {
        status: ServingStatus::Serving as i32,
    };
    assert_eq!(asked.into_inner(), serving);
    // With the gateway's connection open.
    assert!(stage.handler.stop().await.success());
}

#[tokio::test]
async fn an_id_that_comes_again_has_its_effect_once() {
    let stage = Stage::set().await;
    let first = stage.handle([item("a", 0, 1, 1)]).await.unwrap();
    let again = [item("a", 0, 1, 1), item("b", 0, 1, 1), item("b", 0, 1, 1)];
    let again = stage.handle(again).await.unwrap();
    for result in first.iter().chain(&again) {
        assert_eq!(result.outcome(), wire::Outcome::Ok);
    }
    assert_eq!(stage.count().await, 2);
}

#[tokio::test]
async fn an_older_term_waits_and_what_is_behind_it_in_its_order() {
    use wire::Outcome::{Ok, Retry};

    let mut stage = Stage::set().await;
    stage.handle([item("new", 0, 7, 5)]).await.unwrap();
    let mixed = [
        item("early", 1, 7, 5),
        item("old", 1, 7, 4),
        item("behind", 1, 7, 5),
        item("beside", 2, 7, 5),
        item("old and alone", 0, 7, 4),
        item("alone", 0, 7, 5),
        item("of another domain", 3, 8, 1),
    ];
    let results = stage.handle(mixed).await.unwrap();
    let expected = [
        ("early", Ok),
        ("old", Retry),
        ("behind", Retry),
        ("beside", Ok),
        ("old and alone", Retry),
        ("alone", Ok),
        ("of another domain", Ok),
    ];
    assert_eq!(outcomes(&results), expected);
    let mut caller = stage.caller().await;
    let others = handle(&mut caller, "others", [item("of another handler", 0, 7, 1)]).await;
    assert_eq!(others.unwrap()[0].outcome(), Ok);

    // What it has seen is not in its memory.
    stage.handler.kill().await;
    stage.handler = begin(&stage.postgres).await;
    let results = stage.handle([item("old", 1, 7, 4)]).await.unwrap();
    assert_eq!(outcomes(&results), [("old", Retry)]);
    let there: Vec<_> = stage.rows().await.into_iter().map(|row| row.0).collect();
    let expected = [
        "alone",
        "beside",
        "early",
        "new",
        "of another domain",
        "of another handler",
    ];
    assert_eq!(there, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_packet_is_refused_and_the_others_are_rows() {
    const PACKETS: u64 = 200;

    let stage = Stage::set().await;
    let gateway = stage.gateway("").await;
    let client = gateway.client().await;
    let packets = (1..=PACKETS).map(|seq| match seq {
        20 => reading("roof", "warm").seq(seq),
        30 => reading("roof", "inf").seq(seq),
        // The handler does not look for this, and PostgreSQL refuses the whole statement: no text of its own has a zero byte.
        120 => reading("ro\0of", seq).seq(seq),
        _ => reading("roof", seq).seq(seq),
    });
    let results = until_final(&client, BatchRequest::of(packets).client_id("c")).await;
    for (result, seq) in results.iter().zip(1..) {
        let expected = match seq {
            20 | 30 => (Outcome::Rejected, Reason::InvalidData),
            120 => (Outcome::Rejected, Reason::HandlerFailed),
            _ => (Outcome::Ok, Reason::Unspecified),
        };
        let told = (result.outcome(), result.reason());
        assert_eq!(told, expected, "{seq}: {result:?}");
    }
    assert_eq!(results[19].message, "a reading is a number such as 21.5");
    let bad = [20, 30, 120];
    let there = (1..=PACKETS).filter(|seq| !bad.contains(seq));
    let there = there.map(|seq| ("roof".to_owned(), seq as f64, String::new()));
    assert_eq!(stage.rows().await, there.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_loses_and_doubles_nothing() {
    const CLIENTS: u32 = 4;
    const REQUESTS: u32 = 40;
    const EACH: u32 = 25;
    const ALL: i64 = (CLIENTS * REQUESTS * EACH) as i64;

    let mut stage = Stage::set().await;
    let gateway = stage
        .gateway("retry = { initial = \"10ms\", max = \"100ms\" }")
        .await;
    let mut writers = Vec::new();
    for number in 0..CLIENTS {
        let client = gateway.client().await;
        writers.push(tokio::spawn(async move {
            let mut results = Vec::new();
            for request in 0..REQUESTS {
                let seqs = request * EACH + 1..=(request + 1) * EACH;
                let packets = seqs.map(|seq| reading(number.to_string(), seq).seq(seq.into()));
                let request = BatchRequest::of(packets).client_id(number.to_string());
                results.extend(until_final(&client, request).await);
            }
            results
        }));
    }
    for part in [ALL / 5, ALL / 2] {
        let written = async {
            while stage.count().await < part {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, written).await.expect("it goes on");
        stage.postgres.end();
        let called = stage.handle([item("away", 0, 1, 1)]).await;
        assert_eq!(called.unwrap_err().code(), Code::Unavailable);
        // The gateway's calls fail as well: there is no row for a second, and nobody is refused for good.
        let packet = reading("away", part).unordered();
        let request = BatchRequest::from(packet).wait(Duration::from_secs(1));
        let result = &gateway.client().await.sync(request).await.unwrap().results[0];
        assert!(!result.outcome().is_final(), "{result:?}");
        stage.postgres.begin().await;
    }
    for writer in writers {
        for result in writer.await.unwrap() {
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        }
    }
    let rows = stage.rows().await.into_iter();
    let rows = rows.filter(|(sensor, ..)| sensor != "away");
    let mut rows: Vec<_> = rows
        .map(|(sensor, value, _)| (sensor, value as u32))
        .collect();
    rows.sort();
    let expected = (0..CLIENTS)
        .flat_map(|number| (1..=REQUESTS * EACH).map(move |seq| (number.to_string(), seq)));
    assert_eq!(rows, expected.collect::<Vec<_>>());
}
