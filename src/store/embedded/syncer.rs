//! The thread that makes frames durable, and then seen.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::keeper::Wake;
use super::levels::Shared;
use super::log::{self, Log};
use super::state::entries;
use super::writer::{Input, Outcome, Reply, Synced, Written};
use crate::store::{Error, Judged, Tail};
use crate::types::Message;

/// Room that the log has before a frame is judged, or half of a segment: a frame that is larger may still be refused.
const AHEAD: u64 = 8 << 20;

/// How many checkpoints' worth of changes may be in memory, each of so many bytes at least.
const BEHIND: u64 = 4;
const LEAST: u64 = 1 << 20;

/// What the syncing thread does, one after the other.
#[derive(Debug)]
pub(super) enum Job {
    Write(Written),
    /// Looks whether there is room again.
    Reserve,
    /// Frames below this one are elsewhere.
    Remove(u64),
}

#[derive(Debug)]
pub(super) struct Syncer {
    pub(super) jobs: Receiver<Job>,
    pub(super) done: Done,
    pub(super) log: Option<Log>,
    /// The log was opened again, and may have had frames that nobody was told of.
    pub(super) reopened: bool,
    pub(super) reopen: Reopen,
    pub(super) shared: Arc<Shared>,
    pub(super) position: Arc<AtomicU64>,
    pub(super) tail: Arc<dyn Tail>,
    pub(super) keeper: SyncSender<Wake>,
    /// How large the log gets before a checkpoint is due.
    pub(super) checkpoint_bytes: u64,
}

/// What is told of a job once it is done.
#[derive(Debug, Default)]
struct Told {
    /// It is durable.
    frame: Option<Bytes>,
    ephemeral: Vec<(u64, Arc<Message>)>,
    replies: Vec<(Reply, Result<Vec<Judged>, Error>)>,
}

/// Whether frames may be appended that follow what was judged.
#[derive(Debug, PartialEq, Eq)]
enum Follows {
    Yes,
    /// The log was opened again: what was judged before that may stand on something else.
    NotYet,
}

/// Where the writing thread hears of the jobs.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) synced: Sender<Synced>,
    /// Its inbox: it may wait there.
    pub(super) wake: mpsc::Sender<Input>,
}

impl Done {
    fn say(&self, synced: Synced) {
        // A writer that is gone does not wait either, here and below. A full mailbox is one that will be read.
        let _ = self.synced.send(synced);
        let _ = self.wake.blocking_send(Input::Synced);
    }
}

/// What it takes to open the log again.
#[derive(Debug)]
pub(super) struct Reopen {
    pub(super) disk: Arc<dyn super::disk::Disk>,
    pub(super) options: log::Options,
}

impl Syncer {
    /// Runs until nobody is left who has a job for it. A panic is told, so that nobody waits for what does not come.
    pub(super) fn run(mut self) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) else {
            return;
        };
        let Self { jobs, done, .. } = self;
        // First, so that a job is either lost before the writer hears of the panic, or cannot be given any more.
        drop(jobs);
        let room = Err("the thread that syncs the log has panicked".to_owned());
        let outcome = Outcome::Failed;
        done.say(Synced { outcome, room });
        resume_unwind(panic);
    }

    fn work(&mut self) {
        while let Ok(job) = self.jobs.recv() {
            let (outcome, told) = match job {
                Job::Write(written) => self.write(written),
                Job::Reserve => (Outcome::Durable(self.durable()), Told::default()),
                Job::Remove(before) => {
                    self.remove(before);
                    continue;
                }
            };
            self.say(outcome);
            // Afterwards: the next frame is closed meanwhile, and is here when this is done.
            self.tell(told);
        }
        if let Some(log) = self.log.take()
            && let Err(error) = log.close()
        {
            tracing::error!(%error, "the commit log could not be closed");
        }
    }

    fn durable(&self) -> u64 {
        self.shared.levels.read().active.frame
    }

    /// Says what became of the last job, and whether there is room for the next.
    fn say(&mut self, outcome: Outcome) {
        let room = self.reserve();
        let outcome = match std::mem::take(&mut self.reopened) {
            true => Outcome::Failed,
            false => outcome,
        };
        self.done.say(Synced { outcome, room });
    }

    fn write(&mut self, written: Written) -> (Outcome, Told) {
        let Written {
            frame,
            ephemeral,
            replies,
        } = written;
        let mut told = Told {
            replies: replies
                .into_iter()
                .map(|(reply, judged)| (reply, Ok(judged)))
                .collect(),
            ..Told::default()
        };
        let Some((number, payload)) = frame else {
            return (Outcome::Durable(self.durable()), told);
        };
        let began = Instant::now();
        let appended = self.append(number, &payload);
        let log_bytes = self.log.as_ref().map_or(0, Log::bytes);
        let mut meter = self.shared.meter.lock();
        match &appended {
            Ok(()) => meter.wrote(
                told.replies.len(),
                payload.len(),
                began.elapsed(),
                log_bytes,
            ),
            Err(_) => meter.log.failed += 1,
        }
        drop(meter);
        if let Err(error) = appended {
            for (_, judged) in &mut told.replies {
                *judged = Err(error.clone());
            }
            return (Outcome::Failed, told);
        }
        self.show(number, payload.clone());
        told.frame = Some(payload);
        told.ephemeral = ephemeral;
        (Outcome::Durable(number), told)
    }

    /// A frame is durable: everybody sees it.
    fn show(&self, number: u64, payload: Bytes) {
        let mut levels = self.shared.levels.write();
        levels.active.apply(number, payload);
        // Under the lock, so that nobody finds what is behind the tail.
        self.position
            .store(levels.active.header.tail, Ordering::Release);
    }

    /// Tells the tail what a frame brought, and everyone who waits.
    fn tell(&self, told: Told) {
        if let Some(payload) = told.frame {
            let entries = entries(payload, told.ephemeral);
            if !entries.is_empty() {
                self.tail.committed(&entries);
            }
        }
        for (reply, judged) in told.replies {
            reply.send(judged);
        }
    }

    /// After an error the log is opened again before the next frame.
    fn append(&mut self, number: u64, payload: &[u8]) -> Result<(), Error> {
        if self.opened()? == Follows::NotYet {
            return Err(Error::Refused("the log was opened again".into()));
        }
        let log = self.log.as_mut().ok_or_else(no_log)?;
        if let Err(error) = log.reserve(payload.len()) {
            // Nothing was written. If it is not room that it lacks, it is of no use any more.
            if !log.is_usable() {
                self.log = None;
            }
            return Err(Error::Refused(error.to_string()));
        }
        let written = log.append(number, &[payload]).and_then(|()| log.sync());
        written.map_err(|error| {
            tracing::error!(%error, "the commit log could not be written");
            self.log = None;
            Error::Unavailable(error.to_string())
        })
    }

    fn opened(&mut self) -> Result<Follows, Error> {
        if self.log.as_ref().is_some_and(Log::is_usable) {
            return Ok(match self.reopened {
                true => Follows::NotYet,
                false => Follows::Yes,
            });
        }
        self.log = None;
        let seen = self.durable();
        let mut frames = Vec::new();
        let opened = Log::open(
            self.reopen.disk.clone(),
            self.reopen.options.clone(),
            seen,
            &mut |number, payload| frames.push((number, payload)),
        );
        let (log, recovered) = opened.map_err(|error| Error::Refused(error.to_string()))?;
        for damaged in &recovered.damaged {
            self.shared.damages.tell(log::describe(damaged));
        }
        // Written before the error: whoever sent it does not know, and now it is there.
        for (number, payload) in frames {
            self.show(number, payload.clone());
            self.tell(Told {
                frame: Some(payload),
                ..Told::default()
            });
        }
        // Numbers of frames that are missing at the end are not used again.
        let last = log.next() - 1;
        let mut levels = self.shared.levels.write();
        levels.active.frame = levels.active.frame.max(last);
        drop(levels);
        self.log = Some(log);
        self.reopened = true;
        Ok(Follows::NotYet)
    }

    fn reserve(&mut self) -> Result<(), String> {
        let ahead = AHEAD.min(self.reopen.options.segment_bytes / 2);
        let reserved = self
            .opened()
            .and_then(|_| self.log.as_mut().ok_or_else(no_log))
            .map_err(|error| error.to_string())
            .and_then(|log| {
                let reserved = log.reserve(ahead as usize);
                reserved.map_err(|error| format!("no room on the disk: {error}"))
            });
        let is_due = match &self.log {
            Some(log) => log.bytes() >= self.checkpoint_bytes,
            None => false,
        };
        let reserved = reserved.and_then(|()| self.is_not_behind());
        if is_due || reserved.is_err() {
            // One that is asked for already is enough.
            let _ = self.keeper.try_send(Wake::Checkpoint);
        }
        reserved
    }

    /// What is in memory is bounded: where checkpoints fail, or are too slow for what comes, nothing more is taken.
    fn is_not_behind(&self) -> Result<(), String> {
        let levels = self.shared.levels.read();
        let frozen = levels.frozen.as_ref().map_or(0, |frozen| frozen.bytes);
        let bytes = (levels.active.bytes + frozen) as u64;
        if bytes <= BEHIND * self.checkpoint_bytes.max(LEAST) {
            return Ok(());
        }
        Err(format!("{bytes} bytes wait to be moved to parts and table"))
    }

    fn remove(&mut self, before: u64) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.remove_before(before)
        {
            tracing::warn!(%error, "old segments of the commit log could not be removed yet");
        }
    }
}

fn no_log() -> Error {
    Error::Refused("the log is closed".into())
}
