//! How a gateway ends: what was taken is done and kept, everyone is told, and who comes back finds it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use tidegate::app::RunError;
use tidegate::handler::{Batch, CallError, Handled, Handler};
use tidegate::types::Action;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{BatchRequest, EventsRequest, GoAway, Outcome, Packet, gap, go_away};
use tidegate_client::{Client, Error, EventStream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Process, Watched, echo, event, gateway, message, post, watch};

/// More than anything needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers when it may.
#[derive(Debug, Clone)]
struct Held(Arc<Semaphore>, Arc<Semaphore>);

impl Held {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)))
    }

    /// Until it was called.
    async fn called(&self) {
        self.0.acquire().await.unwrap().forget();
    }

    fn let_go(&self) {
        self.1.close();
    }
}

impl Handler for Held {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        self.0.add_permits(1);
        async move {
            // It is closed to let go.
            let _ = self.1.acquire().await;
            Ok(batch.items.iter().map(echo).collect())
        }
        .boxed()
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

async fn serving(health: &mut HealthClient<Channel>) -> bool {
    let request = HealthCheckRequest::default();
    let answer = health.check(request).await.unwrap();
    answer.into_inner().status == 1
}

/// What ends a stream.
async fn farewell(mut stream: EventStream) -> GoAway {
    loop {
        if let Some(Kind::GoAway(go_away)) = event(&mut stream).await.event {
            return go_away;
        }
    }
}

async fn text_of(client: &Client, key: &str) -> Option<String> {
    let answer = client.sync(Packet::read("todos", key)).await.unwrap();
    let records = &answer.results[0].records;
    let text = records.first()?.text.clone();
    Some(text)
}

#[tokio::test]
async fn while_it_stops_it_takes_nothing_and_finishes_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let held = Held::new();
    let gateway_1 = gateway()
        .data(directory.path())
        .handler("held", held.clone());
    let gateway_1 = gateway_1.start().await;
    let client = gateway_1.client().await;
    let kept = client.sync(Packet::create("todos").key("milk").text("buy milk"));
    assert_eq!(kept.await.unwrap().results[0].outcome(), Outcome::Ok);
    let mut health = HealthClient::new(gateway_1.channel().await);
    assert!(serving(&mut health).await);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let stream = watch(&client, EventsRequest::on(["a"])).await;
        streams.push(tokio::spawn(farewell(stream)));
    }
    let waiting = client.clone();
    let packet = Packet::create("held").text("still to do");
    let waiting = tokio::spawn(async move { waiting.sync(packet).await });
    held.called().await;

    let stopping = tokio::spawn(gateway_1.stop());
    let mut delays = Vec::new();
    for stream in streams {
        let go_away = timeout(PATIENCE, stream).await.unwrap().unwrap();
        assert_eq!(go_away.cause(), go_away::Cause::Draining);
        let after = go_away.reconnect_after.unwrap_or_default();
        delays.push((after.seconds, after.nanos));
    }
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() >= 7, "each has its own delay: {delays:?}");
    assert!(
        delays.iter().all(|(seconds, _)| *seconds <= 10),
        "{delays:?}"
    );
    assert!(
        !serving(&mut health).await,
        "it says so as long as it can be asked"
    );
    let refused = client.sync(Packet::create("todos").text("no")).await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::Unavailable));
    assert!(!stopping.is_finished(), "something is still to do");

    held.let_go();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.results[0].text, ["still to do"]);
    timeout(PATIENCE, stopping).await.unwrap().unwrap().unwrap();

    let gateway_2 = gateway().data(directory.path()).start().await;
    let text = text_of(&gateway_2.client().await, "milk").await;
    assert_eq!(text.as_deref(), Some("buy milk"));
    gateway_2.stop().await.unwrap();
}

#[tokio::test]
async fn what_hangs_does_not_hold_up_the_end_beyond_its_time() {
    let held = Held::new();
    let gateway = gateway().config("[server]\ndrain = \"300ms\"\n");
    let gateway = gateway.handler("held", held.clone()).start().await;
    let client = gateway.client().await;
    let waiting = tokio::spawn(async move { client.sync(Packet::create("held").text("x")).await });
    held.called().await;
    let began = Instant::now();
    let ended = timeout(PATIENCE, gateway.stop()).await.unwrap();
    assert!(matches!(ended, Err(RunError::Drain(_))), "{ended:?}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    waiting.abort();
}

/// A request whose end never comes, so that its connection is not done.
async fn half_a_request(gateway: &Process) -> TcpStream {
    let address: std::net::SocketAddr = gateway.address().parse().unwrap();
    let whole = post(address, "Sync", &["expect: 100-continue"], &[0; 100]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&whole[..whole.len() - 50]).await.unwrap();
    // It says so once it waits for the rest.
    let mut said = [0; 12];
    let saying = timeout(PATIENCE, stream.read_exact(&mut said)).await;
    saying.unwrap().unwrap();
    assert_eq!(&said, b"HTTP/1.1 100");
    stream
}

#[tokio::test]
async fn the_signal_ends_it_with_0_a_second_with_130_and_the_deadline_with_1() {
    let directory = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let gateway = Process::on(directory.path(), &[]).await;
        gateway.signal(signal);
        let (code, log) = gateway.ended().await;
        assert_eq!(code, Some(0), "{signal:?}: {log}");
        assert!(log.contains("stopped"), "{log}");
    }

    let mut gateway = Process::on(directory.path(), &[]).await;
    let open = half_a_request(&gateway).await;
    gateway.signal(Signal::TERM);
    gateway.says("stopping").await;
    gateway.signal(Signal::TERM);
    let (code, log) = gateway.ended().await;
    assert_eq!(code, Some(130), "{log}");
    drop(open);

    let drain = ("TIDEGATE_SERVER__DRAIN", "300ms");
    let gateway = Process::on(directory.path(), &[drain]).await;
    let open = half_a_request(&gateway).await;
    gateway.signal(Signal::TERM);
    let (code, log) = gateway.ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("not everything was done within 300ms"),
        "{log}"
    );
    drop(open);
}

#[tokio::test]
async fn whoever_closes_its_stdout_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let (gone, stdout) = std::io::pipe().unwrap();
    drop(gone);
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .stdout(stdout)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let told = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("the greeting cannot be written") {
                return;
            }
        }
        panic!("it ended");
    };
    timeout(PATIENCE, told).await.unwrap();
    let id = gateway.id().unwrap().cast_signed();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    let ended = timeout(PATIENCE, gateway.wait()).await.unwrap();
    assert!(ended.unwrap().success());
}

/// Creates records until the gateway is gone, and gives the keys of those that it was told of.
fn author(uri: String, name: usize) -> JoinHandle<Vec<String>> {
    const TOGETHER: usize = 20;
    tokio::spawn(async move {
        let client = Client::builder(uri).client_id(format!("author-{name}"));
        let client = client.connect().await.unwrap();
        let mut told = Vec::new();
        for call in 0.. {
            let first = call * TOGETHER;
            let packets = (first..first + TOGETHER).map(|number| {
                let key = format!("{name}-{number}");
                let packet = Packet::create("todos").key(&key).text(&key);
                packet.seq(number as u64 + 1)
            });
            let answer: Result<_, Error> = client.sync(BatchRequest::of(packets)).await;
            let Ok(answer) = answer else { break };
            let results = answer.results.iter().enumerate();
            let ok = results.filter(|(_, result)| result.outcome() == Outcome::Ok);
            told.extend(ok.map(|(index, _)| format!("{name}-{}", first + index)));
        }
        told
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_3_5_drain_under_load_with_streams_open() {
    const AUTHORS: usize = 4;
    const STREAMS: usize = 20;
    const BEFORE: u64 = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let gateway = Process::on(directory.path(), &[]).await;
    let client = Client::connect(gateway.uri()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let stream = watch(&client, EventsRequest::on(["records.todos.>"])).await;
        streams.push(tokio::spawn(farewell(stream)));
    }
    let mut counting = watch(&client, EventsRequest::on(["records.todos.>"])).await;
    let authors: Vec<_> = (0..AUTHORS)
        .map(|name| author(gateway.uri(), name))
        .collect();
    for _ in 0..BEFORE {
        message(&mut counting).await;
    }
    let began = Instant::now();
    gateway.signal(Signal::TERM);
    for stream in streams {
        let go_away = timeout(PATIENCE, stream).await.unwrap().unwrap();
        assert_eq!(go_away.cause(), go_away::Cause::Draining);
    }
    let mut told = Vec::new();
    for author in authors {
        told.extend(timeout(PATIENCE, author).await.unwrap().unwrap());
    }
    drop(counting);
    let (code, log) = gateway.ended().await;
    let took = began.elapsed();
    assert_eq!(code, Some(0), "{log}");

    let gateway = Process::on(directory.path(), &[]).await;
    let client = Client::connect(gateway.uri()).await.unwrap();
    for keys in told.chunks(500) {
        let reads = keys.iter().map(|key| Packet::read("todos", key));
        let answer = client.sync(BatchRequest::of(reads)).await.unwrap();
        for (key, result) in keys.iter().zip(&answer.results) {
            let there = result.records.first().map(|record| &record.text);
            assert_eq!(
                there,
                Some(key),
                "it was told, and is not there: {result:?}"
            );
        }
    }
    println!(
        "SHOWS 3.5 drain under load: {AUTHORS} clients were told {} records done when they were cut off, {STREAMS} streams \
         got their GoAway, the process ended with 0 after {took:.1?}; all of them are there after a restart",
        told.len()
    );
}

#[tokio::test]
async fn shows_3_5_second_process_on_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = Process::on(directory.path(), &[]).await;
    let client = Client::connect(first.uri()).await.unwrap();
    let create = |key: &str| Packet::create("todos").key(key).text(key);
    client.sync(create("before")).await.unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .arg(directory.path())
        .kill_on_drop(true)
        .output();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert_eq!(second.status.code(), Some(69));
    let told = String::from_utf8(second.stderr).unwrap();
    let told = told.lines().last().unwrap();
    for part in [
        directory.path().to_str().unwrap(),
        "is in use by another process",
        &format!("(process {})", first.id()),
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    client.sync(create("after")).await.unwrap();
    for key in ["before", "after"] {
        assert_eq!(text_of(&client, key).await.as_deref(), Some(key));
    }
    let told = told.replace(directory.path().to_str().unwrap(), "DIR");
    println!(
        "SHOWS 3.5 a second process on the same directory ends with 69, {told:?}; the first goes on"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn publish(client: &Client, texts: &[&str]) {
    for text in texts {
        let answer = client.sync(Packet::publish("news").text(*text)).await;
        assert_eq!(answer.unwrap().results[0].outcome(), Outcome::Ok);
    }
}

async fn follow(stream: &mut EventStream, texts: &[&str]) -> String {
    let mut last = String::new();
    for text in texts {
        let Watched { cursor, message } = message(stream).await;
        assert_eq!(message.text, *text);
        last = cursor;
    }
    last
}

#[tokio::test]
async fn shows_3_5_restored_backup_is_told_and_never_misread() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, backup) = (scratch.path().join("data"), scratch.path().join("backup"));
    let on = || EventsRequest::on(["news"]);

    let first = gateway().data(&data).start().await;
    let client = first.client().await;
    let mut stream = watch(&client, on()).await;
    publish(&client, &["one", "two", "three"]).await;
    let old = follow(&mut stream, &["one"]).await;
    let end_of_backup = follow(&mut stream, &["two", "three"]).await;
    drop((stream, client));
    first.stop().await.unwrap();
    copy(&data, &backup);

    let second = gateway().data(&data).start().await;
    let client = second.client().await;
    let mut stream = watch(&client, on().from_cursor(&end_of_backup)).await;
    publish(&client, &["four", "five"]).await;
    let lost = follow(&mut stream, &["four", "five"]).await;
    drop((stream, client));
    second.stop().await.unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);

    let third = gateway().data(&data).start().await;
    let client = third.client().await;
    // What is published now has the positions of what the backup has not.
    publish(&client, &["other four", "other five", "other six"]).await;
    let mut misled = client.events(on().from_cursor(&lost)).await.unwrap();
    let connected = event(&mut misled).await;
    assert!(
        matches!(&connected.event, Some(Kind::Connected(connected)) if !connected.resumed),
        "{connected:?}"
    );
    let told = event(&mut misled).await;
    assert!(
        matches!(&told.event, Some(Kind::Gap(gap)) if gap.cause() == gap::Cause::History),
        "{told:?}"
    );
    let all = [
        "one",
        "two",
        "three",
        "other four",
        "other five",
        "other six",
    ];
    follow(&mut misled, &all).await;

    for (cursor, rest) in [(&old, &all[1..]), (&end_of_backup, &all[3..])] {
        let mut exact = client.events(on().from_cursor(cursor)).await.unwrap();
        let connected = event(&mut exact).await;
        assert!(
            matches!(&connected.event, Some(Kind::Connected(connected)) if connected.resumed),
            "{connected:?}"
        );
        follow(&mut exact, rest).await;
    }
    drop((misled, client));
    third.stop().await.unwrap();
    println!(
        "SHOWS 3.5 a restored backup: a cursor from after it gets resumed = false and a Gap with CAUSE_HISTORY, then what is \
         kept; two from before it resume exactly"
    );
}
