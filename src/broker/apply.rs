//! Carries out a batch: calls its handler, or commits what its handler plans, and makes of what comes back one answer per
//! item.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{error, warn};

use super::core::{Run, RunItem};
use crate::handler::{
    Batch, Drive, Handled, Handler, HandlerSettings, Item, ItemId, Kind, Planner,
};
use crate::store::{
    self, Commit, Domain, Effect, Judged, Origin, Place, ReqIdScope, Settle, Store, Term, Unit,
};
use crate::types::{Answer, Outcome, Packet, Reason};

/// How many parts the state has, each with one writer.
const DOMAINS: u32 = 64;

/// What carrying out a batch needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Applier {
    store: Arc<dyn Store>,
    /// The terms under which this process writes. A lock and not a task: it is held for a look-up.
    terms: Arc<Mutex<HashMap<Domain, Term>>>,
}

impl Applier {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            terms: Arc::default(),
        }
    }

    /// One answer per item, in order. Never fails and never panics: whatever goes wrong is an answer.
    pub(crate) async fn apply(self, run: Run) -> Vec<Answer> {
        let items = run.items.len();
        let handler = run.settings.name.clone();
        let answers = AssertUnwindSafe(self.carry_out(run)).catch_unwind().await;
        answers.unwrap_or_else(|_| {
            error!(%handler, items, "the handler panicked: its batch is in doubt");
            vec![in_doubt(Reason::HandlerFailed, "the handler failed"); items]
        })
    }

    async fn carry_out(self, run: Run) -> Vec<Answer> {
        match run.settings.drive.clone() {
            Drive::Called(handler) => call(&*handler, run).await,
            Drive::Planned(planner)
                if run.items.iter().any(|item| item.packet.action.is_read()) =>
            {
                Box::pin(self.read(&*planner, &run.items)).await
            }
            // Boxed, so that what only calls a handler is small: it is moved for each batch.
            Drive::Planned(planner) => Box::pin(self.write(&*planner, run)).await,
        }
    }

    async fn read(&self, planner: &dyn Planner, items: &[RunItem]) -> Vec<Answer> {
        let read = |item| self.read_one(planner, item);
        join_all(items.iter().map(read)).await
    }

    async fn read_one(&self, planner: &dyn Planner, item: &RunItem) -> Answer {
        match &item.packet.refusal {
            Some(refusal) => (**refusal).clone(),
            None => planner.read(&*self.store, &item.origin, &item.packet).await,
        }
    }

    /// Splits the batch by the state that it touches, and commits each part.
    async fn write(&self, planner: &dyn Planner, run: Run) -> Vec<Answer> {
        let mut parts: Vec<Part> = Vec::new();
        for settle in run.settles {
            let domain = domain_of(&run.settings, &settle.queue.client.tenant, Some(&settle));
            part(&mut parts, domain).settles.push(settle);
        }
        let mut seqs = Vec::with_capacity(run.items.len());
        for (at, item) in run.items.into_iter().enumerate() {
            seqs.push(item.packet.seq);
            let domain = domain_of_item(&run.settings, &item.origin);
            let part = part(&mut parts, domain);
            part.items.push(at);
            part.units.push(unit(planner, item));
        }
        let commits = join_all(parts.into_iter().map(|part| self.commit(part))).await;
        let mut answers: Vec<Option<Answer>> = vec![None; seqs.len()];
        for (items, judged) in commits {
            match judged {
                Ok(judged) => {
                    for (at, judged) in items.into_iter().zip(judged) {
                        answers[at] = Some(answer_of(judged, seqs[at]));
                    }
                }
                Err(answer) => {
                    for at in items {
                        answers[at] = Some(answer.clone());
                    }
                }
            }
        }
        let told = |answer: Option<Answer>| {
            answer.unwrap_or_else(|| in_doubt(Reason::StoreUnavailable, "the store did not answer"))
        };
        answers.into_iter().map(told).collect()
    }

    async fn commit(&self, part: Part) -> (Vec<usize>, Result<Vec<Judged>, Answer>) {
        let judged = self.try_commit(part.domain, part.settles, part.units).await;
        (part.items, judged)
    }

    async fn try_commit(
        &self,
        domain: Domain,
        settles: Vec<Settle>,
        units: Vec<Unit>,
    ) -> Result<Vec<Judged>, Answer> {
        let term = self.term(domain).await.map_err(|error| not_taken(&error))?;
        let commit = Commit {
            settles,
            units,
            ..Commit::new(domain, term, SystemTime::now())
        };
        let accepted = self.store.commit(commit).await.map_err(|error| {
            self.terms.lock().remove(&domain);
            not_taken(&error)
        })?;
        accepted.await.map_err(|error| {
            warn!(%error, "a commit's outcome is not known");
            in_doubt(
                Reason::StoreUnavailable,
                "the fate of its commit is not known yet: send it again",
            )
        })
    }

    async fn term(&self, domain: Domain) -> Result<Term, store::Error> {
        if let Some(&term) = self.terms.lock().get(&domain) {
            return Ok(term);
        }
        let term = self.store.take_over(domain).await?;
        self.terms.lock().insert(domain, term);
        Ok(term)
    }
}

/// The units of a batch for one domain.
#[derive(Debug)]
struct Part {
    domain: Domain,
    /// Where in the batch its units come from.
    items: Vec<usize>,
    settles: Vec<Settle>,
    units: Vec<Unit>,
}

fn part(parts: &mut Vec<Part>, domain: Domain) -> &mut Part {
    let at = parts.iter().position(|part| part.domain == domain);
    let at = at.unwrap_or_else(|| {
        parts.push(Part {
            domain,
            items: Vec::new(),
            settles: Vec::new(),
            units: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[at]
}

fn unit(planner: &dyn Planner, item: RunItem) -> Unit {
    let effect = match &item.packet.refusal {
        Some(refusal) => Effect::Answer((**refusal).clone()),
        None => planner.plan(&item.origin, &item.packet),
    };
    // A refusal is kept for a packet with a place only: others may be sent again.
    let recorded = item.packet.seq != 0 || !matches!(effect, Effect::Answer(_));
    Unit {
        group: item.group,
        place: if recorded {
            place(&item.origin, &item.packet)
        } else {
            Place::None
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

fn domain_of_item(settings: &HandlerSettings, origin: &Origin) -> Domain {
    let tenant = &origin.principal.tenant;
    if settings.kind == Kind::Records {
        return domain(&[tenant, settings.name.as_str()]);
    }
    let client = origin
        .client
        .as_ref()
        .map_or("", |client| &client.client_id);
    domain(&[
        tenant,
        &origin.principal.subject,
        client,
        settings.name.as_str(),
    ])
}

fn domain_of(settings: &HandlerSettings, tenant: &str, settle: Option<&Settle>) -> Domain {
    match settle {
        Some(settle) if settings.kind != Kind::Records => {
            let client = &settle.queue.client;
            domain(&[
                tenant,
                &client.subject,
                &client.client_id,
                settings.name.as_str(),
            ])
        }
        _ => domain(&[tenant, settings.name.as_str()]),
    }
}

fn domain(parts: &[&str]) -> Domain {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    Domain((hasher.digest() % u64::from(DOMAINS)) as u32)
}

fn answer_of(judged: Judged, seq: u64) -> Answer {
    match judged {
        Judged::Done(answer) => answer,
        Judged::Repeat(answer) => answer.replay(),
        Judged::Forgotten => Answer::forgotten(),
        Judged::Taken(_) | Judged::Open(_) => {
            Answer::with(Outcome::Accepted, Reason::Unspecified, "")
        }
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

fn not_taken(error: &store::Error) -> Answer {
    let reason = match error {
        store::Error::Fenced(_) => Reason::Moved,
        store::Error::Refused(_) | store::Error::Unavailable(_) => Reason::StoreUnavailable,
    };
    Answer::retry(reason, error.to_string())
}

fn in_doubt(reason: Reason, message: &'static str) -> Answer {
    Answer::with(Outcome::InDoubt, reason, message)
}

/// Calls a handler that keeps nothing in the store. Items that were refused on the way are not handed over.
async fn call(handler: &dyn Handler, run: Run) -> Vec<Answer> {
    let now = Instant::now();
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(run.items.len());
    let mut items = Vec::with_capacity(run.items.len());
    let mut handed: Vec<(ItemId, usize)> = Vec::with_capacity(run.items.len());
    for (at, item) in run.items.into_iter().enumerate() {
        let refusal = item.packet.refusal.as_deref().cloned();
        if refusal.is_none() {
            handed.push((item.id, at));
            items.push(Item {
                id: item.id,
                chain: item.chain,
                origin: item.origin,
                packet: item.packet,
                remaining: item
                    .expires
                    .map(|expires| expires.saturating_duration_since(now)),
            });
        }
        answers.push(refusal);
    }
    if !items.is_empty() {
        let batch = Batch {
            handler: run.settings.name.clone(),
            action: run.action,
            items,
        };
        match handler.handle(batch).await {
            Ok(results) => fill_in(results, &handed, &mut answers),
            Err(error) => {
                warn!(handler = %run.settings.name, %error, items = handed.len(), "a call failed");
                for &(_, at) in &handed {
                    answers[at] = Some(in_doubt(
                        Reason::HandlerFailed,
                        "the handler failed: it may have been applied",
                    ));
                }
            }
        }
    }
    let missing = || Answer::retry(Reason::HandlerFailed, "the handler gave no answer for it");
    answers
        .into_iter()
        .map(|answer| answer.unwrap_or_else(missing))
        .collect()
}

/// Puts results where their items were, by id: handlers may answer in any order, twice, or for nobody.
fn fill_in(results: Vec<Handled>, handed: &[(ItemId, usize)], answers: &mut [Option<Answer>]) {
    let mut ignored = 0;
    let mut by_id = None;
    for (position, result) in results.into_iter().enumerate() {
        // Mostly in order: then no table is needed.
        let at = match handed.get(position) {
            Some(&(id, at)) if id == result.id => Some(at),
            _ => {
                let table = || handed.iter().copied().collect::<HashMap<_, _>>();
                by_id.get_or_insert_with(table).get(&result.id).copied()
            }
        };
        match at {
            Some(at) if answers[at].is_none() => answers[at] = Some(result.answer),
            _ => ignored += 1,
        }
    }
    if ignored > 0 {
        warn!(
            ignored,
            "the handler answered items that it did not get, or twice"
        );
    }
}
