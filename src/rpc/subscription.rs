//! From an `EventsRequest` to a checked subscription.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Refusal, batch};
use crate::events::{Start, Subscription};
use crate::types::{Pattern, Principal, encode_token, limits};
use crate::wire::proto;

pub(super) fn subscription(
    request: proto::EventsRequest,
    principal: &Arc<Principal>,
    peer: Option<SocketAddr>,
) -> Result<Subscription, Refusal> {
    let start = start(&request)?;
    let client = batch::client(&request.client_id.into(), principal)?;
    if client.is_none() && request.topics.is_empty() {
        return Err(Refusal::Invalid(
            "the stream would bring nothing: name topics, a client_id for its results, or both"
                .into(),
        ));
    }
    if request.skip_own && client.is_none() {
        return Err(Refusal::Invalid(
            "skip_own leaves out what a client_id published: give the stream that client_id".into(),
        ));
    }
    if request.cursor.len() > limits::CURSOR_BYTES {
        return Err(Refusal::Invalid(format!(
            "cursor has {} bytes: at most {} are taken, as they came in an answer or an event",
            request.cursor.len(),
            limits::CURSOR_BYTES
        )));
    }
    Ok(Subscription {
        principal: principal.clone(),
        client,
        patterns: patterns(&request.topics, principal)?,
        cursor: (!request.cursor.is_empty()).then_some(request.cursor),
        start,
        skip_own: request.skip_own,
        peer,
    })
}

fn start(request: &proto::EventsRequest) -> Result<Start, Refusal> {
    match (proto::Start::try_from(request.start), request.last) {
        // It wins: a client that resumes need not take the rest out of its request.
        (Ok(_), _) if !request.cursor.is_empty() => Ok(Start::Now),
        (Ok(proto::Start::Unspecified | proto::Start::Now), 0) => Ok(Start::Now),
        (Ok(proto::Start::Earliest), 0) => Ok(Start::Earliest),
        (Ok(proto::Start::Latest), 0) => Ok(Start::Latest),
        (Ok(proto::Start::Unspecified), last) => Ok(Start::Last(last)),
        (Ok(_), _) => Err(Refusal::Invalid(
            "start and last name two places to start from: give one of them".into(),
        )),
        (Err(_), _) => Err(Refusal::Invalid(format!(
            "start {} is not known here: 0 to 3 are",
            request.start
        ))),
    }
}

fn patterns(topics: &[String], principal: &Principal) -> Result<Vec<Pattern>, Refusal> {
    if topics.len() > limits::PATTERNS {
        return Err(Refusal::TooMuch(format!(
            "the stream has {} topics: at most {} are taken; a pattern covers many",
            topics.len(),
            limits::PATTERNS
        )));
    }
    let mut patterns = Vec::with_capacity(topics.len());
    for (index, topic) in topics.iter().enumerate() {
        let pattern = Pattern::parse(topic, &principal.subject)
            .map_err(|error| Refusal::Invalid(format!("topics[{index}]: {error}")))?;
        if !may_read(&pattern, principal) {
            let why = match &*principal.subject {
                "" => "an inbox needs a subject, and the caller has none",
                _ => "your own inbox is @me",
            };
            return Err(Refusal::Forbidden(format!(
                "topics[{index}]: {topic} is not yours to read: {why}"
            )));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

/// Of the `@` names a caller may read their own inbox and what is below it.
fn may_read(pattern: &Pattern, principal: &Principal) -> bool {
    let pattern = pattern.as_str();
    if !pattern.starts_with('@') {
        return true;
    }
    let inbox = format!("@user.{}", encode_token(&principal.subject));
    let below = pattern.strip_prefix(&inbox);
    !principal.subject.is_empty()
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_wins_over_start_and_last() {
        let both = proto::EventsRequest {
            start: proto::Start::Earliest.into(),
            last: 3,
            ..proto::EventsRequest::default()
        };
        assert!(start(&both).is_err(), "two places to start from");
        let resumed = proto::EventsRequest {
            cursor: "t1-…".into(),
            ..both
        };
        assert!(start(&resumed).is_ok());
    }
}
