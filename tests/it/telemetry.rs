//! Traces: what a collector gets, and what a handler is told.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tidegate_client::proto::{BatchRequest, BatchResponse, Outcome, Packet};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::support::{Gateway, Service, gateway};

/// More than any of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of a client's own.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// What a collector was sent.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for scope in resource.scope_spans {
                self.0.lock().extend(scope.spans);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens when this returns, as long as the runtime is there.
    async fn begin() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, uri)
    }

    fn spans(&self, name: &str) -> Vec<Span> {
        let spans = self.0.lock();
        spans
            .iter()
            .filter(|span| span.name == name)
            .cloned()
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

fn links(span: &Span) -> Vec<String> {
    let links = span.links.iter();
    let links = links.map(|link| format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id)));
    let mut links: Vec<_> = links.collect();
    links.sort();
    links
}

/// Everything that a span says.
fn said(span: &Span) -> Vec<(String, String)> {
    let attributes = span.attributes.iter();
    let value = |value: Option<&Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    attributes
        .map(|pair| {
            let inner = pair.value.as_ref().and_then(|value| value.value.as_ref());
            (pair.key.clone(), value(inner))
        })
        .collect()
}

async fn sync(gateway: &Gateway, request: BatchRequest, parent: Option<&str>) -> BatchResponse {
    let mut request = Request::new(request);
    if let Some(parent) = parent {
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", parent.parse().unwrap());
    }
    let mut bare = gateway.bare().await;
    let answer = timeout(PATIENCE, bare.sync(request)).await.unwrap();
    answer.unwrap().into_inner()
}

async fn before(service: &Service, more: &str) -> Gateway {
    let config = format!(
        "{more}\n[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\n",
        service.uri()
    );
    gateway().config(&config).start().await
}

fn orders() -> [Packet; 3] {
    let own = format!("00-{}-{SPAN}-01", "a".repeat(32));
    let unsampled = format!("00-{}-{SPAN}-00", "b".repeat(32));
    [
        Packet::create("orders").text("secret").seq(1).req_id("r1"),
        Packet::create("orders")
            .text("secret")
            .seq(2)
            .header("traceparent", own),
        Packet::create("orders")
            .text("secret")
            .seq(3)
            .header("traceparent", unsampled),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_items_span_and_its_batchs_are_linked_and_the_handler_goes_on_from_the_batchs() {
    let (collector, uri) = Collector::begin().await;
    let service = Service::echo();
    let _running = service.begin();
    let gateway = before(&service, &format!("[telemetry]\notlp = {uri:?}")).await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let request = BatchRequest::of(orders()).client_id("c");
    let answer = sync(&gateway, request, Some(&parent)).await;
    assert!(
        answer
            .results
            .iter()
            .all(|result| result.outcome() == Outcome::Ok)
    );
    gateway.stop().await.unwrap();

    let calls = collector.spans("tidegate.v1.Gateway/Sync");
    let [call] = &calls[..] else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (&*hex(&call.trace_id), &*hex(&call.parent_span_id)),
        (TRACE, SPAN)
    );
    let batches = collector.spans("handle orders");
    assert_eq!(batches.len(), service.seen().len());
    let items = collector.spans("item orders");
    assert_eq!(items.len(), 2, "the one that is not sampled has no span");
    // The first is the call's, the second its own trace's.
    assert_eq!(items[0].parent_span_id, call.span_id);
    assert_eq!(hex(&items[1].trace_id), "a".repeat(32));
    assert_eq!(hex(&items[1].parent_span_id), SPAN);

    let batch = &batches[0];
    assert!(batch.parent_span_id.is_empty(), "it is in nobody's trace");
    let mut expected: Vec<_> = items.iter().map(traceparent).collect();
    expected.sort();
    assert_eq!(links(batch), expected);
    for item in &items {
        assert_eq!(links(item), [traceparent(batch)]);
        assert!(item.start_time_unix_nano <= batch.start_time_unix_nano);
    }
    assert_eq!(service.traces(), [Some(traceparent(batch))]);

    let told = said(&items[0]);
    let has = |name: &str, value: &str| told.contains(&(name.to_owned(), value.to_owned()));
    assert!(
        has("tidegate.req_id", "r1") && has("tidegate.outcome", "OK"),
        "{told:?}"
    );
    assert!(has("tidegate.item_id", &service.items()[0].id), "{told:?}");
    let everything = format!("{:?}", collector.0.lock());
    assert!(!everything.contains("secret"), "content is in a span");

    // What each item goes on from: the call's, or its own.
    let headers = service.items().into_iter();
    let headers: Vec<_> = headers
        .map(|item| item.headers["traceparent"].clone())
        .collect();
    assert_eq!(headers[0], traceparent(call));
    assert!(headers[1].contains(&"a".repeat(32)) && headers[2].ends_with("-00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_telemetry_a_trace_is_handed_on_as_it_came() {
    let service = Service::echo();
    let _running = service.begin();
    let gateway = before(&service, "").await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let one = |seq| [Packet::create("orders").text("x").seq(seq)];
    for (seq, parent) in [(1, Some(&*parent)), (2, Some("nonsense")), (3, None)] {
        sync(&gateway, BatchRequest::of(one(seq)).client_id("c"), parent).await;
    }
    let items = service.items().into_iter();
    let told: Vec<_> = items
        .map(|item| item.headers.get("traceparent").cloned())
        .collect();
    assert_eq!(told, [Some(parent), None, None]);
    assert_eq!(service.traces(), [None, None, None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::echo();
    let config = format!(
        "[handlers.orders]\nkind = \"grpc\"\naddresses = [{:?}]\n",
        service.uri()
    );
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let first = gateway().config(&config).data(directory.path());
    let first = first.start().await;
    let request = BatchRequest::of([Packet::create("orders").text("x").seq(1)]);
    let request = request.client_id("c").until_accepted();
    let answer = sync(&first, request, Some(&parent)).await;
    assert_eq!(answer.results[0].outcome(), Outcome::Accepted);
    first.stop().await.unwrap();
    assert!(service.items().is_empty(), "nobody was there");

    let _running = service.begin();
    let second = gateway().config(&config).data(directory.path());
    let _second = second.start().await;
    timeout(PATIENCE, service.called(1)).await.unwrap();
    assert_eq!(service.items()[0].headers["traceparent"], parent);
}
