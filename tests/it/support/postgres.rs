//! PostgreSQL, as Debian has it, in a directory of its own: reached by a Unix socket there, and by nothing else.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// More than a start needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// It refuses to run as root; then it runs as `nobody`.
const NOBODY: u32 = 65_534;

/// A server with what is in its database. It ends with this, and is begun again on the same data.
pub struct Postgres {
    directory: TempDir,
    /// `None`: it is away. Ended by its id.
    server: Option<Child>,
}

impl Postgres {
    /// Takes connections when this returns. Nothing is in it.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut postgres = Self {
            directory,
            server: None,
        };
        // What a power cut could take of an empty database need not be on disk; what is put in later is.
        let made = postgres
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-locale"])
            .args(["--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(postgres.data())
            .output()
            .expect("PostgreSQL is there: `make tools` installs it");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        postgres.begin().await;
        postgres
    }

    /// Takes connections when this returns.
    pub async fn begin(&mut self) {
        let mut server = self
            .command("postgres")
            .args(["-c", "listen_addresses=", "-k"])
            .arg(self.directory.path())
            .arg("-D")
            .arg(self.data())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(server.stderr.take().expect("it is piped"));
        self.server = Some(server);
        let (ready, is_ready) = oneshot::channel();
        // Reads to its end: a server whose log nobody reads stops one day.
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            for line in log.lines().map_while(Result::ok) {
                if line.ends_with("ready to accept connections")
                    && let Some(ready) = ready.take()
                {
                    // Nobody waits any more where the test has failed.
                    let _ = ready.send(());
                }
            }
        });
        let is_ready = timeout(PATIENCE, is_ready).await;
        is_ready.expect("it starts in time").expect("it starts");
    }

    /// As a crash would: those who are connected are cut off, and what was not committed is gone.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            let id = Pid::from_child(&server);
            kill_process(id, Signal::QUIT).unwrap();
            server.wait().unwrap();
        }
    }

    /// For whoever connects.
    pub fn url(&self) -> String {
        let directory = self.directory.path().display();
        format!("host={directory} user=postgres dbname=postgres")
    }

    pub async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program));
        command
            .current_dir(self.directory.path())
            .env("LC_ALL", "C");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// Debian keeps its servers out of the PATH, in a directory for each version; the last one is taken.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let versions = versions.flatten().map(|version| version.unwrap().path());
    let there = versions.filter(|version| version.join("bin").join(program).exists());
    let number = |version: &PathBuf| version.file_name()?.to_str()?.parse::<u32>().ok();
    let last = there.max_by_key(number);
    last.map_or_else(
        || program.into(),
        |version| version.join("bin").join(program),
    )
}
