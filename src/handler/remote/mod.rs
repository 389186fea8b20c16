//! A service in another process, at one or more addresses.
//!
//! A call goes to an address that works, the one with the least calls in flight. One that cannot be reached, loses its
//! connection or does not answer in time is out until it answers again: the others have its share meanwhile. Where none works,
//! they are tried in turn, so that whichever is back first is found by the calls themselves.

mod balance;
mod peer;
mod publish;
mod request;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use self::balance::Balance;
use self::peer::Peer;
use self::publish::Dropped;
pub use self::publish::Publishing;
use super::{Batch, CallError, Handled, Handler, ItemId};
use crate::types::{Action, HandlerName};
use crate::wire::{handling, proto};

/// Where a service is, and how it is called.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    pub name: HandlerName,
    /// At least one, each with http or https.
    pub addresses: Vec<String>,
    /// From the call to its whole answer.
    pub call_timeout: Duration,
    /// Certificates, as PEM, that alone are trusted over https. `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    pub publishing: Publishing,
    /// Messages of results that were not published, counted on by whoever has its place later.
    pub dropped: Arc<AtomicU64>,
}

/// The `grpc` handler.
#[derive(Debug)]
pub struct Remote {
    name: HandlerName,
    peers: Vec<Peer>,
    /// A lock and not a task: it is held to choose one of a few.
    balance: Arc<Mutex<Balance>>,
    call_timeout: Duration,
    publishing: Publishing,
    /// Messages of results that were not published.
    dropped: Arc<AtomicU64>,
}

/// One call, counted at its address until it is over, however it ends.
struct Turn<'a> {
    balance: &'a Mutex<Balance>,
    at: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.balance.lock().end(self.at);
    }
}

impl Remote {
    /// Connects to nobody yet. To be made inside a runtime. The error says what cannot be, for a person.
    pub fn new(settings: RemoteSettings) -> Result<Self, String> {
        let peers = settings.addresses.iter();
        let peers = peers.map(|address| Peer::new(address, &settings));
        let peers: Vec<_> = peers.collect::<Result<_, _>>()?;
        Ok(Self {
            name: settings.name,
            balance: Arc::new(Mutex::new(Balance::new(peers.len()))),
            peers,
            call_timeout: settings.call_timeout,
            publishing: settings.publishing,
            dropped: settings.dropped,
        })
    }

    async fn call(&self, batch: Batch) -> Result<Vec<Handled>, CallError> {
        let trace = batch.trace.clone();
        let request = request::of(batch);
        let at = self.balance.lock().begin();
        let turn = Turn {
            balance: &self.balance,
            at,
        };
        let peer = &self.peers[at];
        let called = timeout(
            self.call_timeout,
            peer.handle(request, trace.as_deref(), self.call_timeout),
        )
        .await;
        drop(turn);
        match called {
            Ok(Ok(response)) => {
                self.is_back(at);
                Ok(self.handled(response))
            }
            Ok(Err(status)) if status::is_of_peer(&status) => {
                self.is_back(at);
                Err(status::of_peer(&status))
            }
            Ok(Err(status)) => {
                let error = status::of_connection(&status, peer.address());
                self.is_out(at, &error.message);
                Err(error)
            }
            Err(_) => {
                let (address, limit) = (peer.address(), self.call_timeout);
                let error = CallError::passing(format!("no answer from {address} in {limit:?}"));
                self.is_out(at, &error.message);
                Err(error)
            }
        }
    }

    fn is_back(&self, at: usize) {
        if self.balance.lock().is_back(at) {
            info!(handler = %self.name, address = self.peers[at].address(), "the address answers again");
        }
    }

    /// The others have its share until it answers. Where there are no others, calls go on to it, and find it themselves.
    fn is_out(&self, at: usize, why: &str) {
        if !self.balance.lock().is_out(at) {
            return;
        }
        let peer = &self.peers[at];
        warn!(handler = %self.name, address = peer.address(), why, "the address does not answer");
        if self.peers.len() > 1 {
            peer.ask(self.balance.clone(), at, self.name.clone());
        }
    }

    fn handled(&self, response: proto::HandleResponse) -> Vec<Handled> {
        let mut handled = Vec::with_capacity(response.results.len());
        let mut dropped = Dropped::default();
        for mut result in response.results {
            // What is no id at all is an answer that nobody asked for, as others are.
            let id = ItemId::parse(&result.id).unwrap_or(ItemId::NONE);
            let publications = std::mem::take(&mut result.publish);
            handled.push(Handled {
                id,
                answer: handling::answer(result),
                messages: self.publishing.drafts(id, publications, &mut dropped),
            });
        }
        dropped.tell(&self.name);
        self.dropped.fetch_add(dropped.count(), Ordering::Relaxed);
        handled
    }
}

impl Handler for Remote {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        self.call(batch).boxed()
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }

    fn dropped_messages(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn is_fenced(&self) -> bool {
        true
    }

    fn publishes(&self) -> bool {
        !self.publishing.allowed.is_empty()
    }
}
