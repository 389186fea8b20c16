//! Calls a handler with a batch, and gives each item its answer.

use std::time::SystemTime;

use hashbrown::{HashMap, HashSet};
use tokio::time::Instant;
use tracing::warn;

use super::Applier;
use super::commit::Domains;
use super::in_doubt;
use super::tally::Odd;
use crate::broker::core::{Completed, Done, Fate, Messages, Run};
use crate::handler::{Batch, CallError, Failure, Handled, Handler, HandlerSettings, Item, ItemId};
use crate::telemetry::{BatchSpan, ItemTrace, Traces};
use crate::types::{Action, Answer, Content, Outcome, Reason, beginning, limits};
use crate::wire::answer::names;

/// What an answer takes beside its content: its own fields, and those of an item.
const FRAMING: usize = 64;

/// Of the message of an answer that is too large.
const MESSAGE_BYTES: usize = 1 << 10;

/// Items that were refused on the way are not handed over.
pub(super) async fn call(handler: &dyn Handler, applier: &Applier, run: Run) -> Completed {
    let (now, time) = (Instant::now(), SystemTime::now());
    let takes_first = run.settings.takes_first();
    let mut is_taken = Vec::with_capacity(run.items.len());
    let mut chains = Vec::with_capacity(run.items.len());
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(run.items.len());
    let mut items = Vec::with_capacity(run.items.len());
    let mut handed: Vec<(ItemId, usize)> = Vec::with_capacity(run.items.len());
    for (at, item) in run.items.into_iter().enumerate() {
        let refusal = item.packet.refusal.as_deref().cloned();
        chains.push(item.chain);
        is_taken.push(takes_first && !item.packet.action.is_read());
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
                attempt: item.attempt,
                received_at: time
                    .checked_sub(now.saturating_duration_since(item.since))
                    .unwrap_or(time),
                fence: None,
            });
        }
        answers.push(refusal);
    }
    let (mut messages, mut failed) = (Vec::new(), None);
    if !items.is_empty() {
        let mut span = begin_span(&applier.traces, &run.settings, run.action, &items);
        let batch = Batch {
            handler: run.settings.name.clone(),
            action: run.action,
            items,
            trace: span.as_ref().map(BatchSpan::traceparent),
        };
        let called = if handler.is_fenced() {
            Box::pin(fenced(handler, &applier.domains, &run.settings, batch)).await
        } else {
            handler.handle(batch).await
        };
        match called {
            Ok(results) => {
                let ignored;
                (messages, ignored) = fill_in(results, &handed, &mut answers);
                let odd = Odd {
                    missing: answers.iter().filter(|answer| answer.is_none()).count() as u64,
                    ignored,
                    overtaking: overtaking(&chains, &answers) as u64,
                };
                tell_odd(&run.settings, odd);
                applier.tally.odd(&run.settings.name, odd);
                if let Some(span) = &mut span {
                    span.outcome(|at| told(answers[handed[at].1].as_ref()));
                }
            }
            Err(error) => {
                warn!(handler = %run.settings.name, %error, items = handed.len(), "a call failed");
                if let Some(span) = &mut span {
                    span.failed(Fate::of(&error).name());
                }
                for &(_, at) in &handed {
                    answers[at] = Some(answer_to(&error));
                }
                failed = Some(error);
            }
        }
    }
    let answers = answers.into_iter().zip(is_taken);
    let answers = answers
        .map(|(answer, is_taken)| answer.unwrap_or_else(|| missing(is_taken)))
        .collect();
    let done = match failed {
        Some(error) => Done::Failed(error, answers),
        None => Done::Answered(answers),
    };
    Completed {
        messages,
        ..done.into()
    }
}

/// `None` where nothing of it is traced; then nothing is looked at.
fn begin_span(
    traces: &Traces,
    settings: &HandlerSettings,
    action: Option<Action>,
    items: &[Item],
) -> Option<BatchSpan> {
    if !traces.are_made() {
        return None;
    }
    let traced = items.iter().enumerate().filter_map(|(at, item)| {
        Some(ItemTrace {
            parent: item.packet.traceparent()?,
            at,
            id: item.id.to_string(),
            req_id: &item.packet.req_id,
            attempt: item.attempt,
            since: item.received_at,
        })
    });
    let traced: Vec<_> = traced.collect();
    let action = action.map(Action::name);
    let mut span = traces.batch(settings.name.as_str(), action, &traced)?;
    span.size(items.len());
    Some(span)
}

fn told(answer: Option<&Answer>) -> Option<&'static str> {
    answer.map(|answer| names(answer.outcome, answer.reason).0)
}

/// To an item that is kept nowhere: it is not called again.
pub(super) fn answer_to(error: &CallError) -> Answer {
    if error.reached {
        let message = "the handler failed: it may have been applied";
        in_doubt(Reason::HandlerFailed, message)
    } else {
        let message = "the handler cannot be reached: it was not applied";
        Answer::retry(Reason::HandlerUnavailable, message)
    }
}

/// To an item that the handler did not answer: it is tried again. Where it is called again by us, it may have been applied.
fn missing(is_taken: bool) -> Answer {
    let message = "the handler gave no answer for it";
    match is_taken {
        true => in_doubt(Reason::HandlerFailed, message),
        false => Answer::retry(Reason::HandlerFailed, message),
    }
}

/// Calls with the term of each item's domain, under which this process has it.
async fn fenced(
    handler: &dyn Handler,
    domains: &Domains,
    settings: &HandlerSettings,
    mut batch: Batch,
) -> Result<Vec<Handled>, CallError> {
    let fenced = domains.fence(settings, &mut batch.items).await;
    fenced.map_err(|error| CallError {
        failure: Failure::Passing,
        reached: false,
        message: format!("the store gives no term: {error}"),
    })?;
    handler.handle(batch).await
}

/// One line a batch for each kind. The handler is to stop a chain at the first item that it does not finish: one that goes on
/// breaks the order that its clients were promised, and nobody else can see it.
fn tell_odd(settings: &HandlerSettings, odd: Odd) {
    let (
        handler,
        Odd {
            ignored,
            overtaking,
            ..
        },
    ) = (&settings.name, odd);
    if overtaking > 0 {
        warn!(%handler, overtaking, "the handler applied items behind one of their order that it did not finish");
    }
    if ignored > 0 {
        warn!(%handler, ignored, "the handler answered items that it did not get, or twice");
    }
    if odd.missing > 0 {
        warn!(%handler, missing = odd.missing, "the handler gave no answer for some items: they count as RETRY");
    }
}

fn overtaking(chains: &[u32], answers: &[Option<Answer>]) -> usize {
    let mut stopped = HashSet::new();
    let mut overtaking = 0;
    for (&chain, answer) in chains.iter().zip(answers).filter(|(chain, _)| **chain != 0) {
        match answer {
            Some(answer) if answer.outcome == Outcome::Ok => {
                overtaking += usize::from(stopped.contains(&chain));
            }
            Some(answer) if answer.outcome == Outcome::Rejected => {}
            _ => drop(stopped.insert(chain)),
        }
    }
    overtaking
}

/// Puts results where their items were, by id: handlers may answer in any order, twice, or for nobody. Gives the messages of
/// those that are final (of an item that comes again, the attempt that finishes it publishes), and how many it left out.
fn fill_in(
    results: Vec<Handled>,
    handed: &[(ItemId, usize)],
    answers: &mut [Option<Answer>],
) -> (Vec<Messages>, u64) {
    let mut messages = Vec::new();
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
            Some(at) if answers[at].is_none() => {
                let drafts = result.messages;
                if result.answer.outcome.is_final() && !drafts.is_empty() {
                    messages.push(Messages { at, drafts });
                }
                answers[at] = Some(bounded(result.answer));
            }
            _ => ignored += 1,
        }
    }
    (messages, ignored)
}

/// What a handler answers is bounded here, before it is kept or told: what is too large comes without content, with the
/// outcome that it had.
fn bounded(mut answer: Answer) -> Answer {
    let bytes = answer.size();
    if bytes <= limits::RESULT_BYTES + FRAMING {
        return answer;
    }
    (answer.content, answer.body) = (Content::default(), None);
    if answer.outcome == Outcome::Ok {
        answer.reason = Reason::TooLarge;
        answer.message = format!(
            "its result has {bytes} bytes: {} are told at most",
            limits::RESULT_BYTES
        )
        .into();
    } else {
        answer.message = beginning(&answer.message, MESSAGE_BYTES).to_owned().into();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Body;

    #[test]
    fn what_goes_on_behind_an_unfinished_one_of_its_order_is_counted() {
        let (ok, retry) = (
            Some(Answer::ok()),
            Some(Answer::retry(Reason::Application, "")),
        );
        let no = Some(Answer::rejected(Reason::Application, ""));
        let count = |items: &[(u32, &Option<Answer>)]| {
            let (chains, answers): (Vec<u32>, Vec<_>) = items.iter().copied().unzip();
            overtaking(&chains, &answers.into_iter().cloned().collect::<Vec<_>>())
        };
        assert_eq!(count(&[(1, &ok), (1, &no), (1, &ok), (2, &retry)]), 0);
        assert_eq!(count(&[(1, &retry), (2, &ok), (1, &retry), (2, &ok)]), 0);
        assert_eq!(count(&[(0, &retry), (0, &ok)]), 0, "there is no order");
        assert_eq!(
            count(&[(1, &retry), (1, &ok), (2, &None), (2, &no), (2, &ok)]),
            2
        );
    }

    #[test]
    fn what_is_not_answered_may_have_been_applied() {
        assert_eq!(missing(true).outcome, Outcome::InDoubt);
        assert_eq!(
            missing(false).outcome,
            Outcome::Retry,
            "it is tried again by who sent it"
        );
    }

    #[test]
    fn a_result_beyond_its_bound_comes_without_content() {
        let with = |bytes: usize| Answer {
            content: Content::bytes(vec![0; bytes]),
            ..Answer::ok()
        };
        let largest = with(limits::RESULT_BYTES);
        assert_eq!(bounded(largest.clone()), largest);
        let larger = bounded(with(limits::RESULT_BYTES + FRAMING));
        assert_eq!(
            (larger.outcome, larger.reason),
            (Outcome::Ok, Reason::TooLarge)
        );
        assert!(larger.content.is_empty() && larger.message.contains("1048576"));
        let body = Body {
            headers: vec![(
                "h".into(),
                "v".repeat(limits::RESULT_BYTES + FRAMING).into(),
            )],
            ..Body::default()
        };
        let larger = bounded(Answer {
            body: Some(Box::new(body)),
            ..Answer::ok()
        });
        assert!(larger.reason == Reason::TooLarge && larger.body.is_none());
        let long = "é".repeat(limits::RESULT_BYTES);
        let refused = bounded(Answer::rejected(Reason::Application, long));
        let told = (refused.outcome, refused.reason, refused.message.len());
        let expected = (Outcome::Rejected, Reason::Application, MESSAGE_BYTES);
        assert_eq!(told, expected, "it stays refused for its reason");
    }
}
