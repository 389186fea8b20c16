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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, ready};
    use parking_lot::Mutex;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;
    use crate::broker::{self, Ack, Broker, Request, Settings};
    use crate::handler::testing::{draft, packet};
    use crate::handler::{
        Batch, BatchLimits, CallError, Drive, Handled, Kind, Ordering, Records, Registry, Unlisted,
    };
    use crate::store::hooked::{Hook, Hooked};
    use crate::store::memory::{Keep, Memory};
    use crate::store::{Commit, Committing, Entry, EntryKind, Error, Store, Tail};
    use crate::types::{Action, HandlerName, Outcome, Packet, Retry};

    const SECOND: Duration = Duration::from_secs(1);

    /// Publishes the key of each item, and asks for another try of `later`.
    #[derive(Debug)]
    struct Publishes;

    impl Handler for Publishes {
        fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
            let handled = batch.items.iter().map(|item| Handled {
                id: item.id,
                answer: match &*item.packet.key {
                    "later" => Answer::retry(Reason::Application, "later"),
                    "no" => Answer::rejected(Reason::Application, "no"),
                    _ => Answer::ok(),
                },
                messages: vec![draft(&item.packet.key, b"x")],
            });
            ready(Ok(handled.collect())).boxed()
        }

        fn actions(&self) -> &[Action] {
            &Action::ALL
        }

        fn publishes(&self) -> bool {
            true
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Mood {
        Works,
        Hangs,
        Refuses,
    }

    #[derive(Debug)]
    struct Moody(watch::Receiver<Mood>);

    impl Hook for Moody {
        fn commit<'a>(
            &'a self,
            memory: &'a Memory,
            commit: Commit,
        ) -> BoxFuture<'a, Result<Committing, Error>> {
            let mut mood = self.0.clone();
            async move {
                let now = *mood.wait_for(|mood| *mood != Mood::Hangs).await.unwrap();
                match now {
                    Mood::Refuses => Err(Error::Refused("it is full".into())),
                    _ => memory.commit(commit).await,
                }
            }
            .boxed()
        }
    }

    /// What was published.
    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Tail for Heard {
        fn committed(&self, entries: &[Entry]) {
            for entry in entries {
                let EntryKind::Message(message) = &entry.kind else {
                    continue;
                };
                let by = (&*message.publisher, &*message.client_id);
                assert_eq!(by, ("", ""), "it is nobody's");
                let published = format!("{}/{}", message.tenant, message.topic.as_str());
                self.0.lock().push(published);
            }
        }
    }

    struct Bench {
        broker: Broker,
        mood: watch::Sender<Mood>,
        heard: Arc<Heard>,
    }

    /// With a handler that keeps its packets, or does not.
    fn bench(durable: bool) -> Bench {
        let (mood, moods) = watch::channel(Mood::Works);
        let heard = Arc::new(Heard::default());
        let store = Hooked {
            memory: Memory::new(Keep::default(), heard.clone()),
            hook: Moody(moods),
        };
        let settings = |kind, drive| HandlerSettings {
            name: HandlerName::new("todos").unwrap(),
            kind,
            ordering: Ordering::Client,
            mixed_actions: true,
            isolate_tenants: false,
            batch: BatchLimits::default(),
            durable,
            retry: Retry::default(),
            drive,
        };
        let called = settings(Kind::Custom, Drive::Called(Arc::new(Publishes)));
        let rest = settings(Kind::Records, Drive::Planned(Arc::new(Records)));
        let registry = Registry::new(vec![called], rest, Unlisted::AreUnknown);
        let (broker, worker) =
            broker::build(Arc::new(registry), Arc::new(store), Settings::default());
        tokio::spawn(worker.run());
        Bench {
            broker,
            mood,
            heard,
        }
    }

    impl Bench {
        async fn ask(&self, keys: &[&str], action: Action) -> Vec<(Outcome, Reason)> {
            let principal = Principal {
                tenant: "acme".into(),
                subject: "ann".into(),
                ..Principal::default()
            };
            let packet = |key: &&str| Packet {
                req_id: "".into(),
                ..packet(action, key)
            };
            let request = Request {
                principal: Arc::new(principal),
                client: None,
                ack: Ack::Applied,
                wait: 10 * SECOND,
                settled: Vec::new(),
                packets: keys.iter().map(packet).map(Arc::new).collect(),
                size: 0,
            };
            let response = self.broker.sync(request).await.unwrap();
            let answers = response.answers.into_iter();
            answers
                .map(|(_, answer)| (answer.outcome, answer.reason))
                .collect()
        }

        fn published(&self) -> Vec<String> {
            std::mem::take(&mut *self.heard.0.lock())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_nowhere_publishes_before_its_answer_is_told() {
        let bench = bench(false);
        let asking = bench.ask(&["t", "later", "no"], Action::Create);
        let told: Vec<_> = asking
            .await
            .into_iter()
            .map(|(outcome, _)| outcome)
            .collect();
        assert_eq!(told, [Outcome::Ok, Outcome::Retry, Outcome::Rejected]);
        assert_eq!(bench.published(), ["acme/t", "acme/no"]);

        bench.mood.send_replace(Mood::Hangs);
        let keys = ["t"];
        let asking = bench.ask(&keys, Action::Create);
        tokio::pin!(asking);
        assert!(timeout(SECOND, &mut asking).await.is_err(), "told before");
        assert!(bench.published().is_empty());
        bench.mood.send_replace(Mood::Works);
        assert_eq!(asking.await[0].0, Outcome::Ok);
        assert_eq!(bench.published(), ["acme/t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_published_is_in_doubt_where_nothing_is_kept() {
        let bench = bench(false);
        bench.mood.send_replace(Mood::Refuses);
        let unpublished = (Outcome::InDoubt, Reason::StoreUnavailable);
        let later = (Outcome::Retry, Reason::Application);
        let told = bench.ask(&["t", "later"], Action::Create).await;
        assert_eq!(told, [unpublished, later]);
        let told = bench.ask(&["t"], Action::Read).await;
        assert_eq!(told, [(Outcome::Retry, Reason::StoreUnavailable)]);
        assert!(bench.published().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_publishes_once_with_its_answer() {
        let bench = bench(true);
        assert_eq!(bench.ask(&["t", "no"], Action::Create).await.len(), 2);
        assert_eq!(bench.published(), ["acme/t", "acme/no"]);
        // It has no answer to be committed.
        assert_eq!(bench.ask(&["t"], Action::Read).await[0].0, Outcome::Ok);
        assert_eq!(bench.published(), ["acme/t"]);
    }
}
