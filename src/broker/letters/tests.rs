//! Dead letters through the broker and the store on a disk, with restarts.

use std::path::Path;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use hashbrown::HashSet;
use parking_lot::Mutex;
use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;
use crate::broker::{self, Ack, Request, Response, Settings};
use crate::handler::{
    Batch, BatchLimits, CallError, Drive, Handled, Handler, HandlerSettings, Kind, Ordering,
    Records, Retry, Unlisted,
};
use crate::store::embedded::{Embedded, Options};
use crate::store::{Entry, Tail, Which};
use crate::types::{Action, Answer, ClientKey, OnDead, Principal, Reason};
use crate::wire::packet::{self, Context};
use crate::wire::proto;
use crate::wire::reader::Span;

/// Cannot stand some packets, by their texts, and tells what it applied. It outlives the gateway.
#[derive(Debug)]
struct Picky {
    bad: Mutex<HashSet<String>>,
    applied: Mutex<Vec<(ItemId, String)>>,
    /// One for each call.
    called: Semaphore,
}

impl Picky {
    fn new(bad: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            bad: Mutex::new(bad.iter().map(|&text| text.to_owned()).collect()),
            applied: Mutex::default(),
            called: Semaphore::new(0),
        })
    }

    fn mend(&self) {
        self.bad.lock().clear();
    }

    fn applied(&self) -> Vec<String> {
        let applied = self.applied.lock();
        applied.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Waits until so many were.
    async fn has_applied(&self, count: usize) -> Vec<String> {
        while self.applied.lock().len() < count {
            self.called.acquire().await.unwrap().forget();
        }
        self.applied()
    }
}

impl Handler for Arc<Picky> {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        let mut stopped = HashSet::new();
        let results = batch.items.iter().map(|item| {
            let text = String::from_utf8_lossy(&item.packet.content.items[0]).into_owned();
            let answer = if stopped.contains(&item.chain) {
                Answer::earlier_refused()
            } else if self.bad.lock().contains(&text) {
                stopped.insert(item.chain);
                Answer::retry(Reason::Application, format!("not {text}"))
            } else {
                self.applied.lock().push((item.id, text));
                Answer::ok()
            };
            Handled {
                messages: Vec::new(),
                id: item.id,
                answer,
            }
        });
        let results = results.collect();
        self.called.add_permits(1);
        ready(Ok(results)).boxed()
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

#[derive(Debug)]
struct NoTail;

impl Tail for NoTail {
    fn committed(&self, _: &[Entry]) {}
}

fn settings(name: &str, on_dead: OnDead, drive: Drive) -> HandlerSettings {
    HandlerSettings {
        name: HandlerName::new(name).unwrap(),
        kind: Kind::Custom,
        ordering: Ordering::Client,
        mixed_actions: true,
        isolate_tenants: false,
        batch: BatchLimits::default(),
        durable: true,
        retry: Retry {
            attempts: 1,
            budget: Duration::ZERO,
            initial: Duration::from_millis(1),
            max: Duration::from_millis(1),
            on_dead,
        },
        drive,
    }
}

/// A gateway's broker and store.
struct Started {
    broker: Broker,
    store: Arc<dyn Store>,
    running: JoinHandle<()>,
}

impl Started {
    async fn new(directory: &Path, handlers: Vec<HandlerSettings>) -> Self {
        let store = Embedded::open(directory, Options::default(), Arc::new(NoTail)).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let rest = Drive::Planned(Arc::new(Records));
        let rest = settings("rest", OnDead::Continue, rest);
        let registry = Arc::new(Registry::new(handlers, rest, Unlisted::AreUnknown));
        let (broker, mut worker) = broker::build(registry, store.clone(), Settings::default());
        worker.restore(store.open_runs().await.unwrap());
        Self {
            broker,
            store,
            running: tokio::spawn(worker.run()),
        }
    }

    async fn stop(self) {
        self.broker.drain().await;
        drop(self.broker);
        self.running.await.unwrap();
        self.store.close().await;
    }

    /// What a client sends in the places from `first` on.
    async fn send(&self, first: u64, texts: &[&str], ack: Ack) -> Vec<Outcome> {
        let packets = texts.iter().zip(first..).map(|(text, seq)| {
            let mut raw = Vec::new();
            let packet = proto::Packet {
                req_id: format!("r{seq}"),
                handler: "jobs".into(),
                seq,
                action: proto::Action::Create.into(),
                text: vec![(*text).to_owned()],
                ..proto::Packet::default()
            };
            packet.encode(&mut raw).unwrap();
            let mut context = Context {
                has_client: true,
                index: 0,
                scratch: Vec::new(),
            };
            let raw = bytes::Bytes::from(raw);
            Arc::new(packet::read(Span::whole(&raw), &mut context).packet)
        });
        let request = Request {
            principal: principal(),
            client: Some(client()),
            ack,
            wait: Duration::from_secs(60),
            settled: Vec::new(),
            packets: packets.collect(),
            size: 0,
        };
        let Response { answers, .. } = self.broker.sync(request).await.unwrap();
        answers.iter().map(|(_, answer)| answer.outcome).collect()
    }

    /// Of each: its text, its state, and the text of why.
    async fn letters(&self) -> Vec<(String, LetterState, ByteString)> {
        let page = self.broker.dead_letters(None, LetterId(0), AT_ONCE).await;
        let letters = page.unwrap().items.into_iter().map(|one| {
            let text = String::from_utf8_lossy(&one.packet.content.items[0]).into_owned();
            (text, one.letter.state, one.letter.death.message)
        });
        letters.collect()
    }

    async fn has_letters(&self) {
        while self.letters().await.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// The outcomes that are kept for the client, by place.
    async fn kept(&self) -> Vec<(u64, Outcome)> {
        let which = Which::Places {
            handler: HandlerName::new("jobs").unwrap(),
            from: 1,
        };
        let limit = ScanLimit {
            items: 100,
            bytes: 1 << 20,
        };
        let client = client();
        let page = self.store.kept(&client, &which, limit).await.unwrap();
        let kept = page.items.iter();
        kept.map(|kept| (kept.seq, kept.answer.outcome)).collect()
    }
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        subject: "ann".into(),
        ..Principal::default()
    })
}

fn client() -> Arc<ClientKey> {
    Arc::new(ClientKey {
        tenant: "".into(),
        subject: "ann".into(),
        client_id: "c".into(),
    })
}

fn all() -> Letters {
    Letters::Between {
        handler: None,
        after: LetterId(0),
        through: LetterId(u64::MAX),
    }
}

fn letter(text: &str, state: LetterState) -> (String, LetterState, ByteString) {
    (text.into(), state, format!("not {text}").into())
}

fn jobs(picky: &Arc<Picky>, on_dead: OnDead) -> Vec<HandlerSettings> {
    vec![settings(
        "jobs",
        on_dead,
        Drive::Called(Arc::new(picky.clone())),
    )]
}

#[tokio::test]
async fn what_is_given_up_is_sent_anew_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let picky = Picky::new(&["b", "d"]);
    let first = Started::new(directory.path(), jobs(&picky, OnDead::Continue)).await;
    let outcomes = first.send(1, &["a", "b", "c", "d"], Ack::Applied).await;
    use Outcome::{Ok as Done, Rejected};
    assert_eq!(outcomes, [Done, Rejected, Done, Rejected]);
    let expected = ["b", "d"].map(|text| letter(text, LetterState::Final));
    assert_eq!(first.letters().await, expected);
    first.stop().await;
    let second = Started::new(directory.path(), jobs(&picky, OnDead::Continue)).await;
    assert_eq!(second.letters().await, expected);
    let none = Letters::Between {
        handler: None,
        after: LetterId(0),
        through: LetterId(0),
    };
    let decided = second.broker.retry_dead_letters(&none).await.unwrap();
    assert_eq!((decided.done, decided.next), (0, None));
    // It fails again, and is one again.
    let decided = second.broker.retry_dead_letters(&all()).await.unwrap();
    assert_eq!((decided.done, decided.failed.len()), (2, 0));
    assert!(decided.next.is_none());
    while second.letters().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(second.letters().await, expected);
    picky.mend();
    let little = ScanLimit {
        bytes: 1,
        ..AT_ONCE
    };
    let page = second.broker.dead_letters(None, LetterId(0), little).await;
    let mut page = page.unwrap();
    assert_eq!((page.items.len(), page.more), (1, true), "as it was asked");
    let one = page.items.remove(0);
    assert_eq!(one.letter.origin.principal, principal());
    let ids = Letters::Ids(vec![one.letter.id, LetterId(1)]);
    let decided = second.broker.retry_dead_letters(&ids).await.unwrap();
    assert_eq!(decided.done, 1);
    assert_eq!(decided.failed, [(LetterId(1), GONE.into())]);
    assert_eq!(picky.has_applied(3).await, ["a", "c", "b"]);
    assert_eq!(second.letters().await, expected[1..]);
    let last = picky.applied.lock().last().unwrap().0;
    assert_ne!(last, one.item, "a packet of its own");
    let kept = second.kept().await;
    assert_eq!(kept[1], (2, Rejected), "what the client was told stands");
    assert_eq!(kept.len(), 4);
    let decided = second.broker.discard_dead_letters(&all()).await.unwrap();
    assert_eq!(decided.done, 1);
    assert!(second.letters().await.is_empty());
    second.stop().await;
    let third = Started::new(directory.path(), jobs(&picky, OnDead::Continue)).await;
    assert!(third.letters().await.is_empty());
    assert_eq!(picky.applied().len(), 3);
    third.stop().await;
}

#[tokio::test]
async fn what_is_held_is_held_after_a_restart_until_a_person_decides() {
    let directory = TempDir::new().unwrap();
    let picky = Picky::new(&["b", "d"]);
    let first = Started::new(directory.path(), jobs(&picky, OnDead::Stop)).await;
    let outcomes = first.send(1, &["a", "b", "c", "d"], Ack::Accepted).await;
    use Outcome::{Accepted, Ok as Done, Rejected};
    assert_eq!(outcomes, [Accepted; 4]);
    first.has_letters().await;
    let expected = [letter("b", LetterState::Held)];
    assert_eq!(first.letters().await, expected);
    let item = {
        let page = first.broker.dead_letters(None, LetterId(0), AT_ONCE).await;
        page.unwrap().items.remove(0).item
    };
    first.stop().await;
    picky.mend();
    let second = Started::new(directory.path(), jobs(&picky, OnDead::Stop)).await;
    assert_eq!(second.letters().await, expected);
    assert_eq!(second.send(2, &["b"], Ack::Accepted).await, [Accepted]);
    assert_eq!(picky.applied(), ["a"], "it is not called until told");
    picky.bad.lock().insert("d".into());
    let decided = second.broker.retry_dead_letters(&all()).await.unwrap();
    assert_eq!((decided.done, decided.failed.len()), (1, 0));
    assert_eq!(picky.has_applied(3).await, ["a", "b", "c"]);
    assert_eq!(picky.applied.lock()[1].0, item, "the same id");
    second.has_letters().await;
    let expected = [letter("d", LetterState::Held)];
    assert_eq!(second.letters().await, expected);
    second.stop().await;
    let third = Started::new(directory.path(), jobs(&picky, OnDead::Stop)).await;
    let waiting = third.send(4, &["d"], Ack::Applied);
    let discarded = async {
        let decided = third.broker.discard_dead_letters(&all()).await.unwrap();
        assert_eq!((decided.done, decided.failed.len()), (1, 0));
    };
    let (outcomes, ()) = tokio::join!(waiting, discarded);
    assert_eq!(outcomes, [Rejected]);
    assert!(third.letters().await.is_empty());
    assert_eq!(third.send(5, &["e"], Ack::Applied).await, [Done]);
    let kept = third.kept().await;
    assert_eq!(
        kept.iter().map(|kept| kept.1).collect::<Vec<_>>(),
        [Done, Done, Done, Rejected, Done]
    );
    third.stop().await;
}

#[tokio::test]
async fn what_is_held_for_a_handler_that_is_gone_can_be_discarded_and_not_retried() {
    let directory = TempDir::new().unwrap();
    let picky = Picky::new(&["a", "b"]);
    let first = Started::new(directory.path(), jobs(&picky, OnDead::Continue)).await;
    assert_eq!(
        first.send(1, &["a"], Ack::Applied).await,
        [Outcome::Rejected]
    );
    first.stop().await;
    let second = Started::new(directory.path(), jobs(&picky, OnDead::Stop)).await;
    assert_eq!(
        second.send(2, &["b"], Ack::Accepted).await,
        [Outcome::Accepted]
    );
    while second.letters().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    second.stop().await;
    let third = Started::new(directory.path(), Vec::new()).await;
    let decided = third.broker.retry_dead_letters(&all()).await.unwrap();
    assert_eq!((decided.done, decided.failed.len()), (0, 2));
    for (_, why) in &decided.failed {
        assert!(why.contains("jobs"), "{why}");
    }
    let decided = third.broker.discard_dead_letters(&all()).await.unwrap();
    assert_eq!((decided.done, decided.failed.len()), (2, 0));
    assert!(third.letters().await.is_empty());
    let outcomes: Vec<_> = third.kept().await.iter().map(|kept| kept.1).collect();
    assert_eq!(outcomes, [Outcome::Rejected; 2]);
    third.stop().await;
}
