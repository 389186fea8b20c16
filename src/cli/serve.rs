//! `tidegate serve`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use super::signals::{Asked, Signals};
use super::{Failure, logs};
use crate::app::{App, NotReloaded, Reloads};
use crate::config::{Config, Engine, Exposure, HandlerKind, Problems};

/// What is logged, where the command line does not say it.
const LOG: &str = "TIDEGATE_LOG";

/// What `serve` takes.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(super) struct Serve {
    /// Where clients come in; port 0 is one that is free [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where those come in who run it: `tidegate lanes` and the like, /readyz, /metrics [default: 127.0.0.1:50052]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin_listen: Option<SocketAddr>,
    /// Keep everything in this directory [default: tidegate-data]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,
    /// Keep everything in memory: for trying out
    #[arg(long)]
    ephemeral: bool,
    /// A TOML file; without one, and for what it leaves out, the defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen where others can reach it although it believes whoever calls
    #[arg(long)]
    insecure: bool,
    /// What is logged, such as `tidegate=debug`; else TIDEGATE_LOG says it [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an IP address and a port would be right, as 127.0.0.1:50051")
}

pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    let config = serve.config()?;
    logs::start(config.log, serve.filter()?);
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(until_stopped(config, serve));
    // What did not end in time must not keep the process.
    runtime.shutdown_background();
    outcome
}

impl Serve {
    /// What this one leaves open is as in `before`.
    pub(super) fn over(self, before: Self) -> Self {
        Self {
            listen: self.listen.or(before.listen),
            admin_listen: self.admin_listen.or(before.admin_listen),
            data: self.data.or(before.data),
            ephemeral: self.ephemeral || before.ephemeral,
            config: self.config.or(before.config),
            insecure: self.insecure || before.insecure,
            log: self.log.or(before.log),
        }
    }

    /// What is logged.
    pub(super) fn filter(&self) -> Result<EnvFilter, Failure> {
        let filter = self.log.clone().or_else(|| std::env::var(LOG).ok());
        logs::filter(filter.as_deref().unwrap_or("info"))
    }

    /// The command line over the environment over the file.
    pub(super) fn config(&self) -> Result<Config, Problems> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(listen) = self.admin_listen {
            config.admin.listen = listen;
        }
        if self.insecure {
            config.exposure = Exposure::Anywhere;
        }
        if let Some(data) = &self.data {
            config.store.path.clone_from(data);
            config.store.engine = Engine::Embedded;
        }
        if self.ephemeral {
            config.store.engine = Engine::Memory;
        }
        Ok(config)
    }
}

/// What is not Unicode names no key of ours.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The first signal to stop drains, the second ends it.
async fn until_stopped(config: Config, serve: &Serve) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (exposure, to_try, kept) = (config.exposure, ToTry::of(&config), kept(&config));
    let app = App::build(config, Vec::new()).await?;
    if let Err(error) = greet(&app, exposure, &kept, &to_try) {
        // Who closes it has read enough of it: `tidegate serve | head -1` goes on.
        tracing::warn!(%error, "the greeting cannot be written to stdout");
    }
    let reloads = app.reloads();

    let (stop, stopped) = oneshot::channel::<()>();
    let running = app.run(async {
        // A sender that is gone says the same.
        let _ = stopped.await;
    });
    let signalled = async {
        while signals.next().await == Asked::Reload {
            reload(serve, &reloads).await;
        }
        drop(stop);
        signals.stop().await;
    };
    tokio::select! {
        outcome = running => {
            outcome?;
            tracing::info!("stopped");
            Ok(())
        }
        () = signalled => Err(Failure::Interrupted),
    }
}

/// What is written now counts, all of it or nothing. The log says which, a line for each key or cause.
async fn reload(serve: &Serve, reloads: &Reloads) {
    let reloaded = match serve.config() {
        Ok(config) => reloads.reload(config).await,
        Err(problems) => {
            let causes = problems.0.iter().map(ToString::to_string);
            Err(NotReloaded(causes.collect()))
        }
    };
    match reloaded {
        Ok(changes) if changes.is_empty() => {
            tracing::info!("reloaded: the configuration says what it said before");
        }
        Ok(changes) => {
            for change in changes {
                let (key, was, is) = (&change.key, change.was(), change.is());
                tracing::info!("reloaded: {key} is {is}, and was {was}");
            }
        }
        Err(NotReloaded(causes)) => {
            for cause in causes {
                tracing::error!("reload refused: {cause}");
            }
        }
    }
}

/// A handler to try the gateway with: one that there is.
enum ToTry {
    Collection(String),
    /// No collection is configured, but `topics` is always there.
    Topics,
}

impl ToTry {
    fn of(config: &Config) -> Self {
        let Some(handlers) = &config.handlers else {
            return Self::Collection("todos".into());
        };
        let mut handlers = handlers.iter();
        match handlers.find(|handler| handler.kind == HandlerKind::Records) {
            Some(handler) => Self::Collection(handler.name.to_string()),
            None => Self::Topics,
        }
    }

    /// The handler, the key to create and to list under, and the topic on which that is told.
    fn parts(&self) -> (&str, &str, String) {
        match self {
            Self::Collection(name) => (name, "", format!("records.{name}.>")),
            Self::Topics => ("topics", r#""key":"chat.kitchen","#, "chat.>".into()),
        }
    }
}

fn kept(config: &Config) -> String {
    match config.store.engine {
        Engine::Memory => "everything is kept in memory, and is gone when the process ends".into(),
        Engine::Embedded => format!("everything is kept in {}", config.store.path.display()),
    }
}

/// On stdout, as it is what the command was typed for.
fn greet(app: &App, exposure: Exposure, kept: &str, to_try: &ToTry) -> io::Result<()> {
    let (address, (admin, token)) = (app.address(), app.admin());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "tidegate {} is listening on {address}",
        env!("CARGO_PKG_VERSION")
    )?;
    if exposure == Exposure::Anywhere && !address.ip().is_loopback() {
        writeln!(
            out,
            "others can reach it, and whoever calls is believed: for trying out only"
        )?;
    }
    writeln!(out, "{kept}")?;
    writeln!(
        out,
        "who runs it looks inside on {admin}, as by `tidegate lanes`; that asks for a token: {token}"
    )?;
    let (handler, key, topic) = to_try.parts();
    let to_try = format!(
        r#"
Try it, with grpcurl:

  grpcurl -plaintext -d '{{"packets":[{{"handler":"{handler}","action":"ACTION_CREATE",{key}"text":["buy milk"]}}]}}' {address} tidegate.v1.Gateway/Sync
  grpcurl -plaintext -d '{{"packets":[{{"handler":"{handler}",{key}"action":"ACTION_LIST"}}]}}' {address} tidegate.v1.Gateway/Sync
  grpcurl -plaintext -d '{{"topics":["{topic}"],"start":"START_EARLIEST"}}' {address} tidegate.v1.Gateway/Events
"#
    );
    writeln!(out, "{to_try}")?;
    out.flush()
}
