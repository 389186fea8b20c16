//! Where everything that was told is kept: one interface, its contract, and its engines.
//!
//! # The contract
//!
//! A [`Commit`] is an ordered list of [`Unit`]s; a unit is one packet: conditions, effect, answer, messages and its queue's
//! place, all or nothing. A commit may be cut between units, never inside one.
//!
//! * Units are judged in order, each against the state that the units before it leave (in this commit, and in every commit
//!   of its domain that was accepted before). A unit whose condition fails gets its refusal ([`Judged`]), and its
//!   neighbours go on.
//! * Places: a queue's next place is taken, an earlier one is a repeat (its recorded answer, [`Judged::Forgotten`], or
//!   [`Judged::Reused`] for other content) and a later one is [`Judged::Missing`]. A place is never lowered, whatever is
//!   settled or forgotten.
//! * The first unit of a group that is `Missing`, or that finds no room, ends its group: the group's later units are
//!   [`Judged::Skipped`].
//! * A packet that is taken ([`Effect::Take`]) has its place and is kept as it was received, in a run with the others of its
//!   request to its handler, until a [`Finish`] brings its answer. Until then a repeat is [`Judged::Open`]. What was not
//!   finished when the process ended is there again at the next start ([`Store::open_runs`]).
//! * A packet that is given up is a dead letter: kept with its answer ([`Finish::death`]), in one step, or while it stays open
//!   ([`Letter::Hold`]). One that is sent anew ([`Place::Letter`]) goes in the step that takes its new packet, so that a crash
//!   neither loses nor doubles it; sent anew again it is [`Judged::Open`] until that packet is finished, and
//!   [`Judged::Forgotten`] then. At most so many are kept, and so many bytes of them: the oldest go first, counted and logged.
//!   Those of packets that are open are not counted in that and never dropped.
//! * Answers are kept for repeats until they are settled; those of a client that no waiting call carried are entries of the
//!   log besides, so that its streams get them. An answer that a call carries is no entry, and nobody's tail is told of it;
//!   if the call did not carry it after all, an [`Owed`] makes it an entry. A process that ends takes its waiting calls with
//!   it: what they were to carry is found at the next start, client by client ([`Store::unheard`]), to be owed.
//! * A domain has one writer: [`Store::take_over`] gives a term, and a commit under an older one fails with
//!   [`Error::Fenced`]. Commits of a domain are applied one after the other in the order accepted; domains are independent.
//! * Two waits: the future of [`Store::commit`] ends when the commit is *accepted* (its order within the domain is fixed);
//!   the [`Committing`] that it gives ends when it is *durable*. Dropping either takes nothing back.
//! * Nothing of a commit is seen by [`Store::record`], [`Store::list`], [`Store::scan`], [`Store::results`] or the
//!   [`Tail`] before it is durable. The tail is told every entry, once, in the order of positions, before the
//!   `Committing` ends.
//! * After [`Error::Refused`] and [`Error::Fenced`] nothing of the commit was applied, nor will be. After any other [`Error`]
//!   of a `Committing` it is not known what was applied: the caller says so, or sends the same units again, whose places
//!   and req_ids make that safe.
//! * Ephemeral messages are told to the tail in their turn and kept nowhere.

mod clock;
mod coding;
mod commit;
#[cfg(test)]
mod conformance;
pub mod embedded;
mod figures;
#[cfg(test)]
pub(crate) mod hooked;
mod judge;
pub mod memory;
mod packed;
mod read;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use commit::{
    Cause, Change, Commit, Committing, Death, Domain, Draft, Effect, Finish, Judged, Letter,
    LetterId, Op, Origin, Owed, Place, QueueKey, ReqIdScope, Settle, TakenId, Term, Unit,
};
pub use figures::{Figures, Files, LogFigures, StoreSource};
pub use read::{
    DeadLetter, Entry, EntryKind, Epoch, Filter, KeptResult, LetterCounts, LetterState, Loss,
    LossCause, OpenPacket, OpenRun, Page, PageOf, Placed, Position, ResultsPage, ScanLimit,
    Unheard, Which,
};

use crate::types::{ClientKey, HandlerName, Record, Topic};

/// A store engine. See the module for what each must hold to.
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Makes the caller the domain's only writer. Terms go up with every take-over, also across restarts, and are at least
    /// the Unix milliseconds of the take-over.
    fn take_over(&self, domain: Domain) -> BoxFuture<'_, Result<Term, Error>>;

    /// Puts a commit in line. Ends when it is accepted; what it gives ends when it is durable.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committing, Error>>;

    /// A record, as it is durably. Deleted and missing ones are `None`.
    fn record<'a>(
        &'a self,
        collection: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>>;

    /// Records whose keys start with `prefix`, in byte order of their keys, after the key `after`.
    fn list<'a>(
        &'a self,
        collection: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>>;

    /// The names of collections that have records, sorted: so many of them at most.
    fn collections(&self, limit: usize) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// The position of the newest entry that is durable. Cheap: every answer asks for it.
    fn tail(&self) -> Position;

    /// What a cursor must name to be understood: the histories that this start continues, oldest first, and its own last.
    fn epochs(&self) -> Arc<[Epoch]>;

    /// Messages that match, after `from`, in order of position. `Page::through` tells how far it looked, also when nothing
    /// matched; it never looks past the tail. `Page::loss` tells what was there after `from` and is not kept any more.
    fn scan<'a>(
        &'a self,
        filter: &'a Filter,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>>;

    /// The position from which a scan finds the last `count` matching messages (and whatever came after them).
    fn last<'a>(
        &'a self,
        filter: &'a Filter,
        count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>>;

    /// The last kept message of each matching topic, up to the tail that it gives, in order of position.
    fn latest<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>>;

    /// The kept messages of one topic after `from`, oldest first.
    fn history<'a>(
        &'a self,
        tenant: &'a str,
        topic: &'a Topic,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Placed>, Error>>;

    /// The kept and unsettled results of a client after `from` that no waiting call carried, in order of position.
    fn results<'a>(
        &'a self,
        client: &'a ClientKey,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<ResultsPage, Error>>;

    /// The kept and unsettled results of a client, whoever carried them. What is open is among them, as ACCEPTED.
    fn kept<'a>(
        &'a self,
        client: &'a ClientKey,
        which: &'a Which,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<KeptResult>, Error>>;

    /// The kept and unsettled results of a client that waiting calls of an earlier start were to carry and that are no
    /// entries: the process may have ended before its answer was heard. `from` is 0, or what the page before says; a page has
    /// about so many as `limit`. What is made an entry meanwhile ([`Commit::owed`]) is left out of later pages.
    fn unheard<'a>(
        &'a self,
        client: &'a ClientKey,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Unheard, Error>>;

    /// What was taken before this start and is not finished, oldest run first. Whoever asks has it driven from then on, but
    /// for what is held.
    fn open_runs(&self) -> BoxFuture<'_, Result<Vec<OpenRun>, Error>>;

    /// How it stands, for those who look. Cheap: it is asked often.
    fn figures(&self) -> BoxFuture<'_, Figures> {
        std::future::ready(Figures::default()).boxed()
    }

    /// Dead letters that are durable, of one handler or of all, after this one: the oldest first.
    fn dead_letters<'a>(
        &'a self,
        handler: Option<&'a HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<DeadLetter>, Error>>;

    /// How many there are. Cheap: for whoever watches. What is on its way to the disk may be counted.
    fn letter_counts(&self) -> LetterCounts;

    /// Everything that was accepted is durable when this ends, and nothing is accepted any more.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Whoever follows the log: told every durable entry, in order.
pub trait Tail: std::fmt::Debug + Send + Sync {
    /// Must not block, and must not call the store.
    fn committed(&self, entries: &[Entry]);
}

/// Why a store could not do what it was asked. Nothing of it is about a single packet.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another writer has taken the domain over.
    #[error("the domain has another writer since term {}", .0.0)]
    Fenced(Term),
    /// It cannot take this now: there is no room, for one. Nothing of it was applied.
    #[error("the store cannot take it now: {0}")]
    Refused(String),
    /// It cannot answer; what was told stands.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}
