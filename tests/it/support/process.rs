//! The built gateway, as a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

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

/// What a process holds in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    pub async fn start() -> Self {
        Self::spawn(command().arg("--ephemeral")).await
    }

    /// With everything in this directory, and these variables of the configuration. Its log is this one's to read.
    pub async fn on(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.arg("--data").arg(directory).stderr(Stdio::piped());
        Self::spawn(command.envs(variables.iter().copied())).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("cargo built it");
        let stdout = child.stdout.take().expect("it is piped");
        let log = child.stderr.take();
        let mut lines = BufReader::new(stdout).lines();
        let address = timeout(PATIENCE, announced(&mut lines)).await;
        Self {
            address: address.expect("the gateway says in time where it listens"),
            child,
            _stdout: lines,
            log: log.map(|log| BufReader::new(log).lines()),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends it a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.await.unwrap().success(), "no signal for {id}");
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

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn memory(&self) -> Memory {
        let id = self.child.id().expect("it runs until it is dropped");
        let path = format!("/proc/{id}/status");
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

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn announced(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    while let Some(line) = lines.next_line().await.unwrap() {
        let Some((_, rest)) = line.split_once(" 127.0.0.1:") else {
            continue;
        };
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return format!("127.0.0.1:{port}");
    }
    panic!("the gateway ended without saying where it listens");
}
