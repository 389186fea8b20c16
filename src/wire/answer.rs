//! What became of a packet, as answers and events tell it.

use std::time::Duration;

use bytes::BytesMut;
use prost::Message;
use prost::encoding::message;

use super::message as conversion;
use super::{EncodedAnswer, proto};
use crate::types::{Answer, Form, Outcome, Reason};

/// What a result takes beside its names and its answer.
pub(crate) const FRAMING: usize = 16;

/// The result of one packet, out of its answer and what correlates it.
pub(crate) fn result(req_id: &str, handler: &str, seq: u64, answer: Answer) -> proto::PacketResult {
    let mut out = proto::PacketResult::default();
    fill(&mut out, req_id, handler, seq, answer);
    out
}

/// Encodes a `BatchResponse` result by result. One `PacketResult` serves for all of them: names cost no allocation each.
#[derive(Debug, Default)]
pub(crate) struct BatchAnswer {
    out: BytesMut,
    scratch: proto::PacketResult,
}

impl BatchAnswer {
    /// `bytes`: about how many there will be.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: BytesMut::with_capacity(bytes),
            scratch: proto::PacketResult::default(),
        }
    }

    pub(crate) fn push(&mut self, req_id: &str, handler: &str, seq: u64, answer: Answer) {
        const RESULTS: u32 = 1;
        fill(&mut self.scratch, req_id, handler, seq, answer);
        message::encode(RESULTS, &self.scratch, &mut self.out);
    }

    pub(crate) fn finish(mut self, client_id: &str, cursor: String) -> EncodedAnswer {
        let rest = proto::BatchResponse {
            results: Vec::new(),
            client_id: client_id.to_owned(),
            cursor,
        };
        // Fields may come in any order and in parts: what stands behind the results is the rest of the message.
        rest.encode_raw(&mut self.out);
        EncodedAnswer(self.out.freeze())
    }
}

/// Overwrites every field.
fn fill(out: &mut proto::PacketResult, req_id: &str, handler: &str, seq: u64, answer: Answer) {
    overwrite(&mut out.req_id, req_id);
    overwrite(&mut out.handler, handler);
    overwrite(&mut out.message, &answer.message);
    out.outcome = outcome(answer.outcome).into();
    out.reason = reason(answer.reason).into();
    out.retry_after = answer.retry_after.map(duration);
    out.replayed = answer.replayed;
    out.seq = seq;
    out.next_seq = answer.next_seq;
    out.data.clear();
    out.text.clear();
    let items = answer.content.items.into_iter();
    match answer.content.form {
        Form::Bytes => out.data.extend(items),
        Form::Text => out.text.extend(items.map(conversion::text)),
    }
    let body = answer.body.map(|body| *body).unwrap_or_default();
    out.records.clear();
    out.records
        .extend(body.records.into_iter().map(conversion::record));
    out.messages.clear();
    let messages = body.messages.iter().map(|kept| conversion::message(kept));
    out.messages.extend(messages);
    overwrite(&mut out.next_page_token, &body.next_page_token);
    overwrite(&mut out.code, &body.code);
    out.headers = conversion::headers(&body.headers);
}

fn overwrite(out: &mut String, with: &str) {
    out.clear();
    out.push_str(with);
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;

    use super::*;
    use crate::types::{Body, Content, Record};

    #[test]
    fn everything_of_an_answer_is_in_its_result() {
        let record = Record {
            key: "k".into(),
            version: 3,
            content: Some((Form::Text, Bytes::from_static(b"milk"))),
            created_at: UNIX_EPOCH,
            updated_at: UNIX_EPOCH + Duration::from_millis(1_500),
            updated_by: "ann".into(),
            deleted: false,
        };
        let body = Body {
            records: vec![record],
            messages: Vec::new(),
            next_page_token: "next".into(),
            code: "E1".into(),
            headers: vec![("a".into(), "b".into())],
        };
        let answer = Answer {
            content: Content::text("grüße"),
            retry_after: Some(Duration::from_millis(2_250)),
            replayed: true,
            next_seq: 9,
            body: Some(Box::new(body)),
            ..Answer::rejected(Reason::VersionMismatch, "why")
        };
        let told = result("r1", "todos", 7, answer);
        assert_eq!(
            (&*told.req_id, &*told.handler, told.seq),
            ("r1", "todos", 7)
        );
        assert_eq!(told.outcome(), proto::Outcome::Rejected);
        assert_eq!(told.reason(), proto::Reason::VersionMismatch);
        assert_eq!(
            (&*told.message, told.replayed, told.next_seq),
            ("why", true, 9)
        );
        assert_eq!(
            (told.text, told.data),
            (vec!["grüße".to_owned()], Vec::new())
        );
        let after = told.retry_after.unwrap();
        assert_eq!((after.seconds, after.nanos), (2, 250_000_000));
        assert_eq!((&*told.next_page_token, &*told.code), ("next", "E1"));
        assert_eq!(told.headers["a"], "b");
        let record = &told.records[0];
        assert_eq!(
            (&*record.key, record.version, &*record.text),
            ("k", 3, "milk")
        );
        let updated = record.updated_at.unwrap();
        assert_eq!((updated.seconds, updated.nanos), (1, 500_000_000));
        assert_eq!(&*record.updated_by, "ann");
    }

    #[test]
    fn results_one_by_one_are_the_whole_message() {
        let answers = [
            Answer {
                content: Content::text("a text"),
                next_seq: 3,
                ..Answer::retry(Reason::EarlierMissing, "why")
            },
            Answer {
                content: Content::bytes(vec![1, 2, 3]),
                ..Answer::ok()
            },
            Answer::ok(),
        ];
        let whole = proto::BatchResponse {
            results: answers
                .iter()
                .map(|answer| result("r", "h", 1, answer.clone()))
                .collect(),
            client_id: "c".into(),
            cursor: "here".into(),
        };
        let mut parts = BatchAnswer::with_capacity(16);
        for answer in answers {
            parts.push("r", "h", 1, answer);
        }
        let EncodedAnswer(bytes) = parts.finish("c", "here".into());
        assert_eq!(proto::BatchResponse::decode(bytes).unwrap(), whole);
    }

    #[test]
    fn bytes_are_handed_on_and_not_copied() {
        let data = Bytes::from(vec![1; 100]);
        let address = data.as_ptr();
        let answer = Answer {
            content: Content::bytes(data),
            ..Answer::ok()
        };
        assert_eq!(result("", "h", 0, answer).data[0].as_ptr(), address);
    }
}
