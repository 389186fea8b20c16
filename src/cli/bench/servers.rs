//! The two servers, in this process, each on a port of its own.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

use super::floor::{Floor, GatewayServer};
use super::{Error, Server};

/// Both servers, from when they listen until they are stopped.
#[derive(Debug)]
pub(super) struct Servers {
    floor: Running,
    gateway: Running,
}

#[derive(Debug)]
struct Running {
    uri: String,
    /// Dropped or sent: it stops.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Servers {
    pub(super) async fn start() -> Result<Self, Error> {
        Ok(Self {
            floor: start_floor()?,
            gateway: start_floor()?,
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

fn start_floor() -> Result<Running, Error> {
    let cannot = |error: &dyn std::fmt::Display| Error::Start(format!("the floor: {error}"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let incoming = TcpIncoming::bind(address).map_err(|error| cannot(&error))?;
    let incoming = incoming.with_nodelay(Some(true));
    let bound = incoming.local_addr().map_err(|error| cannot(&error))?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let served = tonic::transport::Server::builder()
            .add_service(GatewayServer::new(Floor::default()))
            .serve_with_incoming_shutdown(incoming, async {
                let _ = stopped.await;
            })
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the floor failed");
        }
    });
    Ok(Running {
        uri: format!("http://{bound}"),
        stop,
        task,
    })
}
