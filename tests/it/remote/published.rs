//! What handlers publish with their results.

use std::path::Path;

use tidegate::wire::proto::{
    HandleItem, HandleRequest, HandleResult, Outcome as Said, Publication,
};
use tidegate_client::proto::{BatchRequest, EventsRequest, Message, Outcome, Packet, PacketResult};
use tidegate_client::{Client, EventStream};
use tokio::time::timeout;

use super::{PATIENCE, of, order};
use crate::support::{
    Gateway, Process, Service, answers, echoed, gateway, messages_until, said, watch,
};

/// Publishes, for each item, its text where the text says, and to whoever sent it.
fn telling() -> Service {
    Service::answering(|request| Ok(answers(request.items.iter().map(told))))
}

fn told(item: &HandleItem) -> HandleResult {
    let inbox = format!("@user.{}", item.principal.as_ref().unwrap().subject);
    HandleResult {
        publish: vec![on(&item.key, &said(item)), on(&inbox, &said(item))],
        ..echoed(item)
    }
}

fn on(topic: &str, text: &str) -> Publication {
    Publication {
        topic: topic.into(),
        text: text.into(),
        ..Publication::default()
    }
}

async fn before(service: &Service, more: &str) -> Gateway {
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\n{more}\n",
        service.uri()
    );
    gateway().config(&config).start().await
}

async fn named(gateway: &Gateway, subject: &str) -> Client {
    let builder = Client::builder(gateway.uri()).subject(subject);
    builder.connect().await.unwrap()
}

async fn ask(client: &Client, request: impl Into<BatchRequest>) -> Vec<PacketResult> {
    let answer = timeout(PATIENCE, client.sync(request)).await.unwrap();
    answer.unwrap().results
}

/// What a stream brings of what was published before now.
async fn heard(client: &Client, stream: &mut EventStream) -> Vec<Message> {
    ask(client, Packet::publish("end").text("end")).await;
    messages_until(stream, "end").await
}

fn texts(messages: &[Message]) -> Vec<(&str, &str)> {
    let shown = |message| {
        let Message { topic, text, .. }: &Message = message;
        (&**topic, &**text)
    };
    messages.iter().map(shown).collect()
}

async fn history(client: &Client, topic: &str) -> usize {
    let listed = ask(client, Packet::list("topics", topic)).await;
    listed[0].messages.len()
}

#[tokio::test]
async fn what_a_result_publishes_is_heard_once_by_those_it_is_for() {
    let service = telling();
    let _running = service.begin();
    let gateway = before(&service, "publish = [\"orders.>\", \"@user.*\"]").await;
    let (ann, bob) = (named(&gateway, "ann").await, named(&gateway, "bob").await);
    let theirs = || EventsRequest::on(["orders.>", "@me", "end", "other"]);
    // Ann's handler tells her what she did not publish herself.
    let request = theirs().client_id("c").skip_own();
    let mut to_ann = watch(&ann, request).await;
    let mut to_bob = watch(&bob, theirs()).await;

    let new = |seq| order(seq).key("orders.new");
    let results = ask(&ann, of([new(1), order(2).key("other"), new(3)])).await;
    assert!(results.iter().all(|result| result.outcome() == Outcome::Ok));
    let again = ask(&ann, of([new(1), order(2).key("other"), new(3)])).await;
    assert!(again.iter().all(|result| result.replayed));

    let messages = heard(&bob, &mut to_ann).await;
    let (topic, inbox) = ("orders.new", "@user.ann");
    let expected = [
        (topic, "order 1"),
        (inbox, "order 1"),
        (inbox, "order 2"),
        (topic, "order 3"),
        (inbox, "order 3"),
    ];
    assert_eq!(texts(&messages), expected);
    assert!(messages.iter().all(|message| message.publisher.is_empty()));
    let ids: std::collections::HashSet<_> = messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), expected.len());
    let messages = messages_until(&mut to_bob, "end").await;
    assert_eq!(texts(&messages), [(topic, "order 1"), (topic, "order 3")]);
}

#[tokio::test]
async fn without_leave_nothing_is_published_and_the_result_stands() {
    let service = telling();
    let _running = service.begin();
    let gateway = before(&service, "").await;
    let ann = named(&gateway, "ann").await;
    let mut stream = watch(&ann, EventsRequest::on([">", "@me"])).await;
    let results = ask(&ann, order(0).key("orders.new")).await;
    assert_eq!(
        (results[0].outcome(), &*results[0].data[0]),
        (Outcome::Ok, &b"order 0"[..])
    );
    assert_eq!(heard(&ann, &mut stream).await, []);
}

#[tokio::test]
async fn only_the_answer_that_finishes_an_item_publishes() {
    let service = Service::answering(|request| {
        let answer = |item: &HandleItem| {
            let outcome = match (item.attempt, &*said(item)) {
                (1, _) => Said::Retry,
                (_, "order 1") => Said::Ok,
                _ => Said::Rejected,
            };
            HandleResult {
                outcome: outcome.into(),
                publish: vec![on(
                    "orders.new",
                    &format!("{} {}", said(item), item.attempt),
                )],
                ..echoed(item)
            }
        };
        let first = request.items.iter().map(answer);
        // Doubled, and under an id that nobody has.
        let stray = HandleResult {
            id: "0".repeat(32),
            ..told(&request.items[0])
        };
        Ok(answers(first.chain([told(&request.items[0]), stray])))
    });
    let _running = service.begin();
    let gateway = before(&service, "publish = [\">\"]").await;
    let client = gateway.client().await;
    let mut stream = watch(&client, EventsRequest::on([">"])).await;
    let results = ask(&client, of([order(1), order(2)])).await;
    assert_eq!(results[0].outcome(), Outcome::Ok);
    assert_eq!(results[1].outcome(), Outcome::Rejected);
    let messages = heard(&client, &mut stream).await;
    let expected = [("orders.new", "order 1 2"), ("orders.new", "order 2 2")];
    assert_eq!(texts(&messages), expected);
}

#[tokio::test]
async fn messages_are_there_when_their_answer_is_told() {
    for (more, topic, kept) in [
        ("durable = true", "orders.new", 1),
        ("durable = false", "orders.new", 1),
        ("durable = true", "orders.live", 0),
        ("durable = false", "orders.live", 0),
    ] {
        let service = telling();
        let _running = service.begin();
        let rules = "publish = [\"orders.>\"]\n[topics.\"orders.live\"]\nephemeral = true";
        let gateway = before(&service, &format!("{more}\n{rules}")).await;
        let client = gateway.client().await;
        let mut stream = watch(&client, EventsRequest::on(["orders.>", "end"])).await;
        ask(&client, order(0).key(topic)).await;
        assert_eq!(history(&client, topic).await, kept, "{more} {topic}");
        let messages = heard(&client, &mut stream).await;
        assert_eq!(texts(&messages), [(topic, "order 0")], "{more}");
    }
}

#[tokio::test]
async fn what_is_dropped_is_one_line_a_batch() {
    // Each item's result: one on a wrong topic, one outside, 64 that go, and two beyond that.
    let service = Service::answering(|request: HandleRequest| {
        let answer = |item: &HandleItem| {
            let mut publish = vec![on("records.orders.k", "x"), on("bills.new", "x")];
            publish.extend((0..66).map(|number| on("orders.new", &number.to_string())));
            HandleResult {
                publish,
                ..echoed(item)
            }
        };
        Ok(answers(request.items.iter().map(answer)))
    });
    let _running = service.begin();
    let directory = tempfile::tempdir().unwrap();
    let addresses = format!("[{:?}]", service.uri());
    let variables = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", &*addresses),
        ("TIDEGATE_HANDLERS__ORDERS__PUBLISH", "[\"orders.*\"]"),
    ];
    let gateway = Process::on(Path::new(directory.path()), &variables).await;
    let client = Client::connect(gateway.uri()).await.unwrap();
    let mut stream = watch(&client, EventsRequest::on([">"])).await;
    let results = ask(&client, of((1..=3).map(order))).await;
    assert!(results.iter().all(|result| result.outcome() == Outcome::Ok));
    let messages = heard(&client, &mut stream).await;
    let expected: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    let heard: Vec<_> = messages.iter().map(|message| &*message.text).collect();
    assert_eq!(heard, [&expected[..]; 3].concat());

    gateway.signal(rustix::process::Signal::TERM);
    let (_, log) = gateway.ended().await;
    let lines = log
        .lines()
        .filter(|line| line.contains("are not published"));
    let lines: Vec<_> = lines.collect();
    assert_eq!((lines.len(), service.seen().len()), (1, 1), "{log}");
    for part in ["wrong_topic=3", "outside_publish=3", "beyond_bounds=6"] {
        assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
    }
}
