//! Reads the store for a stream that is behind. Every read is a future of its own, so that a stream can be dropped, beat
//! and be told to go in between.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::Semaphore;

use super::Subscription;
use super::figures::Sent;
use crate::store::{Entry, Error, Filter, Page, Position, ScanLimit, Store};
use crate::types::ClientKey;

/// A page: what a stream that nobody reads holds at most, but for a larger single message.
const PAGE: ScanLimit = ScanLimit {
    items: 128,
    bytes: 64 << 10,
};

/// The longest pause after the store failed; the pauses are jittered.
const PAUSE: Duration = Duration::from_secs(2);

/// How soon the store is asked again for what the hub was told a moment earlier.
const MOMENT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Reader {
    store: Arc<dyn Store>,
    filter: Filter,
    client: Option<Arc<ClientKey>>,
    /// Shared by all streams.
    scans: Arc<Semaphore>,
    sent: Arc<Sent>,
}

/// What a read brought.
#[derive(Debug)]
pub(super) enum Read {
    /// The last message of each topic, and where to go on.
    Latest(Vec<Entry>, Position),
    /// Where the last so many messages start.
    Last(Position),
    Messages(Page),
    /// Results, and up to where there are no others; whether some that should be among them are lost.
    Results {
        entries: Vec<Entry>,
        through: Position,
        lost: bool,
    },
}

impl Reader {
    pub(super) fn new(
        store: Arc<dyn Store>,
        subscription: &Subscription,
        scans: Arc<Semaphore>,
        sent: Arc<Sent>,
    ) -> Arc<Self> {
        let filter = Filter {
            tenant: subscription.principal.tenant.clone(),
            patterns: subscription.patterns.clone(),
        };
        Arc::new(Self {
            store,
            filter,
            client: subscription.client.clone(),
            scans,
            sent,
        })
    }

    pub(super) async fn latest(self: Arc<Self>) -> Read {
        loop {
            match self.store.latest(&self.filter).await {
                Ok((entries, through)) => return Read::Latest(entries, through),
                Err(error) => pause(&error).await,
            }
        }
    }

    pub(super) async fn last(self: Arc<Self>, count: u32) -> Read {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        loop {
            match self.store.last(&self.filter, count).await {
                Ok(from) => return Read::Last(from),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// The next page of messages. There is something after `from`, whether it matches or not.
    pub(super) async fn messages(self: Arc<Self>, from: Position) -> Read {
        loop {
            tokio::task::coop::consume_budget().await;
            match self.scan(from).await {
                Ok(page) if page.through > from => return Read::Messages(page),
                Ok(_) => tokio::time::sleep(MOMENT).await,
                Err(error) => pause(&error).await,
            }
        }
    }

    /// The next page of results, for a stream that has a client. There is something after `from`, whosever it is.
    pub(super) async fn results(self: Arc<Self>, from: Position) -> Read {
        let Some(client) = &self.client else {
            return Read::Results {
                entries: Vec::new(),
                through: from,
                lost: false,
            };
        };
        loop {
            tokio::task::coop::consume_budget().await;
            // Before the read, so that everything up to here is in it.
            let tail = self.store.tail();
            self.sent.read();
            match self.store.results(client, from, PAGE).await {
                Ok(page) => {
                    let last = page.entries.last().map_or(from, |entry| entry.position);
                    let through = if page.more { last } else { last.max(tail) };
                    if through > from {
                        return Read::Results {
                            entries: page.entries,
                            through,
                            lost: page.lost,
                        };
                    }
                    tokio::time::sleep(MOMENT).await;
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// An exact topic has an index; a wildcard scan costs, so that only a few run at a time.
    async fn scan(&self, from: Position) -> Result<Page, Error> {
        let wild = self
            .filter
            .patterns
            .iter()
            .any(|pattern| pattern.exact().is_none());
        let _turn = match wild {
            true => self.scans.acquire().await.ok(),
            false => None,
        };
        self.sent.read();
        self.store.scan(&self.filter, from, PAGE).await
    }
}

/// The stream stays, beats on, and has lost nothing.
async fn pause(error: &Error) {
    tracing::warn!(%error, "an event stream cannot read the store and tries again");
    let share = rand::rng().random_range(0.1..=1.0);
    tokio::time::sleep(PAUSE.mul_f64(share)).await;
}
