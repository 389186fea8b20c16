//! The task that drives the state machine: it hands requests in, carries out what comes out, and keeps the clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{info, warn};

use super::apply::Applier;
use super::core::{
    Anew, BatchId, CallId, ClearNo, Completed, Core, Decision, Finished, Snapshot, Step, Turned,
    Undecided, reason,
};
use super::lanes::{Cleared, Flushed, LaneView, Selection};
use super::restore::restored;
use super::{Request, Response};
use crate::handler::HandlerSettings;
use crate::store::{OpenRun, TakenId};
use crate::types::{HandlerName, Outcome, Reason};

/// How many commands are taken at once: so many packets get to know each other before the next batch is filled.
const INTAKE: usize = 256;

/// What the handles ask of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Sync {
        request: Request,
        /// From when its wait counts.
        received: Instant,
        reply: oneshot::Sender<Response>,
        /// Room in the intake, given back once the packets are counted in their lanes.
        room: OwnedSemaphorePermit,
    },
    /// Dead letters are sent anew.
    SendAnew {
        letters: Vec<Anew>,
        wait: Duration,
        reply: oneshot::Sender<Response>,
        room: OwnedSemaphorePermit,
    },
    /// A person decides about a packet that is held.
    Decide {
        taken: TakenId,
        decision: Decision,
        /// Told once it is on disk.
        reply: oneshot::Sender<Result<(), Undecided>>,
    },
    Lanes {
        selection: Selection,
        reply: oneshot::Sender<Vec<LaneView>>,
    },
    Flush {
        selection: Selection,
        reply: oneshot::Sender<Flushed>,
    },
    /// Answers when everyone is told.
    Clear {
        selection: Selection,
        reply: oneshot::Sender<Cleared>,
    },
    /// These handlers are driven by other settings from now on, all at once.
    Reload {
        handlers: Vec<HandlerSettings>,
        reply: oneshot::Sender<()>,
    },
    /// What there is to see.
    Look(oneshot::Sender<Seen>),
    /// Takes nothing more; answers when nothing is left.
    Drain(oneshot::Sender<()>),
}

/// What the worker knows at one moment.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) core: Snapshot,
    /// Requests that came.
    pub(super) requests: u64,
    /// What packets were told, and how often: few kinds, so that finding one is a comparison or two.
    pub(super) told: Vec<((Outcome, Reason), u64)>,
}

/// A batch that is being carried out: ends with what became of it.
type Work = Pin<Box<dyn Future<Output = (BatchId, Completed)> + Send>>;

/// Owns the state machine. Built with its handle; whoever builds it runs and joins it.
#[derive(Debug)]
pub struct Worker {
    core: Core,
    applier: Applier,
    commands: mpsc::Receiver<Command>,
    replies: HashMap<CallId, oneshot::Sender<Response>>,
    decisions: HashMap<u64, oneshot::Sender<Result<(), Undecided>>>,
    running: FuturesUnordered<Work>,
    /// Who asked that something be cleared, and what that was.
    clears: HashMap<ClearNo, (Cleared, oneshot::Sender<Cleared>)>,
    drained: Vec<oneshot::Sender<()>>,
    alarm: Alarm,
    requests: u64,
    told: Vec<((Outcome, Reason), u64)>,
}

impl Worker {
    pub(super) fn new(core: Core, applier: Applier, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            core,
            applier,
            commands,
            replies: HashMap::new(),
            decisions: HashMap::new(),
            running: FuturesUnordered::new(),
            clears: HashMap::new(),
            drained: Vec::new(),
            alarm: Alarm::default(),
            requests: 0,
            told: Vec::new(),
        }
    }

    /// What was taken before this start is driven from now on. To be called before [`Worker::run`].
    pub fn restore(&mut self, runs: Vec<OpenRun>) {
        let mut left: BTreeMap<HandlerName, usize> = BTreeMap::new();
        for run in restored(runs, SystemTime::now()) {
            let (handler, packets) = (run.origin.handler.clone(), run.packets.len());
            if !self.core.restore(Instant::now(), run) {
                *left.entry(handler).or_default() += packets;
            }
        }
        for (handler, packets) in left {
            warn!(%handler, packets, "packets that were taken wait for a handler that is not there, or takes none any more");
        }
    }

    /// Runs until every handle is gone and every packet has its answer.
    pub async fn run(mut self) {
        let mut inbox = Vec::with_capacity(INTAKE);
        let mut open = true;
        loop {
            self.drive();
            if self.core.is_idle() {
                for done in self.drained.drain(..) {
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                if !open {
                    return;
                }
            }
            self.alarm.set(self.core.next_deadline());
            tokio::select! {
                // What is done first: a handler that answers at once costs no timer and no second look at the inbox.
                biased;
                Some((batch, completed)) = self.running.next() => {
                    self.core.complete(Instant::now(), batch, completed);
                }
                taken = self.commands.recv_many(&mut inbox, INTAKE), if open => {
                    open = taken > 0;
                    for command in inbox.drain(..) {
                        self.take(command);
                    }
                    if !open {
                        self.core.drain();
                    }
                }
                () = self.alarm.rings(), if self.alarm.is_set() => {}
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Sync {
                mut request,
                received,
                reply,
                room,
            } => {
                self.requests += 1;
                request.wait = request.wait.saturating_sub(received.elapsed());
                let call = self.core.offer(Instant::now(), request);
                drop(room);
                self.replies.insert(call, reply);
            }
            Command::SendAnew {
                letters,
                wait,
                reply,
                room,
            } => {
                let call = self.core.send_anew(Instant::now(), letters, wait);
                drop(room);
                self.replies.insert(call, reply);
            }
            Command::Decide {
                taken,
                decision,
                reply,
            } => match self.core.decide(Instant::now(), taken, decision) {
                Ok(number) => drop(self.decisions.insert(number, reply)),
                // Whoever asked may have given up, here and below.
                Err(undecided) => {
                    let _ = reply.send(Err(undecided));
                }
            },
            // Whoever asked may have given up.
            Command::Lanes { selection, reply } => {
                drop(reply.send(self.core.lanes(Instant::now(), &selection)));
            }
            Command::Flush { selection, reply } => drop(reply.send(self.core.flush(&selection))),
            Command::Clear { selection, reply } => {
                let (no, cleared) = self.core.clear_lanes(Instant::now(), &selection);
                self.clears.insert(no, (cleared, reply));
            }
            Command::Reload { handlers, reply } => {
                handlers
                    .into_iter()
                    .for_each(|settings| self.core.reload(settings));
                // The same.
                let _ = reply.send(());
            }
            Command::Look(reply) => {
                let seen = Seen {
                    core: self.core.snapshot(Instant::now()),
                    requests: self.requests,
                    told: self.told.clone(),
                };
                let _ = reply.send(seen);
            }
            Command::Drain(done) => {
                self.core.drain();
                self.drained.push(done);
            }
        }
    }

    fn drive(&mut self) {
        while let Some(step) = self.core.poll(Instant::now()) {
            match step {
                Step::Answer(call, response) => self.reply(call, response),
                Step::Overdue(call) => {
                    let gone = self
                        .replies
                        .get(&call)
                        .is_none_or(oneshot::Sender::is_closed);
                    if gone {
                        self.core.hang_up(call);
                        self.replies.remove(&call);
                    } else {
                        let response = self.core.time_out(call);
                        self.reply(call, response);
                    }
                }
                Step::Dead(dead) => warn!(
                    handler = %dead.origin.handler,
                    req_id = &*dead.packet.req_id,
                    client = dead.origin.client.as_ref().map(|client| &*client.client_id),
                    attempts = dead.attempts,
                    reason = reason(dead.cause),
                    error = &*dead.message,
                    held = dead.held,
                    "a packet that was taken is given up: it is a dead letter"
                ),
                Step::Cleared(no) => {
                    if let Some((cleared, reply)) = self.clears.remove(&no) {
                        // The same.
                        let _ = reply.send(cleared);
                    }
                }
                Step::Turned(Turned {
                    handler,
                    why: Some(why),
                }) => {
                    warn!(%handler, why, "its circuit is open: new packets for it are refused, and those taken wait while one call at a time shows whether it is back");
                }
                Step::Turned(Turned { handler, why: None }) => {
                    info!(%handler, "its circuit is closed: a call went through");
                }
                Step::Finished(Finished {
                    letter,
                    origin,
                    outcome,
                }) => info!(
                    handler = %origin.handler,
                    letter = letter.0,
                    ?outcome,
                    "a dead letter that was sent anew is finished"
                ),
                Step::Decided(number) => {
                    if let Some(reply) = self.decisions.remove(&number) {
                        // The same.
                        let _ = reply.send(Ok(()));
                    }
                }
                Step::Run(run) => {
                    let (batch, applier) = (run.batch, self.applier.clone());
                    let work = async move { (batch, applier.apply(run).await) };
                    self.running.push(Box::pin(work));
                }
            }
        }
    }

    fn reply(&mut self, call: CallId, response: Response) {
        self.count(&response);
        if let Some(reply) = self.replies.remove(&call)
            && let Err(unheard) = reply.send(response)
        {
            self.core.undelivered(&unheard);
        }
    }

    fn count(&mut self, response: &Response) {
        let mut at = 0;
        for (_, answer) in &response.answers {
            let kind = (answer.outcome, answer.reason);
            if self.told.get(at).is_none_or(|(last, _)| *last != kind) {
                at = self.kind_of(kind);
            }
            self.told[at].1 += 1;
        }
    }

    fn kind_of(&mut self, kind: (Outcome, Reason)) -> usize {
        let known = self.told.iter().position(|(known, _)| *known == kind);
        known.unwrap_or_else(|| {
            self.told.push((kind, 0));
            self.told.len() - 1
        })
    }
}

/// Rings at its time or before. Setting it to a later time does nothing, and one that rings too early only has the core looked
/// at: so the timer is touched once in a call's whole wait, not twice in every call.
#[derive(Debug, Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return };
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(sleep_until(at))),
            Some(sleep) if at < sleep.deadline() => sleep.as_mut().reset(at),
            Some(_) => {}
        }
    }

    fn is_set(&self) -> bool {
        self.sleep.is_some()
    }

    async fn rings(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().await;
        }
        self.sleep = None;
    }
}
