//! Everything in one directory, without any other service: the default.
//!
//! ```text
//!  commits ──▶ writer ──frame──▶ syncer ──▶ log, one fsync ──▶ memory ──▶ the tail, and the answers
//!                ▲                                               │
//!                └──── what was accepted, ahead of the disk      └── checkpoint (keeper) ──▶ parts, table
//! ```
//!
//! Three threads: one judges commits into a frame ([`writer`], [`state`]); one appends a frame to the commit log and makes
//! it durable while the next one forms, and only then puts it where readers see it ([`syncer`], [`levels`]); one moves what
//! is in memory into immutable parts of messages and a table of rows now and then, after which the log is cut
//! ([`keeper`]). So a commit costs one append and one fsync, whatever it changes, and what is short-lived (a packet between
//! its taking and its answer, a result until it is settled) is never written anywhere but in the log.
//!
//! What is read was verified: frames, blocks of parts and pages of the table have checksums. What is damaged is told
//! ([`damage`]), and everything else goes on.

mod backup;
mod damage;
mod directory;
mod disk;
mod frame;
pub mod inspect;
mod keep;
mod keeper;
mod levels;
mod log;
mod meta;
mod meter;
mod open;
mod parts;
mod reader;
mod rows;
mod state;
mod syncer;
mod table;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use backup::{BackupError, Backups, Copied};
pub use keep::{Keep, Keeping, MessageBounds, TopicRule};
pub use open::OpenError;

use self::keeper::Wake;
use self::levels::Shared;
use self::rows::Seed;
use self::writer::{Input, Reply};
use super::{
    Commit, Committing, DeadLetter, Domain, Entry, Epoch, Error, Figures, Filter, KeptResult,
    LetterCounts, LetterId, OpenRun, Page, PageOf, Placed, Position, ResultsPage, ScanLimit, Store,
    Tail, Term, Unheard, Which,
};
use crate::types::{ClientKey, HandlerName, Record, Topic};

/// How an embedded store works.
#[derive(Debug, Clone)]
pub struct Options {
    pub keep: Keep,
    /// How large the commit log gets before what is in memory moves to parts and table. About as much is in memory.
    pub checkpoint_bytes: u64,
    /// What the commit log reserves at once.
    pub segment_bytes: u64,
    /// For what is read of the table, and as much for parts.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep: Keep::default(),
            checkpoint_bytes: 64 << 20,
            segment_bytes: 16 << 20,
            cache_bytes: 32 << 20,
        }
    }
}

/// Bytes of commits in line at most, and commits.
const IN_LINE_PERMITS: usize = 64 << 10;
const PERMIT_BYTES: usize = 1 << 10;

/// The engine.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    seed: Seed,
    /// The last number of a row before this start.
    began: u64,
    position: Arc<AtomicU64>,
    epochs: Arc<[Epoch]>,
    commits: mpsc::Sender<Input>,
    /// Bounds the bytes of commits that are not judged yet.
    in_line: Arc<Semaphore>,
    /// A lock and not a task: held for a look-up.
    terms: Mutex<Terms>,
    wake: SyncSender<Wake>,
    /// Nobody has it any more: a message that found no room need not come.
    is_closed: Arc<AtomicBool>,
    keeping: Keeping,
    backups: Backups,
    /// In the order in which they end.
    threads: Mutex<Vec<JoinHandle<()>>>,
    _directory: Option<directory::Directory>,
}

#[derive(Debug)]
struct Terms {
    domains: HashMap<Domain, Term>,
    highest: u64,
}

impl From<u64> for Terms {
    fn from(highest: u64) -> Self {
        Self {
            domains: HashMap::new(),
            highest,
        }
    }
}

impl Embedded {
    /// Opens a directory, which is made if it is not there. Blocks.
    pub fn open(path: &Path, options: Options, tail: Arc<dyn Tail>) -> Result<Self, OpenError> {
        open::open(path, options, tail)
    }

    /// Gives the room back that deleted rows took in the table, in a directory that nobody has. Parts and log give theirs
    /// back by themselves. Before and after, in bytes. Blocks.
    pub fn compact(path: &Path) -> Result<(u64, u64), OpenError> {
        open::compact(path)
    }

    /// Says for how long messages are kept, and does not keep the store open.
    pub fn keeping(&self) -> Keeping {
        self.keeping.clone()
    }

    /// Copies it while it works, and does not keep it open.
    pub fn backups(&self) -> Backups {
        self.backups.clone()
    }

    /// Everything that was found to be damaged since it was opened, for a person.
    pub fn damage(&self) -> Vec<String> {
        self.shared.damages.all()
    }

    async fn accept(&self, commit: Commit) -> Result<Committing, Error> {
        let permits = (commit.size() / PERMIT_BYTES + 1).min(IN_LINE_PERMITS) as u32;
        let room = self.in_line.clone().acquire_many_owned(permits).await;
        let room = room.map_err(|_| closed())?;
        let slot = self.commits.reserve().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        // Compared and put in line at once: nothing of an older term comes in line after a take-over.
        let terms = self.terms.lock();
        match terms.domains.get(&commit.domain) {
            Some(term) if commit.term < *term => return Err(Error::Fenced(*term)),
            _ => {}
        }
        slot.send(Input::Commit {
            commit: Box::new(commit),
            reply: Reply::new(reply),
            room,
        });
        Ok(Committing::Waiting(answer))
    }

    /// Asks the writing thread.
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let asked = self.commits.send(input(reply)).await;
        asked.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

/// Stops the threads, one after the other, each when it has done what there is.
fn stop(commits: mpsc::Sender<Input>, wake: SyncSender<Wake>, threads: Vec<JoinHandle<()>>) {
    let mut threads = threads.into_iter();
    let mut join = |does: &str| {
        if let Some(thread) = threads.next()
            && thread.join().is_err()
        {
            tracing::error!("the thread that {does} has panicked");
        }
    };
    // A thread that is gone needs not be told, here and below.
    let _ = commits.blocking_send(Input::Close);
    drop(commits);
    join("judges commits");
    let _ = wake.send(Wake::Close);
    join("makes checkpoints");
    join("syncs the log");
}

impl Drop for Embedded {
    /// Without [`Store::close`] the threads end by themselves, and what was accepted may not be durable: as after a crash.
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        self.backups.stop();
        // A mailbox that is full is looked into, and so is this.
        let _ = self.commits.try_send(Input::Close);
        let _ = self.wake.try_send(Wake::Close);
    }
}

fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

fn closed() -> Error {
    Error::Refused("it is closed".into())
}

impl Store for Embedded {
    fn take_over(&self, domain: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        let now = millis_now();
        let term = {
            let mut terms = self.terms.lock();
            let term = now.max(terms.highest + 1);
            terms.highest = term;
            terms.domains.insert(domain, Term(term));
            term
        };
        async move {
            let told = self.commits.send(Input::Term(term)).await;
            told.map(|()| Term(term)).map_err(|_| closed())
        }
        .boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        self.accept(commit).boxed()
    }

    fn record<'a>(
        &'a self,
        collection: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        reader::record(self.shared.clone(), collection, key).boxed()
    }

    fn list<'a>(
        &'a self,
        collection: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>> {
        let (collection, prefix) = (collection.to_owned(), prefix.to_owned());
        let after = after.map(str::to_owned);
        reader::blocking(self.shared.clone(), move |shared| {
            reader::list(shared, &collection, &prefix, after.as_deref(), limit)
        })
    }

    fn collections(&self, limit: usize) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        reader::blocking(self.shared.clone(), move |shared| {
            reader::collections(shared, limit)
        })
    }

    fn figures(&self) -> BoxFuture<'_, Figures> {
        let figures = reader::blocking(self.shared.clone(), |shared| Ok(shared.figures()));
        figures.map(Result::unwrap_or_default).boxed()
    }

    fn tail(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    fn epochs(&self) -> Arc<[Epoch]> {
        self.epochs.clone()
    }

    fn scan<'a>(
        &'a self,
        filter: &'a Filter,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        let filter = filter.clone();
        reader::blocking(self.shared.clone(), move |shared| {
            reader::scan(shared, &filter, from.0, limit)
        })
    }

    fn last<'a>(
        &'a self,
        filter: &'a Filter,
        count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        let filter = filter.clone();
        reader::blocking(self.shared.clone(), move |shared| {
            reader::last(shared, &filter, count)
        })
    }

    fn latest<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>> {
        let filter = filter.clone();
        reader::blocking(self.shared.clone(), move |shared| {
            reader::latest(shared, &filter)
        })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a str,
        topic: &'a Topic,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Placed>, Error>> {
        let (tenant, topic) = (tenant.to_owned(), topic.clone());
        reader::blocking(self.shared.clone(), move |shared| {
            reader::history(shared, &tenant, &topic, from.0, limit)
        })
    }

    fn results<'a>(
        &'a self,
        client: &'a ClientKey,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<ResultsPage, Error>> {
        let (seed, client) = (self.seed, client.clone());
        reader::blocking(self.shared.clone(), move |shared| {
            reader::results(shared, seed, &client, from.0, limit)
        })
    }

    fn kept<'a>(
        &'a self,
        client: &'a ClientKey,
        which: &'a Which,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<KeptResult>, Error>> {
        let (seed, client, which) = (self.seed, client.clone(), which.clone());
        async move {
            let looked = self.ask(|reply| Input::Look {
                client: Box::new(client.clone()),
                which: which.clone(),
                reply,
            });
            let looked = looked.await?;
            reader::blocking(self.shared.clone(), move |shared| {
                reader::kept(shared, seed, &client, &which, looked, limit)
            })
            .await
        }
        .boxed()
    }

    fn unheard<'a>(
        &'a self,
        client: &'a ClientKey,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Unheard, Error>> {
        let (seed, began, client) = (self.seed, self.began, client.clone());
        reader::blocking(self.shared.clone(), move |shared| {
            reader::unheard(shared, seed, began, &client, from, limit)
        })
    }

    fn open_runs(&self) -> BoxFuture<'_, Result<Vec<OpenRun>, Error>> {
        async { self.ask(Input::OpenRuns).await? }.boxed()
    }

    fn dead_letters<'a>(
        &'a self,
        handler: Option<&'a HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<DeadLetter>, Error>> {
        let handler = handler.cloned();
        reader::blocking(self.shared.clone(), move |shared| {
            reader::dead_letters(shared, handler.as_ref(), after, limit)
        })
    }

    fn letter_counts(&self) -> LetterCounts {
        *self.shared.letters.lock()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.in_line.close();
        let (commits, wake) = (self.commits.clone(), self.wake.clone());
        let threads = std::mem::take(&mut *self.threads.lock());
        let backups = self.backups.clone();
        backups.stop();
        async move {
            let stopped = tokio::task::spawn_blocking(move || {
                stop(commits, wake, threads);
                // It reads files that may be another process's from now on.
                backups.wait();
            });
            if stopped.await.is_err() {
                tracing::error!("stopping the store has panicked");
            }
        }
        .boxed()
    }
}
