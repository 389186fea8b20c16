//! NATS JetStream with the same packets, published and nothing else: what the gateway does beyond that (running them, telling
//! their results) has no counterpart here.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::nats::{Answered, Connection};
use super::{Turn, measured};
use crate::cli::bench::{Fault, Times};

/// The first that has everything that is measured here, the way it is documented.
const VERSION: (u32, u32) = (2, 15);

const PUBLISHERS: usize = 4;
const MESSAGE_BYTES: usize = 100;

/// As many as an atomic batch may have.
const BATCH: usize = 1000;
/// Batches of a publisher that are not answered yet.
const BATCHES_IN_FLIGHT: usize = 2;

/// Messages of a publisher that are not answered yet.
const WINDOW: usize = 1000;

/// Within this a server is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Atomic batches on a server that syncs before it answers: the durability of a packet that is taken.
    Batches,
    /// Each message answered, a window of them under way, on a server as it comes: it syncs every two minutes.
    Windowed,
}

/// A `nats-server` that is new enough: what was asked for, or else the first one found.
pub(super) fn find(asked: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("target/tools/bin")]);
    let found = folders.map(|folder| folder.join("nats-server"));
    let mut candidates: Vec<PathBuf> = match asked {
        Some(path) => vec![path.to_owned()],
        None => found.collect(),
    };
    candidates.retain(|path| version(path).is_some_and(|version| version >= VERSION));
    candidates.into_iter().next()
}

/// It prints `nats-server: v2.15.2`.
fn version(path: &Path) -> Option<(u32, u32)> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, numbers) = text.trim().rsplit_once('v')?;
    let mut numbers = numbers.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// One turn, on a server of its own with an empty directory inside `folder`.
pub(super) async fn turn(
    program: &Path,
    folder: &Path,
    way: Way,
    times: Times,
) -> Result<Turn, Fault> {
    let folder = folder.join("jetstream");
    let server = Server::start(program, &folder, way)
        .await
        .map_err(|error| wrong(&error))?;
    let published = Arc::new(AtomicU64::new(0));
    // Dropping the set ends its tasks, whatever the way out.
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let counter = published.clone();
        match way {
            Way::Batches => {
                let connection = Connection::open(&server.address).await;
                let connection = connection.map_err(|error| wrong(&error))?;
                publishers.spawn(batches(connection, number, counter))
            }
            Way::Windowed => {
                let client = async_nats::connect(&server.address).await;
                let client = client.map_err(|error| Fault::Wrong(error.to_string()))?;
                publishers.spawn(windowed(client, number, counter))
            }
        };
    }
    let figure = tokio::select! {
        Some(failed) = publishers.join_next() => match failed {
            Ok(Ok(())) => Err(Fault::Wrong("a publisher ended".to_owned())),
            Ok(Err(error)) => Err(wrong(&error)),
            Err(error) => Err(Fault::Wrong(error.to_string())),
        },
        turn = measured(server.whose(), times, || published.load(Ordering::Relaxed)) => Ok(turn),
    };
    drop(publishers);
    drop(server);
    // What stays is removed with the folder around it.
    let _ = std::fs::remove_dir_all(&folder);
    figure
}

/// Until it fails: atomic batches, some of them under way.
async fn batches(
    mut connection: Connection,
    number: usize,
    published: Arc<AtomicU64>,
) -> io::Result<()> {
    let (mut next, mut in_flight) = (0_u64, 0);
    loop {
        while in_flight < BATCHES_IN_FLIGHT {
            let batch = batch(&connection, &format!("{number}-{next}"), number);
            connection.send(&batch).await?;
            next += 1;
            in_flight += 1;
        }
        for answer in connection.answers().await? {
            check(&answer)?;
            published.fetch_add(BATCH as u64, Ordering::Relaxed);
            in_flight -= 1;
        }
    }
}

/// Only the last message of it, which commits it, is answered.
fn batch(connection: &Connection, id: &str, number: usize) -> Vec<u8> {
    let subject = format!("bench.{number}");
    let mut bytes = Vec::with_capacity(BATCH * (MESSAGE_BYTES + 128));
    for place in 1..=BATCH {
        let mut headers = format!("Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {place}\r\n");
        let mut answered = Answered::No;
        if place == BATCH {
            headers.push_str("Nats-Batch-Commit: 1\r\n");
            answered = Answered::Yes;
        }
        let content = [b'x'; MESSAGE_BYTES];
        connection.publish(&mut bytes, &subject, &headers, &content, answered);
    }
    bytes
}

/// Until it fails: messages that are answered one by one, with NATS's own client, as its users publish them.
async fn windowed(
    client: async_nats::Client,
    number: usize,
    published: Arc<AtomicU64>,
) -> io::Result<()> {
    let context = async_nats::jetstream::new(client);
    let subject = async_nats::Subject::from(format!("bench.{number}"));
    let content = Bytes::from_static(&[b'x'; MESSAGE_BYTES]);
    let mut unanswered = VecDeque::with_capacity(WINDOW);
    loop {
        while unanswered.len() < WINDOW {
            let sent = context.publish(subject.clone(), content.clone()).await;
            unanswered.push_back(sent.map_err(io::Error::other)?.into_future());
        }
        // They are answered in order.
        if let Some(oldest) = unanswered.pop_front() {
            oldest.await.map_err(io::Error::other)?;
            published.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// It says where the message is stored, or what is wrong.
fn check(answer: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(answer);
    match text.contains("\"seq\":") && !text.contains("\"error\"") {
        true => Ok(()),
        false => Err(io::Error::other(text.into_owned())),
    }
}

/// A process of its own. It ends when this is dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// With one stream, in files.
    async fn start(program: &Path, folder: &Path, way: Way) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let sync = match way {
            Way::Batches => "sync_interval: always",
            Way::Windowed => "",
        };
        let config = folder.join("server.conf");
        let text = format!(
            "host: 127.0.0.1\nport: -1\nports_file_dir: {folder:?}\nlog_file: {:?}\njetstream {{\n  store_dir: {folder:?}\n  {sync}\n}}\n",
            folder.join("log"),
        );
        std::fs::write(&config, text)?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self {
            child,
            address: String::new(),
        };
        server.address = server.announced(folder).await?;
        let mut connection = Connection::open(&server.address).await?;
        let stream =
            r#"{"name":"BENCH","subjects":["bench.>"],"storage":"file","allow_atomic":true}"#;
        let answer = connection
            .ask("$JS.API.STREAM.CREATE.BENCH", stream)
            .await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        match answer["error"].is_null() && answer["config"]["allow_atomic"] == true {
            true => Ok(server),
            false => Err(io::Error::other(format!("no stream was made: {answer}"))),
        }
    }

    /// Where it listens, which it writes to a file.
    async fn announced(&mut self, folder: &Path) -> io::Result<String> {
        let file = folder.join(format!("nats-server_{}.ports", self.child.id()));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                let message = format!("nats-server ended with {status}");
                return Err(io::Error::other(message));
            }
            let ports = std::fs::read(&file).unwrap_or_default();
            // Not there, or not all of it: it is looked at again.
            let ports: Value = serde_json::from_slice(&ports).unwrap_or_default();
            if let Some(address) = ports["nats"][0].as_str() {
                return Ok(address.trim_start_matches("nats://").to_owned());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(io::Error::other(
            "nats-server does not say where it listens",
        ))
    }

    fn whose(&self) -> super::usage::Whose {
        super::usage::Whose::Process(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wrong(error: &io::Error) -> Fault {
    Fault::Wrong(format!("JetStream: {error}"))
}
