//! The example in TypeScript: what its README says, and tabs that are right, of whose every entry their owner hears once,
//! whatever happens to the calls.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tidegate::wire::proto::{Action, HandleItem, HandleResult, Outcome, Principal, Reason};
use tidegate_client::proto::{BatchRequest, EventsRequest, Message, Outcome as Told, Packet};
use tidegate_client::{Client, EventStream};
use tokio::time::timeout;
use tonic::Code;

use crate::support::{
    Example, Faults, Gateway, Ids, Line, gateway, messages_until, until_final, watch,
};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// As the gateway knows it.
const NAME: &str = "tabs";

/// What each of two guests puts on tabs.
const ENTRIES: usize = 1_500;
/// In one request.
const TOGETHER: usize = 250;

/// What is on a tab, and who hears of it.
#[derive(Debug, Default, PartialEq)]
struct Tab {
    owner: String,
    entries: Vec<i64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_hear_of_each_entry_once_whatever_happens_to_the_calls() {
    let seed = rand::random();
    println!("seed {seed}");
    let running = timeout(PATIENCE, keep_tabs(seed));
    running.await.expect("it is done in time");
}

async fn keep_tabs(seed: u64) {
    let example = Example::typescript();
    let process = example.start().await;
    let faults = Faults::new(seed, example.calls(), Ids::Kept);
    let service = faults.service();
    let _between = service.begin();
    let line = Line::to(&service).await;
    let config = format!(
        "[handlers.{NAME}]\n\
         kind = \"grpc\"\n\
         addresses = [{:?}]\n\
         call_timeout = \"500ms\"\n\
         batch = {{ max_packets = 100 }}\n\
         retry = {{ initial = \"5ms\", max = \"100ms\" }}\n\
         publish = [\"@user.*\"]\n",
        line.uri(),
    );
    faults.cut_with(line);
    let gateway = gateway().config(&config).start().await;
    // A name that is not a token as it stands.
    let names = ["ann@example.com", "bob"];
    let (ann, bob) = (
        guest(&gateway, names[0]).await,
        guest(&gateway, names[1]).await,
    );
    let mut inboxes = [inbox(&ann).await, inbox(&bob).await];

    // Who is first at a table has its tab.
    let mut tabs = BTreeMap::new();
    for (at, client) in [&ann, &bob].into_iter().enumerate() {
        let place = put(&mut tabs, &names, at, 0);
        let results = until_final(client, BatchRequest::of([place]).client_id("c")).await;
        assert_eq!(results[0].outcome(), Told::Ok);
    }
    let packets = [0, 1].map(|at| {
        let packets = (1..=ENTRIES).map(|number| put(&mut tabs, &names, at, number));
        packets.collect::<Vec<_>>()
    });
    let [of_ann, of_bob] = packets;
    let crashing = async {
        faults.forwarded(2 * ENTRIES / 300).await;
        process.kill().await;
        example.start().await
    };
    let ((), (), process) = tokio::join!(send(&ann, of_ann), send(&bob, of_bob), crashing);
    faults.end().await;
    println!("{}", faults.told());

    for (key, tab) in &tabs {
        let read = BatchRequest::of([Packet::read(NAME, key)]);
        let result = until_final(&bob, read).await.remove(0);
        let expected = json!({
            "owner": tab.owner,
            "entries": tab.entries.len(),
            "cents": tab.entries.iter().sum::<i64>(),
        });
        let shown: Value = serde_json::from_str(&result.text[0]).unwrap();
        assert_eq!(shown, expected, "{key}");
    }
    let end = Packet::publish("end").text("end");
    bob.sync(end).await.unwrap();
    let mut told = BTreeMap::new();
    for (stream, name) in inboxes.iter_mut().zip(names) {
        for message in messages_until(stream, "end").await {
            hear(&mut told, &message, name);
        }
    }
    for tab in tabs.values_mut().chain(told.values_mut()) {
        tab.entries.sort_unstable();
    }
    assert!(told == tabs, "owners heard {told:?} of {tabs:?}");
    assert!(process.stop().await.success());
}

async fn guest(gateway: &Gateway, subject: &str) -> Client {
    let builder = Client::builder(gateway.uri()).subject(subject);
    builder.connect().await.unwrap()
}

async fn inbox(client: &Client) -> EventStream {
    watch(client, EventsRequest::on(["@me", "end"])).await
}

/// Each puts every third entry on the other's tab. No two entries are the same.
fn put(tabs: &mut BTreeMap<String, Tab>, names: &[&str], at: usize, number: usize) -> Packet {
    let owner = if number % 3 == 2 { 1 - at } else { at };
    let (key, cents) = (format!("table{owner}"), (2 * number + at) as i64);
    let tab = tabs.entry(key.clone()).or_default();
    tab.owner = names[owner].into();
    tab.entries.push(cents);
    Packet::create(NAME)
        .key(key)
        .text(json!({ "cents": cents }).to_string())
        .seq(number as u64 + 1)
}

async fn send(client: &Client, packets: Vec<Packet>) {
    for packets in packets.chunks(TOGETHER) {
        let settled = packets[0].seq - 1;
        let request = BatchRequest::of(packets.to_vec()).client_id("c");
        for result in until_final(client, request.settle(NAME, settled)).await {
            assert_eq!(result.outcome(), Told::Ok, "{result:?}");
        }
    }
}

/// A message in the inbox of this one.
fn hear(told: &mut BTreeMap<String, Tab>, message: &Message, name: &str) {
    let news: Value = serde_json::from_str(&message.text).unwrap();
    let tab = told.entry(news["tab"].as_str().unwrap().to_owned());
    let tab = tab.or_default();
    tab.owner = name.into();
    tab.entries.push(news["cents"].as_i64().unwrap());
}

#[tokio::test]
async fn the_example_in_typescript_does_what_it_says() {
    let example = Example::typescript();
    let mut process = example.start().await;
    assert!(example.is_healthy().await);
    let answer = example.handle([put_by("1", "ann", 450)]).await.remove(0);
    assert_eq!(
        shown(&answer),
        json!({"owner": "ann", "entries": 1, "cents": 450})
    );
    let message = &answer.publish[0];
    let news: Value = serde_json::from_str(&message.text).unwrap();
    assert_eq!(message.topic, "@user.ann");
    assert_eq!(
        news,
        json!({"tab": "t", "by": "ann", "cents": 450, "total": 450})
    );

    // The answer was lost, and so was the process; meanwhile others went on.
    example.outcomes([put_by("2", "bob", 50)]).await;
    process.kill().await;
    process = example.start().await;
    let again = example.handle([put_by("1", "ann", 450)]).await.remove(0);
    assert_eq!(again, answer, "with what it publishes");
    assert_eq!(
        read(&example).await,
        json!({"owner": "ann", "entries": 2, "cents": 500})
    );

    // What is refused for what is there is refused again, although there is enough by now.
    let much = put_by("much", "bob", -501);
    let refused = example.handle([much.clone()]).await.remove(0);
    assert_eq!(refused.reason(), Reason::Application);
    assert_eq!(refused.code, "OVERPAID");
    example.outcomes([put_by("3", "bob", 500)]).await;
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.handle([much]).await, [refused]);
    example.outcomes([put_by("4", "bob", -500)]).await;
    assert_eq!(
        read(&example).await,
        json!({"owner": "ann", "entries": 4, "cents": 500})
    );
    let with_time = "SELECT count(*) FROM answered WHERE at > unixepoch() - 600";
    let data = Connection::open(example.data()).unwrap();
    let kept = data.query_row(with_time, [], |row| row.get::<_, i64>(0));
    assert_eq!(kept.unwrap(), 5, "each is kept, with its time");

    // What cannot be read is refused alone.
    let with = |content: &[&'static str]| HandleItem {
        data: content.iter().map(|item| (*item).into()).collect(),
        ..put_by("wrong", "ann", 0)
    };
    let number = "{\"cents\": 1}";
    let wrong: [&[&str]; 9] = [
        &[],
        &[""],
        &["450"],
        &["null"],
        &["{"],
        &["{\"cents\": \"1\"}"],
        &["{\"cents\": 0.5}"],
        &["{\"cents\": 1e300}"],
        &[number, number],
    ];
    for (at, content) in wrong.into_iter().enumerate() {
        let (before, after) = (format!("before {at}"), format!("after {at}"));
        let batch = [
            put_by(&before, "ann", 1),
            with(content),
            put_by(&after, "ann", -1),
        ];
        let results = example.handle(batch).await;
        let outcomes = [0, 1, 2].map(|at| results[at].outcome());
        let expected = [Outcome::Ok, Outcome::Rejected, Outcome::Ok];
        assert_eq!(outcomes, expected, "{content:?}");
        assert_eq!(results[1].reason(), Reason::InvalidData);
    }
    let entries = 4 + 2 * wrong.len();
    assert_eq!(
        read(&example).await,
        json!({"owner": "ann", "entries": entries, "cents": 500})
    );

    // From before its domain had another owner, and what is behind it in its order; another chain goes on.
    let late = HandleItem {
        term: TERM - 1,
        ..put_by("late", "ann", 1)
    };
    let elsewhere = HandleItem {
        chain: 2,
        domain: 2,
        ..HandleItem {
            id: "elsewhere".into(),
            ..late.clone()
        }
    };
    let behind = put_by("behind", "ann", 1);
    let outcomes = example.outcomes([late.clone(), behind, elsewhere]).await;
    assert_eq!(outcomes, [Outcome::Retry, Outcome::Retry, Outcome::Ok]);
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.outcomes([late]).await, [Outcome::Retry]);
    assert_eq!(read(&example).await["entries"], entries + 1);

    // Another tenant's tab is another one, who has no name has no inbox, and one is written as a token.
    let of = |id: &str, tenant: &str, subject: &str| HandleItem {
        principal: Some(Principal {
            tenant: tenant.into(),
            subject: subject.into(),
            roles: Vec::new(),
        }),
        ..put_by(id, "", 1)
    };
    let delete = HandleItem {
        action: Action::Delete.into(),
        ..put_by("delete", "ann", 1)
    };
    let nowhere = HandleItem {
        action: Action::Read.into(),
        key: "nowhere".into(),
        ..delete.clone()
    };
    let batch = [
        of("acme's", "acme", ""),
        of("other's", "other", "a.b*c@d/é"),
        delete,
        nowhere,
    ];
    let results = example.handle(batch).await;
    assert_eq!(shown(&results[0])["entries"], 1);
    assert!(results[0].publish.is_empty());
    assert_eq!(results[1].publish[0].topic, "@user.a%2Eb%2Ac%40d%2F%C3%A9");
    assert_eq!(results[2].reason(), Reason::UnsupportedAction);
    assert_eq!(results[3].reason(), Reason::NotFound);
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn the_example_in_typescript_does_nothing_that_nobody_waits_for() {
    let example = Example::typescript();
    let _process = example.start().await;
    // Whoever writes the file holds the handler up.
    let other = Connection::open(example.data()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    example.in_vain(put_by("1", "ann", 1)).await;
    // By the end of this the time of that is over in the handler as well. It hears of this one when nobody waits for it.
    example.in_vain(put_by("2", "ann", 1)).await;
    other.execute_batch("ROLLBACK").unwrap();
    // Batches are done one after the other.
    let outcomes = example.outcomes([put_by("3", "ann", 1)]).await;
    assert_eq!(outcomes, [Outcome::Ok]);
    assert_eq!(read(&example).await["entries"], 1);

    // It stops waiting before the gateway does.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = example.refusal(put_by("4", "ann", 1)).await;
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

/// Of the owner that its domains have.
const TERM: u64 = 7;

fn put_by(id: &str, subject: &str, cents: i64) -> HandleItem {
    HandleItem {
        id: id.into(),
        chain: 1,
        action: Action::Create.into(),
        key: "t".into(),
        data: vec![json!({ "cents": cents }).to_string().into()],
        principal: Some(Principal {
            subject: subject.into(),
            ..Principal::default()
        }),
        domain: 1,
        term: TERM,
        ..HandleItem::default()
    }
}

async fn read(example: &Example) -> Value {
    let read = HandleItem {
        action: Action::Read.into(),
        data: Vec::new(),
        ..put_by("", "bob", 0)
    };
    shown(&example.handle([read]).await[0])
}

fn shown(result: &HandleResult) -> Value {
    assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    serde_json::from_str(&result.text[0]).unwrap()
}
