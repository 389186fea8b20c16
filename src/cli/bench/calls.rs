//! The scenarios made of calls. Requests are built once; a turn clones and encodes them, the same for both servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tidegate_client::proto::gateway_client::GatewayClient;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::{Fault, Times};

const ITEM_BYTES: usize = 100;

/// A minute: a longer call counts as one.
const LONGEST_NANOSECONDS: u64 = 60_000_000_000;

/// How much is on its way at once.
struct Load {
    packets_per_call: usize,
    connections: usize,
    calls_per_connection: usize,
}

/// The median of how long a call of one packet takes that is alone, in microseconds.
pub(super) async fn lone(uri: &str, times: Times) -> Result<f64, Fault> {
    let request = request(1);
    let mut client = connect(uri).await?;
    let warm = Instant::now() + times.warm_up;
    while Instant::now() < warm {
        call(&mut client, &request).await?;
    }
    let mut latencies = Histogram::<u64>::new_with_max(LONGEST_NANOSECONDS, 3)
        .expect("three digits of a minute are within what it can hold");
    let end = Instant::now() + times.measure;
    while Instant::now() < end {
        let start = Instant::now();
        call(&mut client, &request).await?;
        latencies.saturating_record(nanoseconds(start));
    }
    Ok(latencies.value_at_quantile(0.5) as f64 / 1e3)
}

/// Calls a second, of one packet each, with 256 in flight.
pub(super) async fn one_per_call(uri: &str, times: Times) -> Result<f64, Fault> {
    let load = Load {
        packets_per_call: 1,
        connections: 8,
        calls_per_connection: 32,
    };
    packets(uri, &load, async |answered| rate(answered, times).await).await
}

/// Packets a second, 1000 in a call. Four calls in flight keep two cores busy and stay within half of a lane's bound, which
/// is what one subject may always hold.
pub(super) async fn thousand_per_call(uri: &str, times: Times) -> Result<f64, Fault> {
    thousand_per_call_while(uri, async |answered| rate(answered, times).await).await
}

/// The same, as long as somebody looks at how many packets were answered.
pub(super) async fn thousand_per_call_while<T>(
    uri: &str,
    look: impl AsyncFnOnce(&AtomicU64) -> T,
) -> Result<T, Fault> {
    let load = Load {
        packets_per_call: 1000,
        connections: 4,
        calls_per_connection: 1,
    };
    packets(uri, &load, look).await
}

async fn packets<T>(
    uri: &str,
    load: &Load,
    look: impl AsyncFnOnce(&AtomicU64) -> T,
) -> Result<T, Fault> {
    let request = Arc::new(request(load.packets_per_call));
    let answered = Arc::new(AtomicU64::new(0));
    // Dropping the set ends its tasks, whatever the way out.
    let mut callers = JoinSet::new();
    for _ in 0..load.connections {
        let client = connect(uri).await?;
        for _ in 0..load.calls_per_connection {
            callers.spawn(keep_calling(
                client.clone(),
                request.clone(),
                answered.clone(),
            ));
        }
    }
    tokio::select! {
        Some(failed) = callers.join_next() => Err(failed.unwrap_or_else(|error| Fault::Wrong(error.to_string()))),
        seen = look(&answered) => Ok(seen),
    }
}

/// Until it fails; what ends it otherwise is its owner.
async fn keep_calling(
    mut client: GatewayClient<Channel>,
    request: Arc<BatchRequest>,
    answered: Arc<AtomicU64>,
) -> Fault {
    loop {
        if let Err(fault) = call(&mut client, &request).await {
            return fault;
        }
        answered.fetch_add(request.packets.len() as u64, Ordering::Relaxed);
    }
}

/// By how much a counter grows in a second, after the warm-up.
async fn rate(counter: &AtomicU64, times: Times) -> f64 {
    tokio::time::sleep(times.warm_up).await;
    let (start, before) = (Instant::now(), counter.load(Ordering::Relaxed));
    tokio::time::sleep(times.measure).await;
    let grown = counter.load(Ordering::Relaxed) - before;
    grown as f64 / start.elapsed().as_secs_f64()
}

async fn call(client: &mut GatewayClient<Channel>, request: &BatchRequest) -> Result<(), Fault> {
    let response = client.sync(request.clone()).await?.into_inner();
    if response.results.len() != request.packets.len() {
        let (asked, got) = (request.packets.len(), response.results.len());
        return Err(Fault::Wrong(format!("{asked} packets got {got} results")));
    }
    for result in &response.results {
        let content = result.data.first().map_or(0, Bytes::len);
        if result.outcome != Outcome::Ok as i32 || content != ITEM_BYTES {
            return Err(Fault::Wrong(format!(
                "a packet was not answered with its content: {:?} {:?} {}",
                result.outcome(),
                result.reason(),
                result.message
            )));
        }
    }
    Ok(())
}

fn request(packets: usize) -> BatchRequest {
    let packet = Packet::create("echo").data(vec![b'x'; ITEM_BYTES]);
    BatchRequest::of(std::iter::repeat_n(packet, packets))
}

async fn connect(uri: &str) -> Result<GatewayClient<Channel>, Fault> {
    let channel = Endpoint::from_shared(uri.to_owned())?.connect().await?;
    Ok(GatewayClient::new(channel))
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
