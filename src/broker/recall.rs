//! What calls of an earlier start were to carry becomes the streams': whether they did, nobody knows.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::apply::Applier;
use crate::handler::Registry;
use crate::store::Store;
use crate::types::ClientKey;

/// Results that are made the streams' by one commit, about.
const TOGETHER: usize = 1_000;

/// Clients that are looked up at a time; the others wait.
const AT_ONCE: usize = 32;

/// How long a stream waits for it to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients of which it is remembered that they have theirs. Beyond that all are looked up again, which only costs.
const REMEMBERED: usize = 100_000;

#[derive(Debug)]
pub(super) struct Recalls {
    store: Arc<dyn Store>,
    applier: Applier,
    registry: Arc<Registry>,
    turns: Semaphore,
    hasher: RandomState,
    /// Hashes of clients. A lock and not a task: held for a look-up.
    done: Mutex<HashSet<u64>>,
}

impl Recalls {
    pub(super) fn new(store: Arc<dyn Store>, applier: Applier, registry: Arc<Registry>) -> Self {
        Self {
            store,
            applier,
            registry,
            turns: Semaphore::new(AT_ONCE),
            hasher: RandomState::new(),
            done: Mutex::default(),
        }
    }

    /// Once for each client. Where the store does not do it in time, the client's next stream asks again.
    pub(super) async fn recall(&self, client: &ClientKey) {
        let hash = self.hasher.hash_one(client);
        if self.done.lock().contains(&hash) {
            return;
        }
        let recalled = timeout(PATIENCE, self.pages(client)).await;
        match recalled.unwrap_or_else(|_| Err("the store takes too long".to_owned())) {
            Ok(()) => {
                let mut done = self.done.lock();
                if done.len() >= REMEMBERED {
                    done.clear();
                }
                done.insert(hash);
            }
            Err(error) => warn!(
                client = &*client.client_id,
                error,
                "results that an earlier start may not have told wait for the client's next stream"
            ),
        }
    }

    async fn pages(&self, client: &ClientKey) -> Result<(), String> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let mut from = 0;
        loop {
            let page = self.store.unheard(client, from, TOGETHER).await;
            let page = page.map_err(|error| error.to_string())?;
            if !page.owed.is_empty() {
                self.applier.owe(&self.registry, page.owed).await?;
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}
