//! nginx, as Debian has it, with the configuration that is in the repository: as it is, but for the name, ports and paths.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Wire;
use super::process::free_address;

/// More than a start needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// So that it runs without rights, as the tests may run as root.
const NOBODY: u32 = 65_534;
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/nginx.conf");
/// Signs for `localhost` and 127.0.0.1.
const CERTIFICATE: &str = include_str!("../remote/tls/service.pem");
const KEY: &str = include_str!("../remote/tls/service.key");

/// In front of one gateway, as `https://localhost` on a port of its own. It ends with this.
pub struct Nginx {
    directory: TempDir,
    door: Door,
    /// Ended by its id; its workers end with it.
    server: Child,
    log: mpsc::UnboundedReceiver<String>,
}

/// Where it lets clients in.
#[derive(Debug, Clone, Copy)]
pub struct Door(SocketAddr);

impl Nginx {
    /// Takes connections when this returns. `gateway`: host and port.
    pub async fn start(gateway: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", Door::CA);
        write("gateway.pem", CERTIFICATE);
        write("gateway.key", KEY);
        write(
            "nginx.conf",
            &configured(directory.path(), &address, gateway),
        );
        let mut command = Command::new(program());
        command.args(["-e", "stderr", "-g", "daemon off;", "-c"]);
        command.arg(directory.path().join("nginx.conf"));
        if geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut server = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("nginx is there: `make tools` installs it");
        let lines = BufReader::new(server.stderr.take().expect("it is piped")).lines();
        let (told, log) = mpsc::unbounded_channel();
        // Reads to its end: one whose log nobody reads stops one day.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody listens any more where the test has ended.
                let _ = told.send(line);
            }
        });
        let mut nginx = Self {
            directory,
            door: Door(address.parse().unwrap()),
            server,
            log,
        };
        nginx.says("start worker process ").await;
        nginx
    }

    /// New processes take what comes from now on; the old ones go on with what they have.
    pub async fn reload(&mut self) {
        kill_process(Pid::from_child(&self.server), Signal::HUP).unwrap();
        self.says("gracefully shutting down").await;
    }

    pub fn door(&self) -> Door {
        self.door
    }

    /// What [`Door::CA`] says, as a file.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    async fn says(&mut self, text: &str) {
        let mut said = Vec::new();
        let found = async {
            while let Some(line) = self.log.recv().await {
                if line.contains(text) {
                    return;
                }
                said.push(line);
            }
            panic!("it ended without saying {text:?}: {said:#?}");
        };
        timeout(PATIENCE, found).await.expect("it says so in time");
    }
}

impl Door {
    /// Whom clients trust.
    pub const CA: &'static str = include_str!("../remote/tls/ca.pem");

    pub fn uri(self) -> String {
        format!("https://{}", self.authority())
    }

    /// What stands in `host`.
    pub fn authority(self) -> String {
        format!("localhost:{}", self.0.port())
    }

    /// A connection that asks for this name, without HTTP/2.
    pub async fn open(self, name: &'static str) -> std::io::Result<Wire> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(Self::CA.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(self.0).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Wire::over(connector.connect(name, socket).await?))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.server), Signal::TERM).unwrap();
        self.server.wait().unwrap();
    }
}

/// Each of what is another here has to be in the file, so often.
fn configured(directory: &Path, address: &str, gateway: &str) -> String {
    let directory = directory.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("{module}_temp_path {directory}/{module};\n"))
        .concat();
    let others = [
        (2, "listen 443 ", format!("listen {address} ")),
        (
            1,
            "server_name gateway.example.com;",
            "server_name localhost;".to_owned(),
        ),
        (2, "server 127.0.0.1:50051;", format!("server {gateway};")),
        (
            1,
            "/etc/nginx/gateway.pem",
            format!("{directory}/gateway.pem"),
        ),
        (
            1,
            "/etc/nginx/gateway.key",
            format!("{directory}/gateway.key"),
        ),
        (1, "/run/nginx.pid", format!("{directory}/nginx.pid")),
        (
            1,
            "/var/log/nginx/access.log",
            format!("{directory}/access.log"),
        ),
        (
            1,
            "/var/log/nginx/error.log warn",
            "stderr notice".to_owned(),
        ),
        // Otherwise where the package has its own, which is root's.
        (1, "\nhttp {\n", format!("\nhttp {{\n{places}")),
    ];
    let mut text = fs::read_to_string(CONFIG).unwrap();
    for (times, of_all, here) in others {
        assert_eq!(text.matches(of_all).count(), times, "{of_all}");
        text = text.replace(of_all, &here);
    }
    text
}

/// Debian has it where the PATH of most users does not look.
fn program() -> &'static str {
    let debian = "/usr/sbin/nginx";
    match Path::new(debian).exists() {
        true => debian,
        false => "nginx",
    }
}
