//! Calls a handler with a batch, and gives each item its answer.

use hashbrown::HashMap;
use tokio::time::Instant;
use tracing::warn;

use super::in_doubt;
use crate::broker::core::Run;
use crate::handler::{Batch, Handled, Handler, Item, ItemId};
use crate::types::{Answer, Reason};

/// Items that were refused on the way are not handed over.
pub(super) async fn call(handler: &dyn Handler, run: Run) -> Vec<Answer> {
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
