//! A backup of a gateway that works, and a gateway that goes on from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{BatchRequest, EventsRequest, Message, Outcome, Packet, gap};
use tidegate_client::{Client, EventStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::support::{ADMIN_TOKEN, Process, event, gateway, message, quantile};

/// More than anything needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const WRITERS: usize = 3;
/// Packets of a call.
const TOGETHER: u64 = 20;
/// What is there before, so that a copy takes its time.
const BULK: usize = 20_000;

/// A command, as it is typed.
async fn typed(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = timeout(PATIENCE, output).await.expect("it ends in time");
    output.expect("cargo built it")
}

fn code_and_words(output: &Output) -> (Option<i32>, String) {
    let words = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), words)
}

/// A client that creates records in its order, call after call.
struct Writer {
    name: String,
    /// The last place whose outcome it was told.
    told: Arc<AtomicU64>,
    /// When each call began, and how long it took.
    calls: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

impl Writer {
    fn new(number: usize) -> Self {
        Self {
            name: format!("writer-{number}"),
            told: Arc::default(),
            calls: Arc::default(),
        }
    }

    fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    async fn client(&self, uri: String) -> Client {
        let client = Client::builder(uri).client_id(self.name.clone());
        client.connect().await.unwrap()
    }

    /// Its packets from one place on.
    fn packets(&self, from: u64, word: &str) -> BatchRequest {
        let packets = (from..from + TOGETHER).map(|seq| {
            let text = format!("{} {word} {seq}", self.name);
            let key = format!("{}-{seq}", self.name);
            Packet::create("todos").key(key).text(text).seq(seq)
        });
        BatchRequest::of(packets)
    }

    /// Until it is to stop.
    fn write(
        &self,
        client: Client,
        word: &'static str,
        stop: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let own = Self {
            name: self.name.clone(),
            told: self.told.clone(),
            calls: self.calls.clone(),
        };
        tokio::spawn(async move {
            while !*stop.borrow() {
                let told = own.told();
                let request = own.packets(told + 1, word).settle("todos", told);
                let began = Instant::now();
                let answer = client.sync(request).await.unwrap();
                own.calls.lock().push((began, began.elapsed()));
                for result in &answer.results {
                    assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
                }
                own.told.store(told + TOGETHER, Ordering::SeqCst);
            }
        })
    }
}

/// Who reads everything that happens, and remembers it with its cursors.
struct Follower {
    seen: Arc<Mutex<Vec<(String, String)>>>,
    count: watch::Receiver<usize>,
    reading: JoinHandle<()>,
}

impl Follower {
    async fn begin(client: &Client) -> Self {
        let mut stream = crate::support::watch(client, on()).await;
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let (sender, count) = watch::channel(0);
        let own = seen.clone();
        let reading = tokio::spawn(async move {
            // Until the test ends it.
            while let Some(Ok(next)) = stream.next().await {
                if let Some(Kind::Message(message)) = next.event {
                    own.lock().push((next.cursor, written(message)));
                    sender.send_modify(|count| *count += 1);
                }
            }
        });
        Self {
            seen,
            count,
            reading,
        }
    }

    async fn more(&mut self, events: usize) {
        let goal = *self.count.borrow() + events;
        self.all(goal).await;
    }

    async fn all(&mut self, goal: usize) {
        let there = timeout(PATIENCE, self.count.wait_for(|count| *count >= goal)).await;
        there.expect("they come in time").unwrap();
    }

    fn last(&self) -> (usize, String) {
        let seen = self.seen.lock();
        (seen.len(), seen.last().unwrap().0.clone())
    }
}

fn on() -> EventsRequest {
    EventsRequest::on(["records.todos.>"])
}

fn written(message: Message) -> String {
    message.record.expect("it is of a record").text
}

/// Of the record of the next message.
async fn text_of(stream: &mut EventStream) -> String {
    let next = timeout(PATIENCE, message(stream)).await;
    written(next.expect("it comes in time").message)
}

async fn fill(uri: String) {
    let client = Client::connect(uri).await.unwrap();
    let numbers: Vec<_> = (0..BULK).collect();
    for numbers in numbers.chunks(500) {
        let text = "x".repeat(1_000);
        let packets = numbers
            .iter()
            .map(|number| Packet::create("bulk").key(number.to_string()).text(&text));
        let answer = client.sync(BatchRequest::of(packets)).await.unwrap();
        assert_eq!(answer.results[0].outcome(), Outcome::Ok);
    }
}

/// How many calls began between the two, and how long one in a hundred of them took at least.
fn meanwhile(writers: &[Writer], from: Instant, to: Instant) -> (usize, Duration) {
    let mut took = Vec::new();
    for writer in writers {
        let calls = writer.calls.lock();
        let during = calls.iter().filter(|(began, _)| (from..to).contains(began));
        took.extend(during.map(|(_, took)| *took));
    }
    (took.len(), quantile(&took, 0.99))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_5_6_backup_of_a_running_gateway_is_put_back_and_nothing_is_misread() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, copy) = (scratch.path().join("data"), scratch.path().join("copy"));
    let setup = Process::with(&data);
    let process = setup.start().await;
    fill(setup.uri()).await;
    let client = Client::connect(setup.uri()).await.unwrap();
    let mut follower = Follower::begin(&client).await;
    let writers: Vec<_> = (0..WRITERS).map(Writer::new).collect();
    let (stop, stopping) = watch::channel(false);
    let mut writing = Vec::new();
    for writer in &writers {
        let client = writer.client(setup.uri()).await;
        writing.push(writer.write(client, "first", stopping.clone()));
    }
    follower.more(1_000).await;

    let (seen_before, old) = follower.last();
    let told_before: Vec<_> = writers.iter().map(Writer::told).collect();
    let began = Instant::now();
    let arguments = [
        "backup",
        copy.to_str().unwrap(),
        "--json",
        "--data",
        data.to_str().unwrap(),
    ];
    let backup = typed(&arguments).await;
    let (ended, took) = (Instant::now(), began.elapsed());
    assert!(backup.status.success(), "{:?}", code_and_words(&backup));
    let backup: Value = serde_json::from_slice(&backup.stdout).unwrap();
    is_whole(&copy).await;

    follower.more(1_000).await;
    let (calls, p99) = meanwhile(&writers, began, ended);
    assert!(calls > 10 * WRITERS, "{calls} calls while it was copied");
    stop.send_replace(true);
    join_all(writing).await.into_iter().for_each(Result::unwrap);
    let told: u64 = writers.iter().map(Writer::told).sum();
    follower.all(told as usize).await;
    follower.reading.abort();
    assert!(process.stop().await.success());
    let all = std::mem::take(&mut *follower.seen.lock());
    let (late, _) = all.last().unwrap().clone();
    fs::rename(&data, scratch.path().join("lost")).unwrap();
    fs::rename(&copy, &data).unwrap();

    let process = setup.start().await;
    // What was told before, and of what came while it was made a beginning.
    let within = same_as_before(&setup.uri(), &all, &told_before, &writers).await;
    assert!(within >= seen_before, "{within} of {seen_before} events");
    assert!(within < all.len(), "something was lost");
    goes_on(&setup.uri(), &writers, all.len() - within).await;
    let client = Client::connect(setup.uri()).await.unwrap();
    resumes(&client, &old, &all[seen_before..within]).await;
    is_told(&client, &late, &all[..within]).await;
    assert!(process.stop().await.success());
    println!(
        "SHOWS 5.6 a backup of {:.1} MiB in {} files was made in {took:.1?} while {WRITERS} writers made {calls} calls \
         of {TOGETHER} packets (p99 {p99:.1?}); put back, it has the {seen_before} events told before and {} of those after: a \
         cursor from before goes on exactly, one from after it gets resumed = false and a Gap with CAUSE_HISTORY, then \
         what is kept; writers that say settled go on",
        backup["bytes"].as_f64().unwrap() / f64::from(1 << 20),
        backup["files"],
        within - seen_before,
    );
}

/// It has what a store has and nothing of who runs it, and a check finds nothing.
async fn is_whole(copy: &Path) {
    let entries = fs::read_dir(copy).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["FORMAT", "log", "parts", "rows.table"]);
    let mode = copy.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let checked = typed(&["store", "--check", copy.to_str().unwrap()]).await;
    assert!(checked.status.success(), "{:?}", code_and_words(&checked));
}

/// Every event that the copy has, and every record that was told before it. Gives how many events it has.
async fn same_as_before(
    uri: &str,
    all: &[(String, String)],
    told: &[u64],
    writers: &[Writer],
) -> usize {
    let client = Client::connect(uri.to_owned()).await.unwrap();
    let last = Packet::put("todos", "the-end").text("the end");
    let last = client.sync(last).await.unwrap();
    assert_eq!(last.results[0].outcome(), Outcome::Ok);
    let mut stream = client.events(on().from_earliest()).await.unwrap();
    let mut within = 0;
    loop {
        let text = text_of(&mut stream).await;
        if text == "the end" {
            break;
        }
        assert_eq!(text, all[within].1, "event {within}");
        within += 1;
    }
    for (writer, told) in writers.iter().zip(told) {
        for from in (1..=*told).step_by(500) {
            let seqs = from..=(*told).min(from + 499);
            let reads = seqs.clone();
            let reads = reads.map(|seq| Packet::read("todos", format!("{}-{seq}", writer.name)));
            let answer = client.sync(BatchRequest::of(reads)).await.unwrap();
            for (seq, result) in seqs.zip(&answer.results) {
                let text = result.records.first().map(|record| record.text.as_str());
                let expected = format!("{} first {seq}", writer.name);
                assert_eq!(text, Some(expected.as_str()), "it was told before");
            }
        }
    }
    within
}

/// The gateway does not know the places that were lost: who says how far it was is not held up. `lost`: how many positions at
/// least are given again.
async fn goes_on(uri: &str, writers: &[Writer], lost: usize) {
    let mut were_behind = 0;
    for writer in writers {
        let client = writer.client(uri.to_owned()).await;
        let mut told = writer.told();
        let unsettled = client
            .sync(writer.packets(told + 1, "held up"))
            .await
            .unwrap();
        if unsettled.results[0].outcome() == Outcome::Retry {
            were_behind += 1;
        }
        assert!(!unsettled.results[0].outcome().is_final());
        for _ in 0..lost as u64 / TOGETHER + 1 {
            let request = writer.packets(told + 1, "second").settle("todos", told);
            let answer = client.sync(request).await.unwrap();
            for result in &answer.results {
                assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
            }
            told += TOGETHER;
        }
        let lost = client.sync(writer.packets(writer.told() + 1 - TOGETHER, "first"));
        for result in lost.await.unwrap().results {
            let outcome = result.outcome();
            assert_eq!(outcome, Outcome::Forgotten, "settled and lost: {result:?}");
        }
    }
    assert_eq!(
        were_behind,
        writers.len(),
        "each was told more than the copy has"
    );
}

/// What was published after the restored part comes after it, in the place of what is lost.
async fn resumes(client: &Client, old: &str, rest: &[(String, String)]) {
    let mut stream = client.events(on().from_cursor(old)).await.unwrap();
    let connected = event(&mut stream).await;
    assert!(
        matches!(&connected.event, Some(Kind::Connected(connected)) if connected.resumed),
        "{connected:?}"
    );
    for (_, text) in rest {
        assert_eq!(text_of(&mut stream).await, *text);
    }
    then_another_history(&mut stream).await;
}

async fn is_told(client: &Client, late: &str, all: &[(String, String)]) {
    let mut stream = client.events(on().from_cursor(late)).await.unwrap();
    let connected = event(&mut stream).await;
    assert!(
        matches!(&connected.event, Some(Kind::Connected(connected)) if !connected.resumed),
        "{connected:?}"
    );
    let told = event(&mut stream).await;
    assert!(
        matches!(&told.event, Some(Kind::Gap(gap)) if gap.cause() == gap::Cause::History),
        "{told:?}"
    );
    for (_, text) in all {
        assert_eq!(text_of(&mut stream).await, *text);
    }
    then_another_history(&mut stream).await;
}

async fn then_another_history(stream: &mut EventStream) {
    assert_eq!(text_of(stream).await, "the end");
    let next = text_of(stream).await;
    assert!(next.contains(" second "), "{next}");
}

#[tokio::test]
async fn what_cannot_be_copied_or_not_there_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let in_memory = gateway().start().await;
    let admin = in_memory.admin().to_string();
    let copy = scratch.path().join("copy");
    let copy = copy.to_str().unwrap();
    let token = scratch.path().join("token");
    fs::write(&token, ADMIN_TOKEN).unwrap();
    let token = token.to_str().unwrap();
    let asked = async |copy: &str, admin: &str| {
        let place = ["--admin", admin, "--token-file", token];
        code_and_words(&typed(&[["backup", copy].as_slice(), &place].concat()).await)
    };
    let (code, words) = asked(copy, &admin).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("kept in memory"), "{words}");
    in_memory.stop().await.unwrap();

    let data = scratch.path().join("data");
    let on_disk = gateway().data(&data).start().await;
    let admin = on_disk.admin().to_string();
    for (place, why) in [
        (scratch.path().to_owned(), "is not empty"),
        (data.join("copy"), "inside the directory"),
        (scratch.path().join("none/copy"), "directory above it"),
    ] {
        let place = place.to_str().unwrap();
        let (code, words) = asked(place, &admin).await;
        assert_eq!(code, Some(64), "{words}");
        assert!(words.contains(why), "{words}");
    }
    on_disk.stop().await.unwrap();
}
