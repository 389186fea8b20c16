//! Who gets which messages.

use std::sync::Arc;
use std::time::Duration;

use tidegate::events::{Hub, Start, StreamSettings, Subscription};
use tidegate::store::memory::{Keep, Memory};
use tidegate::types::{Pattern, Principal};
use tidegate_client::proto::{EventsRequest, Packet};
use tidegate_client::{Client, EventStream};
use tonic::Code;

use crate::support::{gateway, messages_until, watch};

async fn publish(client: &Client, topic: &str, text: &str) {
    let answer = client
        .sync(Packet::publish(topic).text(text))
        .await
        .unwrap();
    assert_eq!(answer.results[0].outcome, 1, "{answer:?}");
}

/// The texts up to the one that says that it is the end.
async fn texts(stream: &mut EventStream) -> Vec<String> {
    let messages = messages_until(stream, "end").await;
    messages.into_iter().map(|message| message.text).collect()
}

#[tokio::test]
async fn shows_2_10_several_subscribers_of_one_topic_each_get_all() {
    let gateway = gateway().start().await;
    let client = gateway.client().await;
    let mut streams = Vec::new();
    for pattern in ["chat.kitchen", "chat.kitchen", "chat.*", "chat.>", ">"] {
        // Some share a connection, some do not.
        let own = gateway.client().await;
        streams.push(watch(&client, EventsRequest::on([pattern])).await);
        streams.push(watch(&own, EventsRequest::on([pattern])).await);
    }
    let sent: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for text in &sent {
        publish(&client, "chat.kitchen", text).await;
    }
    publish(&client, "chat.kitchen", "end").await;
    for stream in &mut streams {
        assert_eq!(texts(stream).await, sent);
    }
}

#[tokio::test]
async fn shows_2_10_topics_do_not_leak() {
    let gateway = gateway().start().await;
    let client = gateway.client().await;
    let topics = ["a", "a.b", "a.b.c", "a.bb", "ab", "a.B", "b.a", "a.b.c.d"];
    let cases: [(&str, &[&str]); 6] = [
        ("a", &["a"]),
        ("a.b", &["a.b"]),
        ("a.*", &["a.b", "a.bb", "a.B"]),
        ("a.b.>", &["a.b.c", "a.b.c.d"]),
        ("*.a", &["b.a"]),
        ("a.*.c", &["a.b.c"]),
    ];
    let mut streams = Vec::new();
    for (pattern, _) in cases {
        streams.push(watch(&client, EventsRequest::on([pattern, "the.end"])).await);
    }
    for topic in topics {
        publish(&client, topic, topic).await;
    }
    publish(&client, "the.end", "end").await;
    for (stream, (pattern, expected)) in streams.iter_mut().zip(cases) {
        assert_eq!(texts(stream).await, expected, "live, on {pattern}");
        let again = EventsRequest::on([pattern, "the.end"]).from_earliest();
        let mut again = watch(&client, again).await;
        assert_eq!(texts(&mut again).await, expected, "again, on {pattern}");
    }
}

#[tokio::test]
async fn shows_2_10_who_unsubscribes_is_gone_and_nobody_else() {
    let hub = Hub::new(StreamSettings {
        node: "here".into(),
        heartbeat: Duration::from_secs(15),
        age: Duration::from_secs(600),
        ring_entries: 16,
        ring_bytes: 1 << 16,
    });
    let store = Arc::new(Memory::new(Keep::default(), Arc::new(hub.clone())));
    let open = || {
        let subscription = Subscription {
            principal: Arc::new(Principal::default()),
            client: None,
            patterns: vec![Pattern::parse("a.>", "").unwrap()],
            cursor: None,
            start: Start::Now,
            skip_own: false,
            peer: None,
        };
        hub.open(store.clone(), subscription).unwrap()
    };
    let (first, mut second, unread) = (open(), open(), open());
    assert!(second.next().await.is_some());
    assert_eq!(hub.streams(), 3);
    drop(first);
    drop(unread);
    assert_eq!(hub.streams(), 1);
    drop(second);
    assert_eq!(hub.streams(), 0);
}

#[tokio::test]
async fn shows_2_10_streams_that_were_hung_up_make_room_for_others() {
    const MOST: usize = 100;
    let gateway = gateway().start().await;
    let client = Client::builder(gateway.uri()).subject("ann");
    let client = client.connect().await.unwrap();
    for round in 0..3 {
        let mut streams = Vec::new();
        while streams.len() < MOST {
            // The gateway hears of those that are gone when their resets arrive: until then it says that it is full.
            match client.events(EventsRequest::on(["a"])).await {
                Ok(stream) => streams.push(stream),
                Err(error) => {
                    assert_eq!(error.code(), Some(Code::ResourceExhausted), "{error}");
                    assert!(round > 0, "nobody was here before");
                }
            }
        }
        let one_more = client.events(EventsRequest::on(["a"])).await;
        assert!(one_more.is_err(), "round {round}");
    }
}
