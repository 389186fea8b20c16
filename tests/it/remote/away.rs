//! What becomes of packets whose service fails, dies, is silent, or is not there yet.

use std::time::Duration;

use tidegate_client::Client;
use tidegate_client::proto::{Outcome, Packet, PacketResult, Reason, ResultsRequest};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::{PATIENCE, before, of, one, order, outcomes};
use crate::support::{Line, Service, said};

/// Asks until all of the client's packets up to this place are done.
async fn until_done(client: &Client, last: u64) -> Vec<PacketResult> {
    let all = async {
        loop {
            let request = ResultsRequest {
                client_id: "c".into(),
                handler: "orders".into(),
                from_seq: 1,
                ..ResultsRequest::default()
            };
            let results = client.results(request).await.unwrap().results;
            let done = results
                .iter()
                .filter(|result| result.outcome() == Outcome::Ok);
            if done.count() as u64 == last {
                return results;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all).await.expect("all are done in time")
}

#[tokio::test]
async fn what_keeps_nothing_says_whether_it_may_have_been_applied() {
    let service = Service::answering(|request| {
        let code = said(&request.items[0]).parse().unwrap();
        Err(Status::new(Code::from_i32(code), "as it was told to"))
    });
    let running = service.begin();
    let gateway = before(&[service.uri()], "durable = false").await;
    let client = gateway.client().await;
    let ask = |code: Code| {
        let packet = Packet::create("orders").text((code as i32).to_string());
        one(&client, packet)
    };
    for code in [Code::Unavailable, Code::Internal, Code::Unimplemented] {
        let result = ask(code).await;
        assert_eq!(result.outcome(), Outcome::InDoubt, "{code:?}");
        assert_eq!(result.reason(), Reason::HandlerFailed);
    }
    drop(running);
    // The connection ends a moment after the service does.
    let unreached = async {
        loop {
            let result = ask(Code::Unavailable).await;
            if result.outcome() == Outcome::Retry {
                return result;
            }
        }
    };
    let result = timeout(PATIENCE, unreached).await.unwrap();
    assert_eq!(result.reason(), Reason::HandlerUnavailable);
    for _ in 0..5 {
        let result = ask(Code::Unavailable).await;
        assert_eq!(result.outcome(), Outcome::Retry, "nobody is there");
    }
}

#[tokio::test]
async fn a_service_that_dies_under_a_call_leaves_it_in_doubt() {
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let running = service.begin();
    let gateway = before(&[service.uri()], "durable = false\ncall_timeout = \"1h\"").await;
    let client = gateway.client().await;
    let asked = tokio::spawn(async move { one(&client, Packet::create("orders").text("x")).await });
    service.called(1).await;
    drop(running);
    assert_eq!(asked.await.unwrap().outcome(), Outcome::InDoubt);
}

#[tokio::test]
async fn a_call_has_its_time_and_no_more() {
    let service = Service::new(|_| Box::pin(std::future::pending()));
    let _running = service.begin();
    let gateway = before(
        &[service.uri()],
        "durable = false\ncall_timeout = \"300ms\"",
    )
    .await;
    let client = gateway.client().await;
    let asked = Instant::now();
    let result = one(&client, Packet::create("orders").text("x")).await;
    let took = asked.elapsed();
    assert_eq!(result.outcome(), Outcome::InDoubt);
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_done_in_order_once_the_service_is_there() {
    let service = Service::echo();
    let gateway = before(&[service.uri()], "").await;
    let client = gateway.client().await;
    // It is not there yet.
    let accepted = client
        .sync(of((1..=3).map(order)).until_accepted())
        .await
        .unwrap();
    assert_eq!(outcomes(&accepted), [Outcome::Accepted; 3]);
    let running = service.begin();
    until_done(&client, 3).await;
    // It goes, and comes back.
    drop(running);
    let accepted = client
        .sync(of((4..=6).map(order)).until_accepted())
        .await
        .unwrap();
    assert!(
        outcomes(&accepted)
            .iter()
            .all(|outcome| *outcome != Outcome::Rejected)
    );
    let _running = service.begin();
    let results = until_done(&client, 6).await;
    let texts: Vec<_> = results
        .iter()
        .map(|result| result.data[0].clone())
        .collect();
    assert_eq!(
        texts,
        (1..=6)
            .map(|seq| format!("order {seq}"))
            .collect::<Vec<_>>()
    );
    // A call that was cut may have come with its items; nothing comes ahead of its turn.
    let mut seqs: Vec<_> = service.items().iter().map(|item| item.seq).collect();
    seqs.dedup();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_of_two_dies_the_other_goes_on_until_it_is_back() {
    let (stays, dies) = (Service::echo(), Service::echo());
    let _stays = stays.begin();
    let running = dies.begin();
    let gateway = before(&[stays.uri(), dies.uri()], "durable = false").await;
    let client = gateway.client().await;
    let ask = || one(&client, Packet::create("orders").text("x"));
    while stays.seen().is_empty() || dies.seen().is_empty() {
        assert_eq!(ask().await.outcome(), Outcome::Ok);
    }
    drop(running);
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(ask().await.outcome() != Outcome::Ok);
    }
    assert!(
        failed <= 2,
        "{failed} of 200 calls went to an address where nobody was"
    );
    let (_running, before) = (dies.begin(), dies.seen().len());
    let back = async {
        while dies.seen().len() == before {
            assert_eq!(ask().await.outcome(), Outcome::Ok);
        }
    };
    timeout(PATIENCE, back)
        .await
        .expect("it gets its share again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_falls_silent_is_noticed_within_ten_seconds() {
    const NOTICED: Duration = Duration::from_secs(10);

    let (live, stopped) = (Service::echo(), Service::echo());
    let (_live, _stopped) = (live.begin(), stopped.begin());
    let line = Line::to(&stopped).await;
    // Only the connection can tell: a call may take an hour.
    let more = "durable = false\ncall_timeout = \"1h\"";
    let gateway = before(&[line.uri(), live.uri()], more).await;
    let client = Client::builder(gateway.uri()).call_timeout(PATIENCE);
    let client = client.connect().await.unwrap();
    let ask = || one(&client, Packet::create("orders").text("x"));
    while stopped.seen().is_empty() || live.seen().is_empty() {
        assert_eq!(ask().await.outcome(), Outcome::Ok);
    }
    line.fall_silent();
    let silent = Instant::now();
    let mut failed = 0;
    // Whichever of them meets the silent one ends when it is noticed; of those after it none does.
    while failed == 0 {
        failed += usize::from(ask().await.outcome() != Outcome::Ok);
    }
    let noticed = silent.elapsed();
    assert!(noticed < NOTICED, "noticed after {noticed:?}");
    for _ in 0..50 {
        assert_eq!(ask().await.outcome(), Outcome::Ok);
    }
    assert!(
        silent.elapsed() < noticed + NOTICED,
        "another call waited for it"
    );
    let before = stopped.seen().len();
    line.speak();
    let back = async {
        while stopped.seen().len() == before {
            assert_eq!(ask().await.outcome(), Outcome::Ok);
        }
    };
    timeout(PATIENCE, back)
        .await
        .expect("it gets its share again");
    println!(
        "a silent peer was noticed after {:.1} s; {} connections were made to it",
        noticed.as_secs_f64(),
        line.connections(),
    );
}
