//! Dead letters over restarts of the gateway: killed, and stopped.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::Signal;
use tidegate::wire::proto::{HandleItem, HandleResult, Outcome as Said};
use tidegate_client::proto::{BatchRequest, Outcome, Packet, PacketResult, ResultsRequest};
use tokio::sync::watch;
use tokio::time::timeout;

use super::letters::dead;
use super::{PATIENCE, client, done};
use crate::support::{Process, Service, answers, echoed, said};

/// Says RETRY to some orders, and tells the others as applied: once each, by the id.
#[derive(Clone)]
struct Shop {
    bad: Arc<Mutex<HashSet<&'static str>>>,
    applied: Arc<watch::Sender<Vec<(String, String)>>>,
}

impl Shop {
    fn new(bad: &[&'static str]) -> Self {
        Self {
            bad: Arc::new(Mutex::new(bad.iter().copied().collect())),
            applied: Arc::default(),
        }
    }

    fn cure(&self, text: &str) {
        assert!(self.bad.lock().remove(text));
    }

    fn answer(&self, item: &HandleItem) -> HandleResult {
        let text = said(item);
        if self.bad.lock().contains(&*text) {
            return HandleResult {
                id: item.id.clone(),
                outcome: Said::Retry.into(),
                message: format!("not {text}"),
                ..HandleResult::default()
            };
        }
        self.applied.send_if_modified(|applied| {
            let is_new = applied.iter().all(|(id, _)| *id != item.id);
            if is_new {
                applied.push((item.id.clone(), text));
            }
            is_new
        });
        echoed(item)
    }

    fn service(&self) -> Service {
        let shop = self.clone();
        Service::answering(move |request| {
            let results = request.items.iter().map(|item| shop.answer(item));
            Ok(answers(results))
        })
    }

    fn texts(&self) -> Vec<String> {
        let applied = self.applied.borrow();
        applied.iter().map(|(_, text)| text.clone()).collect()
    }

    /// What was applied, once this is.
    async fn until(&self, text: &str) -> Vec<String> {
        let mut applied = self.applied.subscribe();
        let there = applied.wait_for(|applied| applied.iter().any(|(_, one)| one == text));
        let there = timeout(PATIENCE, there).await;
        drop(there.unwrap_or_else(|_| panic!("{text} is not applied: {:?}", self.texts())));
        self.texts()
    }

    fn id_of(&self, text: &str) -> String {
        let applied = self.applied.borrow();
        let found = applied.iter().find(|(_, one)| one == text);
        found.expect("it was applied").0.clone()
    }
}

/// One order at a time, and given up when it was told RETRY once.
async fn start(data: &Path, service: &Service, on_dead: &str) -> Process {
    let addresses = format!("[\"{}\"]", service.uri());
    let orders = [
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", addresses.as_str()),
        ("TIDEGATE_HANDLERS__ORDERS__ON_DEAD", on_dead),
        ("TIDEGATE_HANDLERS__ORDERS__BATCH__MAX_PACKETS", "1"),
        ("TIDEGATE_HANDLERS__ORDERS__RETRY__ATTEMPTS", "1"),
        ("TIDEGATE_HANDLERS__ORDERS__RETRY__BUDGET", "0s"),
    ];
    Process::on(data, &orders).await
}

async fn end(gateway: Process, signal: Signal) {
    match signal {
        Signal::KILL => gateway.kill().await,
        _ => {
            gateway.signal(signal);
            assert_eq!(gateway.ended().await.0, Some(0));
        }
    }
}

fn orders(client_id: &str, first: u64, texts: &[&str]) -> BatchRequest {
    let packets = (first..).zip(texts);
    let packets = packets.map(|(seq, text)| Packet::create("orders").text(*text).seq(seq));
    BatchRequest::of(packets).client_id(client_id)
}

async fn sent(gateway: &Process, request: BatchRequest) -> Vec<Outcome> {
    let client = client(gateway).await;
    let answer = timeout(PATIENCE, client.sync(request)).await;
    let results = answer.expect("it is answered").unwrap().results;
    results.iter().map(PacketResult::outcome).collect()
}

/// What the phone was told, by place.
async fn told(gateway: &Process) -> Vec<(u64, Outcome)> {
    let asked = ResultsRequest {
        client_id: "phone".into(),
        handler: "orders".into(),
        ..ResultsRequest::default()
    };
    let results = client(gateway).await.results(asked).await.unwrap().results;
    let told = results.iter().map(|result| (result.seq, result.outcome()));
    told.collect()
}

#[tokio::test]
async fn what_is_given_up_is_retried_and_discarded_after_a_kill_and_after_a_stop() {
    for signal in [Signal::KILL, Signal::TERM] {
        let data = tempfile::tempdir().unwrap();
        let shop = Shop::new(&["two", "four"]);
        let service = shop.service();
        let running = service.begin();
        let first = start(data.path(), &service, "continue").await;
        let outcomes = sent(&first, orders("phone", 1, &["one", "two", "three", "four"])).await;
        use Outcome::{Ok as Done, Rejected};
        let expected = [Done, Rejected, Done, Rejected];
        assert_eq!(outcomes, expected);
        let before = dead(data.path(), 2).await;
        let items = service.items().into_iter();
        let item = items.filter(|item| said(item) == "two").map(|item| item.id);
        let item = item.last().unwrap();
        end(first, signal).await;

        let second = start(data.path(), &service, "continue").await;
        assert_eq!(dead(data.path(), 2).await, before, "{signal:?}");
        shop.cure("two");
        let id = before[0]["id"].to_string();
        let said = done(&["dead-letters", "retry", &id], data.path()).await;
        assert_eq!(said, "1 dead letter is tried again\n");
        // It may not have been called yet.
        end(second, signal).await;

        let third = start(data.path(), &service, "continue").await;
        assert_eq!(shop.until("two").await, ["one", "three", "two"]);
        assert_ne!(shop.id_of("two"), item, "it is another packet");
        assert_eq!(dead(data.path(), 1).await, before[1..], "{signal:?}");
        let id = before[1]["id"].to_string();
        let discard = ["dead-letters", "discard", &id, "--yes"];
        done(&discard, data.path()).await;
        end(third, signal).await;

        let fourth = start(data.path(), &service, "continue").await;
        dead(data.path(), 0).await;
        let told = told(&fourth).await;
        let expected: Vec<_> = (1..).zip(expected).collect();
        assert_eq!(told, expected, "what the client was told stands");
        assert_eq!(sent(&fourth, orders("phone", 5, &["five"])).await, [Done]);
        assert_eq!(shop.texts(), ["one", "three", "two", "five"]);
        drop(running);
    }
}

#[tokio::test]
async fn what_is_held_holds_up_its_chain_until_it_is_decided_after_a_kill_and_after_a_stop() {
    for signal in [Signal::KILL, Signal::TERM] {
        let data = tempfile::tempdir().unwrap();
        let shop = Shop::new(&["two", "four"]);
        let service = shop.service();
        let running = service.begin();
        let first = start(data.path(), &service, "stop").await;
        use Outcome::{Accepted, Ok as Done, Rejected};
        let all = orders("phone", 1, &["one", "two", "three", "four", "five"]);
        assert_eq!(sent(&first, all.until_accepted()).await, [Accepted; 5]);
        let before = dead(data.path(), 1).await;
        assert_eq!(
            (&before[0]["seq"], &before[0]["held"]),
            (&2.into(), &true.into())
        );
        let items = service.items().into_iter();
        let item = items.filter(|item| said(item) == "two").map(|item| item.id);
        let item = item.last().unwrap();
        end(first, signal).await;

        // Now it could be applied: only that it is held keeps it from that.
        shop.cure("two");
        let second = start(data.path(), &service, "stop").await;
        assert_eq!(dead(data.path(), 1).await, before, "{signal:?}");
        // The gateway goes on, and nothing behind what is held does.
        assert_eq!(sent(&second, orders("tablet", 1, &["other"])).await, [Done]);
        assert_eq!(shop.texts(), ["one", "other"]);
        let id = before[0]["id"].to_string();
        let said = done(&["dead-letters", "retry", &id], data.path()).await;
        assert_eq!(said, "1 dead letter is tried again\n");
        // It may not have been called yet.
        end(second, signal).await;

        let third = start(data.path(), &service, "stop").await;
        let applied = shop.until("three").await;
        assert_eq!(applied, ["one", "other", "two", "three"]);
        assert_eq!(shop.id_of("two"), item, "it is the same packet");
        let held = async {
            loop {
                let held = dead(data.path(), 1).await;
                if held[0]["seq"] == 4 {
                    return held[0]["id"].to_string();
                }
            }
        };
        let id = timeout(PATIENCE, held).await.expect("the next is held");
        let discard = ["dead-letters", "discard", &id, "--yes"];
        done(&discard, data.path()).await;
        end(third, signal).await;

        let fourth = start(data.path(), &service, "stop").await;
        dead(data.path(), 0).await;
        let applied = shop.until("five").await;
        assert_eq!(applied, ["one", "other", "two", "three", "five"]);
        assert_eq!(sent(&fourth, orders("phone", 5, &["five"])).await, [Done]);
        let expected: Vec<_> = (1..).zip([Done, Done, Done, Rejected, Done]).collect();
        assert_eq!(told(&fourth).await, expected, "{signal:?}");
        drop(running);
    }
}
