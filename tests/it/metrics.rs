//! What is scraped: that it is the text that Prometheus reads, and that its figures are those of what was sent.

mod exposition;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::metrics::CONTENT_TYPE;
use tidegate::wire::proto::{HandleResult, Publication};
use tidegate_client::proto::{BatchRequest, EventsRequest, Outcome, Packet};
use tokio::time::timeout;
use tonic::Status;

use self::exposition::Scrape;
use crate::support::{ADMIN_TOKEN, Gateway, Service, Wire, answers, echoed, gateway, said};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn scrape(gateway: &Gateway) -> Scrape {
    let mut wire = Wire::open(gateway.admin()).await;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n",
        gateway.admin()
    );
    wire.send(request.as_bytes()).await;
    let answer = timeout(PATIENCE, wire.answer()).await.unwrap();
    let kind = answer.header("content-type");
    assert_eq!((answer.status, kind), (200, Some(CONTENT_TYPE)));
    let text = String::from_utf8(answer.body).unwrap();
    Scrape::read(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"))
}

fn order(seq: u64, text: &str) -> Packet {
    Packet::create("orders").text(text).seq(seq)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_is_counted() {
    let service = Service::echo();
    let _running = service.begin();
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\n[handlers.todos]\n",
        service.uri()
    );
    let gateway = gateway()
        .config(&config)
        .data(directory.path())
        .start()
        .await;
    let client = gateway.client().await;
    let mut bare = gateway.bare().await;
    let request = EventsRequest {
        topics: vec!["records.todos.>".into()],
        ..EventsRequest::default()
    };
    let mut stream = bare.events(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    let orders = (1..=70).map(|seq| order(seq, "x"));
    let answer = client.sync(BatchRequest::of(orders).client_id("c"));
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert!(
        answer
            .results
            .iter()
            .all(|result| result.outcome() == Outcome::Ok)
    );
    for number in 0..3 {
        let todo = Packet::create("todos").key(format!("k{number}")).text("x");
        client.sync(todo).await.unwrap();
        stream.message().await.unwrap().unwrap();
    }
    let unknown = Packet::create("nowhere").text("x");
    client.sync(unknown).await.unwrap();
    let nameless = BatchRequest {
        client_id: "x".repeat(1000),
        ..BatchRequest::default()
    };
    client.sync(nameless).await.unwrap_err();

    let seen = scrape(&gateway).await;
    let calls = service.seen().len() as f64;
    let orders = [("handler", "orders"), ("action", "create")];
    let taking = [("handler", "orders"), ("action", "taking")];
    let todos = [("handler", "todos"), ("action", "mixed")];
    let told = |outcome, reason| {
        seen.value(
            "tidegate_packets_total",
            &[("outcome", outcome), ("reason", reason)],
        )
    };
    assert_eq!(told("OK", "UNSPECIFIED"), 73.0);
    assert_eq!(told("REJECTED", "UNKNOWN_HANDLER"), 1.0);
    let refused = [("method", "Sync"), ("reason", "invalid")];
    assert_eq!(seen.value("tidegate_refused_calls_total", &refused), 1.0);
    // Each was taken by a batch, and went to its handler in another.
    assert_eq!(seen.value("tidegate_batch_packets_sum", &taking), 70.0);
    assert_eq!(seen.value("tidegate_batch_packets_sum", &orders), 70.0);
    assert_eq!(seen.value("tidegate_batch_packets_count", &orders), calls);
    assert_eq!(seen.value("tidegate_batch_packets_sum", &todos), 3.0);
    assert_eq!(
        seen.value("tidegate_packet_wait_seconds_count", &orders),
        70.0
    );
    assert_eq!(seen.value("tidegate_batch_seconds_count", &orders), calls);
    assert_eq!(seen.sum("tidegate_batches_total", &orders), calls);
    let answered = [orders[0], orders[1], ("result", "answered")];
    assert_eq!(seen.value("tidegate_calls_total", &answered), calls);
    assert_eq!(seen.value("tidegate_circuit", &orders[..1]), 0.0);
    assert_eq!(seen.value("tidegate_lane_packets", &orders), 0.0);
    // 70 that came, 70 answers, 3 records; and what the gateway sends itself.
    assert!(seen.value("tidegate_commit_packets_sum", &[]) >= 143.0);
    let durable = seen.value("tidegate_commits_total", &[("result", "durable")]);
    assert!(durable >= 5.0);
    assert!(seen.value("tidegate_log_group_commits_count", &[]) >= 1.0);
    assert!(seen.value("tidegate_log_written_bytes_total", &[]) > 0.0);
    assert!(seen.value("tidegate_store_bytes", &[("what", "log")]) > 0.0);
    assert_eq!(seen.value("tidegate_streams", &[]), 1.0);
    // Connected, and three changes.
    assert!(seen.value("tidegate_stream_events_total", &[]) >= 3.0);
    assert!(seen.value("tidegate_store_queues", &[]) >= 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(seen.value("tidegate_build_info", &version), 1.0);
    assert!(seen.value("process_resident_memory_bytes", &[]) > 1e6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_answers_against_the_contract_is_counted() {
    // Twice for the first, for nobody, nothing for the third, and on behind it; the next time as it should.
    let service = Service::answering(|request| {
        let mut results: Vec<_> = request.items.iter().map(echoed).collect();
        if request.items.iter().any(|item| item.attempt == 1) {
            results.retain(|result| said_by(result) != "c");
            results.push(results[0].clone());
            for id in ["0123456789abcdef0123456789abcdef", "not an id"] {
                let nobody = HandleResult {
                    id: id.into(),
                    ..results[0].clone()
                };
                results.push(nobody);
            }
            results[0].publish.push(Publication {
                topic: "nowhere.allowed".into(),
                ..Publication::default()
            });
        }
        Ok(answers(results))
    });
    let _running = service.begin();
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\nbatch = {{ window = \"50ms\" }}\n",
        service.uri()
    );
    let gateway = gateway().config(&config).start().await;
    let client = gateway.client().await;
    let orders = ["a", "b", "c", "d"].into_iter().zip(1..);
    let orders = orders.map(|(text, seq)| order(seq, text));
    let answer = client.sync(BatchRequest::of(orders).client_id("c"));
    timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(
        service.items().iter().map(said).collect::<String>(),
        "abcdc"
    );

    let seen = scrape(&gateway).await;
    let of = [("handler", "orders")];
    let lane = [of[0], ("action", "create")];
    assert_eq!(seen.value("tidegate_answers_missing_total", &of), 1.0);
    assert_eq!(seen.value("tidegate_answers_ignored_total", &of), 3.0);
    assert_eq!(seen.value("tidegate_answers_overtaking_total", &of), 1.0);
    assert_eq!(seen.value("tidegate_dropped_messages_total", &of), 1.0);
    assert_eq!(seen.value("tidegate_retried_packets_total", &lane), 1.0);
    assert_eq!(seen.value("tidegate_batch_packets_sum", &lane), 5.0);
    assert_eq!(seen.value("tidegate_packet_wait_seconds_count", &lane), 4.0);
}

fn said_by(result: &HandleResult) -> String {
    String::from_utf8(result.data[0].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_and_what_is_given_up_are_counted() {
    let wrong_once = AtomicBool::new(true);
    let service = Service::answering(move |request| {
        let has = |text| request.items.iter().any(|item| said(item) == text);
        if has("poison") {
            return Err(Status::internal("it chokes"));
        }
        if has("wrong") && wrong_once.swap(false, Ordering::Relaxed) {
            return Err(Status::permission_denied("not you"));
        }
        Ok(answers(request.items.iter().map(echoed)))
    });
    let _running = service.begin();
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\nretry = {{ initial = \"1ms\", max = \"10ms\" }}\n",
        service.uri()
    );
    let gateway = gateway().config(&config).start().await;
    let client = gateway.client().await;
    let orders = (1..=8).map(|seq| order(seq, if seq == 5 { "poison" } else { "x" }));
    let answer = client.sync(BatchRequest::of(orders).client_id("c"));
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.results[4].outcome(), Outcome::Rejected);
    let failed = service.seen().len();
    let wrong = BatchRequest::of([order(9, "wrong")]).client_id("c");
    let answer = timeout(PATIENCE, client.sync(wrong))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.results[0].outcome(), Outcome::Ok);

    let seen = scrape(&gateway).await;
    let of = [("handler", "orders")];
    let calls = |result| {
        let labels = [of[0], ("action", "create"), ("result", result)];
        seen.value("tidegate_calls_total", &labels)
    };
    assert_eq!(calls("handler"), 1.0);
    assert_eq!(
        calls("items") + calls("answered"),
        (failed + 1) as f64,
        "every call is counted once"
    );
    assert!(
        calls("items") >= 4.0,
        "the whole, two halves, and the poison"
    );
    let dead = |why| seen.value("tidegate_dead_letters_total", &[of[0], ("why", why)]);
    assert_eq!((dead("poison"), dead("spent")), (1.0, 0.0));
    assert_eq!(seen.value("tidegate_circuit_opened_total", &of), 1.0);
    assert_eq!(seen.value("tidegate_circuit", &of), 0.0);
    let searched = [of[0], ("action", "create"), ("why", "search")];
    assert!(seen.value("tidegate_batches_total", &searched) >= 3.0);
}

/// Each is a line of the table in docs/metrics.md, with its kind and its help; and that has no others.
#[tokio::test]
async fn the_documentation_has_every_metric_and_no_other() {
    let gateway = gateway().start().await;
    let families = scrape(&gateway).await.families;
    let lines = families.iter().map(|family| {
        let name = match family.kind.as_str() {
            "counter" => format!("{}_total", family.name),
            _ => family.name.clone(),
        };
        format!("| `{name}` | {} | {} |", family.kind, family.help)
    });
    let expected: Vec<_> = lines.collect();
    let page = include_str!("../../docs/metrics.md");
    let told = page.lines().filter(|line| line.starts_with("| `"));
    let told: Vec<_> = told.collect();
    assert_eq!(told, expected, "the table is:\n{}", expected.join("\n"));
}
