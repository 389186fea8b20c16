//! The load on a durable handler: clients that send packets with places, each call answered once its packets are taken and
//! durable, get the results on a stream, and settle them with the next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tidegate_client::proto::{
    BatchRequest, EventsRequest, GoAway, Outcome, Packet, PacketResult, Reason, Settled, event,
};
use tidegate_client::{Client, EventStream, Windows};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::ledger::Ledger;
use crate::cli::bench::Fault;

/// The handler that the load goes to: an `echo` that is durable.
pub const HANDLER: &str = "echo";

const ITEM_BYTES: usize = 100;

/// Within this the last results come after the last packet was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A minute: what takes longer counts as one.
const LONGEST_NANOSECONDS: u64 = 60_000_000_000;

const WINDOWS: Windows = Windows {
    call: 4 << 20,
    stream: 4 << 20,
    streams: 1,
};

/// How much is on its way at once, and how fast.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Each with a subject, a queue, a stream and two connections of its own. The names begin with this.
    pub name: String,
    pub clients: usize,
    pub packets_per_call: usize,
    /// A client's next call waits until so many of its packets, or fewer, have no result.
    pub unfinished: u64,
    /// Whether clients say what they are done with.
    pub settles: bool,
    /// A client's calls are at least so far apart. `None`: as fast as it goes.
    pub every: Option<Duration>,
}

/// What the clients count together.
#[derive(Debug)]
pub struct Tally {
    results: AtomicU64,
    refused: AtomicU64,
    /// Of a result, from when its packet was sent. A lock and not a task: it is held to note the results of one event.
    latencies: Mutex<Histogram<u64>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            results: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            latencies: Mutex::new(histogram()),
        }
    }
}

impl Tally {
    /// Packets whose result came.
    pub fn results(&self) -> u64 {
        self.results.load(Ordering::Relaxed)
    }

    /// Calls that the gateway had no room for, or not for all of it: the rest went out again.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// From send to result in nanoseconds, since this was last asked for.
    pub fn take_latencies(&self) -> Histogram<u64> {
        std::mem::replace(&mut *self.latencies.lock(), histogram())
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_NANOSECONDS, 3)
        .expect("three digits of a minute are within what it can hold")
}

/// Clients at work. Dropping it ends them.
#[derive(Debug)]
pub struct Load {
    pub tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    clients: JoinSet<Result<(), Fault>>,
}

impl Load {
    /// Every client is connected when this returns.
    pub async fn start(uri: &str, shape: &Shape) -> Result<Self, Fault> {
        let tally = Arc::new(Tally::default());
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..shape.clients {
            let sender = Sender::connect(uri, number, shape, tally.clone()).await?;
            let events = sender.client.events(EventsRequest::default()).await?;
            let queue = Arc::new(Queue::default());
            let receiver = Receiver {
                client: sender.client.clone(),
                events,
                queue: queue.clone(),
                tally: tally.clone(),
            };
            clients.spawn(sender.run(queue, receiver, shape.clone(), stopped.clone()));
        }
        Ok(Self {
            tally,
            stop,
            clients,
        })
    }

    /// Ends with what ended a client, which is wrong while nobody told them to stop.
    pub async fn failed(&mut self) -> Fault {
        match self.clients.join_next().await {
            Some(Ok(Err(fault))) => fault,
            Some(Err(error)) => Fault::Wrong(error.to_string()),
            Some(Ok(Ok(()))) | None => Fault::Wrong("a client ended".to_owned()),
        }
    }

    /// Sends nothing more, and ends when every packet has had its result, and is settled: how many there were.
    pub async fn stop(mut self) -> Result<u64, Fault> {
        // Without a client there is nobody to tell.
        let _ = self.stop.send(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|error| Fault::Wrong(error.to_string()))??;
        }
        Ok(self.tally.results())
    }
}

/// What the two halves of a client share.
#[derive(Debug, Default)]
struct Queue {
    /// A lock and not a task: it is held to note a call, or the results of one event.
    ledger: Mutex<Ledger>,
    /// Results came.
    came: Notify,
}

struct Sender {
    client: Client,
    request: BatchRequest,
    settles: bool,
    tally: Arc<Tally>,
}

impl Sender {
    /// The subject is its own, because a subject may hold only so much of a lane.
    async fn connect(
        uri: &str,
        number: usize,
        shape: &Shape,
        tally: Arc<Tally>,
    ) -> Result<Self, Fault> {
        let name = format!("{}-{number}", shape.name);
        let client = Client::builder(uri)
            .subject(name.clone())
            .client_id(name)
            .windows(WINDOWS)
            .connect()
            .await?;
        let packet = Packet::create(HANDLER).data(vec![b'x'; ITEM_BYTES]);
        let packets = std::iter::repeat_n(packet, shape.packets_per_call);
        let request = BatchRequest::of(packets).until_accepted();
        Ok(Self {
            client,
            request,
            settles: shape.settles,
            tally,
        })
    }

    async fn run(
        self,
        queue: Arc<Queue>,
        receiver: Receiver,
        shape: Shape,
        stopped: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        // On a task of its own, as the two would be threads or tasks in any client.
        let mut receiving = JoinSet::new();
        receiving.spawn(receiver.run());
        tokio::select! {
            sent = self.send(&queue, &shape, stopped) => sent,
            Some(fault) = receiving.join_next() => {
                Err(fault.unwrap_or_else(|error| Fault::Wrong(error.to_string())))
            }
        }
    }

    async fn send(
        mut self,
        queue: &Queue,
        shape: &Shape,
        stopped: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let mut due = Instant::now();
        while !*stopped.borrow() {
            queue.falls_to(shape.unfinished).await;
            if let Some(every) = shape.every {
                sleep_until(due).await;
                // What it was late by is not made up for.
                due = due.max(Instant::now() - every) + every;
            }
            if let Some(pause) = self.send_one(queue).await? {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
            }
        }
        let last = timeout(PATIENCE, queue.falls_to(0)).await;
        last.map_err(|_| {
            let missing = queue.ledger.lock().missing();
            Fault::Wrong(format!("{missing} results never came"))
        })?;
        if self.settles {
            self.request.packets.clear();
            self.request.settled = vec![settled(queue)];
            self.client.sync(self.request).await?;
        }
        Ok(())
    }

    /// What the gateway has no room for goes out again after the pause that this gives.
    async fn send_one(&mut self, queue: &Queue) -> Result<Option<Duration>, Fault> {
        if self.settles {
            self.request.settled = vec![settled(queue)];
        }
        {
            let mut ledger = queue.ledger.lock();
            for (packet, seq) in self.request.packets.iter_mut().zip(ledger.next()..) {
                packet.seq = seq;
            }
            ledger.send(self.request.packets.len(), Instant::now());
        }
        let response = self.client.sync(self.request.clone()).await?;
        let (asked, got) = (self.request.packets.len(), response.results.len());
        if asked != got {
            return Err(Fault::Wrong(format!("{asked} packets got {got} results")));
        }
        // A final outcome would be one that the stream does not bring.
        let is = |result: &PacketResult, outcome: Outcome| result.outcome == outcome as i32;
        let mut left = response.results.iter();
        let Some(first) = left.find(|result| !is(result, Outcome::Accepted)) else {
            return Ok(None);
        };
        let has_no_room = is(first, Outcome::Retry) && first.reason() == Reason::Overloaded;
        if !has_no_room || !left.clone().all(|result| is(result, Outcome::Retry)) {
            return Err(refused(first));
        }
        queue.ledger.lock().take_back(1 + left.len());
        let pause = first.retry_after.unwrap_or_default();
        Ok(Some(Duration::try_from(pause).unwrap_or_default()))
    }
}

impl Queue {
    /// Waits until so few packets, or fewer, have no result.
    async fn falls_to(&self, missing: u64) {
        while self.ledger.lock().missing() > missing {
            self.came.notified().await;
        }
    }
}

fn settled(queue: &Queue) -> Settled {
    Settled {
        handler: HANDLER.to_owned(),
        through: queue.ledger.lock().settled(),
        req_ids: Vec::new(),
    }
}

fn refused(result: &PacketResult) -> Fault {
    Fault::Wrong(format!(
        "packet {} got: {:?} {:?} {}",
        result.seq,
        result.outcome(),
        result.reason(),
        result.message
    ))
}

struct Receiver {
    client: Client,
    events: EventStream,
    queue: Arc<Queue>,
    tally: Arc<Tally>,
}

impl Receiver {
    /// Until it fails; what ends it otherwise is its owner.
    async fn run(mut self) -> Fault {
        loop {
            let event = match self.events.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return error.into(),
                None => return Fault::Wrong("a stream ended".to_owned()),
            };
            let noted = match event.event {
                Some(event::Event::Results(batch)) => self.note(&batch.results),
                Some(event::Event::Connected(_) | event::Event::Heartbeat(_)) => Ok(()),
                Some(event::Event::GoAway(told)) => self.go_on(told, event.cursor).await,
                other => Err(Fault::Wrong(format!("a stream brought {other:?}"))),
            };
            if let Err(fault) = noted {
                return fault;
            }
        }
    }

    /// A stream does not live for ever: the next one begins where it was.
    async fn go_on(&mut self, told: GoAway, cursor: String) -> Result<(), Fault> {
        let pause = told.reconnect_after.unwrap_or_default();
        sleep(Duration::try_from(pause).unwrap_or_default()).await;
        let request = EventsRequest::default().from_cursor(cursor);
        self.events = self.client.events(request).await?;
        Ok(())
    }

    fn note(&self, results: &[PacketResult]) -> Result<(), Fault> {
        let now = Instant::now();
        let mut ledger = self.queue.ledger.lock();
        let mut latencies = self.tally.latencies.lock();
        for result in results {
            let content = result.data.first().map_or(0, bytes::Bytes::len);
            if result.outcome != Outcome::Ok as i32 || content != ITEM_BYTES {
                return Err(refused(result));
            }
            let took = ledger.receive(result.seq, now).map_err(Fault::Wrong)?;
            latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        drop((ledger, latencies));
        let came = results.len() as u64;
        self.tally.results.fetch_add(came, Ordering::Relaxed);
        self.queue.came.notify_one();
        Ok(())
    }
}
