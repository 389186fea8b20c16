//! The two servers, in this process, each on a port of its own.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use super::durable::PACKETS_PER_CALL;
use super::durable::load::HANDLER;
use super::fan_out::TOPIC;
use super::floor::{Floor, GatewayServer};
use super::{Error, Server};
use crate::app::App;
use crate::config::{
    AdminConfig, Config, Engine, HandlerConfig, HandlerKind, KeepConfig, TopicConfig,
};
use crate::types::{BatchLimits, HandlerName, Ordering, Pattern, Retry, Token};

/// A port of this machine that is free.
const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Nothing is left to do when they are stopped, so this is never reached.
const DRAIN: Duration = Duration::from_secs(5);

/// Both servers, from when they listen until they are stopped.
#[derive(Debug)]
pub(super) struct Servers {
    floor: Running,
    gateway: Running,
}

#[derive(Debug)]
struct Running {
    uri: String,
    /// It stops when this is dropped.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Servers {
    /// The gateway in memory.
    pub(super) async fn start() -> Result<Self, Error> {
        Self::with(in_memory()).await
    }

    /// The gateway on a store in this folder, with a handler that is durable.
    pub(super) async fn start_durable(store: &Path) -> Result<Self, Error> {
        Self::with(on_disk(store)).await
    }

    async fn with(config: Config) -> Result<Self, Error> {
        Ok(Self {
            floor: start_floor().map_err(|error| Error::Start(format!("the floor: {error}")))?,
            gateway: start_gateway(config).await?,
        })
    }

    pub(super) fn uri(&self, server: Server) -> &str {
        match server {
            Server::Floor => &self.floor.uri,
            Server::Gateway => &self.gateway.uri,
        }
    }

    /// Both have stopped when this returns.
    pub(super) async fn stop(self) {
        for server in [self.floor, self.gateway] {
            drop(server.stop);
            // A server that panicked has stopped too, and the panic was printed.
            let _ = server.task.await;
        }
    }
}

/// As anyone's service is started.
fn start_floor() -> std::io::Result<Running> {
    let incoming = TcpIncoming::bind(SocketAddr::from(ANY_PORT))?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let serving = tonic::transport::Server::builder()
        .add_service(GatewayServer::new(Floor::default()))
        .serve_with_incoming_shutdown(incoming, dropped(stopped));
    Ok(Running::spawn(address, stop, serving))
}

/// One topic is not kept.
/// Nobody runs it: its token is nowhere.
fn admin() -> AdminConfig {
    AdminConfig {
        listen: SocketAddr::from(ANY_PORT),
        token: Some(Token::random()),
    }
}

fn in_memory() -> Config {
    let ephemeral = Pattern::parse(TOPIC, "").expect("the benchmark's topic is a pattern");
    let mut config = Config {
        listen: SocketAddr::from(ANY_PORT),
        admin: admin(),
        topics: vec![TopicConfig {
            pattern: ephemeral,
            ephemeral: true,
            keep: KeepConfig::default(),
        }],
        drain: DRAIN,
        ..Config::default()
    };
    config.store.engine = Engine::Memory;
    config
}

fn on_disk(store: &Path) -> Config {
    let handler = HandlerConfig {
        name: HandlerName::new(HANDLER).expect("the benchmark's handler has a name"),
        kind: HandlerKind::Echo,
        ordering: Ordering::Client,
        mixed_actions: false,
        isolate_tenants: false,
        // A call's packets are one batch: the next of a client leave when those before them are done, on disk and all.
        batch: BatchLimits {
            max_packets: PACKETS_PER_CALL,
            ..BatchLimits::default()
        },
        durable: true,
        retry: Retry::default(),
        remote: None,
    };
    let mut config = Config {
        listen: SocketAddr::from(ANY_PORT),
        admin: admin(),
        handlers: Some(vec![handler]),
        drain: DRAIN,
        ..Config::default()
    };
    config.store.engine = Engine::Embedded;
    config.store.path = store.to_owned();
    config
}

/// As `tidegate serve` starts it.
async fn start_gateway(config: Config) -> Result<Running, Error> {
    let app = App::build(config, Vec::new())
        .await
        .map_err(|error| Error::Start(format!("the gateway: {error}")))?;
    let address = app.address();
    let (stop, stopped) = oneshot::channel();
    Ok(Running::spawn(address, stop, app.run(dropped(stopped))))
}

impl Running {
    fn spawn<E: Display + Send>(
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        serving: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self {
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!("the server at {address} ended: {error}");
            }
        });
        let uri = format!("http://{address}");
        Self { uri, stop, task }
    }
}

/// When the other end is gone.
async fn dropped(stopped: oneshot::Receiver<()>) {
    // Nothing is ever sent.
    let _ = stopped.await;
}
