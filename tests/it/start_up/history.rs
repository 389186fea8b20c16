//! A directory with a history, made by the engine itself.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use smallvec::smallvec;
use tidegate::store::embedded::{Embedded, Options};
use tidegate::store::{
    Change, Commit, Committing, Domain, Draft, Effect, Entry, Judged, Op, Origin, Place, QueueKey,
    ReqIdScope, Settle, Store, Tail, Term, Unit,
};
use tidegate::types::{ClientKey, Form, HandlerName, MessageId, Principal, Topic};

/// Those that come again and again. Half of the packets of each put records, and half publish.
pub const CLIENTS: usize = 5_000;

/// What the topics begin with.
pub const TOPIC: &str = "feed";

const TOPICS: usize = 100;

/// All of it has one writer.
const DOMAIN: Domain = Domain(0);

/// Packets of a commit.
const TOGETHER: usize = 500;

/// Records that the clients share.
const RECORDS: usize = 100_000;

/// One packet in so many is that of a client that came once, and settled nothing. Each of those sent another one, without a
/// place and with a req_id: there is a row for each, which is the most that they can take.
pub const OTHERS: usize = 10;

/// The last clients have not settled anything yet.
const UNSETTLED: usize = 50;

/// Commits on their way at once.
const IN_FLIGHT: usize = 32;

#[derive(Debug)]
struct Nobody;

impl Tail for Nobody {
    fn committed(&self, _: &[Entry]) {}
}

/// Every packet has a message.
pub async fn build(data: &Path, packets: usize) {
    let data = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        Embedded::open(&data, Options::default(), Arc::new(Nobody))
    });
    let store = opened.await.unwrap().unwrap();
    let term = store.take_over(DOMAIN).await.unwrap();
    let mut line = Line {
        store,
        term,
        under_way: VecDeque::new(),
    };
    let each = places(packets);
    for client in 0..CLIENTS {
        let name = client_id(client);
        for handler in ["notes", "topics"] {
            let origin = origin(&name, handler);
            for first in (0..each).step_by(TOGETHER) {
                let together = first..each.min(first + TOGETHER);
                let unit = |at| {
                    let place = Place::Seq(at as u64 + 1);
                    unit(&origin, place, client * each + at)
                };
                line.send(Vec::new(), together.map(unit).collect()).await;
            }
            if client < CLIENTS - UNSETTLED {
                line.send(vec![settle(&origin, each)], Vec::new()).await;
            }
        }
    }
    let others = packets / OTHERS;
    for place in [Place::Seq(1), Place::ReqId(ReqIdScope::Client)] {
        for first in (0..others).step_by(TOGETHER) {
            let together = first..others.min(first + TOGETHER);
            let visit = |number| {
                let visitor = origin(&format!("visitor-{number}"), "topics");
                unit(&visitor, place.clone(), number)
            };
            line.send(Vec::new(), together.map(visit).collect()).await;
        }
    }
    line.finish().await;
}

/// How many packets each client has sent to each of its handlers.
pub fn places(packets: usize) -> usize {
    (packets - 2 * (packets / OTHERS)) / CLIENTS / 2
}

pub fn client_id(client: usize) -> String {
    format!("device-{client}")
}

/// 100 bytes.
pub fn text(number: usize) -> String {
    format!("{number:0100}")
}

/// Commits, some of them on their way.
struct Line {
    store: Embedded,
    term: Term,
    under_way: VecDeque<Committing>,
}

impl Line {
    async fn send(&mut self, settles: Vec<Settle>, units: Vec<Unit>) {
        if self.under_way.len() >= IN_FLIGHT {
            let oldest = self.under_way.pop_front();
            done(oldest.expect("there are some")).await;
        }
        let commit = Commit {
            settles,
            units,
            ..Commit::new(DOMAIN, self.term, SystemTime::now())
        };
        self.under_way
            .push_back(self.store.commit(commit).await.unwrap());
    }

    async fn finish(self) {
        for committing in self.under_way {
            done(committing).await;
        }
        self.store.close().await;
    }
}

async fn done(committing: Committing) {
    for judged in committing.await.unwrap() {
        assert!(matches!(judged, Judged::Done(_)), "{judged:?}");
    }
}

fn origin(client_id: &str, handler: &str) -> Arc<Origin> {
    Arc::new(Origin {
        principal: Arc::new(Principal::default()),
        client: Some(Arc::new(ClientKey {
            tenant: "".into(),
            subject: "".into(),
            client_id: client_id.into(),
        })),
        handler: HandlerName::new(handler).unwrap(),
    })
}

fn unit(origin: &Arc<Origin>, place: Place, number: usize) -> Unit {
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
            topic: Topic::parse(&format!("{TOPIC}.{}", number % TOPICS), "").unwrap(),
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
        place,
        fingerprint: number as u64,
        req_id: number.to_string().into(),
        awaited: true,
        effect,
    }
}

fn settle(origin: &Origin, through: usize) -> Settle {
    Settle {
        queue: QueueKey {
            client: origin.client.clone().expect("it has one"),
            handler: origin.handler.clone(),
        },
        through: through as u64,
        req_ids: Vec::new(),
    }
}
