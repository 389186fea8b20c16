//! Judges the units of a commit against the rows of an engine: what every engine shares.

mod message;

use std::sync::Arc;
use std::time::SystemTime;
use std::vec::IntoIter;

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use self::message::{message_about, message_of, message_of_handler};
use super::{
    Change, Commit, DeadLetter, Death, Draft, Effect, Error, Finish, Judged, Letter, LetterId,
    LetterState, Op, Origin, Owed, Place, ReqIdScope, Settle, TakenId, Unit,
};
use crate::types::{Answer, ClientKey, HandlerName, Message, Reason, Record};

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
    /// A packet of this fingerprint that was taken and has no answer yet.
    Open(u64, TakenId),
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
pub(super) struct Final<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) handler: &'a HandlerName,
    pub(super) req_id: &'a str,
    pub(super) fingerprint: u64,
    /// Whether a waiting call carries the answer: no stream has to.
    pub(super) awaited: bool,
    pub(super) answer: &'a Answer,
}

/// A packet, to be kept until its answer comes.
#[derive(Debug)]
pub(super) struct Take<'a> {
    /// Whose it is. Packets that are taken one after the other with the same one (the same `Arc`) are one run.
    pub(super) origin: &'a Arc<Origin>,
    pub(super) place: &'a Place,
    pub(super) req_id: &'a ByteString,
    pub(super) fingerprint: u64,
    pub(super) packet: Bytes,
}

/// A packet that was taken and is not finished.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) origin: Arc<Origin>,
    pub(super) place: Place,
    pub(super) req_id: ByteString,
    pub(super) fingerprint: u64,
    pub(super) taken_at: SystemTime,
}

/// A dead letter to be: what is kept of it, but for its number.
#[derive(Debug)]
pub(super) struct Burial {
    pub(super) taken: TakenId,
    pub(super) state: LetterState,
    pub(super) packet: Opened,
    pub(super) death: Box<Death>,
    pub(super) given_up_at: SystemTime,
}

impl Burial {
    pub(super) fn letter(self, id: LetterId) -> DeadLetter {
        let Self { packet, death, .. } = self;
        DeadLetter {
            id,
            taken: self.taken,
            state: self.state,
            origin: packet.origin,
            place: packet.place,
            fingerprint: packet.fingerprint,
            req_id: packet.req_id,
            taken_at: packet.taken_at,
            given_up_at: self.given_up_at,
            death: *death,
        }
    }
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
    fn change(&mut self, collection: &Arc<str>, message: Message) -> Result<(), Error>;

    /// Appends a message, or has it told without keeping it.
    fn publish(&mut self, message: Message, keeping: Keeping);

    /// Takes the place and keeps the answer.
    fn finish(&mut self, answer: Final<'_>) -> Result<(), Error>;

    /// Takes the place and keeps the packet. The dead letter that it sends anew goes.
    fn take(&mut self, take: Take<'_>) -> Result<TakenId, Error>;

    /// A packet that was taken, if it is not finished.
    fn opened(&mut self, taken: TakenId) -> Option<Opened>;

    /// A packet that was taken is finished: it is not open any more, and its answer is kept where it has an identity. Its
    /// place may have been settled meanwhile; then no answer is kept.
    fn close(&mut self, taken: TakenId, answer: Option<Final<'_>>) -> Result<(), Error>;

    /// Gives a kept answer that no call carried its position.
    fn owe(&mut self, owed: &Owed) -> Result<(), Error>;

    /// Keeps a dead letter, under the next number.
    fn bury(&mut self, burial: Burial) -> Result<(), Error>;

    /// Whether a packet is held.
    fn is_held(&self, taken: TakenId) -> bool;

    /// A packet that is held is not any more; of any other nothing happens.
    fn release(&mut self, taken: TakenId) -> Result<(), Error>;

    /// A dead letter goes, if its packet is finished.
    fn discard(&mut self, letter: LetterId) -> Result<(), Error>;

    /// What a dead letter that is sent anew is: `New` as long as it is there and its packet finished, then `Open` or
    /// `Forgotten`.
    fn letter(&mut self, letter: LetterId) -> Result<Known, Error>;
}

/// Whether a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    Kept,
    Ephemeral,
}

/// Judges and applies a commit: what is settled, owed and finished first, then its units in order. After an error nothing of
/// the rows may be used.
pub(super) fn judge(commit: Commit, rows: &mut impl Rows) -> Result<Vec<Judged>, Error> {
    let mut judging = Judging::new(commit);
    while judging.step(rows)? == Step::Done {}
    Ok(judging.judged)
}

/// A commit that is being judged, one thing after the other: an engine may cut it between them.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) now: SystemTime,
    settles: IntoIter<Settle>,
    owed: IntoIter<Owed>,
    finishes: IntoIter<Finish>,
    letters: IntoIter<Letter>,
    units: IntoIter<Unit>,
    /// Groups of which nothing more is done.
    ended: SmallVec<[u64; 8]>,
    /// One per unit so far.
    pub(super) judged: Vec<Judged>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// There is nothing more.
    Ended,
}

impl Judging {
    pub(super) fn new(commit: Commit) -> Self {
        Self {
            now: commit.now,
            settles: commit.settles.into_iter(),
            owed: commit.owed.into_iter(),
            finishes: commit.finishes.into_iter(),
            letters: commit.letters.into_iter(),
            judged: Vec::with_capacity(commit.units.len()),
            units: commit.units.into_iter(),
            ended: SmallVec::new(),
        }
    }

    /// The next thing: all or nothing, as a unit is.
    pub(super) fn step(&mut self, rows: &mut impl Rows) -> Result<Step, Error> {
        if let Some(settle) = self.settles.next() {
            rows.settle(&settle)?;
        } else if let Some(owed) = self.owed.next() {
            rows.owe(&owed)?;
        } else if let Some(finish) = self.finishes.next() {
            close(finish, self.now, rows)?;
        } else if let Some(letter) = self.letters.next() {
            decide(letter, self.now, rows)?;
        } else if let Some(unit) = self.units.next() {
            let judged = self.unit(unit, rows)?;
            self.judged.push(judged);
        } else {
            return Ok(Step::Ended);
        }
        Ok(Step::Done)
    }

    fn unit(&mut self, unit: Unit, rows: &mut impl Rows) -> Result<Judged, Error> {
        if self.ended.contains(&unit.group) {
            return Ok(Judged::Skipped);
        }
        let identity = identity(&unit.origin, &unit.place, &unit.req_id);
        let known = match (&unit.place, identity) {
            (Place::Letter(letter), _) => {
                let takes = matches!(unit.effect, Effect::Take(_));
                debug_assert!(takes, "only what is taken is sent anew");
                rows.letter(*letter)?
            }
            (_, Some(identity)) => rows.known(identity)?,
            (_, None) => Known::New,
        };
        let judged = match known {
            Known::New => match unit.effect {
                Effect::Take(packet) => Judged::Taken(rows.take(Take {
                    origin: &unit.origin,
                    place: &unit.place,
                    req_id: &unit.req_id,
                    fingerprint: unit.fingerprint,
                    packet,
                })?),
                effect => {
                    let answer = apply(effect, &unit.origin, self.now, rows)?;
                    if let Some(identity) = identity {
                        rows.finish(Final {
                            identity,
                            handler: &unit.origin.handler,
                            req_id: &unit.req_id,
                            fingerprint: unit.fingerprint,
                            awaited: unit.awaited,
                            answer: &answer,
                        })?;
                    }
                    Judged::Done(answer)
                }
            },
            Known::Finished(fingerprint, _) | Known::Open(fingerprint, _)
                if fingerprint != unit.fingerprint =>
            {
                Judged::Reused
            }
            Known::Finished(_, answer) => Judged::Repeat(answer),
            Known::Open(_, taken) => Judged::Open(taken),
            Known::Forgotten => Judged::Forgotten,
            Known::Ahead { next } => Judged::Missing { next },
            Known::NoRoom => Judged::NoRoom,
        };
        if matches!(judged, Judged::Missing { .. } | Judged::NoRoom) {
            self.ended.push(unit.group);
        }
        Ok(judged)
    }
}

fn close(finish: Finish, now: SystemTime, rows: &mut impl Rows) -> Result<(), Error> {
    debug_assert!(
        finish.answer.outcome.is_final(),
        "only what is final is committed"
    );
    // Also where the packet is gone, by damage: nobody else would ever have it go.
    rows.release(finish.taken)?;
    let Some(opened) = rows.opened(finish.taken) else {
        return Ok(());
    };
    for draft in finish.messages {
        let keeping = keeping(&draft);
        rows.publish(message_of_handler(draft, &opened.origin, now), keeping);
    }
    let identity = identity(&opened.origin, &opened.place, &opened.req_id);
    let answer = identity.map(|identity| Final {
        identity,
        handler: &opened.origin.handler,
        req_id: &opened.req_id,
        fingerprint: opened.fingerprint,
        awaited: finish.awaited,
        answer: &finish.answer,
    });
    rows.close(finish.taken, answer)?;
    match finish.death {
        Some(death) => rows.bury(Burial {
            taken: finish.taken,
            state: LetterState::Final,
            packet: opened,
            death,
            given_up_at: now,
        }),
        None => Ok(()),
    }
}

fn decide(letter: Letter, now: SystemTime, rows: &mut impl Rows) -> Result<(), Error> {
    match letter {
        Letter::Release(taken) => rows.release(taken),
        Letter::Discard(letter) => rows.discard(letter),
        Letter::Hold(taken, death) => match rows.opened(taken) {
            Some(packet) if !rows.is_held(taken) => rows.bury(Burial {
                taken,
                state: LetterState::Held,
                packet,
                death,
                given_up_at: now,
            }),
            _ => Ok(()),
        },
    }
}

fn keeping(draft: &Draft) -> Keeping {
    match draft.ephemeral {
        true => Keeping::Ephemeral,
        false => Keeping::Kept,
    }
}

/// `None` where no answer is kept: every sending is a packet of its own, or a dead letter's.
pub(super) fn identity<'a>(
    origin: &'a Origin,
    place: &Place,
    req_id: &'a str,
) -> Option<Identity<'a>> {
    match place {
        Place::None | Place::Letter(_) => None,
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
                let keeping = keeping(&draft);
                rows.publish(message_of(draft, origin, now), keeping);
            }
            Ok(Answer::ok())
        }
        Effect::Take(_) => unreachable!("a packet that is taken has no answer yet"),
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
        rows.change(collection, message_about(record, collection, origin, now))?;
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
