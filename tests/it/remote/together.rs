//! Many clients with a packet each become a few calls, and what that saves the handler.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_client::proto::gateway_client::GatewayClient;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::sync::Barrier;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::support::{Backend, Conduct, gateway};

const CLIENTS: usize = 1_000;
const CONNECTIONS: usize = 50;
const CALL: Duration = Duration::from_millis(2);
const ROUNDS: usize = 5;

/// What some rounds cost.
#[derive(Default)]
struct Cost {
    calls: usize,
    time: Duration,
    cpu: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_5_a_thousand_clients_with_one_packet_each_share_few_calls() {
    let conduct = Conduct {
        call: CALL,
        ..Conduct::default()
    };
    let mut backends = [
        Backend::start(conduct.clone()).await,
        Backend::start(conduct).await,
    ];
    let names = ["together", "alone"];
    let [together, alone] = backends.each_ref().map(|backend| backend.uri());
    let config = format!(
        "[handlers.together]\nkind = \"grpc\"\ndurable = false\naddresses = [{together:?}]\n\
         [handlers.alone]\nkind = \"grpc\"\ndurable = false\naddresses = [{alone:?}]\nbatch = {{ max_packets = 1 }}\n"
    );
    let gateway = gateway().config(&config).start().await;
    let channels = join_all((0..CONNECTIONS).map(|_| gateway.channel())).await;
    for name in names {
        send(&channels, name).await;
    }
    let mut costs = [Cost::default(), Cost::default()];
    for _ in 0..ROUNDS {
        for ((backend, name), cost) in backends.iter_mut().zip(names).zip(&mut costs) {
            let (calls, cpu) = (backend.calls().await.len(), backend.cpu());
            cost.time += send(&channels, name).await;
            cost.calls += backend.calls().await.len() - calls;
            cost.cpu += backend.cpu() - cpu;
        }
    }
    let packets = CLIENTS * ROUNDS;
    let [together, alone] = costs;
    assert_eq!(alone.calls, packets, "one call each");
    let per_call = packets / together.calls;
    assert!(per_call >= 50, "{per_call} packets per call");
    let ratio = |of: fn(&Cost) -> Duration| of(&alone).as_secs_f64() / of(&together).as_secs_f64();
    println!(
        "SHOWS 4.5 {CLIENTS} clients on {CONNECTIONS} connections with one packet each at once, a handler in another process that \
         takes {CALL:?}, {ROUNDS} times: {per_call} packets per call; {} calls, {:.2} s and {:.2} s of the handler's processor \
         against {}, {:.2} s and {:.2} s one by one: {:.1} times the time, {:.1} times the processor",
        together.calls,
        together.time.as_secs_f64(),
        together.cpu.as_secs_f64(),
        alone.calls,
        alone.time.as_secs_f64(),
        alone.cpu.as_secs_f64(),
        ratio(|cost| cost.time),
        ratio(|cost| cost.cpu),
    );
}

/// One packet of every client at once. Gives how long it takes until all have their answers.
async fn send(channels: &[Channel], handler: &'static str) -> Duration {
    let together = Arc::new(Barrier::new(CLIENTS + 1));
    let clients = (0..CLIENTS).map(|number| {
        let mut client = GatewayClient::new(channels[number % CONNECTIONS].clone());
        let together = together.clone();
        let packet = Packet::create(handler).text(number.to_string());
        let request = BatchRequest::of([packet]).client_id(format!("client-{number}"));
        tokio::spawn(async move {
            together.wait().await;
            let answer = client.sync(request).await.unwrap().into_inner();
            let result = &answer.results[0];
            assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
            assert_eq!(result.data, [number.to_string()], "its own answer");
        })
    });
    let clients: Vec<_> = clients.collect();
    together.wait().await;
    let started = Instant::now();
    for client in join_all(clients).await {
        client.unwrap();
    }
    started.elapsed()
}
