//! The handlers of examples/handlers, as processes of their own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::wire::handler::handler_client::HandlerClient;
use tidegate::wire::proto::{
    Action, HandleItem, HandleRequest, HandleResponse, HandleResult, Outcome,
};
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::process::free_address;
use super::{Postgres, Process};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Less than an example waits for what it needs.
const A_MOMENT: Duration = Duration::from_millis(500);

/// As long as the gateway waits for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// An example to be, as often as it is started: on one file or database, and always at one address.
pub struct Example {
    /// The program, and what it is called with before the options that all of them have.
    command: Vec<PathBuf>,
    address: String,
    data: TempDir,
    /// Where it keeps everything, if that is no file.
    database: Option<String>,
}

impl Example {
    /// Built with go, which compiles what has changed.
    pub fn go() -> Self {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        let program = BUILT.get_or_init(|| {
            let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents");
            let mut go = std::process::Command::new("go");
            go.args(["build", "-o"]).arg(&program).arg(".");
            go.current_dir(Path::new(ROOT).join("examples/handlers/go"));
            let built = go.status();
            let built = built.unwrap_or_else(|error| panic!("go, https://go.dev: {error}"));
            assert!(built.success(), "go build: {built}");
            program
        });
        Self::of([program.clone()])
    }

    /// Compiled by the TypeScript that `make tools` installed beside it.
    pub fn typescript() -> Self {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        let program = BUILT.get_or_init(|| {
            let directory = Path::new(ROOT).join("examples/handlers/typescript");
            let compiler = directory.join("node_modules/.bin/tsc");
            assert!(
                compiler.exists(),
                "{} is not there: make tools installs it",
                compiler.display()
            );
            let mut compile = std::process::Command::new(compiler);
            let built = compile.current_dir(&directory).status().unwrap();
            assert!(built.success(), "tsc: {built}");
            directory.join("build/server.js")
        });
        Self::of(["node".into(), program.clone()])
    }

    /// Run by the Python of `make tools`, over the generated code as it is committed.
    pub fn python() -> Self {
        let root = Path::new(ROOT);
        let python = root.join("target/tools/python/bin/python");
        assert!(
            python.exists(),
            "{} is not there: make tools installs it",
            python.display()
        );
        Self::of([python, root.join("examples/handlers/python/readings.py")])
    }

    /// Over a PostgreSQL that has its tables. It is built with cargo; these tests are chosen beside it, so that what both are made of
    /// is built in one way, and not once more.
    pub fn rust(postgres: &Postgres) -> Self {
        static BUILT: OnceLock<PathBuf> = OnceLock::new();
        let program = BUILT.get_or_init(|| {
            let mut cargo = std::process::Command::new(env!("CARGO"));
            cargo.current_dir(ROOT);
            cargo.args(["build", "--quiet", "--locked", "--workspace"]);
            cargo.args(["--bin", "readings", "--test", "it"]);
            // What cargo says of the package that is tested: build scripts that ask for it would run again, here and next time.
            let of_ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
            let names = std::env::vars().map(|(name, _)| name);
            for name in names.filter(|name| of_ours.iter().any(|ours| name.starts_with(ours))) {
                cargo.env_remove(name);
            }
            let built = cargo.status().unwrap();
            assert!(built.success(), "cargo build: {built}");
            Path::new(env!("CARGO_BIN_EXE_tidegate")).with_file_name("readings")
        });
        Self {
            database: Some(postgres.url()),
            ..Self::of([program.clone()])
        }
    }

    fn of(command: impl Into<Vec<PathBuf>>) -> Self {
        Self {
            command: command.into(),
            address: free_address(),
            data: TempDir::new().unwrap(),
            database: None,
        }
    }

    /// Listens when this returns.
    pub async fn start(&self) -> Process {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command.args(["--listen", &self.address]);
        match &self.database {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.arg("--data").arg(self.data()),
        };
        command.env("PYTHONPATH", Path::new(ROOT).join("clients/python"));
        Process::spawn(&mut command).await
    }

    /// What it keeps everything in.
    pub fn data(&self) -> PathBuf {
        self.data.path().join("data.db")
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn endpoint(&self) -> Endpoint {
        Channel::from_shared(self.uri()).unwrap()
    }

    /// As the gateway calls it, whenever it is there.
    pub fn calls(&self) -> HandlerClient<Channel> {
        HandlerClient::new(self.endpoint().connect_lazy())
    }

    /// Whether it says that it is serving.
    pub async fn is_healthy(&self) -> bool {
        let mut client = HealthClient::new(self.endpoint().connect_lazy());
        let answer = client.check(HealthCheckRequest::default()).await.unwrap();
        answer.into_inner().status() == ServingStatus::Serving
    }

    /// The answers to one batch, which are for those that were asked, and for each one.
    pub async fn handle(&self, items: impl IntoIterator<Item = HandleItem>) -> Vec<HandleResult> {
        let request = batch(items);
        let asked: Vec<_> = request.items.iter().map(|item| item.id.clone()).collect();
        let answer = self.calls().handle(request).await.unwrap();
        let results = answer.into_inner().results;
        let answered: Vec<_> = results.iter().map(|result| result.id.clone()).collect();
        assert_eq!(answered, asked);
        results
    }

    pub async fn outcomes(&self, items: impl IntoIterator<Item = HandleItem>) -> Vec<Outcome> {
        let results = self.handle(items).await;
        results.iter().map(HandleResult::outcome).collect()
    }

    /// Of a call that cannot be done before its caller no longer waits.
    pub async fn in_vain(&self, item: HandleItem) {
        let error = self.within(A_MOMENT, item).await.unwrap_err();
        let given_up = matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded);
        assert!(given_up, "{error}");
    }

    /// Of one that cannot be done, as the gateway makes it.
    pub async fn refusal(&self, item: HandleItem) -> Status {
        self.within(CALL_TIMEOUT, item).await.unwrap_err()
    }

    async fn within(
        &self,
        time: Duration,
        item: HandleItem,
    ) -> Result<Response<HandleResponse>, Status> {
        let mut request = Request::new(batch([item]));
        request.set_timeout(time);
        self.calls().handle(request).await
    }
}

fn batch(items: impl IntoIterator<Item = HandleItem>) -> HandleRequest {
    let items: Vec<_> = items.into_iter().collect();
    let action = items[0].action;
    let one = items.iter().all(|item| item.action == action);
    HandleRequest {
        handler: "example".into(),
        action: if one {
            action
        } else {
            Action::Unspecified.into()
        },
        items,
        ..HandleRequest::default()
    }
}
