//! What those do who run a gateway: through the command line, as it is typed, and by its own port.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tidegate::wire::admin::admin_client::AdminClient;
use tidegate::wire::proto::{DrainRequest, LanesRequest};
use tidegate_client::Client;
use tidegate_client::proto::{
    BatchRequest, EventsRequest, Outcome, Packet, Reason, ResultsRequest,
};
use tokio::process::Command;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{ADMIN_TOKEN, Gateway, Notes, Process, Service, Wire, event, gateway, watch};

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

/// With this token, in the form that gRPC has for it.
fn with<T>(token: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
    }
    request
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

async fn lanes(gateway: &Gateway, token: Option<&str>) -> Result<usize, Status> {
    let mut client = AdminClient::new(channel(gateway.admin()).await);
    let lanes = client.lanes(with(token, LanesRequest::default())).await?;
    Ok(lanes.into_inner().lanes.len())
}

#[tokio::test]
async fn only_health_is_answered_without_the_token() {
    let gateway = gateway().start().await;
    assert!(lanes(&gateway, Some(ADMIN_TOKEN)).await.is_ok());
    for wrong in [None, Some("another-token-of-others")] {
        let refused = lanes(&gateway, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("TIDEGATE_ADMIN__TOKEN"));
    }
    let mut admin = AdminClient::new(channel(gateway.admin()).await);
    let refused = admin.drain(DrainRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut health = HealthClient::new(channel(gateway.admin()).await);
    for service in ["", "tidegate.v1.Gateway", "tidegate.v1.Admin"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    }
    // Clients have another port, where Admin is not.
    let mut there = AdminClient::new(gateway.channel().await);
    let request = with(Some(ADMIN_TOKEN), LanesRequest::default());
    let absent = there.lanes(request).await.unwrap_err();
    assert_eq!(absent.code(), Code::Unimplemented);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn reflection_needs_the_token_and_lets_grpcurl_call_admin() {
    let gateway = gateway().start().await;
    let address = gateway.admin().to_string();
    let token = format!("authorization: Bearer {ADMIN_TOKEN}");
    let grpcurl = async |arguments: &[&str]| {
        let output = Command::new("grpcurl")
            .arg("-plaintext")
            .args(arguments)
            .output();
        output.await.expect("make tools installs it")
    };
    let list = grpcurl(&["-H", &token, &address, "list"]).await;
    let listed = String::from_utf8(list.stdout).unwrap();
    assert!(listed.contains("tidegate.v1.Admin"), "{listed}");
    assert!(!listed.contains("tidegate.v1.Gateway"), "{listed}");
    let refused = grpcurl(&[&address, "list"]).await;
    assert!(!refused.status.success());
    let streams = grpcurl(&["-H", &token, &address, "tidegate.v1.Admin/Streams"]).await;
    assert!(streams.status.success(), "{}", stderr(&streams));
    gateway.stop().await.unwrap();
}

async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> (u16, String) {
    let host = format!("host: {address}");
    let headers = match headers.iter().any(|line| line.starts_with("host:")) {
        true => headers.to_vec(),
        false => [&[host.as_str()], headers].concat(),
    };
    let request = format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
    let mut wire = Wire::open(address).await;
    wire.send(request.as_bytes()).await;
    let answer = timeout(PATIENCE, wire.answer()).await.unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn pages_say_that_it_lives_and_serves_and_what_it_does() {
    let notes = Notes::default();
    let gateway = gateway().handler("h", notes).start().await;
    let address = gateway.admin();
    assert_eq!(get(address, "/healthz", &[]).await, (200, "alive\n".into()));
    assert_eq!(
        get(address, "/readyz", &[]).await,
        (200, "serving\n".into())
    );
    for path in ["/metrics", "/", "/tidegate.v1.Admin/Lanes"] {
        let (status, text) = get(address, path, &[]).await;
        assert_eq!(status, 401, "{path}");
        assert!(text.contains("authorization: Bearer"), "{text}");
    }
    let token = format!("authorization: Bearer {ADMIN_TOKEN}");
    let (status, text) = get(address, "/metrics", &[&token]).await;
    assert_eq!(status, 200);
    assert!(text.contains("# TYPE tidegate_lanes gauge"), "{text}");
    // A page that has the gateway's name resolve to this machine gets nothing, whatever it knows.
    for foreign in ["host: gateway.example", "origin: https://example.com"] {
        for path in ["/healthz", "/metrics"] {
            assert_eq!(
                get(address, path, &[&token, foreign]).await.0,
                403,
                "{foreign}"
            );
        }
    }
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn who_stops_is_not_ready_and_says_why() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let running = service.begin();
    let addresses = format!("[\"{}\"]", service.uri());
    let hanging = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", addresses.as_str()),
        ("TIDEGATE_HANDLERS__ORDERS__CALL_TIMEOUT", "1h"),
    ];
    let gateway = Process::on(data.path(), &hanging).await;
    let client = client(&gateway).await;
    let packet = Packet::create("orders").text("an order");
    let sent = BatchRequest::of([packet])
        .client_id("phone")
        .until_accepted();
    client.sync(sent).await.unwrap();
    service.called(1).await;
    let admin = std::fs::read_to_string(data.path().join("admin-address")).unwrap();
    let admin: SocketAddr = admin.trim().parse().unwrap();
    let said = done(&["drain"], data.path()).await;
    assert_eq!(said, "the gateway stops; that takes 30s at most\n");
    let (status, why) = get(admin, "/readyz", &[]).await;
    assert_eq!(
        (status, why.as_str()),
        (503, "not serving: the gateway is stopping\n")
    );
    let lanes = json(&["lanes", "orders"], data.path()).await;
    assert!(
        lanes["lanes"].to_string().contains("\"packets\":1"),
        "{lanes}"
    );
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

#[tokio::test]
async fn each_start_has_a_token_of_its_own_unless_one_is_given() {
    let data = tempfile::tempdir().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let gateway = Process::on(data.path(), &[]).await;
        tokens.push(token(data.path()));
        // Nothing takes it away.
        gateway.kill().await;
    }
    assert_ne!(tokens[0], tokens[1]);
    let given = [("TIDEGATE_ADMIN__TOKEN", "0123456789abcdef")];
    let gateway = Process::on(data.path(), &given).await;
    assert!(!data.path().join("admin-token").exists());
    let without = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&without), 77);
    let right = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(right.path(), "0123456789abcdef\n").unwrap();
    let right = right.path().to_str().unwrap();
    done(&["lanes", "--token-file", right], data.path()).await;
    drop(gateway);
}

#[tokio::test]
async fn where_everything_is_in_memory_the_token_is_in_a_directory_of_the_users_own() {
    let runtime = tempfile::tempdir().unwrap();
    let address = ephemeral_address();
    let tidegate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .current_dir(runtime.path())
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env("TIDEGATE_ADMIN__LISTEN", &address)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    };
    let gateway = Process::spawn(
        tidegate()
            .args(["serve", "--ephemeral", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", &address])
            .stderr(Stdio::piped()),
    )
    .await;
    let lanes = tidegate().arg("lanes").output().await.unwrap();
    assert_eq!(code(&lanes), 0, "{}", stderr(&lanes));
    let left = left_in(&runtime);
    let mode = std::fs::metadata(&left).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    assert!(!left.exists(), "it is gone with the gateway");
    let gone = tidegate().arg("lanes").output().await.unwrap();
    assert_eq!(code(&gone), 69);
    assert!(
        stderr(&gone).contains("no running gateway is found"),
        "{}",
        stderr(&gone)
    );
}

fn left_in(runtime: &TempDir) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(runtime.path()).unwrap();
    entries.next().expect("it left something").unwrap().path()
}

/// Free a moment ago.
fn ephemeral_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_second_gateway_needs_a_port_of_its_own_for_admin_too() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gateway = Process::on(first.path(), &[]).await;
    let admin = std::fs::read_to_string(first.path().join("admin-address")).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            admin.trim(),
            "--data",
        ])
        .arg(second.path())
        .output()
        .await
        .unwrap();
    assert_eq!(code(&refused), 69);
    let told = stderr(&refused);
    assert!(told.contains("another one with --admin-listen"), "{told}");
    let entries = std::fs::read_dir(second.path()).unwrap().count();
    assert_eq!(entries, 0, "nothing was made");
    done(&["lanes"], first.path()).await;
    drop(gateway);
}

#[tokio::test]
async fn commands_tell_what_is_wrong_with_what_was_typed() {
    let data = tempfile::tempdir().unwrap();
    let nobody = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&nobody), 69);
    let address = ephemeral_address();
    std::fs::write(data.path().join("admin-address"), &address).unwrap();
    std::fs::write(data.path().join("admin-token"), "0123456789abcdef").unwrap();
    let away = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&away), 69, "{}", stderr(&away));
    assert!(
        stderr(&away).contains("no gateway answers on"),
        "{}",
        stderr(&away)
    );
    for wrong in [
        &["clear"][..],
        &["flush", "orders", "remove"],
        &["dead-letters", "retry"],
        &["dead-letters", "retry", "one"],
        &["dead-letters", "discard", "1"],
        &["dead-letters", "retry", "1", "--all", "orders"],
        &["--listen", "127.0.0.1:1", "lanes"],
    ] {
        let told = typed(wrong, data.path()).await;
        assert_eq!(code(&told), 64, "{wrong:?}: {}", stderr(&told));
    }
}
