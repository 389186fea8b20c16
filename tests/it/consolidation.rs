//! Many clients with a packet each become a few calls.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tidegate::handler::{Batch, CallError, Handled, Handler};
use tidegate::types::Action;
use tidegate_client::proto::gateway_client::GatewayClient;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::sync::Barrier;

use crate::support::{Notes, echo, gateway};

const CLIENTS: usize = 1_000;
const CONNECTIONS: usize = 50;
const LATENCY: Duration = Duration::from_millis(2);

/// Needs its time for a call, whatever is in it.
#[derive(Debug, Clone, Default)]
struct Slow(Notes);

impl Handler for Slow {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        Box::pin(async move {
            self.0.note(&batch);
            tokio::time::sleep(LATENCY).await;
            Ok(batch.items.iter().map(echo).collect())
        })
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

#[tokio::test]
async fn shows_2_7_a_thousand_clients_with_one_packet_each_share_few_calls() {
    let slow = Slow::default();
    let gateway = gateway().handler("slow", slow.clone()).start().await;
    let channels = join_all((0..CONNECTIONS).map(|_| gateway.channel())).await;
    let together = Arc::new(Barrier::new(CLIENTS));
    let clients = (0..CLIENTS).map(|number| {
        let mut client = GatewayClient::new(channels[number % CONNECTIONS].clone());
        let together = together.clone();
        let packet = Packet::create("slow").text(number.to_string()).seq(1);
        let request = BatchRequest::of([packet]).client_id(format!("client-{number}"));
        tokio::spawn(async move {
            together.wait().await;
            client.sync(request).await.unwrap().into_inner()
        })
    });
    for (number, answer) in join_all(clients).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        let [result] = &answer.results[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
        assert_eq!(result.text, [number.to_string()], "its own answer");
    }
    let sizes: Vec<usize> = slow.0.texts().iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), CLIENTS, "each once: {sizes:?}");
    let per_call = CLIENTS / sizes.len();
    assert!(per_call >= 50, "{per_call} packets per call: {sizes:?}");
    println!(
        "SHOWS 2.7 {CLIENTS} clients on {CONNECTIONS} connections with one packet each at once, a handler that takes \
         {LATENCY:?}: {per_call} packets per call ({} calls, of {sizes:?})",
        sizes.len()
    );
}
