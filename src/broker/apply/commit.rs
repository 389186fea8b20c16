//! Commits to the domains of the store: one writer each, whose term this process takes over once.

use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::warn;

use super::tally::{Fate, Tally};
use crate::handler::{Fence, HandlerSettings, Item, Kind, Ordering, Registry};
use crate::store::{
    Commit, Domain, Error, Finish, Judged, Letter, Origin, Owed, QueueKey, Settle, Store, Term,
    Unit,
};

/// How many parts the state has, each with one writer.
const DOMAINS: u32 = 64;

/// The terms under which this process writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Domains {
    store: Arc<dyn Store>,
    /// A lock and not a task: it is held for a look-up. A cell for each take-over, so that all who need the term wait for
    /// the same one.
    terms: Arc<Mutex<HashMap<Domain, Arc<OnceCell<Term>>>>>,
    tally: Tally,
}

/// What a commit does in one domain.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) domain: Domain,
    /// Where in the batch its units, or its finishes, come from.
    pub(super) items: Vec<usize>,
    pub(super) settles: Vec<Settle>,
    pub(super) owed: Vec<Owed>,
    pub(super) finishes: Vec<Finish>,
    pub(super) letters: Vec<Letter>,
    pub(super) units: Vec<Unit>,
}

/// Why nothing is known to have been committed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing of it was applied, nor will be.
    NotApplied(Error),
    /// It may have been.
    Unknown,
}

impl Domains {
    pub(super) fn new(store: Arc<dyn Store>, tally: Tally) -> Self {
        Self {
            store,
            terms: Arc::default(),
            tally,
        }
    }

    /// Ends when the part is durable, with one `Judged` per unit.
    pub(super) async fn commit(&self, part: Part) -> Result<Vec<Judged>, Failure> {
        let (began, units) = (Instant::now(), part.units.len() + part.finishes.len());
        let judged = self.commit_one(part).await;
        let fate = match &judged {
            Ok(_) => Fate::Durable,
            Err(Failure::NotApplied(Error::Fenced(_))) => Fate::Fenced,
            Err(Failure::NotApplied(_)) => Fate::Refused,
            Err(Failure::Unknown) => Fate::Unknown,
        };
        self.tally.commit(fate, began.elapsed(), units);
        judged
    }

    async fn commit_one(&self, part: Part) -> Result<Vec<Judged>, Failure> {
        let term = self.term(part.domain).await.map_err(Failure::NotApplied)?;
        let commit = Commit {
            settles: part.settles,
            owed: part.owed,
            finishes: part.finishes,
            letters: part.letters,
            units: part.units,
            ..Commit::new(part.domain, term, SystemTime::now())
        };
        let accepted = self.store.commit(commit).await;
        let accepted = accepted.inspect_err(|error| self.note(part.domain, term, error));
        let committed = accepted.map_err(Failure::NotApplied)?.await;
        committed.map_err(|error| {
            self.note(part.domain, term, &error);
            match error {
                Error::Fenced(_) | Error::Refused(_) => Failure::NotApplied(error),
                Error::Unavailable(_) => {
                    warn!(%error, "a commit's outcome is not known");
                    Failure::Unknown
                }
            }
        })
    }

    /// Says to each item which domain it belongs to, and the term under which this process has that.
    pub(super) async fn fence(
        &self,
        settings: &HandlerSettings,
        items: &mut [Item],
    ) -> Result<(), Error> {
        let mut domains = DomainsOf::new(settings);
        let mut known: Vec<Fence> = Vec::new();
        for item in items {
            let domain = domains.next(&item.origin);
            let fence = match known.iter().find(|fence| fence.domain == domain) {
                Some(fence) => *fence,
                None => {
                    let term = self.term(domain).await?;
                    known.push(Fence { domain, term });
                    Fence { domain, term }
                }
            };
            item.fence = Some(fence);
        }
        Ok(())
    }

    /// Taken over once, however many ask at a time.
    async fn term(&self, domain: Domain) -> Result<Term, Error> {
        let cell = self.terms.lock().entry(domain).or_default().clone();
        let term = cell.get_or_try_init(|| self.store.take_over(domain));
        term.await.copied()
    }

    /// A term that is over is not used again: the next commit takes over once more, whoever makes it.
    fn note(&self, domain: Domain, term: Term, error: &Error) {
        if !matches!(error, Error::Fenced(_)) {
            return;
        }
        let mut terms = self.terms.lock();
        let known = terms.get(&domain).and_then(|cell| cell.get().copied());
        if known == Some(term) {
            terms.remove(&domain);
        }
    }
}

/// The part of a domain, which is made where there is none.
pub(super) fn part(parts: &mut Vec<Part>, domain: Domain) -> &mut Part {
    let at = parts.iter().position(|part| part.domain == domain);
    let at = at.unwrap_or_else(|| {
        parts.push(Part {
            domain,
            items: Vec::new(),
            settles: Vec::new(),
            owed: Vec::new(),
            finishes: Vec::new(),
            letters: Vec::new(),
            units: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[at]
}

/// The domains of packets, one after the other. Those of one request come in a row, and have one origin: its domain is worked
/// out once.
#[derive(Debug)]
pub(super) struct DomainsOf<'a> {
    settings: &'a HandlerSettings,
    last: Option<(Arc<Origin>, Domain)>,
}

impl<'a> DomainsOf<'a> {
    pub(super) fn new(settings: &'a HandlerSettings) -> Self {
        Self {
            settings,
            last: None,
        }
    }

    pub(super) fn next(&mut self, origin: &Arc<Origin>) -> Domain {
        match &self.last {
            Some((last, domain)) if Arc::ptr_eq(last, origin) => *domain,
            _ => {
                let domain = domain_of(self.settings, origin);
                self.last = Some((origin.clone(), domain));
                domain
            }
        }
    }
}

/// The domain of a packet.
fn domain_of(settings: &HandlerSettings, origin: &Origin) -> Domain {
    let client = origin.client.as_ref();
    let client = client.map_or("", |client| &client.client_id);
    let principal = &origin.principal;
    of_names(settings, &principal.tenant, &principal.subject, client)
}

/// The same of one whose handler may not be there any more.
pub(super) fn domain_of_any(registry: &Registry, origin: &Origin) -> Domain {
    let handler = origin.handler.as_str();
    if let Ok(settings) = registry.resolve(handler) {
        return domain_of(&settings, origin);
    }
    let client = origin.client.as_ref();
    let client = client.map_or("", |client| &client.client_id);
    let principal = &origin.principal;
    domain(&[&principal.tenant, &principal.subject, client, handler])
}

/// The domain of what is about a queue. Without settings its handler is not there any more, and nobody else writes.
pub(super) fn domain_of_queue(settings: Option<&HandlerSettings>, queue: &QueueKey) -> Domain {
    let client = &queue.client;
    let names = (&client.tenant, &client.subject, &client.client_id);
    match settings {
        Some(settings) => of_names(settings, names.0, names.1, names.2),
        None => domain(&[names.0, names.1, names.2, queue.handler.as_str()]),
    }
}

/// The handler where packets of several clients have one order or one state, else the queue.
fn of_names(settings: &HandlerSettings, tenant: &str, subject: &str, client_id: &str) -> Domain {
    let handler = settings.name.as_str();
    let by_key = settings.takes_first() && settings.ordering == Ordering::Key;
    if settings.kind == Kind::Records || by_key {
        return domain(&[tenant, handler]);
    }
    domain(&[tenant, subject, client_id, handler])
}

fn domain(parts: &[&str]) -> Domain {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    Domain((hasher.digest() % u64::from(DOMAINS)) as u32)
}
