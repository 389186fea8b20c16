//! Handlers in other processes: what they are sent, and what becomes of what they answer.

mod away;
mod beside;
mod fair;
mod outage;
mod overload;
mod patient;
mod poison;
mod published;
mod together;

use std::collections::HashSet;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate::wire::proto::{self as wire, HandleResult};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, BatchResponse, Outcome, Packet, PacketResult, Reason};
use tokio::time::timeout;
use tonic::transport::Identity;

use crate::support::{Gateway, Service, answers, echoed, gateway, said};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with the handler `orders` there.
async fn before(addresses: &[String], more: &str) -> Gateway {
    let config = format!("[handlers.orders]\nkind = \"grpc\"\naddresses = {addresses:?}\n{more}\n");
    gateway().config(&config).start().await
}

fn order(seq: u64) -> Packet {
    Packet::create("orders")
        .text(format!("order {seq}"))
        .seq(seq)
}

fn of(packets: impl IntoIterator<Item = Packet>) -> BatchRequest {
    BatchRequest::of(packets).client_id("c")
}

async fn one(client: &Client, packet: Packet) -> PacketResult {
    let answer = timeout(PATIENCE, client.sync(packet)).await.unwrap();
    answer.unwrap().results.remove(0)
}

fn outcomes(answer: &BatchResponse) -> Vec<Outcome> {
    let results = answer.results.iter();
    results.map(PacketResult::outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_packets_of_many_clients_and_each_gets_its_own_answer() {
    const CLIENTS: usize = 20;
    const EACH: u64 = 5;

    // In another order than asked, with one that nobody asked for, one under no id, and one told twice.
    let service = Service::answering(|request| {
        let mut results: Vec<_> = request.items.iter().map(personal).collect();
        results.reverse();
        for id in ["0123456789abcdef0123456789abcdef", "not an id"] {
            results.insert(
                0,
                HandleResult {
                    id: id.into(),
                    ..results[0].clone()
                },
            );
        }
        let again = HandleResult {
            outcome: wire::Outcome::Rejected.into(),
            ..results[2].clone()
        };
        results.push(again);
        Ok(answers(results))
    });
    let _running = service.begin();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let gateway = before(&[service.uri()], "").await;
    let mut calls = Vec::new();
    for client in 0..CLIENTS {
        let builder = Client::builder(gateway.uri()).subject(format!("person{client}"));
        let client = builder.connect().await.unwrap();
        // All of them have the same names.
        let packets =
            (1..=EACH).map(|seq| order(seq).req_id(format!("r{seq}")).key(format!("k{seq}")));
        let request = of(packets);
        calls.push(tokio::spawn(
            async move { client.sync(request).await.unwrap() },
        ));
    }
    for (client, call) in calls.into_iter().enumerate() {
        for (result, seq) in call.await.unwrap().results.iter().zip(1..) {
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
            assert_eq!(
                result.text,
                [format!("person{client} c r{seq} {seq}: order {seq}")]
            );
        }
    }

    let (requests, items) = (service.seen(), service.items());
    assert_eq!(items.len(), CLIENTS * EACH as usize, "each came once");
    assert!(requests.len() < items.len(), "none of them shared a batch");
    let ids: HashSet<_> = items.iter().map(|item| &item.id).collect();
    assert_eq!(ids.len(), items.len(), "ids are one client's only");
    let batches: HashSet<_> = requests.iter().map(|request| &request.batch_id).collect();
    assert_eq!(batches.len(), requests.len());
    for request in &requests {
        assert_eq!(
            (&*request.handler, request.action()),
            ("orders", wire::Action::Create)
        );
    }
    for item in &items {
        assert_eq!(item.id.len(), 32);
        assert_eq!((item.action(), item.attempt), (wire::Action::Create, 1));
        assert_eq!(item.key, format!("k{}", item.seq));
        assert!(item.chain > 0 && item.remaining.is_none());
        let received = SystemTime::try_from(item.received_at.unwrap()).unwrap();
        assert!(received.duration_since(UNIX_EPOCH).unwrap() >= started);
        assert!(
            u128::from(item.term) >= started.as_millis(),
            "{} is no such term",
            item.term
        );
    }
    let domain = |subject: &str| {
        let mut items = items.iter();
        let is_theirs =
            |item: &&wire::HandleItem| item.principal.as_ref().unwrap().subject == subject;
        items.find(is_theirs).map(|item| (item.domain, item.term))
    };
    let domains: HashSet<_> = (0..CLIENTS)
        .map(|client| domain(&format!("person{client}")))
        .collect();
    assert!(domains.len() > 1, "clients are spread over domains");
}

/// Who asked what.
fn personal(item: &wire::HandleItem) -> HandleResult {
    let subject = &item.principal.as_ref().unwrap().subject;
    let text = format!(
        "{subject} {} {} {}: {}",
        item.client_id,
        item.req_id,
        item.seq,
        said(item)
    );
    HandleResult {
        data: Vec::new(),
        text: vec![text],
        ..echoed(item)
    }
}

#[tokio::test]
async fn everything_of_a_packet_reaches_the_handler() {
    let service = Service::echo();
    let _running = service.begin();
    let gateway = before(&[service.uri()], "").await;
    let client = gateway.client().await;
    let call = Packet::call("orders", "ship")
        .key("k")
        .data(&b"\xff\x00"[..])
        .header("h", "v")
        .at_version(7)
        .ttl(Duration::from_secs(60));
    assert_eq!(one(&client, call).await.data, [&b"\xff\x00"[..]]);
    let list = Packet::list("orders", "k").page(3, "next");
    assert_eq!(one(&client, list).await.outcome(), Outcome::Ok);

    let seen = service.seen();
    let (called, listed) = (&seen[0].items[0], &seen[1].items[0]);
    assert_eq!(
        (seen[0].action(), &*seen[0].method),
        (wire::Action::Call, "ship")
    );
    assert_eq!(
        (&*called.method, &*called.key, called.if_version),
        ("ship", "k", Some(7))
    );
    assert_eq!(called.headers["h"], "v");
    let left = Duration::try_from(called.remaining.unwrap()).unwrap();
    assert!(
        left <= Duration::from_secs(60) && left > Duration::from_secs(50),
        "{left:?}"
    );
    assert_eq!(
        (seen[1].action(), &*seen[1].method),
        (wire::Action::List, "")
    );
    assert_eq!((listed.page_size, &*listed.page_token), (3, "next"));
}

#[tokio::test]
async fn everything_of_an_answer_reaches_the_client() {
    let service = Service::answering(|request| {
        let answer = |item: &wire::HandleItem| match &*said(item) {
            "text" => HandleResult {
                data: Vec::new(),
                text: vec!["grüße".into(), "".into()],
                ..echoed(item)
            },
            "bytes" => HandleResult {
                data: vec![vec![0xff, 0].into()],
                ..echoed(item)
            },
            "no" => HandleResult {
                outcome: wire::Outcome::Rejected.into(),
                reason: wire::Reason::VersionMismatch.into(),
                message: "it is at 7".into(),
                code: "E7".into(),
                headers: [("h".into(), "v".into())].into(),
                records: vec![wire::Record {
                    key: "k".into(),
                    version: 7,
                    text: "milk".into(),
                    ..wire::Record::default()
                }],
                ..echoed(item)
            },
            "page" => HandleResult {
                next_page_token: "next".into(),
                ..echoed(item)
            },
            "large" => HandleResult {
                data: vec![vec![0; 2 << 20].into()],
                ..echoed(item)
            },
            _ => HandleResult {
                outcome: wire::Outcome::Retry.into(),
                retry_after: Some(prost_types::Duration {
                    seconds: 3,
                    nanos: 0,
                }),
                ..echoed(item)
            },
        };
        Ok(answers(request.items.iter().map(answer)))
    });
    let _running = service.begin();
    let gateway = before(&[service.uri()], "durable = false").await;
    let client = gateway.client().await;
    let ask = |text: &str| one(&client, Packet::create("orders").text(text));
    assert_eq!(ask("text").await.text, ["grüße", ""]);
    assert_eq!(ask("bytes").await.data, [&b"\xff\x00"[..]]);
    let no = ask("no").await;
    assert_eq!(
        (no.outcome(), no.reason()),
        (Outcome::Rejected, Reason::VersionMismatch)
    );
    assert_eq!(
        (&*no.message, &*no.code, &*no.headers["h"]),
        ("it is at 7", "E7", "v")
    );
    assert_eq!((no.records[0].version, &*no.records[0].text), (7, "milk"));
    assert_eq!(ask("page").await.next_page_token, "next");
    let large = ask("large").await;
    assert_eq!(
        (large.outcome(), large.reason()),
        (Outcome::Ok, Reason::TooLarge)
    );
    let later = ask("later").await;
    assert_eq!(later.outcome(), Outcome::Retry);
    assert_eq!(later.retry_after.unwrap().seconds, 3);

    let info = client.info().await.unwrap();
    let listed = |name| {
        let found = info.handlers.iter().find(|handler| handler.name == name);
        found.unwrap()
    };
    assert_eq!(listed("orders").kind, "grpc");
    assert!(!listed("orders").durable, "as it is configured");
    assert!(listed("topics").durable);
}

#[tokio::test]
async fn an_item_without_an_answer_comes_again_under_its_id() {
    let service = Service::answering(|request| {
        let answered = request
            .items
            .iter()
            .filter(|item| item.attempt > 1 || said(item) != "order 2");
        // What stands behind the one without an answer waits, as the contract has it.
        let answered = answered.filter(|item| item.attempt > 1 || said(item) != "order 3");
        Ok(answers(answered.map(echoed)))
    });
    let _running = service.begin();
    let gateway = before(&[service.uri()], "").await;
    let client = gateway.client().await;
    let answer = client.sync(of((1..=3).map(order))).await.unwrap();
    assert_eq!(outcomes(&answer), [Outcome::Ok; 3]);
    let items = service.items();
    let tries = |seq| {
        let of_it = items.iter().filter(|item| item.seq == seq);
        of_it
            .map(|item| (&item.id, item.attempt))
            .collect::<Vec<_>>()
    };
    assert_eq!(tries(1).len(), 1);
    assert_eq!(
        tries(2)
            .iter()
            .map(|(_, attempt)| *attempt)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(tries(2)[0].0, tries(2)[1].0);
}

#[tokio::test]
async fn a_service_behind_tls_is_who_its_certificate_says() {
    let identity = Identity::from_pem(
        include_bytes!("remote/tls/service.pem"),
        include_bytes!("remote/tls/service.key"),
    );
    let service = Service::echo().identity(identity);
    let _running = service.begin();
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(include_bytes!("remote/tls/ca.pem")).unwrap();
    let trusted = format!("durable = false\nca = {:?}", ca.path());
    for (address, more, outcome) in [
        ("https://localhost", &*trusted, Outcome::Ok),
        // The system knows nothing of the authority.
        ("https://localhost", "durable = false", Outcome::Retry),
        // It expects TLS, and gets none.
        ("http://localhost", "durable = false", Outcome::InDoubt),
    ] {
        let gateway = before(&[format!("{address}:{}", service.port())], more).await;
        let client = gateway.client().await;
        let result = one(&client, Packet::create("orders").text("x")).await;
        assert_eq!(result.outcome(), outcome, "{address} {more} {result:?}");
    }
}
