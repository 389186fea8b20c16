//! When a batch leaves. At the broker and not through a port, because here the clock is held.

use std::sync::Arc;
use std::time::Duration;

use tidegate::broker::{self, Ack, Broker, Request, Selection, Settings};
use tidegate::events::{Hub, StreamSettings};
use tidegate::handler::{Registry, Unlisted};
use tidegate::store::memory::{Keep, Memory};
use tidegate::types::{Outcome, Principal};
use tokio::time::{Instant, sleep};

use crate::support::{Notes, custom, small};

const MS: Duration = Duration::from_millis(1);

/// A broker that runs, with one handler whose batches wait this long.
fn broker(notes: &Notes, window: Duration) -> Broker {
    let mut handler = custom("h", notes.clone());
    handler.batch.window = window;
    let registry = Registry::new(vec![handler.clone()], handler, Unlisted::AreUnknown);
    let hub = Hub::new(StreamSettings {
        node: "here".into(),
        heartbeat: Duration::from_secs(15),
        age: Duration::from_secs(600),
        ring_entries: 16,
        ring_bytes: 1 << 16,
    });
    let store = Memory::new(Keep::default(), Arc::new(hub));
    let (broker, worker) = broker::build(Arc::new(registry), Arc::new(store), Settings::default());
    // It ends with its last handle.
    drop(tokio::spawn(worker.run()));
    broker
}

fn request(text: &str) -> Request {
    let packet = small("h", text);
    Request {
        principal: Arc::new(Principal::default()),
        client: None,
        ack: Ack::Applied,
        wait: Duration::from_secs(30),
        settled: Vec::new(),
        size: 0,
        packets: vec![Arc::new(packet)],
    }
}

/// Sends it after a while, and gives how long after that its answer came.
async fn sync_after(broker: &Broker, delay: Duration, text: &str) -> Duration {
    sleep(delay).await;
    let sent = Instant::now();
    let response = broker.sync(request(text)).await.unwrap();
    assert_eq!(response.answers[0].1.outcome, Outcome::Ok);
    sent.elapsed()
}

#[tokio::test(start_paused = true)]
async fn shows_2_10_a_batch_leaves_after_its_window_which_later_packets_do_not_extend() {
    let notes = Notes::default();
    let broker = broker(&notes, 50 * MS);
    let (first, second) = tokio::join!(
        sync_after(&broker, Duration::ZERO, "first"),
        sync_after(&broker, 30 * MS, "second"),
    );
    assert!((50 * MS..=200 * MS).contains(&first), "{first:?}");
    assert!(second <= 21 * MS, "{second:?} after the second one");
    assert_eq!(notes.texts(), [["first", "second"]]);
}

#[tokio::test(start_paused = true)]
async fn shows_2_10_flush_now() {
    let notes = Notes::default();
    let broker = broker(&notes, Duration::from_secs(20));
    let sent = Instant::now();
    let (first, second, flushed) = tokio::join!(
        broker.sync(request("first")),
        broker.sync(request("second")),
        broker.flush(Selection::default())
    );
    assert!(first.is_ok() && second.is_ok() && flushed.is_ok());
    assert!(sent.elapsed() < 5 * MS, "{:?}", sent.elapsed());
    assert_eq!(notes.texts(), [["first", "second"]]);
    let next = sync_after(&broker, Duration::ZERO, "third").await;
    assert!(
        next >= Duration::from_secs(20),
        "what comes later waits again: {next:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn shows_2_10_an_empty_queue_is_not_flushed() {
    let notes = Notes::default();
    let broker = broker(&notes, 50 * MS);
    let idle = async || {
        broker.flush(Selection::default()).await.unwrap();
        sleep(1_000 * MS).await;
    };
    idle().await;
    assert_eq!(notes.calls(), [], "there is no lane yet");
    sync_after(&broker, Duration::ZERO, "alone").await;
    idle().await;
    assert_eq!(notes.texts(), [["alone"]], "its lane is empty again");
}
