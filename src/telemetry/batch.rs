//! The spans of a batch: its own, and one for each of its items that is sampled.

use std::time::SystemTime;

use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::context;

/// What is known of an item that carries a trace.
#[derive(Debug)]
pub struct ItemTrace<'a> {
    /// Its `traceparent`.
    pub parent: &'a str,
    /// Where it is in the batch.
    pub at: usize,
    /// As its handler knows it.
    pub id: String,
    pub req_id: &'a str,
    pub attempt: u32,
    /// From when its span begins: it shows how long the item waited.
    pub since: SystemTime,
}

/// A call of a handler that is under way. Its spans end when this is dropped.
#[derive(Debug)]
pub struct BatchSpan {
    span: Span,
    /// By where they are in the batch.
    items: Vec<(usize, Span)>,
}

impl BatchSpan {
    pub(super) fn begin(
        tracer: &SdkTracer,
        handler: &str,
        action: Option<&'static str>,
        items: &[ItemTrace<'_>],
    ) -> Option<Self> {
        let parents = items
            .iter()
            .filter_map(|item| Some((item, context::parse(item.parent)?)));
        let sampled = parents.filter(|(_, parent)| parent.is_sampled());
        let sampled: Vec<_> = sampled.collect();
        if sampled.is_empty() {
            return None;
        }
        let mut span = SpanBuilder::from_name(format!("handle {handler}"))
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("tidegate.handler", handler.to_owned()),
                KeyValue::new("tidegate.action", action.unwrap_or("mixed")),
            ])
            .start_with_context(tracer, &Context::new());
        let of = span.span_context().clone();
        let items = sampled
            .into_iter()
            .map(|(item, parent)| (item.at, begin(tracer, handler, item, &parent, of.clone())));
        let items: Vec<_> = items.collect();
        for (_, item) in &items {
            span.add_link(item.span_context().clone(), Vec::new());
        }
        Some(Self { span, items })
    }

    /// What the handler continues.
    pub fn traceparent(&self) -> String {
        context::written(self.span.span_context())
    }

    /// How many items the batch has, sampled or not.
    pub fn size(&mut self, items: usize) {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        self.span
            .set_attribute(KeyValue::new("tidegate.items", items));
    }

    /// What became of an item. `outcome`: as the contract has it.
    pub fn outcome(&mut self, of: impl Fn(usize) -> Option<&'static str>) {
        for (at, span) in &mut self.items {
            if let Some(outcome) = of(*at) {
                span.set_attribute(KeyValue::new("tidegate.outcome", outcome));
            }
        }
    }

    /// The call failed as a whole. `what`: a class of ours.
    pub fn failed(&mut self, what: &'static str) {
        self.span.set_status(Status::error(what));
        for (_, span) in &mut self.items {
            span.set_status(Status::error(what));
        }
    }
}

fn begin(
    tracer: &SdkTracer,
    handler: &str,
    item: &ItemTrace<'_>,
    parent: &SpanContext,
    batch: SpanContext,
) -> Span {
    SpanBuilder::from_name(format!("item {handler}"))
        .with_kind(SpanKind::Internal)
        .with_start_time(item.since)
        .with_links(vec![Link::with_context(batch)])
        .with_attributes([
            KeyValue::new("tidegate.item_id", item.id.clone()),
            KeyValue::new("tidegate.req_id", item.req_id.to_owned()),
            KeyValue::new("tidegate.attempt", i64::from(item.attempt)),
        ])
        .start_with_context(tracer, &context::remote(parent))
}
