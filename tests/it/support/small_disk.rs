//! A file system with little room.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Mounts it, says so, and holds the mount namespace, in which alone it is seen, until its input ends.
const HOLD: &str = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && echo mounted && read end"#;

/// What the ballast grows by.
const PIECE: usize = 64 << 10;

/// A tmpfs of its own for a test: gone with the process that holds it, which ends when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// Its input is a pipe of ours: it ends with us, however that is.
    _holder: Child,
    _mounted_on: TempDir,
}

impl SmallDisk {
    /// `size` is as mount takes it: `64m`. Needs a user namespace, or root.
    pub async fn mount(size: &str) -> Self {
        let mounted_on = tempfile::tempdir().unwrap();
        let mut refused = Vec::new();
        // As anybody where that is allowed, else as root.
        for namespaces in ["-Urm", "-m"] {
            match hold(namespaces, size, mounted_on.path()).await {
                Ok(holder) => {
                    let id = holder.id().expect("it runs until it is dropped");
                    let inside = mounted_on.path().strip_prefix("/").unwrap();
                    return Self {
                        path: Path::new(&format!("/proc/{id}/root")).join(inside),
                        _holder: holder,
                        _mounted_on: mounted_on,
                    };
                }
                Err(why) => refused.push(format!("unshare {namespaces}: {}", why.trim())),
            }
        }
        panic!(
            "no small file system can be mounted: this test needs util-linux's unshare, and to be allowed a user namespace \
             (kernel.unprivileged_userns_clone, user.max_user_namespaces, a container's seccomp profile) or CAP_SYS_ADMIN; \
             {}",
            refused.join("; ")
        );
    }

    /// Where any process finds it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that there is now. Gives how many bytes that was.
    pub fn fill(&self) -> usize {
        let mut options = File::options();
        let opened = options.create(true).append(true).open(self.ballast());
        let mut ballast = opened.unwrap();
        let mut taken = 0;
        let mut piece = &[0; PIECE][..];
        // A smaller piece may fit where a larger one does not.
        while !piece.is_empty() {
            match ballast.write(piece) {
                Ok(written) if written > 0 => taken += written,
                Err(error) if error.kind() != ErrorKind::StorageFull => panic!("{error}"),
                _ => piece = &piece[..piece.len() / 2],
            }
        }
        taken
    }

    /// Gives back what [`Self::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

async fn hold(namespaces: &str, size: &str, on: &Path) -> Result<Child, String> {
    let mut command = Command::new("unshare");
    command.args([namespaces, "sh", "-c", HOLD, size]).arg(on);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let spawned = pipes.stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut holder = spawned.map_err(|error| error.to_string())?;
    let mut said = [0];
    let stdout = holder.stdout.as_mut().expect("it is piped");
    if stdout.read(&mut said).await.unwrap() > 0 {
        return Ok(holder);
    }
    let mut why = String::new();
    let stderr = holder.stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut why).await.unwrap();
    Err(why)
}
