//! A handler in a process of its own: this test binary, started once more to be one. It can be stopped and killed, and begun
//! again where it was; what it was called with is known here whatever becomes of it.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tidegate::wire::handler::handler_server::{Handler, HandlerServer};
use tidegate::wire::proto::{HandleItem, HandleRequest, HandleResponse};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as Turn, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::process::{free_address, pid};
use super::service::{answers, echoed, said};

/// More than a start needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is below as a test, and what it is told by.
const ENTRY: &str = "support::backend::is_a_handler_where_it_is_told_to_be_one";
const ADDRESS: &str = "BACKEND_ADDRESS";
const CONDUCT: &str = "BACKEND_CONDUCT";

/// Linux counts a process's time in hundredths of a second for everyone who asks.
const TICK: Duration = Duration::from_millis(10);

/// How it behaves. It answers OK to each item, with its content.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Conduct {
    /// What a call takes, and each item of it besides. Nothing is computed meanwhile.
    pub call: Duration,
    pub item: Duration,
    /// Whether calls wait for each other.
    pub one_by_one: bool,
    /// Whether it answers without content.
    pub terse: bool,
    /// It fails any batch that has this text.
    pub fails_at: Option<String>,
    /// Any batch that has this text is its end.
    pub crashes_at: Option<String>,
}

/// One call, as it was noted before anything came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When it was heard of here.
    pub at: Instant,
    pub items: usize,
    /// Whether any of them had been called before.
    pub again: bool,
    /// Whether it has what it fails or crashes at.
    pub bad: bool,
    pub through: bool,
}

/// A handler to be, as often as it is started, always at one address. Its process ends when this is dropped.
#[derive(Debug)]
pub struct Backend {
    address: String,
    conduct: Conduct,
    calls: Arc<Mutex<Vec<Call>>>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// A line to it is a question, and its end is the child's.
    questions: ChildStdin,
    answered: watch::Receiver<usize>,
    reading: JoinHandle<()>,
}

impl Backend {
    /// Listens when this returns.
    pub async fn start(conduct: Conduct) -> Self {
        let mut backend = Self {
            address: free_address(),
            conduct,
            calls: Arc::default(),
            running: None,
        };
        backend.begin().await;
        backend
    }

    /// Where the one before has ended. Listens when this returns.
    pub async fn begin(&mut self) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--nocapture"])
            .env(ADDRESS, &self.address)
            .env(CONDUCT, serde_json::to_string(&self.conduct).unwrap())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let questions = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let (answer, mut answered) = watch::channel(0);
        let reading = tokio::spawn(read(stdout, self.calls.clone(), answer));
        let mut running = Running {
            child,
            questions,
            answered: answered.clone(),
            reading,
        };
        running.questions.write_all(b"\n").await.unwrap();
        let listens = answered.wait_for(|answers| *answers > 0);
        let listens = timeout(PATIENCE, listens).await;
        listens.expect("it listens in time").expect("it listens");
        self.running = Some(running);
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL: it is gone when this returns.
    pub async fn kill(&mut self) {
        let running = self.running.as_mut().expect("it runs");
        running.child.start_kill().unwrap();
        self.ended().await;
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) {
        let running = self.running.as_mut().expect("it runs");
        running.child.wait().await.unwrap();
        // What it wrote is in the pipe yet.
        (&mut running.reading).await.unwrap();
        self.running = None;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Every call of it and of those before it at this address, all that were answered included. It must be running.
    pub async fn calls(&mut self) -> Vec<Call> {
        let running = self.running.as_mut().expect("it runs");
        let before = *running.answered.borrow();
        running.questions.write_all(b"\n").await.unwrap();
        let answered = running.answered.wait_for(|answers| *answers > before);
        timeout(PATIENCE, answered).await.unwrap().unwrap();
        self.calls.lock().clone()
    }

    /// The time on a processor that it took so far.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path}, where Linux tells the time: {error}"));
        // The 14th and 15th field, counted from behind the name, which may have spaces.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        TICK * ticks
            .map(|field| field.parse::<u32>().unwrap())
            .sum::<u32>()
    }

    fn pid(&self) -> Pid {
        pid(&self.running.as_ref().expect("it runs").child)
    }
}

/// Notes what the child says, until it ends.
async fn read(stdout: ChildStdout, calls: Arc<Mutex<Vec<Call>>>, answer: watch::Sender<usize>) {
    let mut lines = BufReader::new(stdout).lines();
    // By the child's numbers.
    let mut places = HashMap::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["answer"] => answer.send_modify(|answers| *answers += 1),
            ["call", number, items, again, bad] => {
                let mut calls = calls.lock();
                places.insert(number.to_owned(), calls.len());
                calls.push(Call {
                    at: Instant::now(),
                    items: items.parse().unwrap(),
                    again: again.parse().unwrap(),
                    bad: bad.parse().unwrap(),
                    through: false,
                });
            }
            ["through", number] => calls.lock()[places[number]].through = true,
            // What the harness of tests says.
            _ => {}
        }
    }
}

/// No test: what the process of a [`Backend`] runs.
#[test]
fn is_a_handler_where_it_is_told_to_be_one() {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let conduct = std::env::var(CONDUCT).unwrap();
    let handler = InChild {
        conduct: serde_json::from_str(&conduct).unwrap(),
        turn: Turn::default(),
        calls: AtomicU64::new(0),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        std::thread::spawn(answer_until_the_end);
        Server::builder()
            .add_service(HandlerServer::new(handler))
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await
            .unwrap();
    });
}

/// A process whose parent is gone is not wanted any more.
fn answer_until_the_end() {
    for _ in std::io::stdin().lock().lines() {
        say("answer");
    }
    std::process::exit(0);
}

/// Not by the macro, whose lines the harness of tests may keep back.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n{line}").unwrap();
    stdout.flush().unwrap();
}

/// The handler in its process.
struct InChild {
    conduct: Conduct,
    turn: Turn<()>,
    calls: AtomicU64,
}

#[tonic::async_trait]
impl Handler for InChild {
    async fn handle(
        &self,
        request: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let items = request.into_inner().items;
        let has = |text: &Option<String>| {
            let text = text.as_deref();
            text.is_some_and(|text| items.iter().any(|item| said(item) == text))
        };
        let (fails, crashes) = (has(&self.conduct.fails_at), has(&self.conduct.crashes_at));
        let again = items.iter().any(|item| item.attempt > 1);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let (count, bad) = (items.len(), fails || crashes);
        say(&format!("call {number} {count} {again} {bad}"));
        if crashes {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        self.work(&items).await;
        if fails {
            return Err(Status::unknown(
                "one of these is wrong, and I do not know which",
            ));
        }
        say(&format!("through {number}"));
        let answer = |item: &HandleItem| {
            let mut answer = echoed(item);
            if self.conduct.terse {
                answer.data.clear();
            }
            answer
        };
        Ok(Response::new(answers(items.iter().map(answer))))
    }
}

impl InChild {
    async fn work(&self, items: &[HandleItem]) {
        let time = self.conduct.call + self.conduct.item * items.len() as u32;
        let _turn = match self.conduct.one_by_one {
            true => Some(self.turn.lock().await),
            false => None,
        };
        sleep(time).await;
    }
}
