//! How commands find their gateway and its token, and what they say where they do not.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::{PATIENCE, code, done, stderr, token, typed};
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

/// Where a person types commands: their runtime directory, which is the current one too.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn tidegate(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .current_dir(self.path())
            .env("XDG_RUNTIME_DIR", self.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// `tidegate lanes`, where Admin is configured to listen here.
    async fn lanes(&self, admin: &str, arguments: &[&str]) -> Output {
        let mut command = self.tidegate();
        command.env("TIDEGATE_ADMIN__LISTEN", admin);
        let output = command.arg("lanes").args(arguments).output();
        timeout(PATIENCE, output).await.expect("in time").unwrap()
    }

    /// A gateway with everything in memory, whose Admin is there.
    async fn ephemeral(&self, admin: &str) -> Process {
        Process::spawn(
            self.tidegate()
                .args(["serve", "--ephemeral", "--listen", "127.0.0.1:0"])
                .args(["--admin-listen", admin])
                .stderr(Stdio::piped()),
        )
        .await
    }

    fn own_directory(&self, admin: SocketAddr) -> PathBuf {
        self.path().join(format!("tidegate-{}", admin.port()))
    }
}

/// Somebody who waits for a token where a gateway would be.
struct Stranger(tokio::net::TcpListener);

impl Stranger {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(tokio::net::TcpListener::from_std(listener).unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// What a gateway would leave.
    fn leave_files(&self, directory: &Path) {
        std::fs::create_dir(directory).unwrap();
        set_mode(directory, 0o700);
        leave(&directory.join("admin-token"), "0123456789abcdef");
        leave(
            &directory.join("admin-address"),
            &self.address().to_string(),
        );
    }

    /// What a command ends with that does not come here.
    async fn uncalled(&self, command: impl Future<Output = Output>) -> Output {
        tokio::select! {
            _ = self.0.accept() => panic!("a stranger is told the token"),
            output = command => output,
        }
    }
}

fn leave(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    set_mode(file, 0o600);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn where_everything_is_in_memory_the_token_is_in_a_directory_of_the_users_own() {
    let desk = Desk::new();
    let address = ephemeral_address();
    let gateway = desk.ephemeral(&address).await;
    let lanes = desk.lanes(&address, &[]).await;
    assert_eq!(code(&lanes), 0, "{}", stderr(&lanes));
    // Wherever it is configured to be, `--admin` says where it is.
    let elsewhere = desk.lanes("127.0.0.1:1", &[]).await;
    assert_eq!(code(&elsewhere), 69);
    let elsewhere = desk.lanes("127.0.0.1:1", &["--admin", &address]).await;
    assert_eq!(code(&elsewhere), 0, "{}", stderr(&elsewhere));
    let left = desk.own_directory(address.parse().unwrap());
    let mode = std::fs::metadata(&left).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.0, Some(0));
    assert!(!left.exists(), "it is gone with the gateway");
    let gone = desk.lanes(&address, &[]).await;
    assert_eq!(code(&gone), 69);
    let told = stderr(&gone);
    assert!(told.contains("no running gateway is found"), "{told}");
}

#[tokio::test]
async fn what_a_stranger_can_leave_is_not_believed() {
    type Spoil = fn(&Path);
    let ways: [(&str, Spoil); 4] = [
        ("its directory can be written", |own| set_mode(own, 0o777)),
        ("it can be written", |own| {
            set_mode(&own.join("admin-address"), 0o666);
        }),
        ("it is a link", |own| {
            let real = own.with_extension("real");
            std::fs::rename(own, &real).unwrap();
            symlink(real, own).unwrap();
        }),
        ("it is a link", |own| {
            let (file, real) = (own.join("admin-address"), own.join("real"));
            std::fs::rename(&file, &real).unwrap();
            symlink(real, file).unwrap();
        }),
    ];
    for (why, spoil) in ways {
        for in_data in [false, true] {
            let (desk, stranger) = (Desk::new(), Stranger::new());
            let admin = stranger.address();
            let directory = match in_data {
                true => desk.path().join("tidegate-data"),
                false => desk.own_directory(admin),
            };
            stranger.leave_files(&directory);
            spoil(&directory);
            let admin = admin.to_string();
            let refused = stranger.uncalled(desk.lanes(&admin, &[])).await;
            let told = stderr(&refused);
            assert_eq!(code(&refused), 69, "{why}: {told}");
            assert!(
                told.contains(directory.to_str().unwrap()) || in_data,
                "{told}"
            );
            assert!(told.contains(&format!("is left aside: {why}")), "{told}");
            assert_eq!(told.contains("say --data tidegate-data"), in_data, "{told}");
        }
    }
}

/// Nobody but the superuser can give a directory to somebody else: who runs this as another user has the rule's own tests.
#[tokio::test]
async fn what_belongs_to_another_user_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for name in ["admin-address", ""] {
        let (desk, stranger) = (Desk::new(), Stranger::new());
        let own = desk.own_directory(stranger.address());
        stranger.leave_files(&own);
        chown(own.join(name), Some(54321), None).unwrap();
        let admin = stranger.address().to_string();
        let refused = stranger.uncalled(desk.lanes(&admin, &[])).await;
        let told = stderr(&refused);
        assert_eq!(code(&refused), 69, "{told}");
        assert!(
            told.contains("belongs to the user with the id 54321"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_data_directory_that_others_can_write_in_counts_when_it_is_named() {
    let data = tempfile::tempdir().unwrap();
    set_mode(data.path(), 0o777);
    let mut gateway = Process::on(data.path(), &[]).await;
    gateway
        .says("commands find this gateway only by --data")
        .await;
    done(&["lanes"], data.path()).await;
    let desk = Desk::new();
    let store = [("TIDEGATE_STORE__PATH", data.path())];
    let unnamed = desk.tidegate().arg("lanes").envs(store).output().await;
    assert_eq!(code(&unnamed.unwrap()), 69);
}

#[tokio::test]
async fn a_data_directory_is_made_for_its_owner_alone() {
    let held = tempfile::tempdir().unwrap();
    let data = held.path().join("of/it");
    let gateway = Process::on(&data, &[]).await;
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(gateway);
}

#[tokio::test]
async fn a_killed_gateway_hides_no_other_one() {
    let desk = Desk::new();
    let address = ephemeral_address();
    let gateway = desk.ephemeral(&address).await;
    // Begun later, and gone without taking its files away.
    let data = desk.path().join("tidegate-data");
    Process::on(&data, &[]).await.kill().await;
    assert!(data.join("admin-address").exists());
    let lanes = desk.lanes(&address, &[]).await;
    assert_eq!(code(&lanes), 0, "{}", stderr(&lanes));
    gateway.kill().await;
    let gone = desk.lanes(&address, &[]).await;
    assert_eq!(code(&gone), 69);
    let told = stderr(&gone);
    assert!(told.contains("no gateway answers on"), "{told}");
    assert!(told.contains(&format!(", nor on {address} (")), "{told}");
}

/// Free a moment ago.
fn ephemeral_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
    leave(&data.path().join("admin-address"), &address);
    leave(&data.path().join("admin-token"), "0123456789abcdef");
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
