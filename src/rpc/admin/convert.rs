//! From what the gateway has to what `Admin` tells.

use super::super::Refusal;
use crate::broker::{Amount, CircuitView, Class, Counts, LaneView};
use crate::events::{StreamView, StreamsView};
use crate::types::{Action, limits};
use crate::wire::answer::{FRAMING, duration};
use crate::wire::{handling, packet, proto};

pub(super) fn action(number: i32) -> Result<Option<Action>, Refusal> {
    match number {
        0 => Ok(None),
        _ => packet::action(number).map(Some).ok_or_else(|| {
            Refusal::Invalid(format!("action {number} is not known here: 0 to 7 are"))
        }),
    }
}

pub(super) fn page_size(asked: u32) -> Result<usize, Refusal> {
    const MOST: u32 = limits::PAGE_SIZE_MAX;
    match asked {
        0 => Ok(limits::PAGE_SIZE as usize),
        1..=MOST => Ok(asked as usize),
        _ => Err(Refusal::Invalid(format!(
            "page_size is {asked}: 1 to {MOST} would be right, or 0 for {}",
            limits::PAGE_SIZE
        ))),
    }
}

/// A page token that is a number: the last one of the page before.
pub(super) fn number(token: &str) -> Result<u64, Refusal> {
    if token.is_empty() {
        return Ok(0);
    }
    token.parse().map_err(|_| bad_token())
}

pub(super) fn bad_token() -> Refusal {
    Refusal::Invalid(
        "page_token is none of ours: as it came in the page before would be right".into(),
    )
}

pub(super) fn lane(view: LaneView) -> proto::Lane {
    let (kind, action, method) = match &view.class {
        Class::Intake => (proto::LaneKind::Intake, None, ""),
        Class::Mixed => (proto::LaneKind::Mixed, None, ""),
        Class::Reads => (proto::LaneKind::Reads, None, ""),
        Class::Action(action) => (proto::LaneKind::Action, Some(*action), ""),
        Class::Method(method) => (proto::LaneKind::Action, Some(Action::Call), &**method),
    };
    let (circuit, open_for) = match view.circuit {
        CircuitView::Closed => (proto::Circuit::Closed, None),
        CircuitView::Open(left) => (proto::Circuit::Open, Some(left)),
        CircuitView::Probing => (proto::Circuit::Probing, None),
    };
    let action = action.map_or(proto::Action::Unspecified, handling::action);
    proto::Lane {
        handler: view.handler.to_string(),
        tenant: view.tenant.as_deref().unwrap_or_default().to_owned(),
        kind: kind.into(),
        action: action.into(),
        method: method.to_owned(),
        waiting: Some(amount(view.waiting)),
        in_flight: Some(amount(view.in_flight)),
        held: Some(amount(view.held)),
        oldest: view.oldest.map(duration),
        batches: view.counts.batches,
        packets: view.counts.packets,
        reasons: Some(reasons(&view.counts)),
        calls_in_flight: count(view.calls_in_flight),
        calls_failed: view.counts.failed,
        latency: view.latency.map(duration),
        backlog: Some(duration(view.backlog)),
        searches: count(view.searches),
        circuit: circuit.into(),
        circuit_open_for: open_for.map(duration),
    }
}

pub(super) fn amount(amount: Amount) -> proto::Amount {
    proto::Amount {
        packets: amount.packets,
        bytes: amount.bytes,
    }
}

fn reasons(counts: &Counts) -> proto::BatchReasons {
    proto::BatchReasons {
        idle: counts.idle,
        whole: counts.whole,
        latency: counts.latency,
        window: counts.window,
        flush: counts.flush,
        drain: counts.drain,
        search: counts.search,
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// One more than `limit` says that there is another page.
pub(super) fn streams(view: StreamsView, limit: usize) -> proto::StreamsResponse {
    let infos = view.streams.into_iter().map(stream);
    let (streams, more) = page(infos, limit);
    let last = streams.last().filter(|_| more);
    proto::StreamsResponse {
        next_page_token: last.map_or_else(String::new, |last| last.number.to_string()),
        streams,
        open: view.open as u64,
    }
}

/// As many as fit, at least one, and whether there are more.
pub(super) fn page<T: prost::Message>(
    items: impl Iterator<Item = T>,
    limit: usize,
) -> (Vec<T>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for item in items {
        bytes += item.encoded_len() + FRAMING;
        if page.len() == limit || !page.is_empty() && bytes > limits::PAGE_BYTES {
            return (page, true);
        }
        page.push(item);
    }
    (page, false)
}

fn stream(view: StreamView) -> proto::StreamInfo {
    let client_id = view.client.as_ref().map_or("", |client| &client.client_id);
    let patterns = view.patterns.iter();
    proto::StreamInfo {
        number: view.number,
        subject: view.principal.subject.to_string(),
        tenant: view.principal.tenant.to_string(),
        client_id: client_id.to_owned(),
        patterns: patterns.map(|one| one.as_str().to_owned()).collect(),
        peer: view.peer.map_or_else(String::new, |peer| peer.to_string()),
        age: Some(duration(view.age)),
        lag: view.lag,
        events: view.events,
        bytes: view.bytes,
    }
}
