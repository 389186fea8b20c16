//! The disk is full, has room again, and is full again, while clients write: what was told stands, and it goes on.

mod source;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::proto::{EventsRequest, Outcome, Packet};
use tidegate_client::{Client, EventStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::source::{Progress, Source};
use crate::support::{Process, SmallDisk, message};

/// More than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const SOURCES: usize = 4;
const ROUNDS: usize = 3;

/// What each source writes before the disk is filled, and after it was freed.
const PACKETS: usize = 2_000;

/// How often each source is refused before the disk is freed.
const REFUSALS: usize = 5;

const MIB: f64 = (1 << 20) as f64;

const SIZE: &str = "64m";
const CONFIG: &str = "[store]\nmessages = \"16MiB\"\n";

/// Published after everything else.
const END: &str = "feed.end";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_3_4_a_full_disk_takes_nothing_back_and_is_over_when_there_is_room() {
    let shown = timeout(PATIENCE, three_times_full()).await;
    println!("SHOWS 3.4 {}", shown.expect("it is done in time"));
}

async fn three_times_full() -> String {
    let disk = SmallDisk::mount(SIZE).await;
    let setup = Process::with(&disk.path().join("data")).config(CONFIG);
    // That there is no room is no news here.
    let setup = setup.args(&["--log", "error"]);
    let process = setup.start().await;
    let client = Client::connect(setup.uri()).await.unwrap();
    let on = EventsRequest::on(["feed.>"]);
    let watching = tokio::spawn(watch_all(client.events(on).await.unwrap()));

    let (stop, stopped) = watch::channel(false);
    let mut progress = Vec::new();
    let mut writing = Vec::new();
    for number in 0..SOURCES {
        let client = Client::connect(setup.uri()).await.unwrap();
        let source = Source::new(client, number);
        progress.push(source.progress.subscribe());
        writing.push(tokio::spawn(source.write(stopped.clone())));
    }
    let (mut filled, mut slowest) = (Vec::new(), Duration::ZERO);
    for _ in 0..ROUNDS {
        all(&mut progress, |before, now| {
            now.applied >= before.applied + PACKETS
        })
        .await;
        filled.push(fill(&disk, &mut progress).await as f64 / MIB);
        let read = client.sync(Packet::list("notes", "")).await.unwrap();
        assert_eq!(
            read.results[0].outcome(),
            Outcome::Ok,
            "what is there is read"
        );
        disk.free();
        let freed = Instant::now();
        all(&mut progress, |before, now| now.applied > before.applied).await;
        slowest = slowest.max(freed.elapsed());
        all(&mut progress, |before, now| {
            now.applied >= before.applied + PACKETS
        })
        .await;
    }
    stop.send_replace(true);
    let sources: Vec<_> = join_all(writing)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    client
        .sync(Packet::publish(END).text("that was all"))
        .await
        .unwrap();
    let mut seen = watching.await.unwrap();
    for source in &sources {
        let published: Vec<_> = source.published().collect();
        assert!(
            seen.remove(&source.topic()) == Some(published),
            "every message came once, in order"
        );
    }
    assert_kept(&client, &sources).await;
    disk.fill();
    process.kill().await;
    let process = setup.start().await;
    let read = client.sync(Packet::list("notes", "")).await.unwrap();
    assert_eq!(
        read.results[0].outcome(),
        Outcome::Ok,
        "it starts on a full disk"
    );
    disk.free();
    assert_kept(&client, &sources).await;
    assert!(process.stop().await.success());

    let progress: Vec<Progress> = sources
        .iter()
        .map(|source| *source.progress.borrow())
        .collect();
    let sum = |of: fn(&Progress) -> usize| progress.iter().map(of).sum::<usize>();
    format!(
        "{SIZE} full {ROUNDS} times in one process (with {filled:.0?} MiB of ballast) under {SOURCES} sources: {} packets \
         applied, {} requests refused with STORE_UNAVAILABLE, {} results in doubt; everybody goes on within {} ms of the \
         disk's being freed; all records, messages and answers are there, also after a kill and a start on the full disk",
        sum(|one| one.applied),
        sum(|one| one.refused),
        sum(|one| one.in_doubt),
        slowest.as_millis(),
    )
}

/// Until each of them has gone so far from where it is now.
async fn all(progress: &mut [watch::Receiver<Progress>], far: fn(&Progress, &Progress) -> bool) {
    let gone = progress.iter_mut().map(|source| async move {
        let before = *source.borrow();
        source.wait_for(|now| far(&before, now)).await.unwrap();
    });
    join_all(gone).await;
}

/// Takes all room that there is, also what retention and checkpoints find, until everybody was refused often enough. Gives
/// how many bytes it took.
async fn fill(disk: &SmallDisk, progress: &mut [watch::Receiver<Progress>]) -> usize {
    let refused = |progress: &[watch::Receiver<Progress>]| -> Vec<usize> {
        progress
            .iter()
            .map(|source| source.borrow().refused)
            .collect()
    };
    let before = refused(progress);
    let mut taken = 0;
    loop {
        taken += disk.fill();
        let now = refused(progress).into_iter().zip(&before);
        if now
            .into_iter()
            .all(|(now, before)| now >= before + REFUSALS)
        {
            return taken;
        }
        progress[0].changed().await.unwrap();
    }
}

/// What was published on each topic before the end.
async fn watch_all(mut stream: EventStream) -> HashMap<String, Vec<String>> {
    let mut seen: HashMap<_, Vec<_>> = HashMap::new();
    loop {
        let message = message(&mut stream).await.message;
        if message.topic == END {
            return seen;
        }
        seen.entry(message.topic).or_default().push(message.text);
    }
}

/// The records, the newest messages of each topic, and every answer.
async fn assert_kept(client: &Client, sources: &[Source]) {
    for source in sources {
        for (key, version, text) in source.records() {
            let read = client.sync(Packet::read("notes", &key)).await.unwrap();
            let record = &read.results[0].records[0];
            assert_eq!((record.version, &record.text), (version, &text), "{key}");
        }
        let mut published: Vec<_> = source.published().collect();
        let history = history(client, &source.topic()).await;
        let kept = published.split_off(published.len().saturating_sub(history.len()));
        assert!(
            !history.is_empty() && history == kept,
            "the newest ones are kept"
        );
        source.repeat().await;
    }
}

async fn history(client: &Client, topic: &str) -> Vec<String> {
    let (mut texts, mut page) = (Vec::new(), String::new());
    loop {
        let packet = Packet::list("topics", topic).page(1_000, page);
        let result = client.sync(packet).await.unwrap().results.pop().unwrap();
        texts.extend(result.messages.into_iter().map(|message| message.text));
        page = result.next_page_token;
        if page.is_empty() {
            return texts;
        }
    }
}
