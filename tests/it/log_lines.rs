//! What is a line of the log, and what it says.

use rustix::process::Signal;
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, EventsRequest, Packet, ResultsRequest};

use crate::support::Process;

#[tokio::test]
async fn a_call_that_is_refused_is_a_line_with_whose_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::on(directory.path(), &[]).await;
    let client = Client::connect(process.uri()).await.unwrap();
    let asked = BatchRequest::of([Packet::create("todos").text("x")]);
    let asked = BatchRequest {
        ack: 7,
        ..asked.client_id("of-sync")
    };
    client.sync(asked).await.unwrap_err();
    let both = EventsRequest {
        skip_own: true,
        last: 1,
        start: 3,
        ..EventsRequest::default()
    };
    let refused = client.events(both.client_id("of-events")).await;
    refused.expect_err("two places to start from");
    let placed = ResultsRequest {
        client_id: "of-results".into(),
        from_seq: 1,
        ..ResultsRequest::default()
    };
    client.results(placed).await.unwrap_err();
    let id = "x".repeat(1_000);
    let long = BatchRequest::of([Packet::create("todos").text("x")]);
    client.sync(long.client_id(&id)).await.unwrap_err();
    process.signal(Signal::TERM);
    let (_, log) = process.ended().await;
    for (method, client) in [
        ("Sync", "of-sync"),
        ("Events", "of-events"),
        ("Results", "of-results"),
        ("Sync", &id[..128]),
    ] {
        let told = |line: &&str| {
            let has = |field: String| line.split_whitespace().any(|word| word == field);
            let is_it = has(format!("method=\"{method}\""));
            line.contains("refused a call") && is_it && has(format!("client=\"{client}\""))
        };
        assert_eq!(log.lines().filter(told).count(), 1, "{method}: {log}");
    }
}

#[tokio::test]
async fn what_an_application_may_expect_is_no_line_at_info() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::on(directory.path(), &[]).await;
    let client = Client::connect(process.uri()).await.unwrap();
    let missing = || Packet::update("todos", "none").text("x");
    client.sync(missing().req_id("everyday")).await.unwrap();
    let both = [
        missing().req_id("first"),
        Packet::create("todos").text("x").seq(1).req_id("wrong"),
    ];
    client.sync(BatchRequest::of(both)).await.unwrap();
    process.signal(Signal::TERM);
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0));
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("refused a packet"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("req_id=wrong") && lines[0].contains("more=1"),
        "{log}"
    );
}
