//! Streams over the real store: where they start, where they go on, what they leave out, and whose they are.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use tidegate::events::{Hub, Session, Start, StreamSettings, Subscription};
use tidegate::store::memory::{Keep, Memory};
use tidegate::store::{Commit, Domain, Draft, Effect, Origin, Place, Store, Unit};
use tidegate::types::{Form, HandlerName, MessageId, Pattern, Principal, Topic};
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{BatchRequest, Event, EventsRequest, Outcome, Packet, Reason};
use tidegate_client::{Client, EventStream};
use tokio::time::Instant;
use tonic::Code;

use crate::support::{Gateway, Watched, event, gateway, message, messages_until, watch};

async fn publish(client: &Client, topic: &str, texts: &[&str]) {
    let packets = texts.iter().map(|text| Packet::publish(topic).text(*text));
    let answer = client.sync(BatchRequest::of(packets)).await.unwrap();
    for result in answer.results {
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
    }
}

async fn named(gateway: &Gateway, client_id: &str) -> Client {
    let builder = Client::builder(gateway.uri()).client_id(client_id);
    builder.connect().await.unwrap()
}

async fn subject(gateway: &Gateway, subject: &str) -> Client {
    let builder = Client::builder(gateway.uri()).subject(subject);
    builder.connect().await.unwrap()
}

async fn texts(stream: &mut EventStream) -> Vec<String> {
    let messages = messages_until(stream, "end").await;
    messages.into_iter().map(|message| message.text).collect()
}

#[tokio::test]
async fn a_stream_resumes_from_every_cursor_of_a_run() {
    let gateway = gateway().start().await;
    let client = gateway.client().await;
    let on = || EventsRequest::on(["a.>", "the.end"]);
    let mut live = client.events(on()).await.unwrap();
    let connected = event(&mut live).await;
    let mut cursors = vec![connected.cursor];
    let mut sent = Vec::new();
    for number in 0..40 {
        let text = number.to_string();
        publish(&client, &format!("a.{}", number % 3), &[&text]).await;
        // What does not match moves the log on and is never seen.
        publish(&client, "b", &["not this"]).await;
        let Watched { cursor, message } = message(&mut live).await;
        assert_eq!(message.text, text);
        cursors.push(cursor);
        sent.push(text);
    }
    publish(&client, "the.end", &["end"]).await;
    for (seen, cursor) in cursors.into_iter().enumerate() {
        let mut resumed = client.events(on().from_cursor(cursor)).await.unwrap();
        let Some(Kind::Connected(connected)) = event(&mut resumed).await.event else {
            panic!("a stream begins with Connected");
        };
        assert!(connected.resumed);
        assert_eq!(texts(&mut resumed).await, sent[seen..], "after {seen}");
    }
}

#[tokio::test]
async fn what_is_listed_and_what_is_watched_from_there_are_everything_once() {
    const RECORDS: usize = 400;
    let gateway = gateway().start().await;
    let (writer, reader) = (gateway.client().await, gateway.client().await);
    let writing = tokio::spawn(async move {
        for number in 0..RECORDS {
            let packet = Packet::create("todos")
                .key(format!("k{number:03}"))
                .text("x");
            writer.sync(packet).await.unwrap();
        }
    });
    // Lists at several moments while the other one writes.
    let mut watched = Vec::new();
    let mut listed = 0;
    while listed < RECORDS / 2 {
        let list = Packet::list("todos", "").page(1000, "");
        let answer = reader.sync(list).await.unwrap();
        let keys: Vec<String> = answer.results[0]
            .records
            .iter()
            .map(|record| record.key.clone())
            .collect();
        listed = keys.len();
        let on = EventsRequest::on(["records.todos.>"]).from_cursor(answer.cursor);
        if watched.len() < 10 {
            watched.push((keys, watch(&reader, on).await));
        }
    }
    writing.await.unwrap();
    let all: Vec<String> = (0..RECORDS).map(|number| format!("k{number:03}")).collect();
    for (mut keys, mut stream) in watched {
        let listed = keys.len();
        while keys.last() != all.last() {
            let record = message(&mut stream).await.message.record;
            let key = record.unwrap().key;
            // The answer's cursor may be of before the list was made, so that what is listed comes again, and never of after.
            if !keys[..listed].contains(&key) {
                keys.push(key);
            }
        }
        assert_eq!(keys, all, "{listed} were listed");
    }
}

#[tokio::test]
async fn a_client_may_leave_out_what_it_published_itself() {
    let gateway = gateway().start().await;
    let (ann, bob) = (named(&gateway, "ann").await, named(&gateway, "bob").await);
    let on = || EventsRequest::on(["chat"]);
    let mut others = watch(&ann, on().skip_own()).await;
    let mut all = watch(&ann, on()).await;
    for round in ["1", "2", "3"] {
        publish(&ann, "chat", &[&format!("ann {round}")]).await;
        publish(&bob, "chat", &[&format!("bob {round}")]).await;
    }
    publish(&bob, "chat", &["end"]).await;
    let of_bob = ["bob 1", "bob 2", "bob 3"];
    assert_eq!(texts(&mut others).await, of_bob);
    assert_eq!(texts(&mut all).await.len(), 6);
    let mut replayed = watch(&ann, on().skip_own().from_earliest()).await;
    assert_eq!(texts(&mut replayed).await, of_bob, "also from the store");
}

#[tokio::test]
async fn a_stream_starts_where_it_is_told() {
    let gateway = gateway().start().await;
    let client = gateway.client().await;
    for (topic, text) in [
        ("a.1", "1"),
        ("a.2", "2"),
        ("a.1", "3"),
        ("b", "4"),
        ("a.2", "5"),
        ("a.3", "6"),
    ] {
        publish(&client, topic, &[text]).await;
    }
    let on = || EventsRequest::on(["a.*"]);
    let cases: [(EventsRequest, &[&str]); 6] = [
        (on(), &[]),
        (on().from_earliest(), &["1", "2", "3", "5", "6"]),
        (on().from_latest(), &["3", "5", "6"]),
        (on().from_last(1), &["6"]),
        (on().from_last(4), &["2", "3", "5", "6"]),
        (on().from_last(100), &["1", "2", "3", "5", "6"]),
    ];
    let mut streams = Vec::new();
    for (request, _) in &cases {
        streams.push(watch(&client, request.clone()).await);
    }
    publish(&client, "a.2", &["live", "end"]).await;
    for (stream, (request, expected)) in streams.iter_mut().zip(cases) {
        let expected = [expected, &["live"]].concat();
        assert_eq!(texts(stream).await, expected, "{request:?}");
    }
}

#[tokio::test]
async fn of_two_tabs_the_other_one_goes_on_whichever_is_closed() {
    for first_closes in [true, false] {
        let gateway = gateway().start().await;
        let ann = Client::builder(gateway.uri())
            .subject("ann")
            .client_id("tab");
        let ann = ann.connect().await.unwrap();
        let mut first = watch(&ann, EventsRequest::on(["chat"])).await;
        let mut second = watch(&ann, EventsRequest::on(["chat"])).await;
        publish(&ann, "chat", &["both"]).await;
        for tab in [&mut first, &mut second] {
            assert_eq!(message(tab).await.message.text, "both");
        }
        let mut left = if first_closes {
            drop(first);
            second
        } else {
            drop(second);
            first
        };
        publish(&ann, "chat", &["one", "end"]).await;
        assert_eq!(
            texts(&mut left).await,
            ["one"],
            "the first closes: {first_closes}"
        );
        // And a third one finds everything as the others did.
        let mut third = watch(&ann, EventsRequest::on(["chat"]).from_earliest()).await;
        assert_eq!(texts(&mut third).await, ["both", "one"]);
    }
}

#[tokio::test]
async fn nobody_opens_anothers_inbox() {
    let gateway = gateway().start().await;
    let ann = subject(&gateway, "ann").await;
    for own in ["@me", "@me.>", "@user.ann", "@user.ann.alerts"] {
        watch(&ann, EventsRequest::on([own])).await;
    }
    let cases = [
        ("ann", "@user.bob", Code::PermissionDenied),
        ("ann", "@user.bob.>", Code::PermissionDenied),
        ("ann", "@user.*", Code::PermissionDenied),
        ("ann", "@user.>", Code::PermissionDenied),
        ("ann", "@user.annex", Code::PermissionDenied),
        // A name that looks like a pattern is a literal token of its own.
        ("*", "@user.bob", Code::PermissionDenied),
        (">", "@user.bob", Code::PermissionDenied),
        ("", "@me", Code::InvalidArgument),
        ("", "@user.ann", Code::PermissionDenied),
    ];
    for (name, topic, code) in cases {
        let client = match name {
            "" => gateway.client().await,
            name => subject(&gateway, name).await,
        };
        let error = client.events(EventsRequest::on([topic])).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{name:?} on {topic}: {error}");
    }
}

#[tokio::test]
async fn publishing_on_the_gateways_own_topics_is_refused_and_what_stands_beside_it_is_done() {
    let gateway = gateway().start().await;
    let ann = subject(&gateway, "ann").await;
    let patterns = ["chat", "records.>", "@me", "@me.>"];
    let mut stream = watch(&ann, EventsRequest::on(patterns)).await;
    let topics = [
        "chat",
        "records.todos.k",
        "@user.ann",
        "chat",
        "@me",
        "@system",
        "records",
        "chat",
    ];
    let packets = topics.map(|topic| Packet::publish(topic).text(topic));
    let answer = ann.sync(BatchRequest::of(packets)).await.unwrap();
    for (topic, result) in topics.into_iter().zip(answer.results) {
        let (outcome, reason) = match topic {
            "chat" => (Outcome::Ok, Reason::Unspecified),
            _ => (Outcome::Rejected, Reason::Forbidden),
        };
        assert_eq!(
            (result.outcome(), result.reason()),
            (outcome, reason),
            "{topic}: {result:?}"
        );
    }
    publish(&ann, "chat", &["end"]).await;
    assert_eq!(texts(&mut stream).await, ["chat", "chat", "chat"]);
}

/// A hub over the real store, and its clock in a test's hand.
fn hub() -> (Hub, Arc<Memory>) {
    let hub = Hub::new(StreamSettings {
        node: "here".into(),
        heartbeat: HEARTBEAT,
        age: Duration::from_secs(600),
        ring_entries: 16,
        ring_bytes: 1 << 16,
    });
    let store = Memory::new(Keep::default(), Arc::new(hub.clone()));
    (hub, Arc::new(store))
}

const HEARTBEAT: Duration = Duration::from_secs(15);

fn of(subject: &str, patterns: &[&str]) -> Subscription {
    let pattern = |pattern: &&str| Pattern::parse(pattern, subject).unwrap();
    Subscription {
        principal: Arc::new(principal(subject)),
        client: None,
        patterns: patterns.iter().map(pattern).collect(),
        cursor: None,
        start: Start::Now,
        skip_own: false,
        peer: None,
    }
}

fn principal(subject: &str) -> Principal {
    Principal {
        subject: subject.into(),
        ..Principal::default()
    }
}

async fn next(session: &mut Session) -> Event {
    Event::decode(session.next().await.expect("the stream goes on")).unwrap()
}

/// As the gateway itself may, on any topic.
async fn commit(store: &Memory, topic: &str) {
    let draft = Draft {
        topic: Topic::parse(topic, "").unwrap(),
        id: MessageId(7),
        headers: Vec::new(),
        form: Form::Text,
        data: "for you".into(),
        ephemeral: false,
    };
    let origin = Origin {
        principal: Arc::new(principal("")),
        client: None,
        handler: HandlerName::new("topics").unwrap(),
    };
    let unit = Unit {
        origin: Arc::new(origin),
        group: 1,
        place: Place::None,
        fingerprint: 0,
        req_id: "".into(),
        awaited: true,
        effect: Effect::Publish([draft].into_iter().collect()),
    };
    let domain = Domain(1);
    let term = store.take_over(domain).await.unwrap();
    let commit = Commit {
        units: vec![unit],
        ..Commit::new(domain, term, SystemTime::now())
    };
    store.commit(commit).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_beats_and_its_heartbeat_is_a_place_to_resume_from() {
    let (hub, store) = hub();
    let mut stream = hub.open(store.clone(), of("", &["a"])).unwrap();
    assert!(matches!(
        next(&mut stream).await.event,
        Some(Kind::Connected(_))
    ));
    commit(&store, "b").await;
    let mut last = String::new();
    for _ in 0..3 {
        let before = Instant::now();
        let beat = next(&mut stream).await;
        assert!(matches!(beat.event, Some(Kind::Heartbeat(_))), "{beat:?}");
        let silent = before.elapsed();
        assert!(
            (HEARTBEAT..HEARTBEAT + Duration::from_secs(1)).contains(&silent),
            "{silent:?}"
        );
        last = beat.cursor;
    }
    drop(stream);
    commit(&store, "a").await;
    let resumed = Subscription {
        cursor: Some(last),
        ..of("", &["a"])
    };
    let mut stream = hub.open(store, resumed).unwrap();
    assert!(matches!(
        next(&mut stream).await.event,
        Some(Kind::Connected(_))
    ));
    assert!(matches!(
        next(&mut stream).await.event,
        Some(Kind::Message(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_inbox_is_its_owners_on_every_device_and_nobody_elses() {
    let (hub, store) = hub();
    let mut streams = Vec::new();
    for (subject, patterns) in [
        ("ann", &["@me"][..]),
        ("ann", &["@me", "@me.>"]),
        ("bob", &["@me", "@me.>", ">", "*.ann"]),
        ("", &[">", "*", "*.*"]),
    ] {
        let mut stream = hub.open(store.clone(), of(subject, patterns)).unwrap();
        assert!(matches!(
            next(&mut stream).await.event,
            Some(Kind::Connected(_))
        ));
        streams.push(stream);
    }
    commit(&store, "@user.ann").await;
    let mut got = Vec::new();
    for stream in &mut streams {
        // Whoever gets nothing hears a heartbeat.
        got.push(matches!(next(stream).await.event, Some(Kind::Message(_))));
    }
    assert_eq!(got, [true, true, false, false]);
}
