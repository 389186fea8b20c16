//! What became of a packet, as answers and events tell it.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use prost::Message;
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, key_len, message, uint64,
};

use super::message as conversion;
use super::{EncodedAnswer, proto};
use crate::types::{Answer, Body, Content, Form, Outcome, Reason};

/// What a result takes beside its names and its answer.
pub(crate) const FRAMING: usize = 16;

/// The result of one packet, out of its answer and what correlates it.
pub(crate) fn result(req_id: &str, handler: &str, seq: u64, answer: Answer) -> proto::PacketResult {
    let mut out = answer.body.as_deref().map(rare).unwrap_or_default();
    let items = answer.content.items.into_iter();
    match answer.content.form {
        Form::Bytes => out.data = items.collect(),
        Form::Text => out.text = items.map(conversion::text).collect(),
    }
    proto::PacketResult {
        req_id: req_id.to_owned(),
        handler: handler.to_owned(),
        message: answer.message.to_string(),
        outcome: outcome(answer.outcome).into(),
        reason: reason(answer.reason).into(),
        retry_after: answer.retry_after.map(duration),
        replayed: answer.replayed,
        seq,
        next_seq: answer.next_seq,
        ..out
    }
}

/// The fields that few results have.
fn rare(body: &Body) -> proto::PacketResult {
    let records = body.records.iter().cloned();
    let messages = body.messages.iter();
    proto::PacketResult {
        records: records.map(conversion::record).collect(),
        messages: messages.map(|kept| conversion::message(kept)).collect(),
        next_page_token: body.next_page_token.to_string(),
        code: body.code.to_string(),
        headers: conversion::headers(&body.headers),
        ..proto::PacketResult::default()
    }
}

/// Encodes a `BatchResponse` result by result, from where its parts are: names and content are copied once, into the answer.
#[derive(Debug, Default)]
pub(crate) struct BatchAnswer(BytesMut);

impl BatchAnswer {
    /// `bytes`: about how many there will be.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// The same as an encoded [`result`].
    pub(crate) fn push(&mut self, req_id: &str, handler: &str, seq: u64, answer: &Answer) {
        const RESULTS: u32 = 1;
        let Self(out) = self;
        let texts = [(1, req_id), (4, &answer.message), (14, handler)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let numbers = [
            (2, outcome(answer.outcome) as u64),
            (3, reason(answer.reason) as u64),
            (7, u64::from(answer.replayed)),
            (15, seq),
            (16, answer.next_seq),
        ];
        let numbers = numbers.into_iter().filter(|(_, number)| *number != 0);
        let pause = answer.retry_after.map(duration);
        let Content { form, items } = &answer.content;
        let tag = match form {
            Form::Bytes => 5,
            Form::Text => 8,
        };
        let items = items.iter().map(|item| match form {
            Form::Bytes => Cow::Borrowed(&**item),
            Form::Text => conversion::shown(item),
        });
        let rare = answer.body.as_deref().map(rare);

        let mut len = 0;
        len += texts
            .clone()
            .map(|(tag, text)| bytes_len(tag, text.as_bytes()))
            .sum::<usize>();
        len += numbers
            .clone()
            .map(|(tag, number)| uint64::encoded_len(tag, &number))
            .sum::<usize>();
        len += items
            .clone()
            .map(|item| bytes_len(tag, &item))
            .sum::<usize>();
        len += pause
            .as_ref()
            .map_or(0, |pause| message::encoded_len(6, pause));
        len += rare.as_ref().map_or(0, Message::encoded_len);
        encode_key(RESULTS, WireType::LengthDelimited, out);
        encode_varint(len as u64, out);

        texts.for_each(|(tag, text)| put_bytes(tag, text.as_bytes(), out));
        numbers.for_each(|(tag, number)| uint64::encode(tag, &number, out));
        items.for_each(|item| put_bytes(tag, &item, out));
        if let Some(pause) = pause {
            message::encode(6, &pause, out);
        }
        if let Some(rare) = rare {
            rare.encode_raw(out);
        }
    }

    pub(crate) fn finish(mut self, client_id: &str, cursor: String) -> EncodedAnswer {
        let rest = proto::BatchResponse {
            results: Vec::new(),
            client_id: client_id.to_owned(),
            cursor,
        };
        // Fields may come in any order and in parts: what stands behind the results is the rest of the message.
        rest.encode_raw(&mut self.0);
        EncodedAnswer(self.0.freeze())
    }
}

fn bytes_len(tag: u32, bytes: &[u8]) -> usize {
    key_len(tag) + encoded_len_varint(bytes.len() as u64) + bytes.len()
}

fn put_bytes(tag: u32, bytes: &[u8], out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
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

/// As the contract has them, without what is before each of its names.
pub(crate) fn names(of: Outcome, why: Reason) -> (&'static str, &'static str) {
    let outcome = outcome(of).as_str_name();
    let reason = reason(why).as_str_name();
    (
        outcome.strip_prefix("OUTCOME_").unwrap_or(outcome),
        reason.strip_prefix("REASON_").unwrap_or(reason),
    )
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
    use smallvec::smallvec;

    use super::*;
    use crate::types::Record;

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
        let body = Body {
            code: "E1".into(),
            headers: vec![("a".into(), "b".into())],
            ..Body::default()
        };
        let damaged = Content {
            form: Form::Text,
            items: smallvec![Bytes::from_static(b"a"), Bytes::from_static(b"\xff")],
        };
        let answers = [
            Answer {
                content: Content::text("a text"),
                next_seq: 3,
                retry_after: Some(Duration::from_millis(2_250)),
                ..Answer::retry(Reason::EarlierMissing, "why")
            },
            Answer {
                content: Content::bytes(vec![1, 2, 3]),
                replayed: true,
                ..Answer::ok()
            },
            Answer {
                content: Content::bytes(Bytes::new()),
                body: Some(Box::new(body)),
                ..Answer::rejected(Reason::Application, "")
            },
            Answer {
                content: damaged,
                ..Answer::ok()
            },
            Answer::ok(),
        ];
        for (req_id, handler, seq) in [("r", "h", u64::MAX), ("", "", 0)] {
            let results = answers.iter().cloned();
            let whole = proto::BatchResponse {
                results: results
                    .map(|answer| result(req_id, handler, seq, answer))
                    .collect(),
                client_id: "c".into(),
                cursor: "here".into(),
            };
            let mut parts = BatchAnswer::with_capacity(16);
            for answer in &answers {
                parts.push(req_id, handler, seq, answer);
            }
            let EncodedAnswer(bytes) = parts.finish("c", "here".into());
            assert_eq!(bytes.len(), whole.encoded_len());
            assert_eq!(proto::BatchResponse::decode(bytes).unwrap(), whole);
        }
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
