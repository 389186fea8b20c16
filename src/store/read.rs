//! What is read: log entries, pages, and how far a page looked.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Death, LetterId, Origin, Owed, Place, TakenId};
use crate::types::{Answer, ClientKey, HandlerName, Message, Pattern};

/// A place in the log that messages and results share. The first entry has 1; 0 is before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A part of the log's history: one start of the gateway. What a cursor of it says is true up to where the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub id: u64,
    /// The position that was the newest when it began.
    pub start: Position,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// An ephemeral message has the position of the last stored entry before it.
    pub position: Position,
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "results come by the thousand, are encoded and gone: an allocation for each is most of what telling them costs"
)]
pub enum EntryKind {
    Message(Arc<Message>),
    /// Told to the tail, kept nowhere.
    Ephemeral(Arc<Message>),
    Result(KeptResult),
}

/// A final answer that is kept for its client.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptResult {
    pub client: Arc<ClientKey>,
    pub handler: HandlerName,
    pub req_id: ByteString,
    /// 0: it has none.
    pub seq: u64,
    pub answer: Answer,
    /// A waiting call carried it: no stream brings it. An engine may leave such results out of the log.
    pub awaited: bool,
}

/// What was taken and is not finished, of one request to one handler.
#[derive(Debug, Clone)]
pub struct OpenRun {
    pub id: u64,
    pub origin: Arc<Origin>,
    pub taken_at: SystemTime,
    /// Those that are not finished, in the order of the request.
    pub packets: Vec<OpenPacket>,
}

/// A packet that was taken and is not finished.
#[derive(Debug, Clone)]
pub struct OpenPacket {
    /// Its place in the run.
    pub at: u32,
    pub place: Place,
    pub fingerprint: u64,
    pub req_id: ByteString,
    /// As it was received.
    pub packet: Bytes,
    /// It is a dead letter: not to be called until a person says so.
    pub held: bool,
}

/// A packet that was taken and given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: LetterId,
    /// Its name while it was open. It is still, if it is held.
    pub taken: TakenId,
    pub state: LetterState,
    pub origin: Arc<Origin>,
    pub place: Place,
    pub fingerprint: u64,
    pub req_id: ByteString,
    pub taken_at: SystemTime,
    pub given_up_at: SystemTime,
    pub death: Death,
}

impl DeadLetter {
    /// About how much room it takes.
    pub(super) fn size(&self) -> usize {
        let death = &self.death;
        let names = self.origin.size() + self.req_id.len();
        256 + names + death.message.len() + death.packet.len()
    }

    /// Nothing is dropped without a word.
    pub(super) fn tell_dropped(count: u64) {
        tracing::warn!(
            count,
            "more dead letters than are kept: the oldest are dropped, and can neither be retried nor looked at any more"
        );
    }
}

/// What became of a packet that is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LetterState {
    /// It has its final answer.
    Final,
    /// It is open, at the head of its chain, until a person decides.
    Held,
}

/// How many dead letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetterCounts {
    /// Of packets that have their final answer.
    pub kept: u64,
    /// Of packets that are held.
    pub held: u64,
    /// Those that went because of the bounds, since this start.
    pub dropped: u64,
    /// No later number was given so far.
    pub newest: LetterId,
}

/// Which kept results are asked for.
#[derive(Debug, Clone)]
pub enum Which {
    /// Of one queue, from this place on, in order of place.
    Places { handler: HandlerName, from: u64 },
    /// Of packets without a place, in the order asked for.
    ReqIds(Vec<ByteString>),
}

/// Results for a stream.
#[derive(Debug, Clone, Default)]
pub struct ResultsPage {
    /// In order of position.
    pub entries: Vec<Entry>,
    /// Whether there may be more behind the last one.
    pub more: bool,
    /// Results that should have been in this page were removed by the bounds before a stream could bring them. Told in the
    /// page that goes past them, so that who reads on hears of it once.
    pub lost: bool,
}

/// Results of which nobody knows whether they were heard.
#[derive(Debug, Clone, Default)]
pub struct Unheard {
    /// As a commit makes them the streams'.
    pub owed: Vec<Owed>,
    /// Where to go on; `None`: these were the last.
    pub next: Option<u64>,
}

/// Which messages a scan is about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub tenant: ByteString,
    pub patterns: Vec<Pattern>,
}

/// How much a page brings at most. At least one item is brought if there is one.
#[derive(Debug, Clone, Copy)]
pub struct ScanLimit {
    pub items: usize,
    pub bytes: usize,
}

/// What is left of a page. The first item always fits.
#[derive(Debug)]
pub(super) struct Room {
    limit: ScanLimit,
    items: usize,
    bytes: usize,
}

impl Room {
    pub(super) fn new(limit: ScanLimit) -> Self {
        Self {
            limit,
            items: 0,
            bytes: 0,
        }
    }

    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let full = self.items >= self.limit.items || self.bytes > self.limit.bytes;
        let takes = !full || self.items == 0;
        self.items += usize::from(takes);
        takes
    }
}

/// A page of the log.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Everything up to here was looked at.
    pub through: Position,
    /// What should have been in this page and is not kept any more.
    pub loss: Vec<Loss>,
}

/// Something that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub pattern: ByteString,
    pub cause: LossCause,
    /// How many; 0: not known.
    pub missed: u64,
}

/// Why it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// The rules for keeping messages.
    Retention,
    /// Damage.
    Damage,
}

/// A kept message and its place.
pub type Placed = (Position, Arc<Message>);

/// A page of anything else.
#[derive(Debug, Clone)]
pub struct PageOf<T> {
    pub items: Vec<T>,
    /// Whether there may be more behind the last item.
    pub more: bool,
}
