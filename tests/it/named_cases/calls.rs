//! What shares a call of a handler, and whose answer is whose.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tidegate::handler::{Batch, CallError, Handled, Handler, HandlerSettings, ItemId};
use tidegate::types::{Action, Answer};
use tidegate_client::proto::{BatchRequest, BatchResponse, Outcome, Packet, Reason};
use tokio::sync::Notify;

use crate::support::{Gateway, Notes, echo, gateway, text};

/// A batch leaves when it has so many packets, and not before.
fn whole(packets: usize) -> impl Fn(&mut HandlerSettings) {
    move |settings| {
        settings.batch.max_packets = packets;
        settings.batch.window = Duration::from_secs(3600);
    }
}

/// All at once, each on a connection of its own.
async fn at_once(gateway: &Gateway, requests: Vec<BatchRequest>) -> Vec<BatchResponse> {
    let calls = requests.into_iter().map(async |request| {
        let client = gateway.client().await;
        client.sync(request).await.unwrap()
    });
    join_all(calls).await
}

fn outcomes(answer: &BatchResponse) -> Vec<Outcome> {
    answer
        .results
        .iter()
        .map(|result| result.outcome())
        .collect()
}

fn texts(answer: &BatchResponse) -> Vec<&str> {
    let texts = answer.results.iter().map(|result| result.text.first());
    texts.map(|text| text.map_or("", |text| text)).collect()
}

#[tokio::test]
async fn shows_2_10_three_packets_of_one_handler_and_action_are_one_call_and_three_answers() {
    let notes = Notes::default();
    let gateway = gateway()
        .handler_with("h", notes.clone(), whole(3))
        .start()
        .await;
    let requests = ["a", "b", "c"].map(|name| {
        let packet = Packet::create("h").text(name).req_id("1");
        BatchRequest::of([packet]).client_id(name)
    });
    let answers = at_once(&gateway, requests.into()).await;
    for (answer, name) in answers.iter().zip(["a", "b", "c"]) {
        assert_eq!(texts(answer), [name]);
        assert_eq!(answer.results[0].req_id, "1");
    }
    let mut calls = notes.texts();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].sort();
    assert_eq!(calls[0], ["a", "b", "c"]);
}

#[tokio::test]
async fn shows_2_10_different_handlers_are_not_merged() {
    let notes = Notes::default();
    let gateway = gateway()
        .handler("left", notes.clone())
        .handler("right", notes.clone())
        .start()
        .await;
    let packets = ["left", "right", "left", "right"].map(|name| Packet::create(name).text(name));
    let answer = gateway
        .client()
        .await
        .sync(BatchRequest::of(packets))
        .await
        .unwrap();
    assert_eq!(texts(&answer), ["left", "right", "left", "right"]);
    let calls = notes.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    for call in calls {
        assert_eq!(call.texts, [call.handler.as_str(), call.handler.as_str()]);
    }
}

#[tokio::test]
async fn shows_2_10_different_actions_are_not_merged_without_mixed_actions() {
    for (mixed, expected) in [(false, 2), (true, 1)] {
        let notes = Notes::default();
        let gateway = gateway()
            .handler_with("h", notes.clone(), |settings| {
                settings.mixed_actions = mixed
            })
            .start()
            .await;
        let packets = [
            Packet::create("h").text("create"),
            Packet::update("h", "k").text("update"),
            Packet::create("h").text("create"),
            Packet::update("h", "k").text("update"),
        ];
        // In no order: else the actions take turns.
        let packets = packets.map(Packet::unordered);
        let answer = gateway
            .client()
            .await
            .sync(BatchRequest::of(packets))
            .await
            .unwrap();
        assert_eq!(texts(&answer), ["create", "update", "create", "update"]);
        let calls = notes.calls();
        assert_eq!(calls.len(), expected, "mixed {mixed}: {calls:?}");
        assert!(
            calls.iter().all(|call| call.action.is_none() == mixed),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn shows_2_10_the_same_req_ids_of_two_clients_in_one_batch() {
    let notes = Notes::default();
    let gateway = gateway()
        .handler_with("h", notes.clone(), whole(6))
        .start()
        .await;
    let requests = ["a", "b"].map(|name| {
        let packet = |number: u64| {
            let packet = Packet::create("h").text(format!("{name}{number}"));
            packet.seq(number).req_id(number.to_string())
        };
        BatchRequest::of((1..=3).map(packet)).client_id(name)
    });
    let answers = at_once(&gateway, requests.into()).await;
    assert_eq!(texts(&answers[0]), ["a1", "a2", "a3"]);
    assert_eq!(texts(&answers[1]), ["b1", "b2", "b3"]);
    assert_eq!(notes.calls().len(), 1, "they shared a batch");
}

/// Waits for its turn with every answer.
#[derive(Debug)]
struct Waits(Arc<Notify>);

/// Gives the other one its turn before it answers.
#[derive(Debug)]
struct Goes(Arc<Notify>);

impl Handler for Waits {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        Box::pin(async move {
            self.0.notified().await;
            Ok(batch.items.iter().map(echo).collect())
        })
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

impl Handler for Goes {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        self.0.notify_one();
        // And its answers stand in no order.
        let answers = batch.items.iter().rev().map(echo).collect();
        Box::pin(std::future::ready(Ok(answers)))
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

#[tokio::test]
async fn shows_2_10_two_handlers_that_answer_out_of_order() {
    let turn = Arc::new(Notify::new());
    let gateway = gateway()
        .handler("first", Waits(turn.clone()))
        .handler("second", Goes(turn))
        .start()
        .await;
    let packets = [
        ("first", "1"),
        ("second", "2"),
        ("second", "3"),
        ("first", "4"),
    ];
    let packets = packets.map(|(handler, text)| Packet::create(handler).text(text));
    let answer = gateway
        .client()
        .await
        .sync(BatchRequest::of(packets))
        .await
        .unwrap();
    assert_eq!(texts(&answer), ["1", "2", "3", "4"]);
}

/// Answers as its items say.
#[derive(Debug)]
struct Confused;

impl Handler for Confused {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        let mut answers = Vec::new();
        for item in &batch.items {
            match &*text(item) {
                "silent" => {}
                "twice" => {
                    answers.push(echo(item));
                    let answer = Answer::rejected(tidegate::types::Reason::Application, "no");
                    answers.push(Handled::new(item.id, answer));
                }
                "of a stranger" => {
                    answers.push(echo(item));
                    let id = ItemId(u128::MAX);
                    answers.push(Handled { id, ..echo(item) });
                }
                "panic" => panic!("as it was told to"),
                "fail" => return Box::pin(std::future::ready(Err(CallError::passing("down")))),
                _ => answers.push(echo(item)),
            }
        }
        Box::pin(std::future::ready(Ok(answers)))
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

async fn confused(texts: &[&str]) -> (Gateway, BatchResponse) {
    let gateway = gateway().handler("h", Confused).start().await;
    let packets = texts
        .iter()
        .map(|text| Packet::create("h").text(*text).unordered());
    let answer = gateway
        .client()
        .await
        .sync(BatchRequest::of(packets))
        .await
        .unwrap();
    (gateway, answer)
}

/// One packet to the same handler is done.
async fn goes_on(gateway: &Gateway) {
    let packet = Packet::create("h").text("and on");
    let answer = gateway.client().await.sync(packet).await.unwrap();
    assert_eq!(
        (outcomes(&answer), texts(&answer)),
        (vec![Outcome::Ok], vec!["and on"])
    );
}

#[tokio::test]
async fn shows_2_10_answers_to_nobody_and_two_to_one_are_ignored() {
    let (gateway, answer) = confused(&["twice", "of a stranger", "fine"]).await;
    assert_eq!(outcomes(&answer), [Outcome::Ok; 3]);
    assert_eq!(texts(&answer), ["twice", "of a stranger", "fine"]);
    goes_on(&gateway).await;
}

#[tokio::test]
async fn shows_2_10_an_item_without_an_answer_may_be_sent_again_and_its_neighbours_are_done() {
    let (gateway, answer) = confused(&["one", "silent", "two"]).await;
    assert_eq!(
        outcomes(&answer),
        [Outcome::Ok, Outcome::Retry, Outcome::Ok]
    );
    assert_eq!(answer.results[1].reason(), Reason::HandlerFailed);
    assert_eq!(texts(&answer), ["one", "", "two"]);
    goes_on(&gateway).await;
}

#[tokio::test]
async fn shows_2_10_a_handler_that_panics_or_fails_is_told_and_the_gateway_goes_on() {
    for text in ["panic", "fail"] {
        let (gateway, answer) = confused(&["one", text]).await;
        assert_eq!(outcomes(&answer), [Outcome::InDoubt; 2], "{text}");
        for result in &answer.results {
            assert_eq!(result.reason(), Reason::HandlerFailed, "{text}");
        }
        goes_on(&gateway).await;
    }
}
