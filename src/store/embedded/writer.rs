//! The thread that judges commits into frames. While one frame is on its way to the disk, the next one forms.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::closed;
use super::reader::Looked;
use super::state::State;
use super::syncer::Job;
use crate::store::judge::{Judging, Step};
use crate::store::{Commit, Error, Judged, OpenRun, Which};
use crate::types::{ClientKey, Message};

/// A frame that is so large takes no more commits in.
pub(super) const FRAME_BYTES: usize = 1 << 20;

/// A commit that makes a frame so large is cut: the rest of it goes into the next frame. So no frame is larger than this and
/// one unit, and the log has room for it before it is judged.
pub(super) const CUT_BYTES: usize = 8 << 20;

/// Commits of one frame at most.
const COMMITS: usize = 4_096;

/// What the writing thread is told.
#[derive(Debug)]
pub(super) enum Input {
    Commit {
        commit: Box<Commit>,
        reply: Reply,
        /// Room in line, given back when it is judged.
        room: OwnedSemaphorePermit,
    },
    /// A domain was taken over: the term must not be given again after a restart.
    Term(u64),
    OpenRuns(oneshot::Sender<Result<Vec<OpenRun>, Error>>),
    /// What is open of a client's, and where the results of its packets without a place are.
    Look {
        client: Box<ClientKey>,
        which: Which,
        reply: oneshot::Sender<Looked>,
    },
    /// The last job of the syncing thread is done: it has said what became of it.
    Synced,
    /// Nothing comes any more: what is here is finished.
    Close,
}

/// Who waits for a commit.
#[derive(Debug)]
pub(super) struct Reply {
    to: oneshot::Sender<Result<Vec<Judged>, Error>>,
    /// A part of it went with an earlier frame: it is never told that nothing of it was applied.
    is_begun: bool,
}

impl Reply {
    pub(super) fn new(to: oneshot::Sender<Result<Vec<Judged>, Error>>) -> Self {
        let is_begun = false;
        Self { to, is_begun }
    }

    /// Whoever waited may be gone.
    pub(super) fn send(self, judged: Result<Vec<Judged>, Error>) {
        let judged = judged.map_err(|error| match error {
            Error::Refused(why) if self.is_begun => Error::Unavailable(why),
            other => other,
        });
        let _ = self.to.send(judged);
    }
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Synced {
    pub(super) outcome: Outcome,
    /// Whether the log has room for what comes next.
    pub(super) room: Result<(), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything up to this frame is durable, and seen.
    Durable(u64),
    /// A frame was not written, or nobody knows.
    Failed,
}

/// What a frame takes to the syncing thread.
#[derive(Debug)]
pub(super) struct Written {
    /// `None`: nothing has changed, and the answers are true once the frames before are durable.
    pub(super) frame: Option<(u64, Bytes)>,
    pub(super) ephemeral: Vec<(u64, Arc<Message>)>,
    pub(super) replies: Vec<(Reply, Vec<Judged>)>,
}

#[derive(Debug)]
pub(super) struct Writer {
    inbox: mpsc::Receiver<Input>,
    jobs: Sender<Job>,
    /// What became of the jobs. A channel of its own: it is heard while the inbox is not.
    done: Receiver<Synced>,
    /// What became of a job was heard before the call for it came in the inbox, where the syncing thread may wait with it.
    is_called: bool,
    state: State,
    /// Of the frame that is being made.
    replies: Vec<(Reply, Vec<Judged>)>,
    /// The number of the last frame.
    last: u64,
    /// A job is with the syncing thread.
    is_syncing: bool,
    /// The state has what did not become durable, or could not be read: nothing is judged before it was read anew.
    is_stale: bool,
    room: Result<(), String>,
    /// Those that wait to hear whether there is room again, or for the next frame, with their own in line.
    waiting: VecDeque<(Box<Commit>, Reply, OwnedSemaphorePermit)>,
    /// The commit that goes on in the next frame.
    cut: Option<Cut>,
    is_closing: bool,
    /// Nobody has the store any more.
    is_closed: Arc<AtomicBool>,
}

/// A commit that fills more than a frame.
#[derive(Debug)]
struct Cut {
    judging: Judging,
    reply: Reply,
}

impl Writer {
    pub(super) fn new(
        inbox: mpsc::Receiver<Input>,
        jobs: Sender<Job>,
        done: Receiver<Synced>,
        state: State,
        last: u64,
        is_closed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            inbox,
            jobs,
            done,
            is_called: false,
            state,
            replies: Vec::new(),
            last,
            is_syncing: false,
            is_stale: false,
            room: Ok(()),
            waiting: VecDeque::new(),
            cut: None,
            is_closing: false,
            is_closed,
        }
    }

    /// Runs until it is closed, or nobody is left who could tell it anything.
    pub(super) fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.work()));
        // What comes in line at this moment, or has its slot there, would wait in it for good.
        self.inbox.close();
        while let Some(input) = self.inbox.blocking_recv() {
            if let Input::Commit { reply, .. } = input {
                reply.send(Err(closed()));
            }
        }
        if let Err(panic) = ended {
            resume_unwind(panic);
        }
        // The syncing thread ends with the last one that gives it jobs.
    }

    fn work(&mut self) {
        while self.hear() {
            while !self.is_full() {
                match self.inbox.try_recv() {
                    Ok(input) => self.take(input),
                    Err(_) => break,
                }
            }
            self.is_closing |= self.is_closed.load(Ordering::Acquire);
            if !self.is_syncing {
                self.hand_over();
            }
            if self.is_closing && !self.is_syncing {
                break;
            }
        }
    }

    /// Waits for the next input; while the frame is full and the one before it on its way, for that one only: those in line
    /// hold their room then, and whoever comes waits. False: nobody is left who could tell it anything.
    fn hear(&mut self) -> bool {
        if self.is_full() && self.is_syncing && !self.is_called {
            match self.done.recv() {
                Ok(synced) => self.synced(synced),
                Err(_) => return false,
            }
            self.is_called = true;
            return true;
        }
        match self.inbox.blocking_recv() {
            Some(input) => self.take(input),
            None => return false,
        }
        true
    }

    fn is_full(&self) -> bool {
        let is_large = self.state.staged_bytes() >= FRAME_BYTES;
        is_large || self.replies.len() >= COMMITS || self.cut.is_some()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Commit {
                commit,
                reply,
                room,
            } => {
                let waits = self.room.is_err() || !self.waiting.is_empty() || self.is_full();
                if waits && !self.is_closing {
                    self.waiting.push_back((commit, reply, room));
                } else {
                    drop(room);
                    self.judge(*commit, reply);
                }
            }
            Input::Term(term) => self.state.raise_term(term),
            Input::OpenRuns(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.state.open_runs());
            }
            Input::Look {
                client,
                which,
                reply,
            } => {
                // Whoever asked may be gone.
                let _ = reply.send(self.state.look(&client, &which));
            }
            Input::Synced => {
                if !std::mem::take(&mut self.is_called)
                    && let Ok(synced) = self.done.try_recv()
                {
                    self.synced(synced);
                }
            }
            Input::Close => self.is_closing = true,
        }
    }

    fn judge(&mut self, commit: Commit, reply: Reply) {
        let refusal = match &self.room {
            _ if self.is_closing => Some(closed()),
            _ if self.is_stale => Some(Error::Refused("it is being read anew".into())),
            Err(why) => Some(Error::Refused(why.clone())),
            Ok(()) => None,
        };
        if let Some(refusal) = refusal {
            reply.send(Err(refusal));
            return;
        }
        let mut judging = Judging::new(commit);
        match self.state.judge(&mut judging, CUT_BYTES) {
            Ok(Step::Ended) => self.replies.push((reply, judging.judged)),
            Ok(Step::Done) => self.cut = Some(Cut { judging, reply }),
            Err(error) => {
                reply.send(Err(refused(&error)));
                self.discard(&error);
            }
        }
    }

    /// The rest of a commit of which a part is on its way.
    fn go_on(&mut self) {
        let Some(mut cut) = self.cut.take() else {
            return;
        };
        cut.reply.is_begun = true;
        match self.state.judge(&mut cut.judging, CUT_BYTES) {
            Ok(Step::Ended) => self.replies.push((cut.reply, cut.judging.judged)),
            Ok(Step::Done) => self.cut = Some(cut),
            Err(error) => {
                self.cut = Some(cut);
                self.discard(&error);
            }
        }
    }

    fn synced(&mut self, synced: Synced) {
        self.is_syncing = false;
        self.room = synced.room;
        match synced.outcome {
            Outcome::Durable(number) => self.state.is_durable(number),
            Outcome::Failed => {
                // What was judged since then stands on what did not become durable.
                self.discard(&Error::Refused("a write before it failed".to_owned()));
            }
        }
        while !self.is_full()
            && let Some((commit, reply, _)) = self.waiting.pop_front()
        {
            self.judge(*commit, reply);
        }
    }

    /// Gives the frame to the syncing thread, if there is one to give; or has it look for room.
    fn hand_over(&mut self) {
        if self.is_stale {
            match self.state.reload() {
                Ok(()) => {
                    self.is_stale = false;
                    self.last = self.state.last_frame();
                }
                Err(error) => tracing::error!(%error, "the store cannot be read anew"),
            }
        }
        let job = if self.replies.is_empty() && self.cut.is_none() {
            if self.waiting.is_empty() {
                return;
            }
            Job::Reserve
        } else {
            match self.complete() {
                Ok(written) => Job::Write(written),
                Err(error) => {
                    self.discard(&error);
                    return self.refuse_waiting(&error);
                }
            }
        };
        match self.jobs.send(job) {
            Ok(()) => {
                self.is_syncing = true;
                self.go_on();
            }
            Err(SendError(job)) => self.nobody_syncs(job),
        }
    }

    /// The syncing thread has ended: nothing becomes durable any more, and nobody is kept waiting for it.
    fn nobody_syncs(&mut self, job: Job) {
        let ended = Error::Refused("the thread that syncs the log has ended".into());
        if let Job::Write(written) = job {
            self.replies = written.replies;
            self.discard(&ended);
        }
        self.refuse_waiting(&ended);
    }

    /// Nothing is on its way whose end would have them judged.
    fn refuse_waiting(&mut self, error: &Error) {
        for (_, reply, _) in self.waiting.drain(..) {
            reply.send(Err(refused(error)));
        }
    }

    fn complete(&mut self) -> Result<Written, Error> {
        if !self.state.has_changed() {
            return Ok(Written {
                frame: None,
                ephemeral: Vec::new(),
                replies: std::mem::take(&mut self.replies),
            });
        }
        let frame = self.state.complete(self.last + 1)?;
        self.last += 1;
        Ok(Written {
            frame: Some((self.last, frame.payload)),
            ephemeral: frame.ephemeral,
            replies: std::mem::take(&mut self.replies),
        })
    }

    /// Nothing of the frame that is being made may be used.
    fn discard(&mut self, error: &Error) {
        self.is_stale = true;
        let cut = self.cut.take().map(|cut| cut.reply);
        let replies = self.replies.drain(..).map(|(reply, _)| reply);
        for reply in replies.chain(cut) {
            reply.send(Err(refused(error)));
        }
    }
}

/// Whatever it is, nothing was applied.
fn refused(error: &Error) -> Error {
    match error {
        Error::Refused(_) => error.clone(),
        _ => Error::Refused(error.to_string()),
    }
}
