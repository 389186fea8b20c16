//! A gateway in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidegate::app::{App, RunError};
use tidegate::config::{Config, Engine};
use tidegate::handler::{BatchLimits, Drive, Handler, HandlerSettings, Kind, Ordering};
use tidegate::types::{Action, Content, HandlerName, Packet, Retry, Token};
use tidegate_client::Client;
use tidegate_client::proto::gateway_client::GatewayClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Opens `Admin` of the gateways here.
pub const ADMIN_TOKEN: &str = "a-token-for-the-tests";

/// A gateway to be: `gateway().start().await`.
pub fn gateway() -> Builder {
    Builder {
        config: String::new(),
        data: None,
        custom: Vec::new(),
    }
}

pub struct Builder {
    config: String,
    data: Option<PathBuf>,
    custom: Vec<HandlerSettings>,
}

impl Builder {
    /// With this configuration file.
    pub fn config(mut self, text: &str) -> Self {
        self.config = text.to_owned();
        self
    }

    /// Keeps everything in this directory, and not in memory.
    pub fn data(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// With a handler of the test's own, one action a batch and every client's packets in order.
    pub fn handler(self, name: &str, handler: impl Handler + 'static) -> Self {
        self.handler_with(name, handler, |_| {})
    }

    /// The same, driven otherwise.
    pub fn handler_with(
        mut self,
        name: &str,
        handler: impl Handler + 'static,
        change: impl FnOnce(&mut HandlerSettings),
    ) -> Self {
        let mut settings = custom(name, handler);
        change(&mut settings);
        self.custom.push(settings);
        self
    }

    /// Listens when this returns. Dropped, it is told to stop; [`Gateway::stop`] waits for that.
    pub async fn start(self) -> Gateway {
        let mut config = Config::parse(&self.config, std::iter::empty()).unwrap();
        config.listen.set_port(0);
        config.admin.listen.set_port(0);
        // So that nothing is left where others find it.
        config
            .admin
            .token
            .get_or_insert_with(|| Token::new(ADMIN_TOKEN).unwrap());
        config.store.engine = Engine::Memory;
        if let Some(data) = self.data {
            config.store.engine = Engine::Embedded;
            config.store.path = data;
        }
        let app = App::build(config, self.custom).await.unwrap();
        let (address, admin) = (app.address(), app.admin().0);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Gateway {
            address,
            admin,
            stop,
            running,
        }
    }
}

/// A handler of the test's own, that keeps nothing.
pub fn custom(name: &str, handler: impl Handler + 'static) -> HandlerSettings {
    HandlerSettings {
        name: HandlerName::new(name).unwrap(),
        kind: Kind::Custom,
        ordering: Ordering::Client,
        mixed_actions: false,
        isolate_tenants: false,
        batch: BatchLimits::default(),
        durable: false,
        retry: Retry::default(),
        drive: Drive::Called(Arc::new(handler)),
    }
}

/// A packet of one text that has gone through the edge, named by it.
pub fn small(handler: &str, text: &str) -> Packet {
    Packet {
        req_id: text.to_owned().into(),
        handler: handler.to_owned().into(),
        seq: 0,
        action: Action::Create,
        key: "".into(),
        content: Content::text(text.to_owned()),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: 0,
        size: text.len(),
        raw: Bytes::new(),
        carried: None,
        refusal: None,
    }
}

/// A gateway that runs.
pub struct Gateway {
    address: SocketAddr,
    admin: SocketAddr,
    /// Dropped: it is told to stop.
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

impl Gateway {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where those come in who run it.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.uri()).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// The generated client, for what the thin one keeps people from doing.
    pub async fn bare(&self) -> GatewayClient<Channel> {
        GatewayClient::new(self.channel().await)
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.uri()).await.unwrap()
    }

    /// Drains it, and gives what it ended with.
    pub async fn stop(self) -> Result<(), RunError> {
        drop(self.stop);
        self.running.await.unwrap()
    }
}
