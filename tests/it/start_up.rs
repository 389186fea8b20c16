//! How long a start takes, and how much memory, with a long history.

mod history;

use std::path::Path;
use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, EventsRequest, Outcome, Packet};
use tokio::time::{Instant, timeout};

use self::history::{CLIENTS, OTHERS, TOPIC};
use crate::support::{Process, Setup, event, message};

/// More than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// How many there are, if this is not set otherwise.
const PACKETS: usize = 1_000_000;
const PACKETS_ARE: &str = "HISTORY_PACKETS";

/// What is in the commit log alone when the process is killed: as much as fits it before a checkpoint.
const UNMOVED: usize = 200_000;

const IN_TIME: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;
const RESIDENT: u64 = 256 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_3_7_a_long_history_makes_no_slow_start() {
    let shown = timeout(PATIENCE, start_on_a_history()).await;
    println!("SHOWS 3.7 {}", shown.expect("it is done in time"));
}

async fn start_on_a_history() -> String {
    let packets = packets();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let started = Instant::now();
    history::build(&data, packets).await;
    let built = started.elapsed();
    let disk = bytes_in(&data);

    let setup = Process::with(&data).args(&["--log", "error"]);
    let (process, stopped) = start(&setup, packets).await;
    write_more(&setup).await;
    process.kill().await;
    let (process, killed) = start(&setup, packets).await;
    assert!(process.stop().await.success());
    format!(
        "{packets} packets with a message each, of {CLIENTS} clients and {} that came once, {} of them without a place ({} MiB \
         on disk, made in {:.0} s): after a clean stop {stopped}; after a kill with {UNMOVED} messages in the log {killed}",
        packets / OTHERS,
        packets / OTHERS,
        disk / MIB,
        built.as_secs_f64(),
    )
}

/// Starts it, until it has answered. Gives that, and what it took.
async fn start(setup: &Setup, packets: usize) -> (Process, String) {
    let started = Instant::now();
    let process = setup.start().await;
    let client = Client::connect(setup.uri()).await.unwrap();
    let answer = client
        .sync(Packet::create("fresh").text("first"))
        .await
        .unwrap();
    assert_eq!(answer.results[0].outcome(), Outcome::Ok);
    let took = started.elapsed();
    assert!(took <= IN_TIME, "the first answer came after {took:?}");
    assert_there(&client, packets).await;
    let memory = process.memory();
    assert!(
        memory.peak <= RESIDENT,
        "{} MiB are resident, and {} MiB were",
        memory.resident / MIB,
        memory.peak / MIB
    );
    let shown = format!(
        "the first answer after {} ms, {} MiB resident (at its peak {})",
        took.as_millis(),
        memory.resident / MIB,
        memory.peak / MIB,
    );
    (process, shown)
}

/// The history is there: a client's place, the newest records, the oldest and newest messages.
async fn assert_there(client: &Client, packets: usize) {
    let packet = Packet::publish(TOPIC).text("early").seq(u64::MAX);
    let early = BatchRequest::of([packet]).client_id(history::client_id(0));
    let result = client.sync(early).await.unwrap().results.pop().unwrap();
    let places = history::places(packets);
    assert_eq!(result.next_seq, places as u64 + 1);

    let listed = client.sync(Packet::list("notes", "")).await.unwrap();
    assert_eq!(listed.results[0].records.len(), 100);
    let on = || EventsRequest::on([format!("{TOPIC}.>")]);
    let mut oldest = client.events(on().from_earliest()).await.unwrap();
    assert_eq!(message(&mut oldest).await.message.text, history::text(0));
    let mut newest = client.events(on().from_last(1)).await.unwrap();
    event(&mut newest).await;
    message(&mut newest).await;
}

async fn write_more(setup: &Setup) {
    const TOGETHER: usize = 1_000;
    let client = Client::connect(setup.uri()).await.unwrap();
    for first in (0..UNMOVED).step_by(TOGETHER) {
        let numbers = first..first + TOGETHER;
        let packets = numbers.map(|number| Packet::publish("more").text(history::text(number)));
        let answer = client.sync(BatchRequest::of(packets)).await.unwrap();
        assert_eq!(answer.results[0].outcome(), Outcome::Ok);
    }
}

fn packets() -> usize {
    std::env::var(PACKETS_ARE).map_or(PACKETS, |text| text.parse().expect("a number"))
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    let sizes = entries.map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            bytes_in(&entry.path())
        } else {
            metadata.len()
        }
    });
    sizes.sum()
}
