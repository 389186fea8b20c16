//! The rows as the judge asks for them, and the entries that a frame brings.

use std::sync::Arc;

use bytes::Bytes;

use super::State;
use crate::store::embedded::frame::{self, Op};
use crate::store::embedded::rows::{Owner, ResultsRow, Scope, Space};
use crate::store::judge::{Burial, Final, Identity, Keeping, Known, Opened, Rows, Take};
use crate::store::packed::PackedMessage;
use crate::store::{
    Entry, EntryKind, Error, LetterId, Origin, Owed, Place, Position, ReqIdScope, Settle, TakenId,
};
use crate::types::{ClientKey, Message, MessageBody, Record};

impl Rows for State {
    fn settle(&mut self, settle: &Settle) -> Result<(), Error> {
        let owner = self.seed.client(&settle.queue.client);
        for req_id in &settle.req_ids {
            self.settle_once(owner, req_id)?;
        }
        self.settle_places(settle)
    }

    fn known(&mut self, identity: Identity<'_>) -> Result<Known, Error> {
        match identity {
            Identity::Seq(client, handler, seq) => self.known_place(client, handler, seq),
            Identity::OfClient(client, req_id) => self.known_once(self.seed.client(client), req_id),
            Identity::OfSubject {
                tenant,
                subject,
                req_id,
            } => self.known_once(self.seed.subject(tenant, subject), req_id),
        }
    }

    fn record(&mut self, collection: &str, key: &str) -> Result<Option<Record>, Error> {
        self.present(collection, key)
    }

    fn used_version(&mut self, collection: &str, key: &str) -> Result<u64, Error> {
        self.version_used(collection, key)
    }

    fn change(&mut self, collection: &Arc<str>, message: Message) -> Result<(), Error> {
        let position = self.next_position();
        self.staged
            .frame
            .message(position, |out| PackedMessage::write(&message, out));
        match &message.body {
            MessageBody::Record(record) => self.store_record(collection, record, position),
            MessageBody::Content(..) => Ok(()),
        }
    }

    fn publish(&mut self, message: Message, keeping: Keeping) {
        match keeping {
            Keeping::Kept => {
                let position = self.next_position();
                self.staged
                    .frame
                    .message(position, |out| PackedMessage::write(&message, out));
            }
            Keeping::Ephemeral => {
                let copy = PackedMessage::new(&message).unpack();
                self.staged
                    .ephemeral
                    .push((self.header.tail, Arc::new(copy)));
            }
        }
    }

    fn finish(&mut self, answer: Final<'_>) -> Result<(), Error> {
        if let Identity::Seq(client, handler, seq) = answer.identity {
            self.reach(client, handler, seq)?;
        }
        self.keep(&answer)
    }

    fn take(&mut self, take: Take<'_>) -> Result<TakenId, Error> {
        let (origin, place) = (take.origin.clone(), take.place.clone());
        let req_id = take.req_id.clone();
        let taken = self.take_packet(take);
        match place {
            Place::Seq(seq) => {
                if let Some(client) = &origin.client {
                    self.reach(client, &origin.handler, seq)?;
                }
            }
            Place::ReqId(scope) => {
                if let Some(owner) = self.owner_of(&origin, scope) {
                    self.open_once(owner, &req_id, taken);
                }
            }
            Place::Letter(letter) => self.discard_letter(letter),
            Place::None => {}
        }
        Ok(taken)
    }

    fn opened(&mut self, taken: TakenId) -> Option<Opened> {
        self.opened_packet(taken)
    }

    fn close(&mut self, taken: TakenId, answer: Option<Final<'_>>) -> Result<(), Error> {
        self.finish_packet(taken);
        match answer {
            Some(answer) => self.keep(&answer),
            None => Ok(()),
        }
    }

    fn owe(&mut self, owed: &Owed) -> Result<(), Error> {
        match owed.seq {
            0 => self.owe_once(owed),
            _ => self.owe_place(owed),
        }
    }

    fn bury(&mut self, burial: Burial) -> Result<(), Error> {
        self.bury_packet(burial);
        Ok(())
    }

    fn is_held(&self, taken: TakenId) -> bool {
        self.holds(taken)
    }

    fn release(&mut self, taken: TakenId) -> Result<(), Error> {
        self.release_packet(taken);
        Ok(())
    }

    fn discard(&mut self, letter: LetterId) -> Result<(), Error> {
        self.discard_letter(letter);
        Ok(())
    }

    fn letter(&mut self, letter: LetterId) -> Result<Known, Error> {
        Ok(self.known_letter(letter))
    }
}

impl State {
    fn keep(&mut self, answer: &Final<'_>) -> Result<(), Error> {
        self.staged.held += answer.answer.size();
        match answer.identity {
            Identity::Seq(client, handler, seq) => self.keep_place(client, handler, seq, answer)?,
            Identity::OfClient(client, _) => {
                self.keep_once(client.clone(), Scope::Client, answer.handler, answer);
            }
            Identity::OfSubject {
                tenant, subject, ..
            } => {
                let nobody = Arc::new(ClientKey {
                    tenant: tenant.into(),
                    subject: subject.into(),
                    client_id: "".into(),
                });
                self.keep_once(nobody, Scope::Subject, answer.handler, answer);
            }
        }
        Ok(())
    }

    pub(super) fn owner_of(&self, origin: &Origin, scope: ReqIdScope) -> Option<Owner> {
        Some(match scope {
            ReqIdScope::Client => self.seed.client(origin.client.as_ref()?),
            ReqIdScope::Subject => {
                let principal = &origin.principal;
                self.seed.subject(&principal.tenant, &principal.subject)
            }
        })
    }
}

/// The entries that a frame brings, in order of position.
pub(super) fn entries(payload: Bytes, ephemeral: Vec<(u64, Arc<Message>)>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let (_, ops) = frame::read(payload);
    for op in ops {
        match op {
            Op::Message(position, message) => entries.push(Entry {
                position: Position(position),
                kind: EntryKind::Message(Arc::new(message.unpack())),
            }),
            Op::Row(key, Some(row)) if brings_results(key.space()) => {
                let row = ResultsRow::read(row);
                for (index, entry) in row.entries().enumerate() {
                    if entry.position > 0 {
                        entries.push(Entry {
                            position: Position(entry.position),
                            kind: EntryKind::Result(row.result(index, entry)),
                        });
                    }
                }
            }
            Op::Row(..) => {}
        }
    }
    for (position, message) in ephemeral {
        entries.push(Entry {
            position: Position(position),
            kind: EntryKind::Ephemeral(message),
        });
    }
    // Stable, and the ephemeral ones last: each comes after the stored entry of its position.
    if !entries.is_sorted_by_key(|entry| entry.position) {
        entries.sort_by_key(|entry| entry.position);
    }
    entries
}

/// Rows of these spaces are written once.
fn brings_results(space: u8) -> bool {
    [Space::Results, Space::Once, Space::Owed]
        .map(|space| space as u8)
        .contains(&space)
}
