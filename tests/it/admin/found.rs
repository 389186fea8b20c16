//! How commands find their gateway and its token, and what they say where they do not.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::{code, done, stderr, token, typed};
use crate::support::Process;

#[tokio::test]
async fn each_start_has_a_token_of_its_own_unless_one_is_given() {
    let data = tempfile::tempdir().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let gateway = Process::on(data.path(), &[]).await;
        tokens.push(token(data.path()));
        // Nothing takes it away.
        gateway.kill().await;
    }
    assert_ne!(tokens[0], tokens[1]);
    let given = [("TIDEGATE_ADMIN__TOKEN", "0123456789abcdef")];
    let gateway = Process::on(data.path(), &given).await;
    assert!(!data.path().join("admin-token").exists());
    let without = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&without), 77);
    let right = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(right.path(), "0123456789abcdef\n").unwrap();
    let right = right.path().to_str().unwrap();
    done(&["lanes", "--token-file", right], data.path()).await;
    drop(gateway);
}

#[tokio::test]
async fn where_everything_is_in_memory_the_token_is_in_a_directory_of_the_users_own() {
    let runtime = tempfile::tempdir().unwrap();
    let address = ephemeral_address();
    let tidegate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .current_dir(runtime.path())
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env("TIDEGATE_ADMIN__LISTEN", &address)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    };
    let gateway = Process::spawn(
        tidegate()
            .args(["serve", "--ephemeral", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", &address])
            .stderr(Stdio::piped()),
    )
    .await;
    let lanes = tidegate().arg("lanes").output().await.unwrap();
    assert_eq!(code(&lanes), 0, "{}", stderr(&lanes));
    let left = left_in(&runtime);
    let mode = std::fs::metadata(&left).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    assert!(!left.exists(), "it is gone with the gateway");
    let gone = tidegate().arg("lanes").output().await.unwrap();
    assert_eq!(code(&gone), 69);
    assert!(
        stderr(&gone).contains("no running gateway is found"),
        "{}",
        stderr(&gone)
    );
}

fn left_in(runtime: &TempDir) -> PathBuf {
    let mut entries = std::fs::read_dir(runtime.path()).unwrap();
    entries.next().expect("it left something").unwrap().path()
}

/// Free a moment ago.
fn ephemeral_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_second_gateway_needs_a_port_of_its_own_for_admin_too() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gateway = Process::on(first.path(), &[]).await;
    let admin = std::fs::read_to_string(first.path().join("admin-address")).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            admin.trim(),
            "--data",
        ])
        .arg(second.path())
        .output()
        .await
        .unwrap();
    assert_eq!(code(&refused), 69);
    let told = stderr(&refused);
    assert!(told.contains("another one with --admin-listen"), "{told}");
    let entries = std::fs::read_dir(second.path()).unwrap().count();
    assert_eq!(entries, 0, "nothing was made");
    done(&["lanes"], first.path()).await;
    drop(gateway);
}

#[tokio::test]
async fn commands_tell_what_is_wrong_with_what_was_typed() {
    let data = tempfile::tempdir().unwrap();
    let nobody = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&nobody), 69);
    let address = ephemeral_address();
    std::fs::write(data.path().join("admin-address"), &address).unwrap();
    std::fs::write(data.path().join("admin-token"), "0123456789abcdef").unwrap();
    let away = typed(&["lanes"], data.path()).await;
    assert_eq!(code(&away), 69, "{}", stderr(&away));
    assert!(
        stderr(&away).contains("no gateway answers on"),
        "{}",
        stderr(&away)
    );
    for wrong in [
        &["clear"][..],
        &["flush", "orders", "remove"],
        &["dead-letters", "retry"],
        &["dead-letters", "retry", "one"],
        &["dead-letters", "discard", "1"],
        &["dead-letters", "retry", "1", "--all", "orders"],
        &["--listen", "127.0.0.1:1", "lanes"],
    ] {
        let told = typed(wrong, data.path()).await;
        assert_eq!(code(&told), 64, "{wrong:?}: {}", stderr(&told));
    }
}
