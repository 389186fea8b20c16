//! A stream of events, read as a test reads it.

use std::time::Duration;

use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{Event, EventsRequest, Message};
use tidegate_client::{Client, EventStream};
use tokio::time::timeout;

/// More than anything needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that has begun: what is published from now on is seen.
pub async fn watch(client: &Client, request: EventsRequest) -> EventStream {
    let mut stream = client.events(request).await.unwrap();
    let first = event(&mut stream).await;
    assert!(matches!(first.event, Some(Kind::Connected(_))), "{first:?}");
    stream
}

/// The next event.
pub async fn event(stream: &mut EventStream) -> Event {
    let next = timeout(PATIENCE, stream.next()).await;
    next.expect("an event comes in time")
        .expect("the stream goes on")
        .unwrap()
}

/// The next message, and the cursor that it came with.
pub async fn next_message(stream: &mut EventStream) -> (String, Message) {
    let next = event(stream).await;
    match next.event {
        Some(Kind::Message(message)) => (next.cursor, message),
        other => panic!("a message was expected, not {other:?}"),
    }
}

/// The messages before the one with this text.
pub async fn messages_until(stream: &mut EventStream, end: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let (_, message) = next_message(stream).await;
        if message.text == end {
            return messages;
        }
        messages.push(message);
    }
}
