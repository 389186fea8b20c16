//! Consolidates the packets of all clients into few large batches, and gives every packet its own answer.

mod apply;
mod core;
mod figures;
mod fit;
mod lanes;
mod letters;
mod recall;
mod restore;
mod settings;
#[cfg(test)]
mod sim;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

pub use self::core::Class;
pub use figures::Figures;
pub use lanes::{Amount, CircuitView, Cleared, Counts, Flushed, LaneView, Selection};
pub use letters::{DeadLetter, Decided, LETTERS_AT_ONCE, Letters};
pub use settings::Settings;
pub use worker::Worker;

use self::apply::{Applier, Tally};
use self::core::Core;
use self::letters::Shelf;
use self::recall::Recalls;
use self::worker::Command;
use crate::handler::{HandlerSettings, Registry};
use crate::store::Store;
use crate::types::{Answer, ClientKey, Packet, Principal, Reason};

/// How long a caller waits; it changes nothing about how a packet is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Until every packet has its final outcome.
    Applied,
    /// Until every packet is taken and durable.
    Accepted,
}

/// One call of `Sync`, checked. Packets that the edge found wrong are in it, each with its refusal.
#[derive(Debug)]
pub struct Request {
    pub principal: Arc<Principal>,
    /// `None`: the call stands alone.
    pub client: Option<Arc<ClientKey>>,
    pub ack: Ack,
    /// How long the answer may take: less than the call's own deadline.
    pub wait: Duration,
    /// Applied before the packets.
    pub settled: Vec<SettledPart>,
    pub packets: Vec<Arc<Packet>>,
    /// Its bytes as it came: its packets share its buffer.
    pub size: usize,
}

/// What the client is done with, in one of its queues.
#[derive(Debug, Clone)]
pub struct SettledPart {
    pub handler: ByteString,
    pub through: u64,
    pub req_ids: Vec<ByteString>,
}

/// One per packet, in the order of the request.
#[derive(Debug)]
pub struct Response {
    /// Whose they are.
    pub client: Option<Arc<ClientKey>>,
    pub answers: Vec<(Arc<Packet>, Answer)>,
}

/// The gateway is stopping: nothing of the request was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Stopping;

/// Builds the broker: the handle to give away, and the worker to run and to join.
pub fn build(
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    settings: Settings,
) -> (Broker, Worker) {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let applier = Applier::new(store.clone()).traced(settings.traces.clone());
    let broker = Broker {
        commands,
        intake: Arc::new(Semaphore::new(permits(settings.intake_bytes))),
        intake_permits: permits(settings.intake_bytes),
        tally: applier.tally(),
        shelf: Arc::new(Shelf::new(store.clone(), applier.clone(), registry.clone())),
        recalls: Arc::new(Recalls::new(store, applier.clone(), registry.clone())),
    };
    let worker = Worker::new(Core::new(registry, settings), applier, inbox);
    (broker, worker)
}

/// The wait ended while the worker was behind.
fn not_looked_at(request: Request) -> Response {
    let answer = Answer::retry(
        Reason::HandlerTimeout,
        "the wait ended before it was its turn",
    );
    let answers = request.packets.into_iter();
    Response {
        client: request.client,
        answers: answers.map(|packet| (packet, answer.clone())).collect(),
    }
}

/// Requests on their way to the worker at most.
const COMMANDS: usize = 1024;

/// One permit of the intake stands for so many bytes.
const PERMIT_BYTES: usize = 1024;

fn permits(bytes: usize) -> usize {
    bytes / PERMIT_BYTES + 1
}

/// Hands requests to the broker's task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Broker {
    commands: mpsc::Sender<Command>,
    /// Bounds the bytes of requests that the worker has not looked at yet.
    intake: Arc<Semaphore>,
    intake_permits: usize,
    tally: Tally,
    shelf: Arc<Shelf>,
    recalls: Arc<Recalls>,
}

impl Broker {
    /// Hands a request over and waits for its answer. Dropping the future drops a waiter, never a packet.
    pub async fn sync(&self, request: Request) -> Result<Response, Stopping> {
        let received = Instant::now();
        let permits = permits(request.size).min(self.intake_permits) as u32;
        let room = self.intake.clone().acquire_many_owned(permits);
        let Ok(room) = timeout(request.wait, room).await else {
            return Ok(not_looked_at(request));
        };
        let (reply, answer) = oneshot::channel();
        let command = Command::Sync {
            request,
            received,
            reply,
            room: room.map_err(|_| Stopping)?,
        };
        self.commands.send(command).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// To be called before a stream of the client begins: what calls of an earlier start were to carry comes on its streams,
    /// as nobody knows whether it was heard.
    pub async fn recall(&self, client: &ClientKey) {
        self.recalls.recall(client).await;
    }

    /// The lanes that are named.
    pub async fn lanes(&self, selection: Selection) -> Result<Vec<LaneView>, Stopping> {
        self.ask(|reply| Command::Lanes { selection, reply }).await
    }

    /// Everything that is ready in these lanes leaves now, whatever the size of its batches.
    pub async fn flush(&self, selection: Selection) -> Result<Flushed, Stopping> {
        self.ask(|reply| Command::Flush { selection, reply }).await
    }

    /// What is named, and waits, gets its final answer. Ends when everyone is told. Dropping the future takes nothing back.
    pub async fn clear(&self, selection: Selection) -> Result<Cleared, Stopping> {
        self.ask(|reply| Command::Clear { selection, reply }).await
    }

    /// Handlers that are listed are driven by these settings from now on, all at once; they may differ in `batch`, `retry` and
    /// what is called. What is in flight ends as it began.
    pub async fn reload(&self, handlers: Vec<HandlerSettings>) -> Result<(), Stopping> {
        self.ask(|reply| Command::Reload { handlers, reply }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopping> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// Takes no more requests, lets nothing wait for company, and ends when every packet that is here has its answer.
    pub async fn drain(&self) {
        self.intake.close();
        let (done, drained) = oneshot::channel();
        if self.commands.send(Command::Drain(done)).await.is_ok() {
            // A worker that is gone has nothing left.
            let _ = drained.await;
        }
    }
}
