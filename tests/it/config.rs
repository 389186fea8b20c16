//! The configuration of the built gateway: what is wrong is told, and what changes is taken over while it runs.

mod reference;
mod reload;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

/// A directory with a configuration file.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(text);
        folder
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("gate.toml")
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

/// What a command ends with that is to end by itself.
async fn ended(arguments: &[&str], file: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).arg("--config").arg(file);
    command.envs(variables.iter().copied());
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    ended.await.expect("it was built")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Five mistakes, each of another kind.
const MISTAKES: &str = r#"
[server]
lisen = "127.0.0.1:0"
drain = 30
[handlers.orders]
kind = "grcp"
addresses = ["http://127.0.0.1:7001"]
batch = { max_packets = "many" }
[topics."chat.>.all"]
"#;

const TOLD: [(&str, &str); 5] = [
    ("3:1", "server.lisen is not known: listen would be right"),
    (
        "4:9",
        "server.drain is 30: a time with its unit, such as \"30s\" would be right",
    ),
    (
        "6:8",
        "handlers.orders.kind is \"grcp\": \"grpc\" would be right",
    ),
    (
        "8:25",
        "handlers.orders.batch.max_packets is \"many\": a whole number from 1 on would be right",
    ),
    ("9:9", "topics.\"chat.>.all\" is not a pattern: "),
];

/// Told by `serve` and by `check` alike: the lines with a place.
async fn five_lines_are_told() -> String {
    let folder = Folder::with(MISTAKES);
    let file = folder.file().display().to_string();
    let mut lines = Vec::new();
    for command in ["serve", "check"] {
        let output = ended(&[command], &folder.file(), &[]).await;
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert!(output.stdout.is_empty(), "{command}");
        let told = said(&output.stderr);
        let with_place = told.lines().filter(|line| line.starts_with(&file));
        lines = with_place.map(str::to_owned).collect();
        assert_eq!(lines.len(), TOLD.len(), "{told}");
        assert_eq!(told.lines().count(), TOLD.len() + 1, "and what they are");
        for (line, (place, what)) in lines.iter().zip(TOLD) {
            let expected = format!("{file}:{place}: {what}");
            assert!(line.starts_with(&expected), "{line} is not {expected}…");
        }
    }
    lines.join("; ").replace(&file, "gate.toml")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_5_3_mistakes_have_places_and_a_reload_is_all_or_nothing() {
    let told = five_lines_are_told().await;
    let reloaded = reload::all_or_nothing().await;
    println!("SHOWS 5.3 five mistakes, five lines, exit code 64 ({told}); {reloaded}");
}

#[tokio::test]
async fn what_is_right_is_said_in_a_line_and_nothing_is_opened() {
    let folder = Folder::with(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [\"http://a:1\"]\n[handlers.notes]\n[topics.\"chat.>\"]\n",
    );
    let data = folder.data().display().to_string();
    let check = ["check", "--listen", "127.0.0.1:7", "--data", &data];
    let variables = [("TIDEGATE_ADMIN__LISTEN", "127.0.0.1:9")];
    let output = ended(&check, &folder.file(), &variables).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    let expected = format!(
        "the configuration can be used: 2 handlers (notes, orders); 1 rule for topics; listens on 127.0.0.1:7, and for those who run it on 127.0.0.1:9; keeps everything in {data}\n"
    );
    assert_eq!(said(&output.stdout), expected);
    assert!(!folder.data().exists());
}

/// Each value could be right, and no gateway can run with them.
#[tokio::test]
async fn what_no_gateway_can_run_with_is_wrong_before_it_runs() {
    let folder = Folder::with("");
    let bad = folder.0.path().join("bad.pem");
    std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nnone\n").unwrap();
    let bad = format!(
        "[handlers.a]\nkind = \"grpc\"\naddresses = [\"https://a\"]\nca = {:?}",
        bad.display().to_string()
    );
    for (text, arguments, variables, expected) in [
        (
            "[server]\nlisten = \"0.0.0.0:1\"",
            &["check"][..],
            &[][..],
            "0.0.0.0:1 can be reached by others",
        ),
        (
            "",
            &["check", "--listen", "127.0.0.1:50052"],
            &[],
            "server.listen and admin.listen are both on port 50052",
        ),
        (
            "",
            &["check", "--log", "a=b=c"],
            &[],
            "is no filter for the log",
        ),
        (
            "",
            &["check"],
            &[("TIDEGATE_SERVER__LISEN", "x")],
            "TIDEGATE_SERVER__LISEN: server.lisen is not known: listen",
        ),
        (
            bad.as_str(),
            &["check"],
            &[],
            "the handler a: https://a cannot be used",
        ),
    ] {
        folder.write(text);
        let output = ended(arguments, &folder.file(), variables).await;
        let told = said(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
    folder.write("[server]\nlisten = \"0.0.0.0:1\"");
    let allowed = ended(&["check", "--insecure"], &folder.file(), &[]).await;
    assert_eq!(allowed.status.code(), Some(0));
}

#[tokio::test]
async fn the_default_file_is_printed_and_can_be_used() {
    let printed = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "--default"])
        .output()
        .await
        .unwrap();
    let text = said(&printed.stdout);
    assert!(printed.status.success());
    let folder = Folder::with(&text);
    let output = ended(&["check"], &folder.file(), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
}
