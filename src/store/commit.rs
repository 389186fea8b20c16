//! What is written: commits of units.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::Error;
use crate::types::{Answer, ClientKey, Form, HandlerName, MessageId, Principal, Topic};

/// The part of the state that one writer has: the handler's, or the hash of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(pub u32);

/// The term of a domain's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub u64);

/// One client's packets to one handler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    pub client: Arc<ClientKey>,
    pub handler: HandlerName,
}

/// An ordered list of units for one domain.
#[derive(Debug)]
pub struct Commit {
    pub domain: Domain,
    pub term: Term,
    /// When it was made: the time of its records, messages and results.
    pub now: SystemTime,
    /// Applied first.
    pub settles: Vec<Settle>,
    /// Applied next.
    pub owed: Vec<Owed>,
    /// Applied before the units.
    pub finishes: Vec<Finish>,
    /// Applied next.
    pub letters: Vec<Letter>,
    pub units: Vec<Unit>,
}

impl Commit {
    /// About how much room it takes while it waits.
    pub fn size(&self) -> usize {
        let units: usize = self.units.iter().map(Unit::size).sum();
        let finishes: usize = self.finishes.iter().map(Finish::size).sum();
        let letters: usize = self.letters.iter().map(Letter::size).sum();
        let settled = self
            .settles
            .iter()
            .map(|settle| 128 + 64 * settle.req_ids.len());
        let settled: usize = settled.sum();
        units + finishes + letters + settled + 128 * self.owed.len()
    }

    /// One that does nothing yet.
    pub fn new(domain: Domain, term: Term, now: SystemTime) -> Self {
        Self {
            domain,
            term,
            now,
            settles: Vec::new(),
            owed: Vec::new(),
            finishes: Vec::new(),
            letters: Vec::new(),
            units: Vec::new(),
        }
    }
}

/// Names a packet that was taken and is not finished: its run, and its place in it. Never used again, also not after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TakenId {
    pub run: u64,
    pub at: u32,
}

/// The final answer to a packet that was taken earlier ([`Effect::Take`]). Where that one is not open any more, nothing happens,
/// but that it is not held either.
#[derive(Debug)]
pub struct Finish {
    pub taken: TakenId,
    pub answer: Arc<Answer>,
    /// Published with the answer, in the packet's tenant and in nobody's name.
    pub messages: Vec<Draft>,
    /// As in a [`Unit`].
    pub awaited: bool,
    /// Set where the packet is given up: it is kept as a dead letter from the moment at which its answer is.
    pub death: Option<Box<Death>>,
}

/// Names a dead letter. Later ones have higher numbers; none is used again, also not after a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub u64);

/// Why a packet that was taken is given up, and what a person is to see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub cause: Cause,
    /// What its handler said last, for a person.
    pub message: ByteString,
    /// Failures of its own, since it was taken or a person had it tried again.
    pub attempts: u32,
    /// As it was received.
    pub packet: Bytes,
}

/// Why it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its handler fails with it, and not without it.
    Poison,
    /// It was tried for as long as its handler's configuration says.
    Spent,
}

/// What becomes of a dead letter besides being retried ([`Place::Letter`]).
#[derive(Debug)]
pub enum Letter {
    /// A packet that stays open is one, and is not to be called: until it is finished or released.
    Hold(TakenId, Box<Death>),
    /// A packet that is held is not, and may be called again.
    Release(TakenId),
    /// One of a packet that is finished is not kept any more.
    Discard(LetterId),
}

/// A kept answer that a waiting call was to carry and did not: it gets its position now, and is the streams' from then on.
/// Where it is settled or gone, nothing happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub queue: QueueKey,
    /// 0: it has none, and `req_id` names it.
    pub seq: u64,
    pub req_id: ByteString,
}

/// What a client is done with, in one of its queues.
#[derive(Debug, Clone)]
pub struct Settle {
    pub queue: QueueKey,
    /// Every place up to this one. Counts as taken, so that a gateway that lost its state never blocks a client.
    pub through: u64,
    /// Packets without a place. Their answers go; that they were finished stays known as long as req_ids are kept.
    pub req_ids: Vec<ByteString>,
}

/// One packet.
#[derive(Debug)]
pub struct Unit {
    pub origin: Arc<Origin>,
    /// Units of one commit with the same number are one chain of one request: see [`Judged::Skipped`].
    pub group: u64,
    pub place: Place,
    /// Of what must be equal in a repeat.
    pub fingerprint: u64,
    /// What its result is kept under, for streams and repeats.
    pub req_id: ByteString,
    /// Whether a call waits for the answer and will carry it: then no stream needs it.
    pub awaited: bool,
    pub effect: Effect,
}

impl Unit {
    fn size(&self) -> usize {
        let drafts = |drafts: &[Draft]| drafts.iter().map(Draft::size).sum::<usize>();
        let effect = match &self.effect {
            Effect::Answer(answer) => answer.size(),
            Effect::Change { changes, .. } => changes.iter().map(Change::size).sum(),
            Effect::Publish(messages) => drafts(messages),
            Effect::Take(packet) => packet.len(),
        };
        64 + self.req_id.len() + effect
    }
}

impl Finish {
    fn size(&self) -> usize {
        let messages: usize = self.messages.iter().map(Draft::size).sum();
        let death = self.death.as_deref().map_or(0, Death::size);
        64 + self.answer.size() + messages + death
    }
}

impl Letter {
    fn size(&self) -> usize {
        match self {
            Self::Hold(_, death) => 64 + death.size(),
            Self::Release(_) | Self::Discard(_) => 64,
        }
    }
}

impl Death {
    fn size(&self) -> usize {
        self.packet.len() + self.message.len()
    }
}

impl Change {
    fn size(&self) -> usize {
        let content = self.content.as_ref().map_or(0, |(_, bytes)| bytes.len());
        64 + self.key.len() + content
    }
}

impl Draft {
    /// About how much room it takes.
    pub(crate) fn size(&self) -> usize {
        let pairs = |(name, value): &(ByteString, ByteString)| name.len() + value.len() + 8;
        let headers: usize = self.headers.iter().map(pairs).sum();
        64 + self.topic.as_str().len() + headers + self.data.len()
    }
}

/// Whose packet it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub principal: Arc<Principal>,
    /// `None`: the call stands alone.
    pub client: Option<Arc<ClientKey>>,
    pub handler: HandlerName,
}

impl Origin {
    /// Without a share of the buffer that brought its names.
    pub(crate) fn owned(&self) -> Self {
        let copy = |name: &ByteString| ByteString::from(&**name);
        let client = |client: &Arc<ClientKey>| ClientKey {
            tenant: copy(&client.tenant),
            subject: copy(&client.subject),
            client_id: copy(&client.client_id),
        };
        Self {
            principal: Arc::new(Principal {
                subject: copy(&self.principal.subject),
                tenant: copy(&self.principal.tenant),
                roles: self.principal.roles.iter().map(copy).collect(),
            }),
            client: self.client.as_ref().map(client).map(Arc::new),
            handler: self.handler.clone(),
        }
    }

    /// About how much room it takes.
    pub(super) fn size(&self) -> usize {
        let Principal {
            subject,
            tenant,
            roles,
        } = &*self.principal;
        let roles: usize = roles.iter().map(|role| 8 + role.len()).sum();
        let client = self.client.as_deref();
        let client = client.map_or(0, |client| {
            client.tenant.len() + client.subject.len() + client.client_id.len()
        });
        subject.len() + tenant.len() + roles + client + self.handler.as_str().len()
    }
}

/// What makes a repeat of a packet known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing: every sending is a packet of its own, and its result is not kept.
    None,
    /// Its place in the queue of `origin`. Kept with its answer, until settled.
    Seq(u64),
    /// Its req_id, as long as that is kept.
    ReqId(ReqIdScope),
    /// The dead letter that it sends anew, which goes when it is taken; then it is known as long as it is open, and its
    /// result is not kept. Only of a packet to be taken.
    Letter(LetterId),
}

/// Within what a req_id is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReqIdScope {
    Client,
    Subject,
}

/// What a unit does if its place is its own.
#[derive(Debug)]
pub enum Effect {
    /// Nothing but the answer: a refusal for good, an expiry.
    Answer(Answer),
    /// Changes in one collection, all or none, each told on its record's topic.
    Change {
        collection: Arc<str>,
        changes: SmallVec<[Change; 1]>,
    },
    /// Messages on topics.
    Publish(SmallVec<[Draft; 1]>),
    /// Nothing yet: the packet, as it was received, is kept until a [`Finish`] brings its answer. The store never looks into
    /// it.
    Take(Bytes),
}

/// A change of one record.
#[derive(Debug, Clone)]
pub struct Change {
    pub op: Op,
    pub key: ByteString,
    /// Apply only at this version; 0: only if there is none.
    pub if_version: Option<u64>,
    pub content: Option<(Form, Bytes)>,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Update,
    Delete,
    /// Create or replace.
    Put,
}

/// A message to be.
#[derive(Debug, Clone)]
pub struct Draft {
    pub topic: Topic,
    pub id: MessageId,
    pub headers: Vec<(ByteString, ByteString)>,
    pub form: Form,
    pub data: Bytes,
    /// Told to those who listen now, and kept nowhere.
    pub ephemeral: bool,
}

/// What became of one unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// Done now, with this answer. Recorded where the unit has a place.
    Done(Answer),
    /// Taken now, under this name.
    Taken(TakenId),
    /// Taken earlier, and not finished.
    Open(TakenId),
    /// Finished earlier: the recorded answer as it was first told. The caller tells it with [`Answer::replay`].
    Repeat(Answer),
    /// Finished earlier, and its answer is not kept.
    Forgotten,
    /// The place or req_id was used by other content. Known only while the answer is kept: without it, it is `Forgotten`.
    Reused,
    /// Its place is ahead of this one, which is expected next.
    Missing { next: u64 },
    /// Behind a `Missing` or `NoRoom` of its group.
    Skipped,
    /// The table of places is full, and this client has none in it.
    NoRoom,
}

/// A commit on its way to the disk.
#[derive(Debug)]
pub enum Committing {
    /// Durable already.
    Durable(Vec<Judged>),
    Waiting(oneshot::Receiver<Result<Vec<Judged>, Error>>),
}

impl Future for Committing {
    /// One `Judged` per unit, in order.
    type Output = Result<Vec<Judged>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Durable(judged) => Poll::Ready(Ok(std::mem::take(judged))),
            Self::Waiting(reply) => Pin::new(reply).poll(cx).map(|reply| {
                reply.unwrap_or_else(|_| Err(Error::Unavailable("it was stopped".into())))
            }),
        }
    }
}
