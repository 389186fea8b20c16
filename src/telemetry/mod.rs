//! Traces, as OpenTelemetry has them: a span for each call of `Sync`, one for each batch that a handler is called with, and
//! one for each sampled item of it. A batch has items of many traces, so it is in none of them: its span and those of its items
//! link to each other. Spans have names, ids and counts, and nothing of what clients send.
//!
//! Off unless it is configured: then a call costs a comparison, and `traceparent` is handed on as it came.

mod batch;
mod context;
mod sampling;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span,
};

pub use batch::{BatchSpan, ItemTrace};

use sampling::Sampling;

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// OTLP over gRPC.
    pub endpoint: String,
    /// Of traces that begin here, which part is sampled: 0 to 1. Those that began elsewhere say so themselves.
    pub ratio: f64,
    /// The name of this process.
    pub node: String,
}

/// Spans that wait to be sent at most; more are dropped, and nobody waits for them.
const WAITING: usize = 16 << 10;

/// Links of a span at most: as many as a batch may have items.
const LINKS: u32 = 10_000;

/// What the last spans get to be sent in a stop.
const CLOSING: Duration = Duration::from_secs(2);

/// Makes spans. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The span of one call of `Sync`. It ends when this is dropped.
#[derive(Debug)]
pub struct CallSpan(Span);

impl Traces {
    /// None are made.
    pub fn off() -> Self {
        Self::default()
    }

    /// Connects to nobody yet. To be made inside a runtime. The error is for a person.
    pub fn new(settings: &TelemetrySettings) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(settings.endpoint.clone());
        let exporter = match settings.endpoint.starts_with("https") {
            true => exporter.with_tls_config(ClientTlsConfig::new().with_native_roots()),
            false => exporter,
        };
        let exporter = exporter
            .build()
            .map_err(|error| format!("traces cannot go to {}: {error}", settings.endpoint))?;
        let config = BatchConfigBuilder::default().with_max_queue_size(WAITING);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build());
        let resource = Resource::builder()
            .with_service_name("tidegate")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", settings.node.clone()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.build())
            .with_sampler(Sampling::new(settings.ratio))
            .with_max_links_per_span(LINKS)
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer("tidegate");
        Ok(Self(Some(Arc::new(On { provider, tracer }))))
    }

    /// Whether any are made.
    pub fn are_made(&self) -> bool {
        self.0.is_some()
    }

    /// A call of `Sync` begins. `parent`: its own `traceparent`. Gives its span, if it is sampled, and what its packets carry
    /// that carry none of their own.
    pub fn call(&self, parent: Option<&str>) -> (Option<CallSpan>, Option<String>) {
        let parent = parent.and_then(context::parse);
        let Some(on) = &self.0 else {
            return (None, parent.as_ref().map(context::written));
        };
        let within = parent.as_ref().map_or_else(Context::new, context::remote);
        let span = SpanBuilder::from_name("tidegate.v1.Gateway/Sync")
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", "tidegate.v1.Gateway"),
                KeyValue::new("rpc.method", "Sync"),
            ])
            .start_with_context(&on.tracer, &within);
        match span.is_recording() {
            true => {
                let carried = context::written(span.span_context());
                (Some(CallSpan(span)), Some(carried))
            }
            false => (None, parent.as_ref().map(context::written)),
        }
    }

    /// A handler is called with a batch. `None`: nothing of it is sampled.
    pub fn batch(
        &self,
        handler: &str,
        action: Option<&'static str>,
        items: &[ItemTrace<'_>],
    ) -> Option<BatchSpan> {
        let on = self.0.as_ref()?;
        BatchSpan::begin(&on.tracer, handler, action, items)
    }

    /// Sends what there is, and ends.
    pub async fn close(&self) {
        let Some(on) = self.0.clone() else { return };
        // It waits for a thread of its own.
        let closed =
            tokio::task::spawn_blocking(move || on.provider.shutdown_with_timeout(CLOSING));
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

impl CallSpan {
    pub fn packets(&mut self, packets: usize) {
        let packets = i64::try_from(packets).unwrap_or(i64::MAX);
        self.0
            .set_attribute(KeyValue::new("tidegate.packets", packets));
    }

    /// It was refused as a whole. `reason`: one of ours.
    pub fn refused(&mut self, reason: &'static str) {
        self.0.set_status(Status::error(reason));
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Traces(on)"
        } else {
            "Traces(off)"
        })
    }
}
