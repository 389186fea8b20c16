//! Streams that nobody reads, and those beside them.

use std::time::Duration;

use tidegate_client::proto::{BatchRequest, EventsRequest, Packet};
use tidegate_client::{Client, EventStream};
use tokio::time::{Instant, timeout};

use crate::support::{Process, message};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_2_5_a_subscriber_that_stops_reading_costs_nobody_anything() {
    let gateway = Process::start().await;
    let shown = timeout(PATIENCE, one_stops(&gateway)).await;
    println!("SHOWS 2.5 {}", shown.expect("it is done in time"));
}

async fn one_stops(gateway: &Process) -> String {
    const READERS: usize = 100;
    const MESSAGES: usize = 100_000;
    const TOGETHER: usize = 1_000;
    const GROWTH: u64 = 64 * MIB;

    let before = gateway.memory();
    let client = Client::connect(gateway.uri()).await.unwrap();
    let topics = || EventsRequest::on(["feed"]);
    let mut stopped = Client::connect(gateway.uri())
        .await
        .unwrap()
        .events(topics())
        .await
        .unwrap();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let stream = client.events(topics()).await.unwrap();
        readers.push(tokio::spawn(read(stream, MESSAGES)));
    }
    println!("connected {:?}", gateway.memory());
    let started = Instant::now();
    for first in (0..MESSAGES).step_by(TOGETHER) {
        let packets =
            (first..first + TOGETHER).map(|number| Packet::publish("feed").data(content(number)));
        client.sync(BatchRequest::of(packets)).await.unwrap();
    }
    println!("published {:?} {:?}", started.elapsed(), gateway.memory());
    for reader in readers {
        reader.await.unwrap();
    }
    let took = started.elapsed();
    println!("read {:?} {:?}", took, gateway.memory());
    let during = gateway.memory();
    read_on(&mut stopped, MESSAGES).await;
    let after = gateway.memory();
    println!("after {:?} ", gateway.memory());
    let growth = after.peak - before.resident;
    assert!(growth <= GROWTH, "{growth} {during:?}");
    format!("{took:?} {growth}")
}

async fn read(mut stream: EventStream, messages: usize) {
    read_on(&mut stream, messages).await;
}

/// Every message, once and in order.
async fn read_on(stream: &mut EventStream, messages: usize) {
    for number in 0..messages {
        let watched = message(stream).await;
        assert_eq!(watched.message.data[..], content(number)[..]);
    }
}

/// 100 bytes that no other message has.
fn content(number: usize) -> Vec<u8> {
    format!("{number:0100}").into_bytes()
}
