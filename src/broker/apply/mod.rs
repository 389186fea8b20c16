//! Carries out a batch: calls its handler, or commits what it takes, what its handler plans, or its answers; and says what
//! became of each item.

mod call;
mod commit;
mod publish;
mod tally;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hashbrown::{HashMap, HashSet};
use tracing::error;

use self::call::call;
use self::commit::{Domains, DomainsOf, Failure, Part, domain_of_any, domain_of_queue, part};
use self::publish::asked;
pub(crate) use self::tally::{Fate, Tally};
use super::core::{Completed, Done, Run, RunItem, RunKind, Took};
use crate::handler::{CallError, Drive, Planner, Registry};
use crate::store::{
    self, DeadLetter, Effect, Finish, Judged, Letter, Origin, Owed, Place, ReqIdScope, Store,
    TakenId, Unit,
};
use crate::telemetry::Traces;
use crate::types::{Answer, Outcome, Packet, Reason};

/// What carrying out a batch needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Applier {
    store: Arc<dyn Store>,
    domains: Domains,
    tally: Tally,
    traces: Traces,
}

impl Applier {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let tally = Tally::default();
        Self {
            domains: Domains::new(store.clone(), tally.clone()),
            store,
            tally,
            traces: Traces::off(),
        }
    }

    /// What it calls has spans.
    pub(crate) fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Never fails and never panics: whatever goes wrong is what became of an item.
    pub(crate) async fn apply(self, run: Run) -> Completed {
        let (kind, items, finishes) = (run.kind, run.items.len(), run.finishes.len());
        let handler = run.settings.name.clone();
        let completed = AssertUnwindSafe(self.carry_out(run)).catch_unwind().await;
        completed.unwrap_or_else(|_| {
            error!(%handler, items, "the handler panicked: its batch is in doubt");
            let answer = || in_doubt(Reason::HandlerFailed, "the handler failed");
            let done = match kind {
                // One of them may be to blame.
                RunKind::Call => {
                    let error = CallError {
                        failure: crate::handler::Failure::Items,
                        reached: true,
                        message: "the handler panicked".into(),
                    };
                    Done::Failed(error, vec![answer(); items])
                }
                RunKind::Plan => Done::Answered(vec![answer(); items]),
                RunKind::Take => Done::Took((0..items).map(|_| Took::Unknown(answer())).collect()),
                RunKind::Finish => Done::Finished(vec![false; finishes]),
            };
            done.into()
        })
    }

    /// Makes kept results the streams'. The error is for a log.
    pub(crate) async fn owe(&self, registry: &Registry, owed: Vec<Owed>) -> Result<(), String> {
        let mut parts = Vec::new();
        for owed in owed {
            let settings = registry.resolve(owed.queue.handler.as_str());
            let domain = domain_of_queue(settings.ok().as_deref(), &owed.queue);
            part(&mut parts, domain).owed.push(owed);
        }
        self.commit_all(parts).await
    }

    /// Dead letters go. The error is for a person.
    pub(crate) async fn discard(
        &self,
        registry: &Registry,
        letters: Vec<DeadLetter>,
    ) -> Result<(), String> {
        let mut parts = Vec::new();
        for letter in letters {
            let domain = domain_of_any(registry, &letter.origin);
            let part = part(&mut parts, domain);
            part.letters.push(Letter::Discard(letter.id));
        }
        self.commit_all(parts).await
    }

    /// The answer to a packet that was taken and that nobody drives. The error is for a person.
    pub(crate) async fn finish_one(
        &self,
        registry: &Registry,
        taken: TakenId,
        origin: &Origin,
        answer: Arc<Answer>,
    ) -> Result<(), String> {
        let mut parts = Vec::new();
        let domain = domain_of_any(registry, origin);
        part(&mut parts, domain).finishes.push(Finish {
            taken,
            answer,
            messages: Vec::new(),
            awaited: false,
            death: None,
        });
        self.commit_all(parts).await
    }

    async fn commit_all(&self, parts: Vec<Part>) -> Result<(), String> {
        let commits = parts.into_iter().map(|part| self.domains.commit(part));
        for judged in join_all(commits).await {
            judged.map_err(|failure| answer_to(&failure).message.to_string())?;
        }
        Ok(())
    }

    async fn carry_out(self, run: Run) -> Completed {
        match (run.kind, run.settings.drive.clone()) {
            (RunKind::Call, Drive::Called(handler)) => {
                let (settings, asked) = (run.settings.clone(), asked(&*handler, &run.items));
                let mut called = call(&*handler, &self, run).await;
                if !called.messages.is_empty() {
                    Box::pin(self.publish(&settings, &asked, &mut called)).await;
                }
                called
            }
            // Boxed, so that what only calls a handler is small: it is moved for each batch.
            (RunKind::Take, _) => Box::pin(self.take(run)).await,
            (RunKind::Finish, _) => Box::pin(self.finish(run)).await,
            (_, Drive::Planned(planner))
                if run.items.iter().any(|item| item.packet.action.is_read()) =>
            {
                Box::pin(self.read(&*planner, &run.items)).await.into()
            }
            (_, Drive::Planned(planner)) => Box::pin(self.write(&*planner, run)).await,
            (RunKind::Plan, Drive::Called(_)) => unreachable!("only planners plan"),
        }
    }

    async fn read(&self, planner: &dyn Planner, items: &[RunItem]) -> Done {
        let read = |item| self.read_one(planner, item);
        Done::Answered(join_all(items.iter().map(read)).await)
    }

    async fn read_one(&self, planner: &dyn Planner, item: &RunItem) -> Answer {
        match &item.packet.refusal {
            Some(refusal) => (**refusal).clone(),
            None => planner.read(&*self.store, &item.origin, &item.packet).await,
        }
    }

    async fn write(&self, planner: &dyn Planner, run: Run) -> Completed {
        let seqs: Vec<u64> = run.items.iter().map(|item| item.packet.seq).collect();
        let plan = |item: &RunItem| planner.plan(&item.origin, &item.packet);
        let (judged, owed) = self.commit_units(run, plan).await;
        let answers = judged.into_iter().zip(seqs);
        let answers = answers.map(|(judged, seq)| match judged {
            Ok(judged) => answer_of(judged, seq),
            Err(failure) => answer_to(&failure),
        });
        Completed {
            owed,
            ..Done::Answered(answers.collect()).into()
        }
    }

    async fn take(&self, mut run: Run) -> Completed {
        let seqs: Vec<u64> = run.items.iter().map(|item| item.packet.seq).collect();
        let order = gather(&mut run.items);
        let take = |item: &RunItem| Effect::Take(item.packet.kept());
        let (judged, owed) = self.commit_units(run, take).await;
        let mut took: Vec<Option<Took>> = Vec::new();
        took.resize_with(judged.len(), || None);
        for (at, judged) in order.into_iter().zip(judged) {
            took[at] = Some(match judged {
                // Open: it was taken by a commit of which nobody heard again.
                Ok(Judged::Taken(taken) | Judged::Open(taken)) => Took::Taken(taken),
                Ok(judged) => Took::Answered(answer_of(judged, seqs[at])),
                Err(failure @ Failure::NotApplied(_)) => Took::NotApplied(answer_to(&failure)),
                Err(failure @ Failure::Unknown) => Took::Unknown(answer_to(&failure)),
            });
        }
        let took = took.into_iter().flatten().collect();
        Completed {
            owed,
            ..Done::Took(took).into()
        }
    }

    /// Commits a unit for each item, with what else is to be committed: what became of each, and what is still owed.
    async fn commit_units(
        &self,
        run: Run,
        effect: impl Fn(&RunItem) -> Effect,
    ) -> (Vec<Result<Judged, Failure>>, Vec<Owed>) {
        let mut parts = Vec::new();
        for settle in run.settles {
            let domain = domain_of_queue(Some(&run.settings), &settle.queue);
            part(&mut parts, domain).settles.push(settle);
        }
        for owed in run.owed {
            let domain = domain_of_queue(Some(&run.settings), &owed.queue);
            part(&mut parts, domain).owed.push(owed);
        }
        let mut all: Vec<Result<Judged, Failure>> = Vec::with_capacity(run.items.len());
        let mut domains = DomainsOf::new(&run.settings);
        for (at, item) in run.items.into_iter().enumerate() {
            let domain = domains.next(&item.origin);
            let part = part(&mut parts, domain);
            part.items.push(at);
            part.units.push(unit(item, &effect));
            all.push(Err(Failure::Unknown));
        }
        let mut still_owed = Vec::new();
        let commits = parts.into_iter().map(|part| self.commit(part));
        for (items, owed, judged) in join_all(commits).await {
            match judged {
                Ok(judged) => {
                    for (at, judged) in items.into_iter().zip(judged) {
                        all[at] = Ok(judged);
                    }
                }
                Err(failure) => {
                    still_owed.extend(owed);
                    for at in items {
                        all[at] = Err(failure.clone());
                    }
                }
            }
        }
        (all, still_owed)
    }

    async fn finish(&self, run: Run) -> Completed {
        let mut durable = vec![false; run.finishes.len()];
        let mut parts = Vec::new();
        let mut domains = DomainsOf::new(&run.settings);
        for (at, finish) in run.finishes.into_iter().enumerate() {
            let domain = domains.next(&finish.origin);
            let part = part(&mut parts, domain);
            part.items.push(at);
            match (finish.answer, finish.death) {
                (Some(answer), death) => part.finishes.push(Finish {
                    taken: finish.taken,
                    answer,
                    messages: finish.messages,
                    awaited: finish.awaited,
                    death,
                }),
                (None, Some(death)) => part.letters.push(Letter::Hold(finish.taken, death)),
                (None, None) => part.letters.push(Letter::Release(finish.taken)),
            }
        }
        let commits = parts.into_iter().map(|part| self.commit(part));
        for (items, _, judged) in join_all(commits).await {
            if judged.is_ok() {
                items.into_iter().for_each(|at| durable[at] = true);
            }
        }
        Done::Finished(durable).into()
    }

    /// Gives back where the part's units come from, and what it owed.
    async fn commit(
        &self,
        mut part: Part,
    ) -> (Vec<usize>, Vec<Owed>, Result<Vec<Judged>, Failure>) {
        let (items, owed) = (std::mem::take(&mut part.items), part.owed.clone());
        let judged = self.domains.commit(part).await;
        (items, owed, judged)
    }
}

impl From<Done> for Completed {
    fn from(done: Done) -> Self {
        Self {
            done,
            messages: Vec::new(),
            owed: Vec::new(),
        }
    }
}

/// Puts the packets of one request beside each other, each request's in their order: they are one run. Gives where each of
/// them was.
fn gather(items: &mut Vec<RunItem>) -> Vec<usize> {
    let mut seen = HashSet::new();
    let mut runs = items.chunk_by(|one, next| Arc::ptr_eq(&one.origin, &next.origin));
    if runs.all(|run| seen.insert(Arc::as_ptr(&run[0].origin))) {
        return (0..items.len()).collect();
    }
    let mut seen: HashMap<*const Origin, usize> = HashMap::new();
    let mut keyed: Vec<(usize, usize, RunItem)> = Vec::with_capacity(items.len());
    for (at, item) in items.drain(..).enumerate() {
        let next = seen.len();
        let first = *seen.entry(Arc::as_ptr(&item.origin)).or_insert(next);
        keyed.push((first, at, item));
    }
    keyed.sort_by_key(|(first, at, _)| (*first, *at));
    let mut order = Vec::with_capacity(keyed.len());
    for (_, at, item) in keyed {
        order.push(at);
        items.push(item);
    }
    order
}

fn unit(item: RunItem, effect: impl Fn(&RunItem) -> Effect) -> Unit {
    let effect = match &item.packet.refusal {
        Some(refusal) => Effect::Answer((**refusal).clone()),
        None => effect(&item),
    };
    // What a handler refuses is kept for a packet with a place only: others may be sent again. What ended while it waited ends
    // for good: it may be a repeat of what has its outcome, and a repeat of it may follow.
    let ended = item.packet.refusal.is_some();
    let recorded = item.packet.seq != 0 || ended || !matches!(effect, Effect::Answer(_));
    Unit {
        group: item.group,
        place: match item.letter {
            Some(letter) => Place::Letter(letter),
            None if recorded => place(&item.origin, &item.packet),
            None => Place::None,
        },
        fingerprint: item.packet.fingerprint,
        req_id: item.packet.req_id.clone(),
        awaited: item.awaited,
        effect,
        origin: item.origin,
    }
}

fn place(origin: &Origin, packet: &Packet) -> Place {
    if packet.seq != 0 {
        Place::Seq(packet.seq)
    } else if packet.req_id.is_empty() {
        Place::None
    } else if origin.client.is_some() {
        Place::ReqId(ReqIdScope::Client)
    } else if !origin.principal.subject.is_empty() {
        Place::ReqId(ReqIdScope::Subject)
    } else {
        Place::None
    }
}

fn answer_of(judged: Judged, seq: u64) -> Answer {
    match judged {
        Judged::Done(answer) => answer,
        Judged::Repeat(answer) => answer.replay(),
        Judged::Forgotten => Answer::forgotten(),
        Judged::Taken(_) | Judged::Open(_) => Answer::accepted(),
        Judged::Reused => {
            Answer::reused("a packet with the same place or req_id and other content came before")
        }
        Judged::Missing { next } => Answer::earlier_missing(seq, next),
        Judged::Skipped => Answer::earlier_refused(),
        Judged::NoRoom => Answer::retry(
            Reason::Overloaded,
            "the table of places is full: no room for a new client now",
        ),
    }
}

fn answer_to(failure: &Failure) -> Answer {
    match failure {
        Failure::NotApplied(error) => {
            let reason = match error {
                store::Error::Fenced(_) => Reason::Moved,
                store::Error::Refused(_) | store::Error::Unavailable(_) => Reason::StoreUnavailable,
            };
            Answer::retry(reason, error.to_string())
        }
        Failure::Unknown => in_doubt(
            Reason::StoreUnavailable,
            "the fate of its commit is not known yet: send it again",
        ),
    }
}

fn in_doubt(reason: Reason, message: &'static str) -> Answer {
    Answer::with(Outcome::InDoubt, reason, message)
}
