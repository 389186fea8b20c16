//! Everything that the engine holds, and how a commit changes it.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::super::clock::Clock;
use super::super::judge::{
    Burial, Final, Identity, Keeping, Known, Opened, Rows, Take, identity, judge,
};
use super::super::packed::PackedMessage;
use super::Bounds;
use super::clients::Clients;
use super::collections::Collections;
use super::letters::Letters;
use super::log::Log;
use super::runs::Runs;
use crate::store::{
    Commit, Domain, Entry, EntryKind, Error, Judged, LetterId, OpenRun, Owed, Place, Position,
    Settle, TakenId, Term,
};
use crate::types::{ClientKey, Message, MessageBody, Record};

#[derive(Debug)]
pub(super) struct State {
    pub(super) bounds: Bounds,
    pub(super) log: Log,
    pub(super) clients: Clients,
    pub(super) collections: Collections,
    pub(super) runs: Runs,
    pub(super) letters: Letters,
    terms: HashMap<Domain, Term>,
    /// The position of the newest entry.
    pub(super) tail: u64,
    /// Nothing is accepted any more.
    pub(super) closed: bool,
    clock: Clock,
    /// The store's own time, by which things age, and what the commit that is being applied says that it is.
    now: SystemTime,
    wall: SystemTime,
    /// What the commit that is being applied has to tell.
    told: Vec<Entry>,
}

impl State {
    pub(super) fn new(bounds: Bounds, clock: Clock) -> Self {
        Self {
            bounds,
            clock,
            log: Log::default(),
            clients: Clients::new(),
            collections: Collections::default(),
            runs: Runs::new(),
            letters: Letters::default(),
            closed: false,
            terms: HashMap::new(),
            tail: 0,
            now: SystemTime::UNIX_EPOCH,
            wall: SystemTime::UNIX_EPOCH,
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
        if self.closed {
            return Err(Error::Refused("it is closed".into()));
        }
        match self.terms.get(&commit.domain) {
            Some(term) if commit.term < *term => return Err(Error::Fenced(*term)),
            _ => {}
        }
        let now = self.clock.now(commit.now, Instant::now());
        self.now = self.now.max(now);
        self.wall = commit.now;
        let judged = judge(commit, self)?;
        self.runs.end_commit();
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

    pub(super) fn open_runs(&self) -> Vec<OpenRun> {
        let mut open = self.runs.all();
        for run in &mut open {
            for packet in &mut run.packets {
                let (run, at) = (run.id, packet.at);
                packet.held = self.letters.is_held(TakenId { run, at });
            }
        }
        open
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
        self.log.reach(self.now, self.bounds.message_age);
        self.tell(EntryKind::Message(message.clone()));
        message
    }

    /// Tells the result that has just got the newest position.
    fn tell_result(&mut self, client: &ClientKey) {
        let mut newest = self.clients.unsent(client, self.tail - 1);
        let result = newest.next().map(|(_, result)| result.unpack());
        drop(newest);
        if let Some(result) = result {
            self.tell(EntryKind::Result(result));
        }
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
            self.collections.put(collection, record.clone(), self.now);
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
        self.tell_result(client);
        Ok(())
    }

    fn take(&mut self, take: Take<'_>) -> Result<TakenId, Error> {
        let taken = self.runs.take(&take, self.wall);
        if let Place::Letter(letter) = *take.place {
            self.letters.discard(letter);
        }
        if let Some(identity) = identity(take.origin, take.place, take.req_id) {
            self.clients.take(identity, &take, taken, self.now);
        }
        Ok(taken)
    }

    fn opened(&mut self, taken: TakenId) -> Option<Opened> {
        self.runs.opened(taken)
    }

    fn close(&mut self, taken: TakenId, answer: Option<Final<'_>>) -> Result<(), Error> {
        self.runs.close(taken);
        if let Some(answer) = answer
            && self.clients.unopen(answer.identity, taken, self.now)
        {
            self.finish(answer)?;
        }
        Ok(())
    }

    fn owe(&mut self, owed: &Owed) -> Result<(), Error> {
        if self.clients.owe(owed, self.tail + 1) {
            self.tail += 1;
            self.tell_result(&owed.queue.client);
        }
        Ok(())
    }

    fn bury(&mut self, burial: Burial) -> Result<(), Error> {
        self.letters.bury(burial);
        self.letters.trim(&self.bounds);
        Ok(())
    }

    fn is_held(&self, taken: TakenId) -> bool {
        self.letters.is_held(taken)
    }

    fn release(&mut self, taken: TakenId) -> Result<(), Error> {
        self.letters.release(taken);
        Ok(())
    }

    fn discard(&mut self, letter: LetterId) -> Result<(), Error> {
        self.letters.discard(letter);
        Ok(())
    }

    fn letter(&mut self, letter: LetterId) -> Result<Known, Error> {
        // Most are: what looks for the others goes through all that is open.
        if self.letters.is_final(letter) {
            return Ok(Known::New);
        }
        Ok(match self.runs.sent_anew(letter) {
            Some((taken, fingerprint)) => Known::Open(fingerprint, taken),
            None => Known::Forgotten,
        })
    }
}
