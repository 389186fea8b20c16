//! A stranger's first minute: a clean clone, `make run`, and the README's first call.
//!
//! It builds the release, so the Makefile runs it alone, after the others. The README's other command, `make test`, is what
//! runs it: CI does that in a clean clone of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// More than building everything from nothing takes on two busy cores.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

#[tokio::test]
async fn shows_2_11_the_readmes_commands_in_a_clean_clone() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("tidegate");
    let cloned = Command::new("git")
        .args(["clone", "--quiet", "--no-hardlinks"])
        .args([repository, &clone])
        .status()
        .await
        .expect("git is there");
    assert!(cloned.success(), "{} can be cloned", repository.display());

    let readme = std::fs::read_to_string(clone.join("README.md")).unwrap();
    for command in ["\nmake run\n", "make test"] {
        assert!(readme.contains(command), "README.md has {command:?}");
    }
    let gateway = Made::run(&clone, &repository.join("target")).await;
    let call = readme.lines().find(|line| line.starts_with("grpcurl "));
    let call = call
        .expect("README.md has a call")
        .replace("127.0.0.1:50051", &gateway.address);
    let path = std::env::var("PATH").unwrap();
    let tools = repository.join("target/tools/bin");
    let answer = Command::new("sh")
        .args(["-c", &call])
        .env("PATH", format!("{}:{path}", tools.display()))
        .output()
        .await
        .unwrap();
    let answer = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.contains("OUTCOME_OK"), "{call}\n{answer}");
    println!(
        "SHOWS 2.11 in a clean clone `make run` starts the gateway and the README's first call is OK; `make test` is what ran this"
    );
}

/// What `make run` started. It and its children end by the id of their group when this is dropped.
struct Made {
    make: Child,
    address: String,
    /// Open as long as it runs: what it goes on to say is nobody's fault.
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Made {
    /// Built where the repository's own builds are, so that the dependencies are built once.
    async fn run(clone: &Path, target: &Path) -> Self {
        let mut make = Command::new("make")
            .arg("run")
            .current_dir(clone)
            .env("CARGO_TARGET_DIR", target)
            .env("TIDEGATE_SERVER__LISTEN", "127.0.0.1:0")
            .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("make is there");
        let stdout = BufReader::new(make.stdout.take().expect("it is piped"));
        let mut made = Self {
            make,
            address: String::new(),
            stdout: stdout.lines(),
        };
        let announced = async {
            while let Some(line) = made.stdout.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("listening on ") {
                    return address.trim().to_owned();
                }
            }
            panic!("`make run` ended without saying where it listens");
        };
        made.address = timeout(PATIENCE, announced)
            .await
            .expect("`make run` starts in time");
        made
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(group) = self.make.id() {
            let ended = std::process::Command::new("kill")
                .args(["-TERM", "--", &format!("-{group}")])
                .status();
            assert!(
                ended.is_ok_and(|status| status.success()),
                "the group {group} can be ended"
            );
        }
    }
}
