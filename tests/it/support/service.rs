//! A service in another process, as the gateway sees it: it implements `Handler`, and can be ended, begun again where it was,
//! and put behind a wire that falls silent.

use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tidegate::wire::handler::handler_server::{Handler, HandlerServer};
use tidegate::wire::proto::{HandleItem, HandleRequest, HandleResponse, HandleResult, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::process::free_address;

type Answer = BoxFuture<'static, Result<HandleResponse, Status>>;

/// A service to be, as often as it is begun, always at one address. Clones share what they have seen.
#[derive(Clone)]
pub struct Service {
    address: SocketAddr,
    answer: Arc<dyn Fn(HandleRequest) -> Answer + Send + Sync>,
    seen: Arc<watch::Sender<Vec<HandleRequest>>>,
    forgets: bool,
    /// The `traceparent` that each call came with.
    traces: Arc<Mutex<Vec<Option<String>>>>,
    identity: Option<Identity>,
}

/// One that runs, with its connections. All of them end when it is dropped.
pub struct Running(Option<Runtime>);

impl Service {
    pub fn new(answer: impl Fn(HandleRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            address: free_address().parse().unwrap(),
            answer: Arc::new(answer),
            seen: Arc::new(watch::Sender::new(Vec::new())),
            forgets: false,
            traces: Arc::default(),
            identity: None,
        }
    }

    /// Answers at once with what this makes of the request.
    pub fn answering(
        answer: impl Fn(HandleRequest) -> Result<HandleResponse, Status> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |request| Box::pin(std::future::ready(answer(request))))
    }

    /// Answers each item with its content.
    pub fn echo() -> Self {
        Self::answering(|request| Ok(answers(request.items.iter().map(echoed))))
    }

    /// Keeps nothing of what it sees: for hundreds of thousands of items.
    pub fn forgetful(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// With TLS.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Listens when this returns.
    pub fn begin(&self) -> Running {
        let listener = Listener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut server = Server::builder();
        if let Some(identity) = &self.identity {
            let tls = ServerTlsConfig::new().identity(identity.clone());
            server = server.tls_config(tls).unwrap();
        }
        let service = HandlerServer::new(self.clone());
        runtime.spawn(async move {
            let listener = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            let server = server.add_service(service);
            server.serve_with_incoming(listener).await.unwrap();
        });
        Running(Some(runtime))
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<HandleRequest> {
        self.seen.borrow().clone()
    }

    /// Every item so far.
    pub fn items(&self) -> Vec<HandleItem> {
        self.seen()
            .into_iter()
            .flat_map(|request| request.items)
            .collect()
    }

    /// The trace of every call so far.
    pub fn traces(&self) -> Vec<Option<String>> {
        self.traces.lock().clone()
    }

    /// Waits until it was called so often.
    pub async fn called(&self, times: usize) {
        let mut seen = self.seen.subscribe();
        seen.wait_for(|seen| seen.len() >= times).await.unwrap();
    }
}

#[tonic::async_trait]
impl Handler for Service {
    async fn handle(
        &self,
        request: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let trace = request.metadata().get("traceparent");
        let trace = trace.map(|trace| trace.to_str().unwrap().to_owned());
        let request = request.into_inner();
        if !self.forgets {
            self.traces.lock().push(trace);
            self.seen.send_modify(|seen| seen.push(request.clone()));
        }
        (self.answer)(request).await.map(Response::new)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let runtime = self.0.take().expect("it is dropped once");
        // In a thread of its own, as no task may wait for it: its address is free when this is over.
        let ending = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(30)));
        ending.join().expect("it ends");
    }
}

pub fn answers(results: impl IntoIterator<Item = HandleResult>) -> HandleResponse {
    HandleResponse {
        results: results.into_iter().collect(),
    }
}

/// The item's content as its answer.
pub fn echoed(item: &HandleItem) -> HandleResult {
    HandleResult {
        id: item.id.clone(),
        outcome: Outcome::Ok.into(),
        data: item.data.clone(),
        ..HandleResult::default()
    }
}

/// The item's first text.
pub fn said(item: &HandleItem) -> String {
    String::from_utf8(item.data[0].to_vec()).unwrap()
}

/// A wire to a service that can be cut, and can fall silent: what is on it stays there then, and no end is told, as with a
/// stopped process or a machine that is gone.
pub struct Line {
    address: SocketAddr,
    silent: watch::Sender<bool>,
    cut: watch::Sender<()>,
    /// How many connections were made over it.
    connections: Arc<Mutex<usize>>,
}

impl Line {
    pub async fn to(service: &Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silent, heard) = watch::channel(false);
        let cut = watch::Sender::new(());
        let cuts = cut.clone();
        let connections = Arc::new(Mutex::new(0));
        let (to, count) = (service.address, connections.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                *count.lock() += 1;
                let far = TcpStream::connect(to).await.unwrap();
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                let ways = [(from_near, to_far), (from_far, to_near)];
                for (from, to) in ways {
                    let (heard, mut cut) = (heard.clone(), cuts.subscribe());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = carry(from, to, heard) => {}
                            _ = cut.changed() => {}
                        }
                    });
                }
            }
        });
        Self {
            address,
            silent,
            cut,
            connections,
        }
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock()
    }

    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    pub fn speak(&self) {
        self.silent.send_replace(false);
    }

    /// Ends every connection that is there, whatever is on it.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(bytes) = from.read(&mut buffer).await {
        // A wire that is gone is silent for good.
        let Ok(_) = silent.wait_for(|silent| !silent).await else {
            return;
        };
        if bytes == 0 || to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
