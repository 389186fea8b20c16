//! Publishes with answers that no commit of their own has: of packets that are kept nowhere.

use std::sync::Arc;

use futures_util::future::join_all;

use super::commit::{DomainsOf, part};
use super::{Applier, in_doubt};
use crate::broker::core::{Completed, Done, Messages, RunItem};
use crate::handler::{Handler, HandlerSettings};
use crate::store::{Draft, Effect, Origin, Place, Unit};
use crate::types::{Answer, Principal, Reason};

/// What is to be known of an item once its answer brings messages.
#[derive(Debug)]
pub(super) struct Asked {
    origin: Arc<Origin>,
    is_taken: bool,
    is_read: bool,
}

/// One for each item; none where the handler publishes nothing.
pub(super) fn asked(handler: &dyn Handler, items: &[RunItem]) -> Vec<Asked> {
    if !handler.publishes() {
        return Vec::new();
    }
    let asked = items.iter().map(|item| Asked {
        origin: item.origin.clone(),
        is_taken: item.id.is_of_taken(),
        is_read: item.packet.action.is_read(),
    });
    asked.collect()
}

impl Applier {
    /// The answers are told only when their messages are durable. Those of packets that were taken are left for the commit of
    /// the answer.
    pub(super) async fn publish(
        &self,
        settings: &HandlerSettings,
        asked: &[Asked],
        completed: &mut Completed,
    ) {
        let Done::Answered(answers) = &mut completed.done else {
            return;
        };
        let messages = std::mem::take(&mut completed.messages);
        let is_taken = |messages: &Messages| asked[messages.at].is_taken;
        let (kept, alone): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_taken);
        completed.messages = kept;
        let mut parts = Vec::new();
        let mut domains = DomainsOf::new(settings);
        for Messages { at, drafts } in alone {
            let origin = &asked[at].origin;
            let part = part(&mut parts, domains.next(origin));
            part.items.push(at);
            part.units.push(publication(origin, drafts));
        }
        let commits = parts.into_iter().map(|part| self.commit(part));
        for (items, _, judged) in join_all(commits).await {
            if judged.is_err() {
                for at in items {
                    answers[at] = unpublished(asked[at].is_read);
                }
            }
        }
    }
}

/// In nobody's name: whoever sent the packet did not publish it.
fn publication(origin: &Origin, drafts: Vec<Draft>) -> Unit {
    let nobody = Principal {
        tenant: origin.principal.tenant.clone(),
        ..Principal::default()
    };
    let origin = Origin {
        principal: Arc::new(nobody),
        client: None,
        handler: origin.handler.clone(),
    };
    Unit {
        origin: Arc::new(origin),
        group: 0,
        place: Place::None,
        fingerprint: 0,
        req_id: Default::default(),
        awaited: true,
        effect: Effect::Publish(drafts.into()),
    }
}

/// The handler did its work, and what it says of it is not as it would be told.
fn unpublished(is_read: bool) -> Answer {
    const MESSAGE: &str = "the handler answered, and the store did not take what that publishes";
    match is_read {
        true => Answer::retry(Reason::StoreUnavailable, MESSAGE),
        false => in_doubt(Reason::StoreUnavailable, MESSAGE),
    }
}
