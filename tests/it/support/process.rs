//! The built gateway, as a process of its own, and other programs that say where they listen.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::gateway::ADMIN_TOKEN;

/// More than a start needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway of its own for a test, on a free port. Its process ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    address: String,
    /// Ended by its id on drop, before the pipe that it prints to is closed.
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    /// Its log, line by line; `None` where the test's own stderr has it.
    log: Option<Lines<BufReader<ChildStderr>>>,
}

/// A gateway to be, as often as it is started: on one directory, and always at one address, so that clients find it again.
#[derive(Debug, Clone)]
pub struct Setup {
    program: PathBuf,
    data: PathBuf,
    address: String,
    /// Gone with the last clone.
    config: Option<Arc<NamedTempFile>>,
    args: Vec<String>,
}

/// What a process holds in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    /// In memory.
    pub async fn start() -> Self {
        let args = ["--ephemeral", "--listen", "127.0.0.1:0"];
        Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(["serve"])
                .args(args)
                // So that nothing is left where others find it.
                .env("TIDEGATE_ADMIN__TOKEN", ADMIN_TOKEN),
        )
        .await
    }

    /// On this directory: `Process::with(directory).start().await`.
    pub fn with(data: &Path) -> Setup {
        Setup {
            program: env!("CARGO_BIN_EXE_tidegate").into(),
            data: data.to_owned(),
            address: free_address(),
            config: None,
            args: Vec::new(),
        }
    }

    /// With everything in this directory, and these variables of the configuration. Its log is this one's to read.
    pub async fn on(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(directory).stderr(Stdio::piped());
        Self::spawn(command.envs(variables.iter().copied())).await
    }

    /// Any program that says where it listens, as the gateway and the examples' handlers do; a gateway has Admin on a port that is
    /// free if nothing else says where.
    pub async fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it was built");
        let stdout = child.stdout.take().expect("it is piped");
        let log = child.stderr.take();
        let mut lines = BufReader::new(stdout).lines();
        let address = timeout(PATIENCE, announced(&mut lines)).await;
        Self {
            address: address.expect("it says in time where it listens"),
            child,
            _stdout: lines,
            log: log.map(|log| BufReader::new(log).lines()),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs until it is dropped")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Waits until its log has a line with this.
    pub async fn says(&mut self, text: &str) {
        let log = self.log.as_mut().expect("its log is read");
        let found = async {
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains(text) {
                    return;
                }
            }
            panic!("it ended without saying {text:?}");
        };
        timeout(PATIENCE, found).await.expect("it says so in time");
    }

    /// Waits for its end: its code, and the rest of its log.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let ending = async {
            while let Some(log) = &mut self.log
                && let Some(line) = log.next_line().await.unwrap()
            {
                rest += &line;
                rest.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, ending).await.expect("it ends in time");
        (status.code(), rest)
    }

    /// SIGKILL: what is not with the kernel by now is gone. Nothing of it runs any more when this returns.
    pub async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// SIGTERM, and what it ends with.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it stops in time").unwrap()
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path}, where Linux tells memory: {error}"));
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let digits = line.unwrap().trim().trim_end_matches(" kB");
            digits.parse::<u64>().unwrap() << 10
        };
        Memory {
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }
}

impl Setup {
    /// Another build of the gateway than the one that belongs to the tests.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    /// With this configuration file.
    pub fn config(mut self, text: &str) -> Self {
        let mut file = NamedTempFile::with_suffix(".toml").unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.config = Some(Arc::new(file));
        self
    }

    /// With more options of `serve`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens when this returns.
    pub async fn start(&self) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--listen", &self.address]);
        command.arg("--data").arg(&self.data);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config.path());
        }
        Process::spawn(command.args(&self.args)).await
    }
}

pub(super) fn pid(child: &Child) -> Pid {
    let id = child.id().expect("it was not waited for");
    Pid::from_raw(id.cast_signed()).expect("no process has the id 0")
}

/// Below the ports that Linux gives to whoever connects: a client that knocks while nobody listens could be given the very
/// port that it knocks at, and would keep the gateway from it.
pub(super) fn free_address() -> String {
    let ports = std::iter::repeat_with(|| rand::rng().random_range(10_000..32_000_u16));
    let mut addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    let free = addresses.find(|address| TcpListener::bind(address).is_ok());
    free.expect("it looks until there is one")
}

async fn announced(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    while let Some(line) = lines.next_line().await.unwrap() {
        let Some((_, rest)) = line.split_once(" 127.0.0.1:") else {
            continue;
        };
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return format!("127.0.0.1:{port}");
    }
    panic!("it ended without saying where it listens");
}
