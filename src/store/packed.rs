//! Messages and answers in one buffer each: what is kept costs one allocation and holds no request's buffer alive, and what
//! is read back shares the kept buffer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::coding::{Reader, Writer, front, time};
use crate::types::{
    Answer, Body, Content, Message, MessageBody, MessageId, Outcome, Reason, Topic,
};

/// A message that is kept. Its tenant and topic come first, so that a scan passes it by without reading more.
#[derive(Debug, Clone)]
pub(super) struct PackedMessage(Bytes);

impl PackedMessage {
    pub(super) fn new(message: &Message) -> Self {
        let mut out = Writer::with_room(message.size() + 48);
        Self::write(message, &mut out);
        Self(out.done())
    }

    /// What [`PackedMessage::write`] wrote.
    pub(super) fn written(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn write(message: &Message, out: &mut Writer) {
        out.str(&message.tenant);
        out.str(message.topic.as_str());
        out.wide(message.id.0);
        out.time(message.time);
        out.str(&message.publisher);
        out.str(&message.client_id);
        out.pairs(&message.headers);
        match &message.body {
            MessageBody::Content(form, bytes) => {
                out.form(Some(*form));
                out.bytes(bytes);
            }
            MessageBody::Record(record) => {
                out.form(None);
                out.record(record);
            }
        }
    }

    /// Its tenant and its topic.
    pub(super) fn names(&self) -> (&str, &str) {
        let (tenant, rest) = front(&self.0);
        let (topic, _) = front(rest);
        (tenant, topic)
    }

    pub(super) fn time(&self) -> SystemTime {
        let (_, rest) = front(&self.0);
        let (_, rest) = front(rest);
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&rest[16..24]);
        time(nanos)
    }

    pub(super) fn unpack(&self) -> Message {
        let mut from = Reader(self.0.clone());
        Message {
            tenant: from.str(),
            topic: Topic::restored(from.str()),
            id: MessageId(from.wide()),
            time: from.time(),
            publisher: from.str(),
            client_id: from.str(),
            headers: from.pairs(),
            body: match from.form() {
                Some(form) => MessageBody::Content(form, from.bytes()),
                None => MessageBody::Record(from.record()),
            },
        }
    }

    /// The bytes that it holds.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A final answer that is kept, with the req_id that it is kept under.
#[derive(Debug, Clone)]
pub(super) struct PackedAnswer(Bytes);

impl PackedAnswer {
    pub(super) fn new(req_id: &str, answer: &Answer) -> Self {
        let mut out = Writer::with_room(req_id.len() + answer.size() + 48);
        out.str(req_id);
        write_answer(answer, &mut out);
        Self(out.done())
    }

    pub(super) fn req_id(&self) -> ByteString {
        Reader(self.0.clone()).str()
    }

    /// As it was first told: that it is told again is for the caller to say.
    pub(super) fn answer(&self) -> Answer {
        let mut from = Reader(self.0.clone());
        from.skip();
        read_answer(&mut from)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(super) fn write_answer(answer: &Answer, out: &mut Writer) {
    out.byte(code(&OUTCOMES, answer.outcome));
    out.byte(code(&REASONS, answer.reason));
    out.str(&answer.message);
    out.form(Some(answer.content.form));
    out.number(answer.content.items.len() as u64);
    answer.content.items.iter().for_each(|item| out.bytes(item));
    let after = answer
        .retry_after
        .map_or(0, |after| after.as_nanos() as u64);
    out.number(after);
    out.number(answer.next_seq);
    let Some(body) = &answer.body else {
        return out.number(0);
    };
    out.number(1);
    out.number(body.records.len() as u64);
    body.records.iter().for_each(|record| out.record(record));
    out.number(body.messages.len() as u64);
    for message in &body.messages {
        out.bytes(&PackedMessage::new(message).0);
    }
    out.str(&body.next_page_token);
    out.str(&body.code);
    out.pairs(&body.headers);
}

pub(super) fn read_answer(from: &mut Reader) -> Answer {
    let [outcome, reason] = from.array();
    let message = from.str();
    let form = from.form().unwrap_or_default();
    let items: SmallVec<_> = (0..from.number()).map(|_| from.bytes()).collect();
    let after = from.number();
    Answer {
        outcome: OUTCOMES[usize::from(outcome)],
        reason: REASONS[usize::from(reason)],
        message,
        content: Content { form, items },
        retry_after: (after > 0).then(|| Duration::from_nanos(after)),
        replayed: false,
        next_seq: from.number(),
        body: (from.number() == 1).then(|| Box::new(read_body(from))),
    }
}

fn read_body(from: &mut Reader) -> Body {
    Body {
        records: (0..from.number()).map(|_| from.record()).collect(),
        messages: (0..from.number())
            .map(|_| PackedMessage(from.bytes()).unpack().into())
            .collect(),
        next_page_token: from.str(),
        code: from.str(),
        headers: from.pairs(),
    }
}

/// In the order of their codes.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Ok,
    Outcome::Accepted,
    Outcome::Rejected,
    Outcome::Retry,
    Outcome::Expired,
    Outcome::InDoubt,
    Outcome::Forgotten,
];

/// In the order of their codes.
const REASONS: [Reason; 24] = [
    Reason::Unspecified,
    Reason::InvalidPacket,
    Reason::InvalidData,
    Reason::UnknownHandler,
    Reason::UnsupportedAction,
    Reason::TooLarge,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::VersionMismatch,
    Reason::ReqIdReused,
    Reason::Overloaded,
    Reason::RateLimited,
    Reason::StoreUnavailable,
    Reason::HandlerFailed,
    Reason::HandlerUnavailable,
    Reason::HandlerTimeout,
    Reason::EarlierRefused,
    Reason::EarlierMissing,
    Reason::Cleared,
    Reason::Draining,
    Reason::Moved,
    Reason::ResponseTooLarge,
    Reason::Application,
];

fn code<T: PartialEq>(codes: &[T], value: T) -> u8 {
    let at = codes.iter().position(|code| *code == value);
    at.expect("every value has a code: a test packs all of them") as u8
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::types::{Form, Record};

    fn record(content: Option<(Form, Bytes)>) -> Record {
        Record {
            key: "a.ü".into(),
            version: 1 << 40,
            deleted: content.is_none(),
            content,
            created_at: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789),
            updated_at: UNIX_EPOCH,
            updated_by: "ann".into(),
        }
    }

    fn message(body: MessageBody) -> Message {
        Message {
            tenant: "t".into(),
            topic: Topic::parse("chat.room", "").unwrap(),
            id: MessageId(u128::MAX - 5),
            time: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789),
            publisher: "ann".into(),
            client_id: "c".repeat(128).into(),
            headers: vec![("a".into(), "b".into()), ("c".into(), "".into())],
            body,
        }
    }

    fn messages() -> [Message; 4] {
        [
            MessageBody::Content(Form::Text, Bytes::from_static(b"hello")),
            MessageBody::Content(Form::Bytes, Bytes::from(vec![0xff; 300])),
            MessageBody::Record(record(Some((Form::Text, Bytes::new())))),
            MessageBody::Record(record(None)),
        ]
        .map(message)
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        for message in messages() {
            let packed = PackedMessage::new(&message);
            assert_eq!(packed.names(), ("t", "chat.room"));
            assert_eq!(packed.time(), message.time);
            assert_eq!(packed.unpack(), message);
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        for (at, reason) in REASONS.into_iter().enumerate() {
            let body = Body {
                records: vec![record(None), record(Some((Form::Bytes, Bytes::from("x"))))],
                messages: messages().map(Into::into).into(),
                next_page_token: "next".into(),
                code: "E1".into(),
                headers: vec![("h".into(), "v".into())],
            };
            let answer = Answer {
                content: Content::text("ü"),
                retry_after: (at % 2 == 0).then(|| Duration::from_millis(1500)),
                next_seq: at as u64 * 1000,
                body: (at % 3 == 0).then(|| Box::new(body)),
                ..Answer::with(OUTCOMES[at % 7], reason, "why")
            };
            let packed = PackedAnswer::new("r-1", &answer);
            assert_eq!(packed.req_id(), "r-1");
            assert_eq!(packed.answer(), answer);
        }
    }
}
