//! Everything that the engine holds, and how a commit changes it.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;

use super::super::judge::{Final, Identity, Keeping, Known, Opened, Rows, Take, judge};
use super::super::packed::PackedMessage;
use super::Bounds;
use super::clients::Clients;
use super::collections::Collections;
use super::log::Log;
use crate::store::{
    Commit, Domain, Entry, EntryKind, Error, Judged, Owed, Position, Settle, TakenId, Term,
};
use crate::types::{Message, MessageBody, Record};

#[derive(Debug)]
pub(super) struct State {
    pub(super) bounds: Bounds,
    pub(super) log: Log,
    pub(super) clients: Clients,
    pub(super) collections: Collections,
    terms: HashMap<Domain, Term>,
    /// The position of the newest entry.
    pub(super) tail: u64,
    /// The time of the commit that is being applied.
    now: SystemTime,
    /// What the commit that is being applied has to tell.
    told: Vec<Entry>,
}

impl State {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            log: Log::default(),
            clients: Clients::new(),
            collections: Collections::default(),
            terms: HashMap::new(),
            tail: 0,
            now: SystemTime::UNIX_EPOCH,
            told: Vec::new(),
        }
    }

    pub(super) fn take_over(&mut self, domain: Domain, now: Term) -> Term {
        let before = self.terms.get(&domain).map_or(0, |term| term.0);
        let term = Term(now.0.max(before + 1));
        self.terms.insert(domain, term);
        term
    }

    /// Applies a commit, and gives what is to be told of it.
    pub(super) fn apply(&mut self, commit: Commit) -> Result<(Vec<Judged>, Vec<Entry>), Error> {
        match self.terms.get(&commit.domain) {
            Some(term) if commit.term < *term => return Err(Error::Fenced(*term)),
            _ => {}
        }
        self.now = commit.now;
        let judged = judge(commit, self)?;
        let told = std::mem::take(&mut self.told);
        self.trim();
        Ok((judged, told))
    }

    fn trim(&mut self) {
        let (now, bounds) = (self.now, &self.bounds);
        self.log.trim(bounds.message_bytes, now, bounds.message_age);
        self.collections.trim(now, bounds.deletion_age);
        self.clients.trim(now, bounds);
    }

    fn next_position(&mut self) -> u64 {
        self.tail += 1;
        self.tail
    }

    /// Packs a message, appends it, and tells it from the packed copy, which is the one that is given back.
    fn append(&mut self, message: &Message) -> Arc<Message> {
        let packed = PackedMessage::new(message);
        let message = Arc::new(packed.unpack());
        let position = self.next_position();
        self.log.append(position, packed);
        self.tell(EntryKind::Message(message.clone()));
        message
    }

    fn tell(&mut self, kind: EntryKind) {
        let position = Position(self.tail);
        self.told.push(Entry { position, kind });
    }
}

impl Rows for State {
    fn settle(&mut self, settle: &Settle) -> Result<(), Error> {
        self.clients.settle(settle, self.now, &self.bounds);
        Ok(())
    }

    fn known(&mut self, identity: Identity<'_>) -> Result<Known, Error> {
        Ok(self.clients.known(identity, &self.bounds))
    }

    fn record(&mut self, collection: &str, key: &str) -> Result<Option<Record>, Error> {
        Ok(self.collections.record(collection, key).cloned())
    }

    fn used_version(&mut self, collection: &str, key: &str) -> Result<u64, Error> {
        Ok(self.collections.used_version(collection, key))
    }

    fn change(&mut self, collection: &Arc<str>, message: Message) -> Result<(), Error> {
        let message = self.append(&message);
        if let MessageBody::Record(record) = &message.body {
            self.collections.put(collection, record.clone());
        }
        Ok(())
    }

    fn publish(&mut self, message: Message, keeping: Keeping) {
        match keeping {
            Keeping::Kept => {
                self.append(&message);
            }
            Keeping::Ephemeral => {
                let copy = PackedMessage::new(&message).unpack();
                self.tell(EntryKind::Ephemeral(Arc::new(copy)));
            }
        }
    }

    fn finish(&mut self, finish: Final<'_>) -> Result<(), Error> {
        let client = match finish.identity {
            Identity::Seq(client, ..) | Identity::OfClient(client, _) => client,
            Identity::OfSubject { .. } => {
                self.clients.finish(finish, 0, self.now);
                return Ok(());
            }
        };
        if finish.awaited {
            self.clients.finish(finish, 0, self.now);
            return Ok(());
        }
        let position = self.next_position();
        self.clients.finish(finish, position, self.now);
        let result = self.clients.unsent(client, position - 1).next();
        let result = result.map(|(_, result)| Arc::new(result.unpack()));
        self.told.extend(result.map(|result| Entry {
            position: Position(position),
            kind: EntryKind::Result(result),
        }));
        Ok(())
    }

    fn take(&mut self, _: Take<'_>) -> Result<TakenId, Error> {
        unimplemented!()
    }

    fn opened(&mut self, _: TakenId) -> Option<Opened> {
        unimplemented!()
    }

    fn close(&mut self, _: TakenId, _: Option<Final<'_>>) -> Result<(), Error> {
        unimplemented!()
    }

    fn owe(&mut self, _: &Owed) -> Result<(), Error> {
        unimplemented!()
    }
}
