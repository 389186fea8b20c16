//! What became of a packet, as answers and events tell it.

use std::time::Duration;

use bytestring::ByteString;

use super::{message, proto};
use crate::types::{Answer, Form, Outcome, Reason};

/// The result of one packet, out of its answer and what correlates it.
pub(crate) fn result(
    req_id: &ByteString,
    handler: &str,
    seq: u64,
    answer: Answer,
) -> proto::PacketResult {
    let mut out = proto::PacketResult {
        req_id: req_id.to_string(),
        outcome: outcome(answer.outcome).into(),
        reason: reason(answer.reason).into(),
        message: answer.message.to_string(),
        retry_after: answer.retry_after.map(duration),
        replayed: answer.replayed,
        handler: handler.to_owned(),
        seq,
        next_seq: answer.next_seq,
        ..proto::PacketResult::default()
    };
    match answer.content.form {
        Form::Bytes => out.data = answer.content.items.into_iter().collect(),
        Form::Text => {
            out.text = answer
                .content
                .items
                .into_iter()
                .map(message::text)
                .collect()
        }
    }
    if let Some(body) = answer.body {
        out.records = body.records.into_iter().map(message::record).collect();
        out.messages = body
            .messages
            .iter()
            .map(|kept| message::message(kept))
            .collect();
        out.next_page_token = body.next_page_token.to_string();
        out.code = body.code.to_string();
        out.headers = message::headers(&body.headers);
    }
    out
}

/// A span of ours, which never comes near the 10 000 years that the wire can say.
pub(crate) fn duration(span: Duration) -> prost_types::Duration {
    const LONGEST: i64 = 315_576_000_000;
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs())
            .unwrap_or(LONGEST)
            .min(LONGEST),
        nanos: span.subsec_nanos().cast_signed(),
    }
}

fn outcome(outcome: Outcome) -> proto::Outcome {
    match outcome {
        Outcome::Ok => proto::Outcome::Ok,
        Outcome::Accepted => proto::Outcome::Accepted,
        Outcome::Rejected => proto::Outcome::Rejected,
        Outcome::Retry => proto::Outcome::Retry,
        Outcome::Expired => proto::Outcome::Expired,
        Outcome::InDoubt => proto::Outcome::InDoubt,
        Outcome::Forgotten => proto::Outcome::Forgotten,
    }
}

fn reason(reason: Reason) -> proto::Reason {
    match reason {
        Reason::Unspecified => proto::Reason::Unspecified,
        Reason::InvalidPacket => proto::Reason::InvalidPacket,
        Reason::InvalidData => proto::Reason::InvalidData,
        Reason::UnknownHandler => proto::Reason::UnknownHandler,
        Reason::UnsupportedAction => proto::Reason::UnsupportedAction,
        Reason::TooLarge => proto::Reason::TooLarge,
        Reason::Forbidden => proto::Reason::Forbidden,
        Reason::NotFound => proto::Reason::NotFound,
        Reason::AlreadyExists => proto::Reason::AlreadyExists,
        Reason::VersionMismatch => proto::Reason::VersionMismatch,
        Reason::ReqIdReused => proto::Reason::ReqIdReused,
        Reason::Overloaded => proto::Reason::Overloaded,
        Reason::RateLimited => proto::Reason::RateLimited,
        Reason::StoreUnavailable => proto::Reason::StoreUnavailable,
        Reason::HandlerFailed => proto::Reason::HandlerFailed,
        Reason::HandlerUnavailable => proto::Reason::HandlerUnavailable,
        Reason::HandlerTimeout => proto::Reason::HandlerTimeout,
        Reason::EarlierRefused => proto::Reason::EarlierRefused,
        Reason::EarlierMissing => proto::Reason::EarlierMissing,
        Reason::Cleared => proto::Reason::Cleared,
        Reason::Draining => proto::Reason::Draining,
        Reason::Moved => proto::Reason::Moved,
        Reason::ResponseTooLarge => proto::Reason::ResponseTooLarge,
        Reason::Application => proto::Reason::Application,
    }
}
