//! The built gateway, as a process of its own.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
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
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--ephemeral", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo built it");
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let address = timeout(PATIENCE, announced(&mut lines)).await;
        Self {
            address: address.expect("the gateway says in time where it listens"),
            child,
            _stdout: lines,
        }
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
