//! Streams of events, read as tests read them.

use std::time::Duration;

use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{Event, EventsRequest, Message};
use tidegate_client::{Client, EventStream};
use tokio::time::timeout;

/// More than anything needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream that has begun: what is published from now on is seen.
pub async fn watch(client: &Client, request: EventsRequest) -> EventStream {
    let mut stream = client.events(request).await.unwrap();
    let first = event(&mut stream).await;
    assert!(matches!(first.event, Some(Kind::Connected(_))), "{first:?}");
    stream
}

/// The next event, whatever it is.
pub async fn event(stream: &mut EventStream) -> Event {
    let next = timeout(PATIENCE, stream.next()).await;
    next.expect("an event comes in time")
        .expect("the stream goes on")
        .unwrap()
}

/// The messages before the one with this text.
pub async fn messages_until(stream: &mut EventStream, end: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let next = timeout(PATIENCE, message(stream)).await;
        let next = next.expect("a message comes in time").message;
        if next.text == end {
            return messages;
        }
        messages.push(next);
    }
}

/// A message and the cursor that it came with.
pub struct Watched {
    pub cursor: String,
    pub message: Message,
}

/// The next message. A Gap, or an end before it, is a failure.
pub async fn message(stream: &mut EventStream) -> Watched {
    loop {
        let next = stream.next().await.expect("the stream goes on").unwrap();
        match next.event {
            Some(Kind::Connected(_) | Kind::Heartbeat(_)) => {}
            Some(Kind::Message(message)) => {
                let cursor = next.cursor;
                return Watched { cursor, message };
            }
            other => panic!("{other:?} in a stream that was to bring messages"),
        }
    }
}
