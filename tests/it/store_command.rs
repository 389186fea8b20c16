//! `tidegate store`, as it is typed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_client::proto::{BatchRequest, Packet};
use tokio::process::Command;

use crate::support::{Process, gateway};

/// What a gateway leaves that had some records, and was stopped.
async fn left() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let gateway = gateway().data(directory.path()).start().await;
    let client = gateway.client().await;
    let packets = (0..500).map(|number| {
        let packet = Packet::create("todos").key(format!("todo-{number}"));
        packet.text("buy milk ".repeat(20))
    });
    client.sync(BatchRequest::of(packets)).await.unwrap();
    gateway.stop().await.unwrap();
    directory
}

async fn store(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("store")
        .args(arguments)
        .arg(directory)
        .output()
        .await
        .expect("cargo built it")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn part(directory: &Path) -> PathBuf {
    let mut parts = fs::read_dir(directory.join("parts")).unwrap();
    parts.next().expect("there is a part").unwrap().path()
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}

#[tokio::test]
async fn what_takes_the_room_is_shown() {
    let directory = left().await;
    for check in [&[][..], &["--check"]] {
        let shown = store(check, directory.path()).await;
        assert_eq!(code(&shown), 0, "{}", stderr(&shown));
        let text = stdout(&shown);
        for line in [
            "commit log",
            "1 part",
            "500 messages",
            "records",
            "500 rows",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        let todos = text.lines().find(|line| line.starts_with("todos"));
        let todos = todos.unwrap_or_else(|| panic!("no collection in\n{text}"));
        assert!(todos.ends_with(" 500"), "{todos}");
    }
    let checked = stdout(&store(&["--check"], directory.path()).await);
    assert!(
        checked.contains("everything was read, and is whole"),
        "{checked}"
    );

    let shown = store(&["--check", "--json"], directory.path()).await;
    assert_eq!(code(&shown), 0);
    let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["collections"]["todos"], 500);
    assert_eq!(json["parts"][0]["messages"]["count"], 500);
    assert_eq!(json["damage"], Value::Array(Vec::new()));
    assert_eq!(json["checked"], true);
    let epoch = json["epochs"][0]["id"].as_str().unwrap();
    assert!(epoch.parse::<u64>().is_ok(), "{epoch} has every digit");
    let shown = store(&["--json"], directory.path()).await;
    let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(json["checked"], false);
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_named() {
    let directory = left().await;
    let part = part(directory.path());
    let middle = fs::metadata(&part).unwrap().len() / 2;
    flip(&part, middle);
    let shown = store(&["--check"], directory.path()).await;
    assert_eq!(code(&shown), 1, "{}", stdout(&shown));
    let text = stdout(&shown);
    let name = part.file_name().unwrap().to_str().unwrap();
    let damage = text.lines().find(|line| line.starts_with("damage: "));
    let damage = damage.unwrap_or_else(|| panic!("no damage in\n{text}"));
    assert!(damage.contains(name), "{damage}");
    assert!(
        damage.contains("missing are its messages from position "),
        "{damage}"
    );
    assert!(
        stderr(&shown).contains("is damaged: one finding"),
        "{}",
        stderr(&shown)
    );

    let json = store(&["--check", "--json"], directory.path()).await;
    assert_eq!(code(&json), 1);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["damage"][0].as_str().unwrap().contains(name), "{json}");

    flip(&part, middle);
    assert_eq!(code(&store(&["--check"], directory.path()).await), 0);
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = left().await;
    let gateway = Process::on(directory.path(), &[]).await;
    let refused = store(&["--check"], directory.path()).await;
    assert_eq!(code(&refused), 69);
    let told = stderr(&refused);
    assert!(told.contains("is in use by another process"), "{told}");
    assert!(told.contains(&gateway.id().to_string()), "{told}");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    assert_eq!(code(&store(&["--check"], directory.path()).await), 0);
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    for path in [directory.path(), &directory.path().join("none")] {
        let refused = store(&[], path).await;
        assert_eq!(code(&refused), 69);
        let told = stderr(&refused);
        assert!(told.contains(path.to_str().unwrap()), "{told}");
    }
    let letter = directory.path().join("letter.txt");
    let looked = store(&[], &letter).await;
    let served = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .env("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .arg(&letter)
        .output()
        .await
        .unwrap();
    for refused in [looked, served] {
        assert_eq!(code(&refused), 69);
        let told = stderr(&refused);
        assert!(
            told.contains("letter.txt cannot be used: it is a file: give a directory"),
            "{told}"
        );
    }
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 1, "nothing was made");
}

#[tokio::test]
async fn records_that_a_configuration_hides_are_told_at_the_start() {
    let directory = left().await;
    let listed = [("TIDEGATE_HANDLERS__NOTES__KIND", "records")];
    let mut hiding = Process::on(directory.path(), &listed).await;
    hiding.says("collections=\"todos\"").await;
    hiding.signal(Signal::TERM);
    assert_eq!(hiding.ended().await.0, Some(0));
    let name = format!("TIDEGATE_HANDLERS__{}__KIND", "todos".to_uppercase());
    let listed = [(name.as_str(), "records")];
    let showing = Process::on(directory.path(), &listed).await;
    showing.signal(Signal::TERM);
    let (code, log) = showing.ended().await;
    assert_eq!(code, Some(0));
    assert!(!log.contains("nobody reaches"), "{log}");
}

#[tokio::test]
async fn a_directory_of_another_format_is_refused_and_stays_as_it_is() {
    let directory = left().await;
    let format = directory.path().join("FORMAT");
    let ours = fs::read_to_string(&format).unwrap();
    for other in ["tidegate store, format 1\n", "tidegate store, format 99\n"] {
        assert_ne!(ours, other);
        fs::write(&format, other).unwrap();
        let shown = store(&["--check"], directory.path()).await;
        assert_eq!(code(&shown), 69, "{}", stdout(&shown));
        let serve = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(directory.path())
            .output();
        let served = serve.await.expect("cargo built it");
        assert_eq!(code(&served), 69, "{}", stdout(&served));
        for told in [stderr(&shown), stderr(&served)] {
            assert!(told.contains(other.trim()), "{told}");
            assert!(told.contains(ours.trim()), "{told}");
        }
    }
    fs::write(&format, ours).unwrap();
    let shown = store(&["--check"], directory.path()).await;
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(
        stdout(&shown).contains("500 messages"),
        "{}",
        stdout(&shown)
    );
}
