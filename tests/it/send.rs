//! `tidegate send` with lines: each is applied once and in order, whoever is killed meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{BatchRequest, EventsRequest, Outcome, Packet, PacketResult};
use tidegate_client::{Client, EventStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::support::{Process, Service, Setup};

/// More than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

const LINES: usize = 1_000_000;
/// Sent both ways, to compare them.
const COMPARED: usize = 100_000;
/// As many as the command puts in a request.
const TOGETHER: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_5_2_a_million_lines_through_restarts_in_the_middle() {
    let shown = timeout(PATIENCE, a_million_lines()).await;
    println!("SHOWS 5.2 {}", shown.expect("it is done in time"));
}

async fn a_million_lines() -> String {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let input = lines(directory.path(), LINES);
    let position = directory.path().join("position");
    let gateway = setup.start().await;

    let began = Instant::now();
    let args = ["numbers", "put", "--key", "n", "--position"];
    let mut sending = quietly(&setup, &input, &args, &position);
    let mut reader = Reader::new(&setup).await;
    reader.read(LINES / 3).await;
    gateway.kill().await;
    let gateway = setup.start().await;
    reader.read(LINES * 2 / 3).await;
    // Where it saved how far it is, and a little further.
    sending.kill().await.unwrap();
    let before = kept(&position)["mark"]["lines"].as_u64().unwrap();
    let mut again = quietly(&setup, &input, &args, &position);
    let (ended, ()) = tokio::join!(again.wait(), reader.read(LINES));
    let took = began.elapsed();
    assert!(ended.unwrap().success());
    let told = kept(&position);
    assert_eq!(told["mark"]["lines"], LINES, "{told}");
    assert_eq!(told["tally"]["ok"], LINES, "{told}");
    reader.ends_here().await;
    assert!(gateway.stop().await.success());

    let (command, client) = beside_the_client().await;
    format!(
        "{LINES} lines in {:.0} s ({:.0}/s), the gateway killed after a third and the command after two thirds (it went on at line \
         {before}): each line once and in order for who watches; {COMPARED} lines through the command {command:.0}/s, the same \
         packets through the Rust client alone {client:.0}/s ({:.2})",
        took.as_secs_f64(),
        LINES as f64 / took.as_secs_f64(),
        command / client,
    )
}

/// Packets a second: by the command, and by the client in a loop, each on a gateway of its own.
async fn beside_the_client() -> (f64, f64) {
    let directory = tempfile::tempdir().unwrap();
    let input = lines(directory.path(), COMPARED);
    let setup = |name: &str| Process::with(&directory.path().join(name)).args(&["--log", "error"]);

    let ours = setup("command");
    let gateway = ours.start().await;
    let args = ["numbers", "put", "--key", "n", "--position"];
    let began = Instant::now();
    let mut sending = quietly(&ours, &input, &args, &directory.path().join("position"));
    assert!(sending.wait().await.unwrap().success());
    let command = COMPARED as f64 / began.elapsed().as_secs_f64();
    assert!(gateway.stop().await.success());

    let bare = setup("client");
    let gateway = bare.start().await;
    let client = Client::builder(bare.uri()).client_id("bare");
    let client = client.connect().await.unwrap();
    let began = Instant::now();
    for first in (0..COMPARED).step_by(TOGETHER) {
        let packets = (first..first + TOGETHER).map(|number| {
            let packet = Packet::put("numbers", "n").text(line(number));
            packet.seq(number as u64 + 1)
        });
        let request = BatchRequest::of(packets).settle("numbers", first as u64);
        let answer = client.sync(request).await.unwrap();
        let ok = |result: &PacketResult| result.outcome() == Outcome::Ok;
        assert!(answer.results.iter().all(ok));
    }
    let client = COMPARED as f64 / began.elapsed().as_secs_f64();
    assert!(gateway.stop().await.success());
    (command, client)
}

#[tokio::test]
async fn what_cannot_be_read_or_is_refused_is_told_with_its_line_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let gateway = setup.start().await;
    let input = directory.path().join("lines");
    let packets = [
        r#"{"handler":"a","action":"create","key":"1","json":{"b":[1]}}"#,
        r#"{"handler":"a""#,
        "",
        r#"{"action":"create","key":"2","data":"AAEC"}"#,
        r#"{"handler":"a","action":"create","key":"1","text":"again"}"#,
        r#"{"handler":"a","action":"creat","key":"3","text":"x"}"#,
        r#"{"handler":"a","action":"create","key":"4","text":"last"}"#,
    ];
    fs::write(&input, packets.join("\n")).unwrap();
    let refused = directory.path().join("refused");
    let run = async |args: &[&str]| {
        let mut command = tidegate(&setup);
        command.args(["send", "--packets", "--input"]).arg(&input);
        command.arg("--refused").arg(&refused).args(args);
        command.output().await.unwrap()
    };
    let output = run(&["b"]).await;
    assert_eq!(output.status.code(), Some(65));
    let told = String::from_utf8(output.stderr).unwrap();
    for part in [
        "line 2: not a packet",
        "line 5: REJECTED (ALREADY_EXISTS)",
        "line 6: its action",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert!(
        told.contains("6 lines: 3 OK, 1 refused, 2 not readable"),
        "{told}"
    );
    let refused: Vec<Value> = fs::read_to_string(&refused)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lines: Vec<_> = refused.iter().map(|entry| entry["line"].clone()).collect();
    assert_eq!(lines, [json!(2), json!(6), json!(5)]);
    assert_eq!(refused[2]["input"], packets[4]);
    assert_eq!(refused[2]["reason"], "ALREADY_EXISTS");
    let client = Client::connect(setup.uri()).await.unwrap();
    for (handler, key) in [("a", "1"), ("b", "2"), ("a", "4")] {
        let answer = client.sync(Packet::read(handler, key)).await.unwrap();
        assert_eq!(answer.results[0].outcome(), Outcome::Ok, "{key}");
    }
    drop(gateway);
}

#[tokio::test]
async fn another_input_is_not_taken_for_the_one_whose_position_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let _gateway = setup.start().await;
    let input = lines(directory.path(), 10);
    let position = directory.path().join("position");
    let args = ["numbers", "put", "--key", "n", "--position"];
    let first = send(&setup, &input, &args, &position);
    assert_eq!(summary(&first.wait_with_output().await.unwrap())["ok"], 10);
    let kept = fs::read_to_string(&position).unwrap();

    let text = fs::read_to_string(&input).unwrap();
    fs::write(&input, text.replacen('0', "9", 1)).unwrap();
    let other = send(&setup, &input, &args, &position);
    let other = other.wait_with_output().await.unwrap();
    assert_eq!(other.status.code(), Some(65));
    let told = String::from_utf8(other.stderr).unwrap();
    assert!(
        told.contains("something in its first 10 lines is another"),
        "{told}"
    );
    assert_eq!(
        fs::read_to_string(&position).unwrap().trim_end(),
        kept.trim_end()
    );

    // What was appended goes on where it was.
    fs::write(&input, text + "{\"number\":10}\n").unwrap();
    let longer = send(&setup, &input, &args, &position);
    let told = summary(&longer.wait_with_output().await.unwrap());
    assert_eq!(
        (&told["ok"], &told["lines_before"]),
        (&json!(11), &json!(10))
    );
}

/// Two handlers, of which one is away: `fast` is a collection.
fn two(service: &Service) -> String {
    let addresses = format!("addresses = [\"{}\"]", service.uri());
    format!("[handlers.fast]\n[handlers.slow]\nkind = \"grpc\"\n{addresses}\n")
}

async fn count(setup: &Setup, handler: &str) -> usize {
    let client = Client::connect(setup.uri()).await.unwrap();
    let page = Packet::list(handler, "").page(1_000, "");
    client.sync(page).await.unwrap().results[0].records.len()
}

#[tokio::test]
async fn who_goes_on_behind_an_open_line_sends_none_of_the_others_anew() {
    let directory = tempfile::tempdir().unwrap();
    let slow = Service::echo();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let setup = setup.config(&two(&slow));
    let _gateway = setup.start().await;
    let input = directory.path().join("lines");
    let fast = "{\"handler\":\"fast\",\"action\":\"create\",\"text\":\"x\"}\n";
    let open = "{\"handler\":\"slow\",\"action\":\"create\",\"text\":\"y\"}\n";
    fs::write(&input, format!("{open}{}", fast.repeat(5))).unwrap();
    let position = directory.path().join("position");
    let sending = |timeout: &str| {
        let mut command = tidegate(&setup);
        command.args(["send", "--packets", "--json", "--timeout", timeout]);
        command.arg("--input").arg(&input).arg("--position");
        command.arg(&position).output()
    };
    // It waits for what is away for no longer than it is told to.
    let first = sending("1ms").await.unwrap();
    assert_eq!(first.status.code(), Some(75));
    assert_eq!(count(&setup, "fast").await, 5);
    let kept = kept(&position);
    assert_eq!(kept["mark"]["lines"], 0, "{kept}");
    assert_eq!(kept["places"], json!({}), "{kept}");

    let _running = slow.begin();
    let again = summary(&sending("60s").await.unwrap());
    assert_eq!((&again["ok"], &again["lines"]), (&json!(6), &json!(6)));
    assert_eq!(count(&setup, "fast").await, 5);
}

#[tokio::test]
async fn a_reader_that_goes_away_costs_no_line_and_doubles_none() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let _gateway = setup.start().await;
    let input = lines(directory.path(), 500);
    let position = directory.path().join("position");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = tidegate(&setup);
    command.args(["send", "numbers", "create", "--lines", "--json", "--input"]);
    command.arg(&input).arg("--position").arg(&position);
    let ended = command.stdout(writer).status().await.unwrap();
    assert_eq!(ended.code(), Some(141));
    let kept = kept(&position);
    assert_eq!(kept["mark"]["lines"], 0, "{kept}");
    assert_eq!(count(&setup, "numbers").await, 500);

    let again = send(
        &setup,
        &input,
        &["numbers", "create", "--position"],
        &position,
    );
    let again = summary(&again.wait_with_output().await.unwrap());
    assert_eq!(again["ok"], 500, "{again}");
    assert_eq!(count(&setup, "numbers").await, 500);
}

#[tokio::test]
async fn a_gateway_that_has_lost_everything_takes_what_comes_next() {
    let directory = tempfile::tempdir().unwrap();
    let setup = |name: &str| Process::with(&directory.path().join(name)).args(&["--log", "error"]);
    let input = lines(directory.path(), 10);
    let position = directory.path().join("position");
    let args = ["numbers", "create", "--position"];
    let before = setup("before");
    let gateway = before.start().await;
    let first = send(&before, &input, &args, &position);
    assert_eq!(summary(&first.wait_with_output().await.unwrap())["ok"], 10);
    drop(gateway);

    let after = setup("after");
    let _gateway = after.start().await;
    lines(directory.path(), 11);
    let next = send(&after, &input, &args, &position);
    let told = summary(&next.wait_with_output().await.unwrap());
    assert_eq!(
        (&told["ok"], &told["lines_before"]),
        (&json!(11), &json!(10))
    );
    assert_eq!(count(&after, "numbers").await, 1);
}

#[tokio::test]
async fn names_of_many_handlers_and_of_none_stop_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let _gateway = setup.start().await;
    let input = directory.path().join("lines");
    let of = |name: String| {
        format!(
            "{{\"handler\":{},\"action\":\"create\",\"text\":\"x\"}}\n",
            json!(name)
        )
    };
    let many = (0..900).map(|number| of(format!("h{number}")));
    let wrong = (0..300).map(|number| of(format!("no handler {number}")));
    let text: String = many.chain(wrong).collect();
    fs::write(&input, text.clone() + &text).unwrap();
    let position = directory.path().join("position");
    for again in [false, true] {
        let mut command = tidegate(&setup);
        command.args(["send", "--packets", "--json", "--input"]);
        let ended = command
            .arg(&input)
            .arg("--position")
            .arg(&position)
            .output();
        let ended = ended.await.unwrap();
        let told = summary(&ended);
        assert_eq!(
            (&told["ok"], &told["refused"]),
            (&json!(1_800), &json!(600))
        );
        assert_eq!(told["lines_before"], if again { 2_400 } else { 0 });
        assert_eq!(ended.status.code(), Some(1));
    }
}

fn line(number: usize) -> String {
    format!("{{\"number\":{number}}}")
}

/// A file with so many.
fn lines(directory: &Path, count: usize) -> PathBuf {
    let path = directory.join("lines.jsonl");
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", line(number)).unwrap();
    }
    fs::write(&path, text).unwrap();
    path
}

fn tidegate(setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env("TIDEGATE_GATEWAY", setup.uri());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// As [`send`], and nothing is read of what it tells.
fn quietly(setup: &Setup, input: &Path, args: &[&str], file: &Path) -> Child {
    let mut command = tidegate(setup);
    command.arg("send").args(args).arg(file);
    command.args(["--lines", "--input"]).arg(input);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn kept(position: &Path) -> Value {
    serde_json::from_slice(&fs::read(position).unwrap()).unwrap()
}

/// `args` end with what takes a file.
fn send(setup: &Setup, input: &Path, args: &[&str], file: &Path) -> Child {
    let mut command = tidegate(setup);
    command.arg("send").args(args).arg(file);
    command
        .args(["--lines", "--input"])
        .arg(input)
        .arg("--json");
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().unwrap()
}

/// The last line of what was written in JSON.
fn summary(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let last = text.lines().last();
    let last = last.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str::<Value>(last).unwrap()["summary"].clone()
}

/// Follows every change, over as many streams as it takes.
struct Reader {
    client: Client,
    stream: Option<EventStream>,
    cursor: String,
    read: usize,
}

impl Reader {
    async fn new(setup: &Setup) -> Self {
        Self {
            client: Client::connect(setup.uri()).await.unwrap(),
            stream: None,
            cursor: String::new(),
            read: 0,
        }
    }

    /// Until there were so many in all, each the next one.
    async fn read(&mut self, until: usize) {
        while self.read < until {
            let request = EventsRequest::on(["records.numbers.n"]);
            let request = match self.cursor.as_str() {
                "" => request.from_earliest(),
                cursor => request.from_cursor(cursor),
            };
            let stream = match self.stream.take() {
                Some(stream) => Ok(stream),
                None => self.client.events(request).await,
            };
            // Nobody is there for a moment.
            let Ok(mut stream) = stream else {
                tokio::task::yield_now().await;
                continue;
            };
            while self.read < until
                && let Some(Ok(event)) = stream.next().await
            {
                if let Some(Kind::Message(message)) = &event.event {
                    let record = message.record.as_ref().unwrap();
                    assert_eq!(record.text, line(self.read));
                    self.read += 1;
                    assert_eq!(record.version, self.read as u64);
                } else {
                    assert!(!matches!(event.event, Some(Kind::Gap(_))), "{event:?}");
                }
                if !event.cursor.is_empty() {
                    self.cursor = event.cursor;
                }
            }
            self.stream = (self.read >= until).then_some(stream);
        }
    }

    /// Nothing comes after what was read.
    async fn ends_here(&mut self) {
        let last = Packet::put("numbers", "n").text(line(self.read));
        self.client.sync(last).await.unwrap();
        self.read(self.read + 1).await;
    }
}
