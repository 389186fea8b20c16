//! Streams that nobody reads, and those beside them.

use std::time::Duration;

use prost::Message as _;
use tidegate_client::proto::{BatchRequest, EventsRequest, Packet, event, gap};
use tidegate_client::{Client, EventStream, Windows};
use tokio::time::{Instant, timeout};

use crate::support::{Gateway, Process, gateway, message};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_2_5_a_subscriber_that_stops_reading_costs_the_others_nothing() {
    let gateway = Process::start().await;
    let shown = timeout(PATIENCE, one_stops(&gateway)).await;
    println!("SHOWS 2.5 {}", shown.expect("it is done in time"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_2_6_calls_beside_unread_streams_are_answered() {
    let config = "[topics.\"ticks.>\"]\nephemeral = true\n";
    let gateway = gateway().config(config).start().await;
    let shown = timeout(PATIENCE, async {
        let mut shown = Vec::new();
        for streams in [1, 4, 8] {
            shown.push(nobody_reads(&gateway, streams).await);
        }
        shown.join("; ")
    });
    println!("SHOWS 2.6 {}", shown.await.expect("it is done in time"));
}

async fn one_stops(gateway: &Process) -> String {
    const READERS: usize = 100;
    // More than the gateway keeps at hand for streams that lag: the rest must come out of the store.
    const MESSAGES: usize = 100_000;
    const TOGETHER: usize = 1_000;
    const GROWTH: u64 = 64 * MIB;

    let before = gateway.memory();
    let client = Client::connect(gateway.uri()).await.unwrap();
    let topics = || EventsRequest::on(["feed"]);
    let mut stopped = client.events(topics()).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut stream = client.events(topics()).await.unwrap();
        let reading = async move { read(&mut stream, MESSAGES).await };
        readers.push(tokio::spawn(reading));
    }
    let started = Instant::now();
    for first in (0..MESSAGES).step_by(TOGETHER) {
        let numbers = first..first + TOGETHER;
        let packets = numbers.map(|number| Packet::publish("feed").data(content(number)));
        client.sync(BatchRequest::of(packets)).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let took = started.elapsed().as_secs_f64();
    let grown = gateway.memory().peak - before.resident;
    read(&mut stopped, MESSAGES).await;
    let grown_after = gateway.memory().peak - before.resident;
    assert!(
        grown_after <= GROWTH,
        "the gateway's memory grew by {grown} bytes, and by {grown_after} when the stopped one read on"
    );
    format!(
        "{READERS} readers get {MESSAGES} messages of 100 bytes each in {took:.1} s ({:.0} deliveries/s) beside one that has \
         stopped and then reads all of them; at its peak the gateway holds {:.1} MiB more than at its start",
        (READERS * MESSAGES) as f64 / took,
        grown_after as f64 / MIB as f64,
    )
}

/// Every message, once and in order.
async fn read(stream: &mut EventStream, messages: usize) {
    for number in 0..messages {
        let watched = message(stream).await;
        assert_eq!(watched.message.data[..], content(number)[..]);
    }
}

/// 100 bytes that no other message has.
fn content(number: usize) -> Vec<u8> {
    format!("{number:0100}").into_bytes()
}

/// What the gateway had given out for a stream before it fell behind comes before its Gap. What of that does not fit the
/// client's window is what the gateway holds.
async fn nobody_reads(gateway: &Gateway, streams: usize) -> String {
    const CALLS: usize = 200;
    const IN_TIME: Duration = Duration::from_secs(5);
    const HELD: u64 = 128 * KIB;

    let client = gateway.client().await;
    let topic = format!("ticks.{streams}");
    let mut unread = Vec::new();
    for _ in 0..streams {
        unread.push(client.events(EventsRequest::on([&topic])).await.unwrap());
    }
    let published = flood(&gateway.client().await, &topic).await;

    let mut took = Vec::new();
    for _ in 0..CALLS {
        let started = Instant::now();
        let call = client.sync(Packet::create("echo").text("is anybody there?"));
        let answer = timeout(IN_TIME, call).await;
        answer
            .expect("it is answered beside unread streams")
            .unwrap();
        took.push(started.elapsed());
    }
    took.sort_unstable();

    let mut held = 0;
    for stream in &mut unread {
        let (messages, bytes, missed) = until_gap(stream).await;
        assert_eq!(messages + missed, published, "what is missing is counted");
        let beyond = bytes.saturating_sub(u64::from(Windows::default().stream));
        held = held.max(beyond);
    }
    assert!(held > 0, "the windows were not filled");
    assert!(held <= HELD, "the gateway holds {held} bytes for a stream");
    format!(
        "{streams} unread: {CALLS} Syncs take {:.1?} each and {:.1?} at most, the gateway holds {} KiB a stream",
        took[CALLS / 2],
        took[CALLS - 1],
        held.div_ceil(KIB),
    )
}

/// Publishes more than the gateway keeps at hand for streams that lag (32 MiB).
async fn flood(client: &Client, topic: &str) -> u64 {
    const CALLS: u64 = 12;
    const TOGETHER: u64 = 3_500;
    for _ in 0..CALLS {
        let packets = (0..TOGETHER).map(|_| Packet::publish(topic).data(vec![b'.'; 1 << 10]));
        let answer = client.sync(BatchRequest::of(packets)).await.unwrap();
        assert_eq!(answer.results.len() as u64, TOGETHER);
    }
    CALLS * TOGETHER
}

/// The messages before the Gap, the bytes of all events before it, and how many messages it stands for.
async fn until_gap(stream: &mut EventStream) -> (u64, u64, u64) {
    const FRAME_HEADER: usize = 5;
    let (mut messages, mut bytes) = (0, 0);
    loop {
        let event = stream.next().await.unwrap().unwrap();
        match &event.event {
            Some(event::Event::Gap(gap)) => {
                assert_eq!(gap.cause(), gap::Cause::Slow);
                return (messages, bytes, gap.missed);
            }
            Some(event::Event::Message(_)) => messages += 1,
            _ => {}
        }
        bytes += (event.encoded_len() + FRAME_HEADER) as u64;
    }
}
