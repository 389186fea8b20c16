//! The two servers, in this process, each on a port of its own.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use super::fan_out::TOPIC;
use super::floor::{Floor, GatewayServer};
use super::{Error, Server};
use crate::app::App;
use crate::config::{Config, Engine, KeepConfig, TopicConfig};
use crate::types::Pattern;

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
    pub(super) async fn start() -> Result<Self, Error> {
        Ok(Self {
            floor: start_floor().map_err(|error| Error::Start(format!("the floor: {error}")))?,
            gateway: start_gateway().await?,
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

/// As `tidegate serve` starts it, with one topic that is not kept.
async fn start_gateway() -> Result<Running, Error> {
    let ephemeral = Pattern::parse(TOPIC, "").expect("the benchmark's topic is a pattern");
    let mut config = Config {
        listen: SocketAddr::from(ANY_PORT),
        topics: vec![TopicConfig {
            pattern: ephemeral,
            ephemeral: true,
            keep: KeepConfig::default(),
        }],
        drain: DRAIN,
        ..Config::default()
    };
    config.store.engine = Engine::Memory;
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
