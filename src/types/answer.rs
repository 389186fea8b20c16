//! What became of a packet.

use std::time::Duration;

use bytestring::ByteString;

use super::{Content, Message, Record};
use std::sync::Arc;

/// What became of a packet. It alone decides what a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    Accepted,
    Rejected,
    Retry,
    Expired,
    InDoubt,
    Forgotten,
}

impl Outcome {
    /// Final: the same packet will never get another one.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::Rejected | Self::Expired | Self::Forgotten
        )
    }

    /// Whether it ends its chain in its request: later packets must not be applied before this one.
    pub fn ends_chain(self) -> bool {
        matches!(self, Self::Retry | Self::InDoubt)
    }
}

/// Why, for people and for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Unspecified,
    InvalidPacket,
    InvalidData,
    UnknownHandler,
    UnsupportedAction,
    TooLarge,
    Forbidden,
    NotFound,
    AlreadyExists,
    VersionMismatch,
    ReqIdReused,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    HandlerFailed,
    HandlerUnavailable,
    HandlerTimeout,
    EarlierRefused,
    EarlierMissing,
    Cleared,
    Draining,
    Moved,
    ResponseTooLarge,
    Application,
}

/// The answer to one packet, without what correlates it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub outcome: Outcome,
    pub reason: Reason,
    /// For a person: what, where, and what would be right.
    pub message: ByteString,
    pub content: Content,
    pub retry_after: Option<Duration>,
    /// The result of an earlier sending, told again.
    pub replayed: bool,
    /// With `EarlierMissing`: the place that is expected.
    pub next_seq: u64,
    /// What few answers have.
    pub body: Option<Box<Body>>,
}

/// The fields of an answer that few answers have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    pub records: Vec<Record>,
    pub messages: Vec<Arc<Message>>,
    pub next_page_token: ByteString,
    pub code: ByteString,
    pub headers: Vec<(ByteString, ByteString)>,
}

impl Answer {
    pub fn ok() -> Self {
        Self {
            outcome: Outcome::Ok,
            reason: Reason::Unspecified,
            message: ByteString::new(),
            content: Content::default(),
            retry_after: None,
            replayed: false,
            next_seq: 0,
            body: None,
        }
    }

    pub fn with(outcome: Outcome, reason: Reason, message: impl Into<ByteString>) -> Self {
        Self {
            outcome,
            reason,
            message: message.into(),
            ..Self::ok()
        }
    }

    pub fn rejected(reason: Reason, message: impl Into<ByteString>) -> Self {
        Self::with(Outcome::Rejected, reason, message)
    }

    pub fn retry(reason: Reason, message: impl Into<ByteString>) -> Self {
        Self::with(Outcome::Retry, reason, message)
    }

    /// `OK` with these records.
    pub fn records(records: Vec<Record>) -> Self {
        let body = Body {
            records,
            ..Body::default()
        };
        Self {
            body: Some(Box::new(body)),
            ..Self::ok()
        }
    }

    /// A later place than the one that is expected.
    pub fn earlier_missing(seq: u64, next: u64) -> Self {
        let message = format!("seq {seq} is ahead: {next} is expected next");
        Self {
            next_seq: next,
            ..Self::retry(Reason::EarlierMissing, message)
        }
    }

    /// Its chain ended in this request, at an earlier packet.
    pub fn earlier_refused() -> Self {
        const MESSAGE: ByteString =
            ByteString::from_static("an earlier packet of its order was not taken in this request");
        Self::retry(Reason::EarlierRefused, MESSAGE)
    }

    /// It is taken, and its final answer comes later.
    pub fn accepted() -> Self {
        Self::with(Outcome::Accepted, Reason::Unspecified, "")
    }

    /// The same place or req_id came before with other content.
    pub fn reused(message: impl Into<ByteString>) -> Self {
        Self::rejected(Reason::ReqIdReused, message)
    }

    /// Finished earlier; its result is no longer kept.
    pub fn forgotten() -> Self {
        const MESSAGE: ByteString =
            ByteString::from_static("it was finished earlier and its result is no longer kept");
        Self::with(Outcome::Forgotten, Reason::Unspecified, MESSAGE)
    }

    /// As it is told to whoever sends the packet again.
    pub fn replay(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// About how much room it takes, on the wire and in memory.
    pub fn size(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| body.size());
        32 + self.message.len() + self.content.len() + 4 * self.content.items.len() + body
    }
}

impl Body {
    fn size(&self) -> usize {
        let records: usize = self.records.iter().map(Record::size).sum();
        let messages: usize = self.messages.iter().map(|message| message.size()).sum();
        let pairs = |(name, value): &(ByteString, ByteString)| name.len() + value.len() + 8;
        let headers: usize = self.headers.iter().map(pairs).sum();
        records + messages + headers + self.next_page_token.len() + self.code.len()
    }
}
