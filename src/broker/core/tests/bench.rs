//! A core on a workbench: packets in, batches out, answers by hand.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::broker::core::{
    BatchId, CallId, ClearNo, Core, Done, Finished, GivenUp, Run, RunFinish, RunKind, Snapshot,
    Step, Took,
};
use crate::broker::{Ack, Request, Response, Settings, SettledPart};
use crate::handler::{
    Batch, BatchLimits, CallError, Drive, Handled, Handler, HandlerSettings, Kind, Ordering,
    Planner, Registry, Unlisted,
};
use crate::store::{Effect, Origin, Store, TakenId};
use crate::types::{Action, Answer, ClientKey, Content, HandlerName, Packet, Principal, Retry};

/// Stands for any handler: the bench answers in its place.
#[derive(Debug)]
struct Nobody;

impl Handler for Nobody {
    fn handle(&self, _batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        unreachable!("the bench answers")
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

impl Planner for Nobody {
    fn plan(&self, _origin: &Origin, _packet: &Packet) -> Effect {
        unreachable!("the bench answers")
    }

    fn read<'a>(
        &'a self,
        _store: &'a dyn Store,
        _origin: &'a Origin,
        _packet: &'a Packet,
    ) -> BoxFuture<'a, Answer> {
        unreachable!("the bench answers")
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

/// A handler that is called, with the defaults.
pub(super) fn called(name: &str) -> HandlerSettings {
    HandlerSettings {
        name: HandlerName::new(name).unwrap(),
        kind: Kind::Custom,
        ordering: Ordering::Client,
        mixed_actions: false,
        isolate_tenants: false,
        batch: BatchLimits::default(),
        durable: false,
        retry: Retry::default(),
        drive: Drive::Called(Arc::new(Nobody)),
    }
}

/// A handler that is called with what was taken before.
pub(super) fn durable(name: &str) -> HandlerSettings {
    HandlerSettings {
        durable: true,
        ..called(name)
    }
}

/// A handler whose effects are in the store.
pub(super) fn planned(name: &str) -> HandlerSettings {
    HandlerSettings {
        mixed_actions: true,
        drive: Drive::Planned(Arc::new(Nobody)),
        ..called(name)
    }
}

/// A packet to be: named in a test by what matters to it.
#[derive(Debug, Clone)]
pub(super) struct Draft(pub(super) Packet);

pub(super) fn packet(handler: &str, req_id: impl Into<String>) -> Draft {
    Draft(Packet {
        req_id: req_id.into().into(),
        handler: handler.into(),
        seq: 0,
        action: Action::Create,
        key: ByteString::new(),
        content: Content::default(),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: 1,
        size: 100,
        raw: bytes::Bytes::new(),
        carried: None,
        refusal: None,
    })
}

impl Draft {
    pub(super) fn seq(mut self, seq: u64) -> Self {
        self.0.seq = seq;
        self
    }

    pub(super) fn action(mut self, action: Action) -> Self {
        self.0.action = action;
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.0.key = key.into();
        self
    }

    pub(super) fn size(mut self, size: usize) -> Self {
        self.0.size = size;
        self
    }

    pub(super) fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(ttl);
        self
    }

    pub(super) fn unordered(mut self) -> Self {
        self.0.unordered = true;
        self
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        self.0.action = Action::Call;
        self.0.more.get_or_insert_default().method = method.into();
        self
    }

    pub(super) fn content(mut self, fingerprint: u64) -> Self {
        self.0.fingerprint = fingerprint;
        self
    }

    pub(super) fn refused(mut self, answer: Answer) -> Self {
        self.0.refusal = Some(Box::new(answer));
        self
    }
}

/// The core, its clock, and what came out of it and has no answer yet.
pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Instant,
    pub(super) runs: Vec<Run>,
    pub(super) answers: Vec<(CallId, Response)>,
    /// Packets that were given up.
    pub(super) dead: Vec<GivenUp>,
    /// Dead letters that were sent anew and are finished.
    pub(super) finished: Vec<Finished>,
    /// Decisions that are on disk.
    pub(super) decided: Vec<u64>,
    /// What was cleared, and has gone.
    pub(super) cleared: Vec<ClearNo>,
    /// Circuits that opened (true) and closed.
    pub(super) turned: Vec<bool>,
    /// So many packets were taken.
    taken: u32,
}

impl Bench {
    pub(super) fn new(handlers: Vec<HandlerSettings>) -> Self {
        Self::with(handlers, Settings::default())
    }

    pub(super) fn with(handlers: Vec<HandlerSettings>, settings: Settings) -> Self {
        let settings = Settings {
            seed: 1,
            ..settings
        };
        let registry = Registry::new(handlers, called("unlisted"), Unlisted::AreUnknown);
        Self {
            core: Core::new(Arc::new(registry), settings),
            now: Instant::now(),
            runs: Vec::new(),
            answers: Vec::new(),
            dead: Vec::new(),
            cleared: Vec::new(),
            turned: Vec::new(),
            finished: Vec::new(),
            decided: Vec::new(),
            taken: 0,
        }
    }

    /// A request of a client of the subject of the same name; without one, a call that stands alone.
    pub(super) fn offer(&mut self, client: &str, packets: Vec<Draft>) -> CallId {
        self.offer_as(client, client, Ack::Applied, packets)
    }

    pub(super) fn offer_as(
        &mut self,
        subject: &str,
        client: &str,
        ack: Ack,
        packets: Vec<Draft>,
    ) -> CallId {
        let subject = ("", subject);
        self.offer_with(subject, client, ack, Vec::new(), packets)
    }

    /// A call of a subject of a tenant that stands alone.
    pub(super) fn offer_of(&mut self, tenant: &str, subject: &str, packets: Vec<Draft>) -> CallId {
        self.offer_with((tenant, subject), "", Ack::Applied, Vec::new(), packets)
    }

    /// A request that only says what a client is done with.
    pub(super) fn offer_settled(&mut self, client: &str, handler: &str, ids: &[&str]) {
        let settled = SettledPart {
            handler: handler.into(),
            through: 0,
            req_ids: ids.iter().map(|&id| id.into()).collect(),
        };
        self.offer_with(
            ("", client),
            client,
            Ack::Applied,
            vec![settled],
            Vec::new(),
        );
    }

    fn offer_with(
        &mut self,
        (tenant, subject): (&str, &str),
        client: &str,
        ack: Ack,
        settled: Vec<SettledPart>,
        packets: Vec<Draft>,
    ) -> CallId {
        let key = ClientKey {
            tenant: tenant.into(),
            subject: subject.into(),
            client_id: client.into(),
        };
        let principal = Principal {
            subject: subject.into(),
            tenant: tenant.into(),
            ..Principal::default()
        };
        let request = Request {
            principal: Arc::new(principal),
            client: (!client.is_empty()).then(|| Arc::new(key)),
            ack,
            wait: Duration::from_secs(10),
            settled,
            size: 0,
            packets: packets.into_iter().map(|draft| Arc::new(draft.0)).collect(),
        };
        let call = self.core.offer(self.now, request);
        self.poll();
        call
    }

    /// Takes everything out that comes out now. Afterwards nothing is armed in the past.
    pub(super) fn poll(&mut self) {
        while let Some(step) = self.core.poll(self.now) {
            match step {
                Step::Answer(call, response) => self.answers.push((call, response)),
                Step::Overdue(call) => {
                    let response = self.core.time_out(call);
                    self.answers.push((call, response));
                }
                Step::Dead(dead) => self.dead.push(dead),
                Step::Cleared(no) => self.cleared.push(no),
                Step::Turned(turned) => self.turned.push(turned.why.is_some()),
                Step::Finished(finished) => self.finished.push(finished),
                Step::Decided(number) => self.decided.push(number),
                Step::Run(run) => self.runs.push(run),
            }
        }
        let deadline = self.core.next_deadline();
        assert!(
            deadline.is_none_or(|due| due > self.now),
            "armed in the past"
        );
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.poll();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.core.snapshot(self.now)
    }

    /// Takes the batch that left first.
    pub(super) fn run(&mut self) -> Run {
        assert!(!self.runs.is_empty(), "no batch has left");
        self.runs.remove(0)
    }

    pub(super) fn complete(&mut self, batch: BatchId, answers: Vec<Answer>) {
        self.complete_with(batch, Done::Answered(answers));
    }

    pub(super) fn complete_with(&mut self, batch: BatchId, done: Done) {
        self.core.complete(self.now, batch, done.into());
        self.poll();
    }

    /// Takes everything in the first batch, and gives what it has.
    pub(super) fn run_take(&mut self) -> Vec<String> {
        let run = self.run();
        self.take(run)
    }

    /// Takes everything in a batch, but for what is refused.
    pub(super) fn take(&mut self, run: Run) -> Vec<String> {
        assert_eq!(run.kind, RunKind::Take);
        let took = run.items.iter().map(|item| {
            let name = self.next_taken();
            self.taken += 1;
            match &item.packet.refusal {
                Some(refusal) => Took::Answered((**refusal).clone()),
                None => Took::Taken(name),
            }
        });
        let took = took.collect();
        self.complete_with(run.batch, Done::Took(took));
        ids(&run)
    }

    /// What the packet that is taken next is called.
    pub(super) fn next_taken(&self) -> TakenId {
        let at = self.taken + 1;
        TakenId { run: 7, at }
    }

    /// Makes the answers in the first batch durable, and gives them.
    pub(super) fn run_finish(&mut self) -> Vec<RunFinish> {
        let run = self.run();
        assert_eq!(run.kind, RunKind::Finish);
        let durable = vec![true; run.finishes.len()];
        self.complete_with(run.batch, Done::Finished(durable));
        run.finishes
    }

    /// Answers OK to everything in the first batch and gives its req_ids.
    pub(super) fn run_ok(&mut self) -> Vec<String> {
        let run = self.run();
        self.complete(run.batch, vec![Answer::ok(); run.items.len()]);
        ids(&run)
    }

    /// The answers to a call: it must have them.
    pub(super) fn answers_to(&mut self, call: CallId) -> Vec<Answer> {
        let at = self
            .answers
            .iter()
            .position(|(answered, _)| *answered == call);
        let (_, response) = self.answers.remove(at.expect("the call has its answers"));
        response
            .answers
            .into_iter()
            .map(|(_, answer)| answer)
            .collect()
    }
}

pub(super) fn ids(run: &Run) -> Vec<String> {
    run.items
        .iter()
        .map(|item| item.packet.req_id.to_string())
        .collect()
}
