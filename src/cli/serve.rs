//! `tidegate serve`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::signals::Signals;
use super::{Failure, logs};
use crate::app::App;
use crate::config::{Config, Exposure};

/// What `serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Where clients come in; port 0 is one that is free [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Keep everything in memory: for trying out. So far there is no other way
    #[arg(long)]
    ephemeral: bool,
    /// A TOML file; without one, and for what it leaves out, the defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen where others can reach it although it believes whoever calls
    #[arg(long)]
    insecure: bool,
    /// What is logged, such as `info` or `tidegate=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "TIDEGATE_LOG",
        default_value = "info"
    )]
    log: String,
}

pub(super) fn run(serve: &Serve) -> Result<(), Failure> {
    let config = serve.config()?;
    logs::start(config.log, &serve.log);
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(until_stopped(config));
    // What did not end in time must not keep the process.
    runtime.shutdown_background();
    outcome
}

impl Serve {
    /// The command line over the environment over the file.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if self.insecure {
            config.exposure = Exposure::Anywhere;
        }
        if self.ephemeral {
            config.store = config.store.ephemeral();
        }
        Ok(config)
    }
}

/// What is not Unicode names no key of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The first signal drains, the second ends it.
async fn until_stopped(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let exposure = config.exposure;
    let app = App::build(config, Vec::new()).await?;
    greet(app.address(), exposure)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let running = app.run(async {
        // A sender that is gone says the same.
        let _ = stopped.await;
    });
    let signalled = async {
        signals.next().await;
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        outcome = running => Ok(outcome?),
        () = signalled => Err(Failure::Interrupted),
    }
}

/// On stdout, as it is what the command was typed for.
fn greet(address: SocketAddr, exposure: Exposure) -> io::Result<()> {
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
    let to_try = format!(
        r#"
Try it, with grpcurl:

  grpcurl -plaintext -d '{{"packets":[{{"handler":"todos","action":1,"text":["buy milk"]}}]}}' {address} tidegate.v1.Gateway/Sync
  grpcurl -plaintext -d '{{"packets":[{{"handler":"todos","action":6}}]}}' {address} tidegate.v1.Gateway/Sync
  grpcurl -plaintext -d '{{"topics":["records.todos.>"],"start":2}}' {address} tidegate.v1.Gateway/Events
"#
    );
    writeln!(out, "{to_try}")?;
    out.flush()
}
