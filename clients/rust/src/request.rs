//! Words for building requests. They only fill in the fields of the generated messages, which may as well be done by hand.

use std::time::Duration;

use bytes::Bytes;

use crate::proto::{Ack, Action, BatchRequest, EventsRequest, Outcome, Packet, Settled, Start};

impl Packet {
    /// Creates an entity; on `topics`, publishes.
    pub fn create(handler: impl Into<String>) -> Self {
        Self::new(handler, Action::Create)
    }

    /// Reads the entity with this key.
    pub fn read(handler: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(handler, Action::Read).key(key)
    }

    /// Changes the entity with this key.
    pub fn update(handler: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(handler, Action::Update).key(key)
    }

    /// Deletes the entity with this key.
    pub fn delete(handler: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(handler, Action::Delete).key(key)
    }

    /// Creates or replaces the entity with this key.
    pub fn put(handler: impl Into<String>, key: impl Into<String>) -> Self {
        Self::new(handler, Action::Put).key(key)
    }

    /// Lists the entities whose keys start so.
    pub fn list(handler: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::new(handler, Action::List).key(prefix)
    }

    /// Calls an action of the handler's own.
    pub fn call(handler: impl Into<String>, method: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            ..Self::new(handler, Action::Call)
        }
    }

    /// Publishes on a topic; the content is the message.
    pub fn publish(topic: impl Into<String>) -> Self {
        Self::create("topics").key(topic)
    }

    fn new(handler: impl Into<String>, action: Action) -> Self {
        Self {
            handler: handler.into(),
            action: action.into(),
            ..Self::default()
        }
    }

    /// The entity it is about.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// One more item of content, as text. A packet has text or [`data`](Self::data), never both.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text.push(text.into());
        self
    }

    /// One more item of content, as bytes.
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data.push(data.into());
        self
    }

    /// Its place among its client's packets to its handler, from 1.
    pub fn seq(mut self, seq: u64) -> Self {
        self.seq = seq;
        self
    }

    /// What its result is found by.
    pub fn req_id(mut self, req_id: impl Into<String>) -> Self {
        self.req_id = req_id.into();
        self
    }

    /// Applies only while the entity has this version; 0: only if there is none.
    pub fn at_version(mut self, version: u64) -> Self {
        self.if_version = Some(version);
        self
    }

    /// One more header for the handler.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// A LIST's page: how many at most, and the token from the page before (empty: the first).
    pub fn page(mut self, size: u32, token: impl Into<String>) -> Self {
        self.page_size = size;
        self.page_token = token.into();
        self
    }

    /// Not applied later than this after the gateway received it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(duration(ttl));
        self
    }

    /// Outside every order.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }
}

impl BatchRequest {
    /// A request with these packets.
    pub fn of(packets: impl IntoIterator<Item = Packet>) -> Self {
        Self {
            packets: packets.into_iter().collect(),
            ..Self::default()
        }
    }

    /// In the name of this client, and not of the one that the [`Client`](crate::Client) was built with.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Waits only until every packet is taken and durable.
    pub fn until_accepted(mut self) -> Self {
        self.set_ack(Ack::Accepted);
        self
    }

    /// How long the answer may take.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(duration(wait));
        self
    }

    /// Lets the gateway forget the packets to this handler up to this `seq`.
    pub fn settle(mut self, handler: impl Into<String>, through: u64) -> Self {
        self.settled.push(Settled {
            handler: handler.into(),
            through,
            req_ids: Vec::new(),
        });
        self
    }
}

impl From<Packet> for BatchRequest {
    fn from(packet: Packet) -> Self {
        Self::of([packet])
    }
}

impl From<Vec<Packet>> for BatchRequest {
    fn from(packets: Vec<Packet>) -> Self {
        Self::of(packets)
    }
}

impl EventsRequest {
    /// What is published from now on on topics that match one of these patterns, and the client's results.
    pub fn on<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self {
            topics: patterns.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// In the name of this client, and not of the one that the [`Client`](crate::Client) was built with.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Resumes after the event, or from the answer, that had this cursor. Wins over every other start.
    pub fn from_cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Starts with the oldest message that is kept.
    pub fn from_earliest(mut self) -> Self {
        self.set_start(Start::Earliest);
        self
    }

    /// Starts with the last kept message of each topic.
    pub fn from_latest(mut self) -> Self {
        self.set_start(Start::Latest);
        self
    }

    /// Starts with the last so many kept messages.
    pub fn from_last(mut self, messages: u32) -> Self {
        self.last = messages;
        self
    }

    /// Leaves out what this client published itself.
    pub fn skip_own(mut self) -> Self {
        self.skip_own = true;
        self
    }
}

impl Outcome {
    /// Whether nothing more will become of the packet. After any other outcome the same packet may be sent again (for
    /// `ACCEPTED`: if its `seq` or `req_id` makes that safe).
    pub fn is_final(self) -> bool {
        match self {
            Self::Ok | Self::Rejected | Self::Expired | Self::Forgotten => true,
            Self::Unspecified | Self::Accepted | Self::Retry | Self::InDoubt => false,
        }
    }
}

/// A longer one than the wire can carry (292 billion years) is cut.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).expect("there are fewer than 10⁹"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_reads_as_a_sentence() {
        let packet = Packet::update("todos", "7")
            .text("buy milk")
            .seq(1)
            .at_version(3);
        assert_eq!(packet.action(), Action::Update);
        assert_eq!(packet.handler, "todos");
        assert_eq!(packet.key, "7");
        assert_eq!(packet.text, ["buy milk"]);
        assert_eq!(packet.seq, 1);
        assert_eq!(packet.if_version, Some(3));
        assert!(packet.data.is_empty());
    }

    #[test]
    fn what_is_not_said_stays_at_its_default() {
        assert_eq!(BatchRequest::of([]), BatchRequest::default());
        assert_eq!(EventsRequest::on::<&str>([]), EventsRequest::default());
    }

    #[test]
    fn durations_keep_their_nanoseconds() {
        let packet = Packet::create("a").ttl(Duration::new(2, 999_999_999));
        let ttl = packet.ttl.unwrap();
        assert_eq!((ttl.seconds, ttl.nanos), (2, 999_999_999));
    }
}
