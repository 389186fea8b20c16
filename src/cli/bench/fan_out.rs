//! 100 subscribers of one ephemeral topic. Its publisher goes no further ahead than the slowest of them can follow, because
//! what is measured is delivery, and a message that was dropped was not delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidegate_client::proto::{BatchRequest, EventsRequest, Outcome, Packet, PacketResult, event};
use tidegate_client::{Client, EventStream, Windows};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Fault, Times};

/// The gateway is configured to keep nothing of it.
pub(super) const TOPIC: &str = "bench.fan";

/// How many calls' messages may be on their way to the slowest subscriber.
pub(super) const BATCHES_IN_FLIGHT: usize = 4;

const CONNECTIONS: usize = 10;
const STREAMS_PER_CONNECTION: usize = 10;
const SUBSCRIBERS: usize = CONNECTIONS * STREAMS_PER_CONNECTION;

const MESSAGES_PER_CALL: usize = 1000;
const MESSAGES_PER_PACKET: usize = 50;
const MESSAGE_BYTES: usize = 100;

const WINDOWS: Windows = Windows {
    call: 1 << 20,
    stream: 1 << 20,
    streams: STREAMS_PER_CONNECTION as u32,
};

/// Deliveries a second to all subscribers together.
pub(super) async fn deliveries(uri: &str, times: Times) -> Result<f64, Fault> {
    let flow = Arc::new(Flow::new());
    // Dropping the set ends its tasks, whatever the way out.
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = connect(uri, connection).await?;
        for stream in 0..STREAMS_PER_CONNECTION {
            let mut events = client.events(EventsRequest::on([TOPIC])).await?;
            expect_connected(&mut events).await?;
            let number = connection * STREAMS_PER_CONNECTION + stream;
            tasks.spawn(read(events, number, flow.clone()));
        }
    }
    tasks.spawn(publish(connect(uri, CONNECTIONS).await?, flow.clone()));
    tokio::select! {
        Some(failed) = tasks.join_next() => Err(failed.unwrap_or_else(|error| Fault::Wrong(error.to_string()))),
        rate = rate(&flow, times) => Ok(rate),
    }
}

/// What publisher and subscribers know of each other.
struct Flow {
    /// One permit for each call that may be made now.
    room: Semaphore,
    /// How many subscribers have read a batch, by its number modulo the batches in flight. Subscribers read in order, so a
    /// batch is read by all before the next one is, and its place is free again before it is taken.
    readers: [AtomicUsize; BATCHES_IN_FLIGHT],
    /// What each subscriber has read so far.
    read: Vec<AtomicU64>,
}

impl Flow {
    fn new() -> Self {
        Self {
            room: Semaphore::new(BATCHES_IN_FLIGHT),
            readers: Default::default(),
            read: (0..SUBSCRIBERS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The last subscriber to read a batch makes room for another one.
    fn batch_read(&self, batch: usize) {
        let readers = &self.readers[batch % BATCHES_IN_FLIGHT];
        if readers.fetch_add(1, Ordering::AcqRel) + 1 == SUBSCRIBERS {
            readers.store(0, Ordering::Release);
            self.room.add_permits(1);
        }
    }

    fn delivered(&self) -> u64 {
        let counters = self.read.iter();
        counters
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

async fn rate(flow: &Flow, times: Times) -> f64 {
    tokio::time::sleep(times.warm_up).await;
    let (start, before) = (Instant::now(), flow.delivered());
    tokio::time::sleep(times.measure).await;
    let delivered = flow.delivered() - before;
    delivered as f64 / start.elapsed().as_secs_f64()
}

/// Until it fails; what ends it otherwise is its owner.
async fn publish(client: Client, flow: Arc<Flow>) -> Fault {
    let request = request();
    loop {
        match flow.room.acquire().await {
            Ok(room) => room.forget(),
            Err(closed) => return Fault::Wrong(closed.to_string()),
        }
        let response = match client.sync(request.clone()).await {
            Ok(response) => response,
            Err(error) => return error.into(),
        };
        let refused = |result: &&PacketResult| result.outcome != Outcome::Ok as i32;
        if let Some(result) = response.results.iter().find(refused) {
            return Fault::Wrong(format!(
                "messages were not published: {:?} {:?} {}",
                result.outcome(),
                result.reason(),
                result.message
            ));
        }
    }
}

/// Until it fails; what ends it otherwise is its owner.
async fn read(mut events: EventStream, number: usize, flow: Arc<Flow>) -> Fault {
    let mut read = 0;
    loop {
        let event = match events.next().await {
            Some(Ok(event)) => event.event,
            Some(Err(error)) => return error.into(),
            None => return Fault::Wrong("a stream ended".to_owned()),
        };
        match event {
            Some(event::Event::Message(message)) if message.data.len() == MESSAGE_BYTES => {
                read += 1;
                flow.read[number].store(read as u64, Ordering::Relaxed);
                if read % MESSAGES_PER_CALL == 0 {
                    flow.batch_read(read / MESSAGES_PER_CALL - 1);
                }
            }
            Some(event::Event::Heartbeat(_)) => {}
            other => {
                return Fault::Wrong(format!("a stream brought {other:?} instead of a message"));
            }
        }
    }
}

async fn expect_connected(events: &mut EventStream) -> Result<(), Fault> {
    match events
        .next()
        .await
        .transpose()?
        .and_then(|event| event.event)
    {
        Some(event::Event::Connected(_)) => Ok(()),
        other => Err(Fault::Wrong(format!("a stream began with {other:?}"))),
    }
}

/// A subject has a hundred streams at most, and those of the turn before may not be gone yet: each connection has its own.
async fn connect(uri: &str, connection: usize) -> Result<Client, Fault> {
    let client = Client::builder(uri)
        .subject(format!("bench-{connection}"))
        .windows(WINDOWS);
    Ok(client.connect().await?)
}

fn request() -> BatchRequest {
    let content = vec![vec![b'x'; MESSAGE_BYTES].into(); MESSAGES_PER_PACKET];
    let packet = Packet {
        data: content,
        ..Packet::publish(TOPIC)
    };
    BatchRequest::of(std::iter::repeat_n(
        packet,
        MESSAGES_PER_CALL / MESSAGES_PER_PACKET,
    ))
}
