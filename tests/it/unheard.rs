//! Results of calls whose process was killed: nobody knows whether they were heard, so streams bring them.

use tidegate_client::Client;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{BatchRequest, EventsRequest, Outcome, Packet};

use crate::support::{Process, event, watch};

fn todo(seq: u64) -> Packet {
    let packet = Packet::create("todos").text(format!("todo {seq}"));
    packet.req_id(format!("r{seq}")).seq(seq)
}

fn of(packets: impl IntoIterator<Item = Packet>) -> BatchRequest {
    BatchRequest::of(packets).client_id("c")
}

async fn publish(client: &Client, text: &str) {
    let packet = Packet::create("topics").key("end").text(text);
    client.sync(packet).await.unwrap();
}

/// The req_ids that a stream brings before this message, and the last cursor.
async fn brought(client: &Client, cursor: Option<&str>, end: &str) -> (Vec<String>, String) {
    let mut request = EventsRequest::on(["end"]).client_id("c");
    if let Some(cursor) = cursor {
        request = request.from_cursor(cursor);
    }
    let mut stream = watch(client, request).await;
    publish(client, end).await;
    let mut found = Vec::new();
    loop {
        let next = event(&mut stream).await;
        match next.event {
            Some(Kind::Results(results)) => {
                found.extend(results.results.into_iter().map(|result| result.req_id));
            }
            Some(Kind::Message(message)) if message.text == end => return (found, next.cursor),
            Some(Kind::Message(_) | Kind::Heartbeat(_)) => {}
            other => panic!("{other:?} in a stream of results and messages"),
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_may_not_have_told_comes_on_events_once() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Process::with(&directory.path().join("data"));
    let process = setup.start().await;
    let client = Client::connect(setup.uri()).await.unwrap();
    let answer = client.sync(of((1..=3).map(todo))).await.unwrap();
    for result in &answer.results {
        assert_eq!(result.outcome(), Outcome::Ok);
    }
    // Up to the kill, the answer is all that there is.
    let (found, before) = brought(&client, None, "before").await;
    assert_eq!(found, [] as [&str; 0]);
    let settles = of([]).settle("todos", 1);
    client.sync(settles).await.unwrap();
    process.kill().await;

    let process = setup.start().await;
    let client = Client::connect(setup.uri()).await.unwrap();
    // Also where a call gave the cursor, after the start.
    let late = client
        .sync(Packet::read("todos", "none"))
        .await
        .unwrap()
        .cursor;
    let (found, after) = brought(&client, Some(&late), "after").await;
    assert_eq!(found, ["r2", "r3"]);
    let (found, _) = brought(&client, Some(&before), "for another").await;
    assert_eq!(found, ["r2", "r3"], "every stream of the client gets them");
    let (found, _) = brought(&client, Some(&after), "later").await;
    assert_eq!(found, [] as [&str; 0], "they were before its cursor");
    process.kill().await;

    let process = setup.start().await;
    let client = Client::connect(setup.uri()).await.unwrap();
    let (found, _) = brought(&client, Some(&after), "at last").await;
    assert_eq!(found, [] as [&str; 0], "they have their place by now");
    assert!(process.stop().await.success());
}
