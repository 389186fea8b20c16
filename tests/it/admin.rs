//! What those do who run a gateway: through the command line, as it is typed, and by its own port.

mod found;
mod letters;
mod port;
mod restarts;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_client::Client;
use tidegate_client::proto::{
    BatchRequest, EventsRequest, Outcome, Packet, Reason, ResultsRequest,
};
use tokio::process::Command;
use tokio::time::timeout;

use self::port::get;
use crate::support::{Process, Service, event, watch};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command, as it is typed, for the gateway that has this directory.
async fn typed(arguments: &[&str], data: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends in time");
    output.expect("cargo built it")
}

/// One that does what it should.
async fn done(arguments: &[&str], data: &Path) -> String {
    let output = typed(arguments, data).await;
    assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn json(arguments: &[&str], data: &Path) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&done(&arguments, data).await).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn token(data: &Path) -> String {
    let token = std::fs::read_to_string(data.join("admin-token"));
    token.unwrap().trim().to_owned()
}

async fn client(gateway: &Process) -> Client {
    Client::connect(gateway.uri()).await.unwrap()
}

/// The first lane with something in it, once so much waits there.
async fn waiting(data: &Path, handler: &str, packets: u64) -> Value {
    let looking = async {
        loop {
            let lanes = json(&["lanes", handler], data).await;
            let lanes = lanes["lanes"].as_array().unwrap().clone();
            let found = lanes.into_iter().find(|lane| {
                lane["waiting"]["packets"] == packets && lane["in_flight"]["packets"] == 0
            });
            if let Some(lane) = found {
                return lane;
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("they come to wait")
}

#[tokio::test]
async fn shows_4_10_flush_through_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let window = [
        ("TIDEGATE_HANDLERS__SLOW__KIND", "echo"),
        ("TIDEGATE_HANDLERS__SLOW__BATCH__WINDOW", "1h"),
    ];
    let gateway = Process::on(data.path(), &window).await;
    let client = client(&gateway).await;
    let packets = ["one", "two"].map(|text| Packet::create("slow").text(text));
    let sent = tokio::spawn(async move { client.sync(BatchRequest::of(packets)).await });
    let lane = waiting(data.path(), "slow", 2).await;
    assert_eq!(
        (&lane["action"], &lane["batches"]),
        (&"create".into(), &0.into())
    );
    assert!(lane["oldest"].as_f64().unwrap() > 0.0, "{lane}");
    let none = done(&["flush", "slow", "update"], data.path()).await;
    assert_eq!(none, "0 packets leave, of 0 lanes\n");
    assert!(!sent.is_finished());
    let flushed = done(&["flush", "slow"], data.path()).await;
    assert_eq!(flushed, "2 packets leave, of 1 lane\n");
    let answer = timeout(PATIENCE, sent).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.results[1].outcome(), Outcome::Ok);
    let lane = json(&["lanes", "slow"], data.path()).await["lanes"][0].clone();
    assert_eq!(
        (&lane["packets"], &lane["reasons"]["flush"]),
        (&2.into(), &1.into())
    );
    let table = done(&["lanes"], data.path()).await;
    let line = table.lines().find(|line| line.starts_with("slow "));
    assert!(line.is_some_and(|line| line.contains(" 2.0 ")), "{table}");
    let unknown = typed(&["flush", "fast"], data.path()).await;
    assert_eq!(code(&unknown), 64);
    println!("SHOWS 4.10 `tidegate flush slow` lets 2 packets leave that had a window of 1 h");
}

#[tokio::test]
async fn shows_4_10_clear_through_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    // Nobody is there.
    let service = Service::echo();
    let addresses = format!("[\"{}\"]", service.uri());
    let away = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", addresses.as_str()),
        // Not called again meanwhile.
        (
            "TIDEGATE_HANDLERS__ORDERS__RETRY",
            "{ initial = \"9h\", max = \"9h\" }",
        ),
    ];
    let gateway = Process::on(data.path(), &away).await;
    let client = client(&gateway).await;
    let packets = (1..=5).map(|seq| Packet::create("orders").text("an order").seq(seq));
    let sent = BatchRequest::of(packets)
        .client_id("phone")
        .until_accepted();
    let answer = client.sync(sent).await.unwrap();
    let outcomes = answer.results.iter().map(|result| result.outcome());
    assert!(outcomes.clone().all(|outcome| outcome == Outcome::Accepted));
    waiting(data.path(), "orders", 5).await;
    let asked = typed(&["clear", "orders"], data.path()).await;
    assert_eq!(code(&asked), 64, "nobody can be asked");
    assert!(stderr(&asked).contains("--yes"), "{}", stderr(&asked));
    let cleared = json(&["clear", "orders", "update", "--yes"], data.path()).await;
    assert_eq!(cleared["cleared"]["packets"], 0);
    let cleared = done(&["clear", "orders", "--yes"], data.path()).await;
    assert!(cleared.starts_with("5 packets were cleared ("), "{cleared}");
    // Told is durable.
    gateway.kill().await;
    let running = service.begin();
    let gateway = Process::on(data.path(), &away).await;
    let client = self::client(&gateway).await;
    let kept = ResultsRequest {
        client_id: "phone".into(),
        handler: "orders".into(),
        from_seq: 1,
        ..ResultsRequest::default()
    };
    let kept = client.results(kept).await.unwrap().results;
    let told = |reason| kept.iter().filter(|kept| kept.reason() == reason).count();
    assert_eq!((kept.len(), told(Reason::Cleared)), (5, 5), "{kept:?}");
    let next = Packet::create("orders").text("the next").seq(6);
    let next = BatchRequest::of([next]).client_id("phone");
    let answer = timeout(PATIENCE, client.sync(next)).await.unwrap().unwrap();
    assert_eq!(answer.results[0].outcome(), Outcome::Ok, "{answer:?}");
    assert_eq!(service.items().len(), 1, "what was cleared is not called");
    drop(running);
    println!(
        "SHOWS 4.10 `tidegate clear orders --yes` rejects 5 accepted packets as CLEARED, also for a kill -9 after it"
    );
}

#[tokio::test]
async fn shows_4_10_admin_without_its_token_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::on(data.path(), &[]).await;
    let file = data.path().join("admin-token");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner's alone");
    assert_eq!(token(data.path()).len(), 43);
    let wrong = data.path().join("wrong");
    std::fs::write(&wrong, "0123456789abcdef0123456789abcdef").unwrap();
    let wrong = wrong.to_str().unwrap();
    for command in [
        &["lanes"][..],
        &["flush"],
        &["clear", "topics", "--yes"],
        &["dead-letters"],
        &["dead-letters", "retry", "1"],
        &["dead-letters", "discard", "1", "--yes"],
        &["streams"],
        &["drain"],
    ] {
        let refused = typed(&[command, &["--token-file", wrong]].concat(), data.path()).await;
        assert_eq!(code(&refused), 77, "{command:?}");
        let told = stderr(&refused);
        assert!(told.contains(file.to_str().unwrap()), "{told}");
    }
    let missing = typed(&["lanes", "--token-file", "none"], data.path()).await;
    assert_eq!(code(&missing), 77);
    done(&["lanes"], data.path()).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    assert!(!file.exists(), "it opens nothing any more");
    println!(
        "SHOWS 4.10 with another token than that of the gateway, all 8 commands are refused with exit code 77"
    );
}

/// A directory, and a gateway on it whose Admin listens there, and that takes as long to stop as its handler to answer.
async fn slow_to_stop(admin: &str, service: &Service) -> (TempDir, Process, SocketAddr) {
    let data = tempfile::tempdir().unwrap();
    let address = service.uri();
    let orders = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [\"{address}\"]\ncall_timeout = \"1h\""
    );
    let gateway = Process::with(data.path()).config(&orders);
    let gateway = gateway.args(&["--admin-listen", admin]).start().await;
    let packet = Packet::create("orders").text("an order");
    let sent = BatchRequest::of([packet])
        .client_id("phone")
        .until_accepted();
    client(&gateway).await.sync(sent).await.unwrap();
    service.called(1).await;
    let admin = std::fs::read_to_string(data.path().join("admin-address")).unwrap();
    (data, gateway, admin.trim().parse().unwrap())
}

/// What the page says once it does not say that all is well: `drain` is answered when the stop begins, which it may not know
/// yet.
async fn not_ready(admin: SocketAddr) -> (u16, String) {
    let telling = async {
        loop {
            match get(admin, "/readyz", &[]).await {
                (200, _) => tokio::task::yield_now().await,
                told => return told,
            }
        }
    };
    timeout(PATIENCE, telling).await.expect("it is told")
}

#[tokio::test]
async fn who_is_to_reload_while_it_stops_says_no_and_still_hears_signals() {
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let _running = service.begin();
    let data = tempfile::tempdir().unwrap();
    let addresses = format!("[\"{}\"]", service.uri());
    let orders = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", addresses.as_str()),
        ("TIDEGATE_HANDLERS__ORDERS__CALL_TIMEOUT", "1h"),
    ];
    let mut gateway = Process::on(data.path(), &orders).await;
    let sent = BatchRequest::of([Packet::create("orders").text("an order")]);
    let sent = sent.client_id("phone").until_accepted();
    client(&gateway).await.sync(sent).await.unwrap();
    service.called(1).await;
    done(&["drain"], data.path()).await;
    gateway.says("stopping: within").await;
    gateway.signal(Signal::HUP);
    gateway
        .says("reload refused: the gateway is stopping")
        .await;
    // Two that cannot become one on the way.
    gateway.signal(Signal::TERM);
    gateway.signal(Signal::INT);
    assert_eq!(gateway.ended().await.0, Some(130));
}

#[tokio::test]
async fn who_stops_is_not_ready_and_says_why() {
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let running = service.begin();
    let (data, gateway, admin) = slow_to_stop("127.0.0.1:0", &service).await;
    let said = done(&["drain"], data.path()).await;
    assert_eq!(said, "the gateway stops; that takes 30s at most\n");
    let told = not_ready(admin).await;
    assert_eq!(told, (503, "not serving: the gateway is stopping\n".into()));
    let lanes = json(&["lanes", "orders"], data.path()).await;
    assert!(
        lanes["lanes"].to_string().contains("\"packets\":1"),
        "{lanes}"
    );
    drop(running);
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn strangers_learn_neither_why_it_does_not_serve_nor_where_the_token_is() {
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let running = service.begin();
    let (data, gateway, admin) = slow_to_stop("0.0.0.0:0", &service).await;
    let (status, text) = get(admin, "/metrics", &[]).await;
    assert_eq!(status, 401);
    assert!(text.ends_with("Bearer <token>`\n"), "{text}");
    let wrong = data.path().join("wrong");
    std::fs::write(&wrong, "0123456789abcdef").unwrap();
    let wrong = ["lanes", "--token-file", wrong.to_str().unwrap()];
    let refused = typed(&wrong, data.path()).await;
    assert_eq!(code(&refused), 77);
    assert!(
        stderr(&refused).ends_with("Bearer <token>`\n"),
        "{}",
        stderr(&refused)
    );
    done(&["drain"], data.path()).await;
    assert_eq!(not_ready(admin).await, (503, "not serving\n".into()));
    drop(running);
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn streams_are_listed_with_who_reads_them() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::on(data.path(), &[]).await;
    let client = client(&gateway).await;
    let mut first = watch(&client, EventsRequest::on(["a.>", "b"]).client_id("phone")).await;
    let _second = watch(&client, EventsRequest::on(["c"])).await;
    client
        .sync(Packet::create("topics").key("a.b").text("hello"))
        .await
        .unwrap();
    event(&mut first).await;
    let listed = json(&["streams"], data.path()).await;
    assert_eq!(listed["open"], 2);
    let stream = &listed["streams"][0];
    assert_eq!(stream["client_id"], "phone");
    assert_eq!(stream["patterns"], serde_json::json!(["a.>", "b"]));
    assert_eq!(stream["lag"], 0);
    assert!(stream["events"].as_u64().unwrap() >= 2, "{stream}");
    let peer: SocketAddr = stream["peer"].as_str().unwrap().parse().unwrap();
    assert!(peer.ip().is_loopback());
    let table = done(&["streams", "--limit", "1"], data.path()).await;
    assert!(
        table.contains("phone") && table.ends_with("and 1 more\n"),
        "{table}"
    );
}
