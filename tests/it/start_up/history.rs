//! A directory with a history, made by the engine itself.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::smallvec;
use tidegate::store::embedded::{Embedded, Options};
use tidegate::store::{
    Change, Commit, Committing, Domain, Draft, Effect, Entry, Judged, Op, Origin, Place, QueueKey,
    Settle, Store, Tail, Term, Unit,
};
use tidegate::types::{ClientKey, Form, HandlerName, MessageId, Principal, Topic};

/// Half of the packets of each put records, and half publish.
pub const CLIENTS: usize = 5_000;

/// What the topics begin with.
pub const TOPIC: &str = "feed";

/// Packets of a commit, of one client to one handler.
const TOGETHER: usize = 500;

/// Records that the clients share.
const RECORDS: usize = 100_000;

/// The last clients have not settled anything yet.
const UNSETTLED: usize = 50;

/// Commits on their way at once.
const IN_FLIGHT: usize = 32;

#[derive(Debug)]
struct Nobody;

impl Tail for Nobody {
    fn committed(&self, _: &[Entry]) {}
}

/// Every packet has a place, and a message.
pub async fn build(data: &Path, packets: usize) {
    let data = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        Embedded::open(&data, Options::default(), Arc::new(Nobody))
    });
    let store = opened.await.unwrap().unwrap();
    let domain = Domain(0);
    let term = store.take_over(domain).await.unwrap();
    let each = packets / CLIENTS / 2;
    let mut under_way = VecDeque::new();
    for client in 0..CLIENTS {
        for handler in ["notes", "topics"] {
            let origin = origin(client, handler);
            for first in (0..each).step_by(TOGETHER) {
                let units =
                    (first..each.min(first + TOGETHER)).map(|at| unit(&origin, client, at, each));
                let units = units.collect();
                let commit = Commit {
                    units,
                    ..Commit::new(domain, term, SystemTime::now())
                };
                send(&store, commit, &mut under_way).await;
            }
            if client < CLIENTS - UNSETTLED {
                send(&store, settled(&origin, each, domain, term), &mut under_way).await;
            }
        }
    }
    for committing in under_way {
        done(committing).await;
    }
    store.close().await;
}

pub fn client_id(client: usize) -> String {
    format!("device-{client}")
}

/// 100 bytes.
pub fn text(number: usize) -> String {
    format!("{number:0100}")
}

async fn send(store: &Embedded, commit: Commit, under_way: &mut VecDeque<Committing>) {
    if under_way.len() >= IN_FLIGHT {
        done(under_way.pop_front().expect("there are some")).await;
    }
    under_way.push_back(store.commit(commit).await.unwrap());
}

async fn done(committing: Committing) {
    for judged in committing.await.unwrap() {
        assert!(matches!(judged, Judged::Done(_)), "{judged:?}");
    }
}

fn origin(client: usize, handler: &str) -> Arc<Origin> {
    Arc::new(Origin {
        principal: Arc::new(Principal::default()),
        client: Some(Arc::new(ClientKey {
            tenant: "".into(),
            subject: "".into(),
            client_id: client_id(client).into(),
        })),
        handler: HandlerName::new(handler).unwrap(),
    })
}

fn unit(origin: &Arc<Origin>, client: usize, at: usize, each: usize) -> Unit {
    let number = client * each + at;
    let data = text(number).into();
    let effect = match origin.handler.as_str() {
        "notes" => Effect::Change {
            collection: "notes".into(),
            changes: smallvec![Change {
                op: Op::Put,
                key: format!("note.{}", number % RECORDS).into(),
                if_version: None,
                content: Some((Form::Text, data)),
            }],
        },
        _ => Effect::Publish(smallvec![Draft {
            topic: Topic::parse(&format!("{TOPIC}.{}", client % 100), "").unwrap(),
            id: MessageId(number as u128),
            headers: Vec::new(),
            form: Form::Text,
            data,
            ephemeral: false,
        }]),
    };
    Unit {
        origin: origin.clone(),
        group: 0,
        place: Place::Seq(at as u64 + 1),
        fingerprint: number as u64,
        req_id: at.to_string().into(),
        awaited: true,
        effect,
    }
}

fn settled(origin: &Origin, through: usize, domain: Domain, term: Term) -> Commit {
    let settle = Settle {
        queue: QueueKey {
            client: origin.client.clone().expect("it has one"),
            handler: origin.handler.clone(),
        },
        through: through as u64,
        req_ids: Vec::new(),
    };
    Commit {
        settles: vec![settle],
        ..Commit::new(domain, term, SystemTime::now())
    }
}
