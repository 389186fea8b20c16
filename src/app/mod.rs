//! The only place where things are wired: configuration → built (ports bound, addresses known) → run → drained.

mod admin;
mod canary;
mod handlers;
mod health;
mod reload;
mod server;
mod store;
mod tasks;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::admin::{Key, Port};
use self::canary::Canary;
use self::handlers::DropCounts;
use self::health::Health;
use self::reload::Reload;
pub use self::reload::{NotReloaded, Reloads};
use self::store::Opened;
use self::tasks::Tasks;
use crate::broker::{self, Worker};
use crate::config::{Config, Exposure};
use crate::events::{Hub, StreamSettings};
use crate::handler::HandlerSettings;
use crate::layers::{self, Reach};
use crate::metrics;
use crate::rpc::{self, Admin, Gateway, Refused};
use crate::store::StoreSource;
use crate::store::embedded::{Backups, OpenError};
use crate::telemetry::{TelemetrySettings, Traces};

/// Streams that are told to go reconnect within this time, each at its own moment.
const SPREAD: Duration = Duration::from_secs(10);

/// What answers and farewells get to reach their clients once everything is done. A peer that reads nothing, a suspended laptop
/// for one, must not hold up the stop.
const CLOSING: Duration = Duration::from_secs(2);

/// A gateway that is built: its ports are bound, and nothing runs yet.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    reach: Reach,
    gateway: Gateway,
    admin: Port,
    key: Key,
    backups: Option<Backups>,
    metrics: Arc<metrics::Registry>,
    worker: Worker,
    drain: Duration,
    reload: Reload,
    reloads: Reloads,
}

/// Why there is no gateway. The text says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "{0} can be reached by others, and the gateway does not know who calls: listen on 127.0.0.1, or say --insecure"
    )]
    Exposed(SocketAddr),
    #[error("server.listen and admin.listen are both on port {0}: each needs a port of its own")]
    SamePort(u16),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, String),
    #[error("cannot leave the token of Admin in {}: {}", .0.display(), .1)]
    Token(PathBuf, String),
    #[error("{0}")]
    Handler(String),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("{0}")]
    Traces(String),
    #[error("cannot read what was taken before this start: {0}")]
    Restore(String),
}

/// Why a gateway ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the server ended: {0}")]
    Server(String),
    #[error("the broker ended: {0}")]
    Broker(String),
    #[error("the watch over its health ended: {0}")]
    Health(String),
    #[error("not everything was done within {0:?} of being told to stop")]
    Drain(Duration),
}

impl App {
    /// `custom`: handlers of the process's own, beside the configured ones.
    pub async fn build(config: Config, custom: Vec<HandlerSettings>) -> Result<Self, BuildError> {
        let reach = judge(&config)?;
        // Before anything else: a port in use is the commonest mistake, and nothing else should have happened then.
        let (listener, address) = bound(config.listen, "--listen")?;
        let admin = Port::bind(&config)?;

        let mut dropped = DropCounts::default();
        let registry = handlers::registry(&config, custom, &mut dropped);
        let registry = registry.map_err(BuildError::Handler)?;
        let node = format!("{:08x}", rand::random::<u32>());
        let hub = Hub::new(streams(node.clone()));
        let Opened {
            store,
            messages,
            backups,
        } = store::open(&config, Arc::new(hub.clone())).await?;
        let key = Key::new(&config, &admin)?;
        let registry = Arc::new(registry);
        if config.handlers.is_some() {
            handlers::tell_hidden(&*store, &registry).await;
        }
        let traces = traces(&config, &node).map_err(BuildError::Traces)?;
        let settings = broker::Settings {
            traces: traces.clone(),
            ..broker::Settings::default()
        };
        let (broker, mut worker) = broker::build(registry.clone(), store.clone(), settings);
        // Before anything is offered: what was taken and is not finished goes first.
        let open = store.open_runs().await;
        worker.restore(open.map_err(|error| BuildError::Restore(error.to_string()))?);
        let (reloads, asked) = reload::channel();
        let drain = config.drain;
        let reload = Reload {
            config,
            dropped,
            messages,
            registry: registry.clone(),
            asked,
        };
        let refused = Refused::default();
        let mut metrics = metrics::Registry::default();
        metrics.add(broker::Figures::new(&broker, registry.clone()));
        metrics.add(hub.clone());
        metrics.add(StoreSource(store.clone()));
        metrics.add(refused.clone());
        metrics.add(metrics::Process::new(env!("CARGO_PKG_VERSION")));
        let gateway = Gateway {
            broker,
            hub,
            store,
            registry,
            node,
            traces,
            refused,
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            address,
            reach,
            gateway,
            admin,
            key,
            backups,
            metrics: Arc::new(metrics),
            worker,
            drain,
            reload,
            reloads,
        })
    }

    /// Where it listens, with the port that port 0 became.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where those come in who run it, and where its token is found.
    pub fn admin(&self) -> (SocketAddr, &str) {
        (self.admin.address, &self.key.found)
    }

    /// Takes new configurations to it while it runs.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Serves until `stop` ends, then drains. Dropping it ends everything at once.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let health = Health::serving().await;
        let (closing, left) = (CancellationToken::new(), self.key.left);
        let (broker, hub, store, stopping) = (
            self.gateway.broker.clone(),
            self.gateway.hub.clone(),
            self.gateway.store.clone(),
            self.gateway.stopping.clone(),
        );
        let traces = self.gateway.traces.clone();
        // Those who run it may ask for the stop too.
        let asked = CancellationToken::new();
        let backups = self.backups;
        let admin = Admin {
            broker: broker.clone(),
            hub: hub.clone(),
            store: store.clone(),
            backups: backups.clone(),
            registry: self.gateway.registry.clone(),
            metrics: self.metrics,
            trouble: health.trouble(),
            reach: self.admin.reach(),
            stop: asked.clone(),
            drain: self.drain,
        };
        let admin = rpc::admin_routes(admin, health.service());
        let admin = layers::around_admin(admin, self.admin.reach(), self.key.rule);
        let routes = rpc::routes(self.gateway, health.service());
        let service = layers::around(routes, self.reach);
        let end = || closing.clone().cancelled_owned();
        let serving = server::serve(self.listener, service, end());
        let admin = server::serve(self.admin.listener, admin, end());
        let canary = Canary::new(broker.clone(), health.clone());
        let watched = CancellationToken::new();
        let mut tasks = Tasks {
            server: tokio::spawn(serving),
            admin: tokio::spawn(admin),
            worker: tokio::spawn(self.worker.run()),
            canary: tokio::spawn(canary.run(watched.clone())),
        };

        tokio::select! {
            () = stop => {}
            () = asked.cancelled() => {}
            () = self.reload.run(&broker) => {}
            error = tasks.ended() => return Err(error),
        }
        // Who asks for a reload from now on is told that it is too late.
        drop(self.reload);
        tracing::info!(
            "stopping: within {:?} everything that was taken is done",
            self.drain
        );
        let drained = async {
            // First, so that nothing says otherwise after it.
            watched.cancel();
            tasks.join_canary().await?;
            health.set(Some("the gateway is stopping".into())).await;
            stopping.cancel();
            // Nobody waits for one: it can be made anew.
            backups.inspect(Backups::stop);
            hub.drain(SPREAD);
            broker.drain().await;
            // The worker ends with the last handle; the server has the other one.
            drop(broker);
            // Before another gateway may have the port or the directory.
            drop(left);
            closing.cancel();
            let ended = tasks.join(CLOSING).await;
            store.close().await;
            traces.close().await;
            ended
        };
        tokio::time::timeout(self.drain, drained)
            .await
            .unwrap_or(Err(RunError::Drain(self.drain)))
    }
}

/// Refuses what cannot be run, without opening a port or a store. To be called inside a runtime.
pub fn check(config: &Config) -> Result<(), BuildError> {
    judge(config)?;
    let registry = handlers::registry(config, Vec::new(), &mut DropCounts::default());
    registry.map_err(BuildError::Handler)?;
    Ok(())
}

/// What is wrong with a configuration although each of its values could be right.
fn judge(config: &Config) -> Result<Reach, BuildError> {
    let reach = reach(config)?;
    let (clients, admin) = (config.listen, config.admin.listen);
    let meet = |a: IpAddr, b: IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
    let same = clients.port() == admin.port() && meet(clients.ip(), admin.ip());
    if same && clients.port() != 0 {
        return Err(BuildError::SamePort(clients.port()));
    }
    Ok(reach)
}

fn reach(config: &Config) -> Result<Reach, BuildError> {
    match (
        config.listen.ip().to_canonical().is_loopback(),
        config.exposure,
    ) {
        (true, _) => Ok(Reach::Loopback),
        (false, Exposure::Anywhere) => Ok(Reach::Anywhere),
        (false, Exposure::LoopbackOnly) => Err(BuildError::Exposed(config.listen)),
    }
}

fn traces(config: &Config, node: &str) -> Result<Traces, String> {
    let Some(endpoint) = &config.telemetry.otlp else {
        return Ok(Traces::off());
    };
    Traces::new(&TelemetrySettings {
        endpoint: endpoint.clone(),
        ratio: config.telemetry.ratio,
        node: node.to_owned(),
    })
}

fn streams(node: String) -> StreamSettings {
    StreamSettings {
        node,
        // Proxies end streams that are idle for longer.
        heartbeat: Duration::from_secs(15),
        age: Duration::from_secs(600),
        // What a subscriber may lag behind before it reads the store: a second at full speed.
        ring_entries: 65_536,
        ring_bytes: 32 << 20,
    }
}

/// `option`: what says another address.
fn bound(address: SocketAddr, option: &str) -> Result<(TcpListener, SocketAddr), BuildError> {
    let bound = server::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|error| not_bound(address, option, &error))
}

fn not_bound(address: SocketAddr, option: &str, error: &io::Error) -> BuildError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process has this port; stop it, or give another one with {option}")
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need rights that this process has not; choose a higher one".into()
        }
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine".into(),
        _ => error.to_string(),
    };
    BuildError::Listen(address, why)
}
