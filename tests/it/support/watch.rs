//! Reading a stream whose messages alone count.

use tidegate_client::EventStream;
use tidegate_client::proto::{Message, event};

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
            Some(event::Event::Connected(_) | event::Event::Heartbeat(_)) => {}
            Some(event::Event::Message(message)) => {
                let cursor = next.cursor;
                return Watched { cursor, message };
            }
            other => panic!("{other:?} in a stream that was to bring messages"),
        }
    }
}
