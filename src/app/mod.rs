//! The only place where things are wired: configuration → built (ports bound, addresses known) → run → drained.

mod canary;
mod handlers;
mod server;
mod store;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use self::canary::Canary;
use crate::broker::{self, Worker};
use crate::config::{Config, Exposure};
use crate::events::{Hub, StreamSettings};
use crate::handler::HandlerSettings;
use crate::layers::Reach;
use crate::metrics;
use crate::rpc::{self, Gateway, Refused};
use crate::store::StoreSource;
use crate::store::embedded::OpenError;

/// The name of the gateway's service to those who ask for its health.
const SERVICE: &str = crate::wire::service::gateway_server::SERVICE_NAME;

/// Streams that are told to go reconnect within this time, each at its own moment.
const SPREAD: Duration = Duration::from_secs(10);

/// What answers and farewells get to reach their clients once everything is done. A peer that reads nothing, a suspended laptop
/// for one, must not hold up the stop.
const CLOSING: Duration = Duration::from_secs(2);

/// A gateway that is built: its port is bound, and nothing runs yet.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    reach: Reach,
    gateway: Gateway,
    metrics: Arc<metrics::Registry>,
    worker: Worker,
    drain: Duration,
}

/// Why there is no gateway. The text says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "{0} can be reached by others, and the gateway does not know who calls: listen on 127.0.0.1, or say --insecure"
    )]
    Exposed(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, String),
    #[error("{0}")]
    Handler(String),
    #[error(transparent)]
    Store(#[from] OpenError),
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
        let reach = reach(&config)?;
        // Before anything else: a port in use is the commonest mistake, and nothing else should have happened then.
        let listener =
            server::bind(config.listen).map_err(|error| not_bound(config.listen, &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| not_bound(config.listen, &error))?;

        let registry = handlers::registry(&config, custom).map_err(BuildError::Handler)?;
        let node = format!("{:08x}", rand::random::<u32>());
        let hub = Hub::new(streams(node.clone()));
        let store = store::open(&config, Arc::new(hub.clone())).await?;
        let registry = Arc::new(registry);
        if config.handlers.is_some() {
            handlers::tell_hidden(&*store, &registry).await;
        }
        let (broker, mut worker) =
            broker::build(registry.clone(), store.clone(), broker::Settings::default());
        // Before anything is offered: what was taken and is not finished goes first.
        let open = store.open_runs().await;
        worker.restore(open.map_err(|error| BuildError::Restore(error.to_string()))?);
        let refused = Refused::default();
        let mut metrics = metrics::Registry::default();
        metrics.add(broker::Figures::new(&broker, &registry));
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
            refused,
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            address,
            reach,
            gateway,
            metrics: Arc::new(metrics),
            worker,
            drain: config.drain,
        })
    }

    /// Where it listens, with the port that port 0 became.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What there is to see of it, also while it runs.
    pub fn metrics(&self) -> Arc<metrics::Registry> {
        self.metrics.clone()
    }

    /// Serves until `stop` ends, then drains. Dropping it ends everything at once.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let health = HealthReporter::new();
        set_health(&health, ServingStatus::Serving).await;
        let closing = CancellationToken::new();
        let (broker, hub, store, stopping) = (
            self.gateway.broker.clone(),
            self.gateway.hub.clone(),
            self.gateway.store.clone(),
            self.gateway.stopping.clone(),
        );
        let service = HealthServer::new(HealthService::from_health_reporter(health.clone()));
        let routes = rpc::routes(self.gateway, service);
        let serving = server::serve(
            self.listener,
            routes,
            self.reach,
            closing.clone().cancelled_owned(),
        );
        let canary = Canary::new(broker.clone(), health.clone());
        let watched = CancellationToken::new();
        let mut tasks = Tasks {
            server: tokio::spawn(serving),
            worker: tokio::spawn(self.worker.run()),
            canary: tokio::spawn(canary.run(watched.clone())),
        };

        tokio::select! {
            () = stop => {}
            error = tasks.ended() => return Err(error),
        }
        tracing::info!(
            "stopping: within {:?} everything that was taken is done",
            self.drain
        );
        let drained = async {
            // First, so that nothing says otherwise after it.
            watched.cancel();
            tasks.join_canary().await?;
            set_health(&health, ServingStatus::NotServing).await;
            stopping.cancel();
            hub.drain(SPREAD);
            broker.drain().await;
            // The worker ends with the last handle; the server has the other one.
            drop(broker);
            closing.cancel();
            let ended = tasks.join(CLOSING).await;
            store.close().await;
            ended
        };
        tokio::time::timeout(self.drain, drained)
            .await
            .unwrap_or(Err(RunError::Drain(self.drain)))
    }
}

/// The tasks of a running gateway, ended with it.
#[derive(Debug)]
struct Tasks {
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    worker: JoinHandle<()>,
    canary: JoinHandle<()>,
}

impl Tasks {
    /// The first that ends before it was told to.
    async fn ended(&mut self) -> RunError {
        tokio::select! {
            ended = &mut self.server => RunError::Server(match ended {
                Ok(Ok(())) => "nobody told it to".into(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            }),
            ended = &mut self.worker => RunError::Broker(match ended {
                Ok(()) => "nobody told it to".into(),
                Err(error) => error.to_string(),
            }),
            ended = &mut self.canary => RunError::Health(match ended {
                Ok(()) => "nobody told it to".into(),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// It was told to end, and waits for nothing.
    async fn join_canary(&mut self) -> Result<(), RunError> {
        let ended = (&mut self.canary).await;
        ended.map_err(|error| RunError::Health(error.to_string()))
    }

    /// Every packet has its answer: what is left is to tell it. The worker ends with the last connection.
    async fn join(&mut self, closing: Duration) -> Result<(), RunError> {
        let Ok(served) = tokio::time::timeout(closing, &mut self.server).await else {
            tracing::info!("some clients did not read to the end: their connections are cut");
            return Ok(());
        };
        served
            .map_err(|error| RunError::Server(error.to_string()))?
            .map_err(|error| RunError::Server(error.to_string()))?;
        let worked = (&mut self.worker).await;
        worked.map_err(|error| RunError::Broker(error.to_string()))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.server.abort();
        self.worker.abort();
        self.canary.abort();
    }
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

fn not_bound(address: SocketAddr, error: &io::Error) -> BuildError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process has this port; stop it, or give another one with --listen".into()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need rights that this process has not; choose a higher one".into()
        }
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine".into(),
        _ => error.to_string(),
    };
    BuildError::Listen(address, why)
}

/// The empty name stands for the process as a whole.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", SERVICE] {
        health.set_service_status(service, status).await;
    }
}
