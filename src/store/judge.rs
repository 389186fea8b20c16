//! Judges the units of a commit against the rows of an engine: what every engine shares.

use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::{Change, Commit, Draft, Effect, Error, Judged, Op, Origin, Place, ReqIdScope, Settle};
use crate::types::{
    Answer, ClientKey, HandlerName, Message, MessageBody, MessageId, Reason, Record, Topic,
};

/// What makes a packet known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    /// A place in the queue of a client to a handler.
    Seq(&'a Arc<ClientKey>, &'a HandlerName, u64),
    /// A req_id within a client.
    OfClient(&'a Arc<ClientKey>, &'a str),
    /// A req_id within a subject of a tenant.
    OfSubject {
        tenant: &'a str,
        subject: &'a str,
        req_id: &'a str,
    },
}

/// What an engine knows of an identity.
#[derive(Debug)]
pub(super) enum Known {
    /// A packet of this fingerprint, with its answer.
    Finished(u64, Answer),
    /// A packet whose answer is not kept, so that nothing can be compared.
    Forgotten,
    /// Nothing yet: the packet is the first. For a place: it is the next one.
    New,
    /// Nothing, and a place further ahead than the next.
    Ahead { next: u64 },
    /// Nothing, and the table of places is full.
    NoRoom,
}

/// A final answer, to be kept.
#[derive(Debug)]
pub(super) struct Finish<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) handler: &'a HandlerName,
    pub(super) req_id: &'a str,
    pub(super) fingerprint: u64,
    /// Whether a waiting call carries the answer: no stream has to.
    pub(super) awaited: bool,
    pub(super) answer: &'a Answer,
}

/// The rows of an engine, as the units before leave them. What is kept is copied: names and content that come in share the
/// buffer of a whole request.
pub(super) trait Rows {
    /// Raises the place, and drops the answers that are settled. A req_id stays known, without its answer.
    fn settle(&mut self, settle: &Settle) -> Result<(), Error>;

    fn known(&mut self, identity: Identity<'_>) -> Result<Known, Error>;

    /// The record, if it is there.
    fn record(&mut self, collection: &str, key: &str) -> Result<Option<Record>, Error>;

    /// The version that the next one of a key without a record must be above: its last one, as long as the deletion is kept,
    /// then the collection's floor.
    fn used_version(&mut self, collection: &str, key: &str) -> Result<u64, Error>;

    /// Stores a record, or its deletion, and the message that tells it.
    fn change(&mut self, collection: &Arc<str>, message: Message);

    /// Appends a message, or has it told without keeping it.
    fn publish(&mut self, message: Message, keeping: Keeping);

    /// Takes the place and keeps the answer.
    fn finish(&mut self, finish: Finish<'_>);
}

/// Whether a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Kept,
    Ephemeral,
}

/// Judges and applies a commit: the settled first, then its units in order. After an error nothing of the rows may be used.
pub(super) fn judge(commit: Commit, rows: &mut impl Rows) -> Result<Vec<Judged>, Error> {
    for settle in &commit.settles {
        rows.settle(settle)?;
    }
    let mut all = Vec::with_capacity(commit.units.len());
    let mut ended: SmallVec<[u64; 8]> = SmallVec::new();
    for unit in commit.units {
        if ended.contains(&unit.group) {
            all.push(Judged::Skipped);
            continue;
        }
        let identity = identity(&unit.origin, &unit.place, &unit.req_id);
        let known = identity.map_or(Ok(Known::New), |identity| rows.known(identity))?;
        let judged = match known {
            Known::New => {
                let answer = apply(unit.effect, &unit.origin, commit.now, rows)?;
                if let Some(identity) = identity {
                    rows.finish(Finish {
                        identity,
                        handler: &unit.origin.handler,
                        req_id: &unit.req_id,
                        fingerprint: unit.fingerprint,
                        awaited: unit.awaited,
                        answer: &answer,
                    });
                }
                Judged::Done(answer)
            }
            Known::Finished(fingerprint, _) if fingerprint != unit.fingerprint => Judged::Reused,
            Known::Finished(_, answer) => Judged::Repeat(answer),
            Known::Forgotten => Judged::Forgotten,
            Known::Ahead { next } => Judged::Missing { next },
            Known::NoRoom => Judged::NoRoom,
        };
        if matches!(judged, Judged::Missing { .. } | Judged::NoRoom) {
            ended.push(unit.group);
        }
        all.push(judged);
    }
    Ok(all)
}

/// `None` where every sending is a packet of its own.
fn identity<'a>(origin: &'a Origin, place: &Place, req_id: &'a str) -> Option<Identity<'a>> {
    match place {
        Place::None => None,
        Place::Seq(seq) => {
            let client = origin.client.as_ref()?;
            Some(Identity::Seq(client, &origin.handler, *seq))
        }
        Place::ReqId(ReqIdScope::Client) => {
            let client = origin.client.as_ref()?;
            Some(Identity::OfClient(client, req_id))
        }
        Place::ReqId(ReqIdScope::Subject) => Some(Identity::OfSubject {
            tenant: &origin.principal.tenant,
            subject: &origin.principal.subject,
            req_id,
        }),
    }
}

fn apply(
    effect: Effect,
    origin: &Origin,
    now: SystemTime,
    rows: &mut impl Rows,
) -> Result<Answer, Error> {
    match effect {
        Effect::Answer(answer) => {
            debug_assert!(answer.outcome.is_final(), "only what is final is committed");
            Ok(answer)
        }
        Effect::Publish(drafts) => {
            for draft in drafts {
                let keeping = match draft.ephemeral {
                    true => Keeping::Ephemeral,
                    false => Keeping::Kept,
                };
                rows.publish(message_of(draft, origin, now), keeping);
            }
            Ok(Answer::ok())
        }
        Effect::Change {
            collection,
            changes,
        } => change_all(&collection, changes, origin, now, rows),
    }
}

/// All or none: every change is judged, each against those before it, before the first is applied.
fn change_all(
    collection: &Arc<str>,
    changes: SmallVec<[Change; 1]>,
    origin: &Origin,
    now: SystemTime,
    rows: &mut impl Rows,
) -> Result<Answer, Error> {
    let mut made: SmallVec<[Record; 1]> = SmallVec::with_capacity(changes.len());
    for change in changes {
        let earlier = made.iter().rev().find(|record| record.key == change.key);
        let (present, used) = match earlier {
            Some(record) if record.deleted => (None, record.version),
            Some(record) => (Some(record.clone()), record.version),
            None => match rows.record(collection, &change.key)? {
                Some(record) => {
                    let version = record.version;
                    (Some(record), version)
                }
                None => (None, rows.used_version(collection, &change.key)?),
            },
        };
        if let Some(refusal) = refusal(&change, present.as_ref()) {
            return Ok(refusal);
        }
        made.push(Record {
            key: change.key,
            version: used + 1,
            deleted: change.op == Op::Delete,
            content: change.content.filter(|_| change.op != Op::Delete),
            created_at: present.map_or(now, |record| record.created_at),
            updated_at: now,
            updated_by: origin.principal.subject.clone(),
        });
    }
    let answer = Answer::records(made.iter().map(Record::without_content).collect());
    for record in made {
        rows.change(collection, message_about(record, collection, origin, now));
    }
    Ok(answer)
}

/// The condition on the version is judged first, then what the operation itself needs.
fn refusal(change: &Change, present: Option<&Record>) -> Option<Answer> {
    let key = &change.key;
    match (change.if_version, present) {
        (Some(wanted @ 1..), None) => {
            let message = format!(
                "there is no record under the key {key:?}, and if_version asks for {wanted}"
            );
            return Some(Answer::rejected(Reason::VersionMismatch, message));
        }
        (Some(wanted), Some(record)) if record.version != wanted => {
            let version = record.version;
            let message = match wanted {
                0 => format!("{key:?} is there at version {version}, and if_version asks for none"),
                _ => format!("{key:?} is at version {version}, and if_version asks for {wanted}"),
            };
            let mut answer = Answer::records(vec![record.clone()]);
            let refusal = Answer::rejected(Reason::VersionMismatch, message);
            answer.outcome = refusal.outcome;
            answer.reason = refusal.reason;
            answer.message = refusal.message;
            return Some(answer);
        }
        _ => {}
    }
    match (change.op, present) {
        (Op::Create, Some(record)) => {
            let version = record.version;
            let message = format!("{key:?} is there already, at version {version}");
            Some(Answer::rejected(Reason::AlreadyExists, message))
        }
        (Op::Update | Op::Delete, None) => {
            let message = format!("there is no record under the key {key:?}");
            Some(Answer::rejected(Reason::NotFound, message))
        }
        _ => None,
    }
}

fn message_of(draft: Draft, origin: &Origin, now: SystemTime) -> Message {
    Message {
        tenant: origin.principal.tenant.clone(),
        topic: draft.topic,
        id: draft.id,
        time: now,
        publisher: origin.principal.subject.clone(),
        client_id: client_id(origin),
        headers: draft.headers,
        body: MessageBody::Content(draft.form, draft.data),
    }
}

fn message_about(record: Record, collection: &str, origin: &Origin, now: SystemTime) -> Message {
    Message {
        tenant: origin.principal.tenant.clone(),
        topic: Topic::of_record(origin.handler.as_str(), &record.key),
        id: id_of_version(collection, &record.key, record.version),
        time: now,
        publisher: origin.principal.subject.clone(),
        client_id: client_id(origin),
        headers: Vec::new(),
        body: MessageBody::Record(record),
    }
}

fn client_id(origin: &Origin) -> ByteString {
    let client = origin.client.as_ref();
    client.map_or_else(ByteString::new, |client| client.client_id.clone())
}

/// A version is never used again, so it names its message for good.
fn id_of_version(collection: &str, key: &str, version: u64) -> MessageId {
    let mut name: SmallVec<[u8; 256]> = SmallVec::new();
    name.extend_from_slice(&version.to_le_bytes());
    name.extend_from_slice(&(collection.len() as u64).to_le_bytes());
    name.extend_from_slice(collection.as_bytes());
    name.extend_from_slice(key.as_bytes());
    MessageId(xxh3_128(&name))
}
