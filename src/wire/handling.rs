//! What a remote handler gets of a packet, and what it answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;

use super::message::headers;
use super::proto;
use crate::types::{
    Action, Answer, Body, Content, Form, Outcome, Packet, PacketFile, Principal, Reason, Record,
    Source, limits,
};

/// What a handler may ask for at most: a longer one is this.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The packet's part of an item. Its content is shared, not copied.
pub(crate) fn item(packet: &Packet) -> proto::HandleItem {
    let more = packet.more.as_deref();
    let files = more.map_or(&[][..], |more| &more.files);
    proto::HandleItem {
        action: action(packet.action).into(),
        key: packet.key.to_string(),
        data: packet.content.items.to_vec(),
        headers: headers(packet.headers()),
        files: files
            .iter()
            .map(|(field, part)| (field.to_string(), file(part)))
            .collect(),
        req_id: packet.req_id.to_string(),
        seq: packet.seq,
        method: packet.method().to_string(),
        if_version: packet.if_version,
        page_size: packet.page_size(),
        page_token: packet.page_token().to_owned(),
        ..proto::HandleItem::default()
    }
}

pub(crate) fn action(action: Action) -> proto::Action {
    match action {
        Action::Create => proto::Action::Create,
        Action::Read => proto::Action::Read,
        Action::Update => proto::Action::Update,
        Action::Delete => proto::Action::Delete,
        Action::Put => proto::Action::Put,
        Action::List => proto::Action::List,
        Action::Call => proto::Action::Call,
    }
}

pub(crate) fn principal(principal: &Principal) -> proto::Principal {
    proto::Principal {
        subject: principal.subject.to_string(),
        tenant: principal.tenant.to_string(),
        roles: principal.roles.iter().map(ByteString::to_string).collect(),
    }
}

fn file(file: &PacketFile) -> proto::File {
    let source = file.source.as_ref().map(|source| match source {
        Source::Content(content) => proto::file::Source::Content(content.clone()),
        Source::Upload(id) => proto::file::Source::UploadId(id.to_string()),
    });
    proto::File {
        name: file.name.to_string(),
        content_type: file.content_type.to_string(),
        size: file.size,
        sha256: file.sha256.clone(),
        source,
    }
}

/// What a handler says of one item. It may say anything: what the contract does not know is brought to what it does.
pub(crate) fn answer(result: proto::HandleResult) -> Answer {
    let outcome = match result.outcome() {
        proto::Outcome::Ok => Outcome::Ok,
        proto::Outcome::Rejected => Outcome::Rejected,
        _ => Outcome::Retry,
    };
    let pause = result.retry_after.filter(|_| outcome == Outcome::Retry);
    // One that lies in the past is none.
    let pause = pause.and_then(|pause| Duration::try_from(pause).ok());
    let reason = reason(outcome, result.reason);
    let content = if result.data.is_empty() {
        let items = result.text.into_iter().map(Bytes::from);
        Content {
            form: if items.len() == 0 {
                Form::Bytes
            } else {
                Form::Text
            },
            items: items.collect(),
        }
    } else {
        Content {
            form: Form::Bytes,
            items: result.data.into(),
        }
    };
    let body = Body {
        records: result.records.into_iter().map(record).collect(),
        messages: Vec::new(),
        next_page_token: result.next_page_token.into(),
        code: result.code.into(),
        headers: bounded(result.headers),
    };
    Answer {
        content,
        retry_after: pause.map(|pause| pause.min(LONGEST_PAUSE)),
        body: (body != Body::default()).then(|| Box::new(body)),
        ..Answer::with(outcome, reason, result.message)
    }
}

/// A message that a handler publishes with a result.
#[derive(Debug)]
pub(crate) struct Published {
    /// As it was written.
    pub(crate) topic: String,
    pub(crate) headers: Vec<(ByteString, ByteString)>,
    pub(crate) form: Form,
    pub(crate) data: Bytes,
}

pub(crate) fn published(publication: proto::Publication) -> Published {
    let content = content(publication.data, publication.text);
    let (form, data) = content.unwrap_or_default();
    Published {
        topic: publication.topic,
        headers: bounded(publication.headers),
        form,
        data,
    }
}

/// `None` where there is none.
fn content(data: Bytes, text: String) -> Option<(Form, Bytes)> {
    match (data.is_empty(), text.is_empty()) {
        (false, _) => Some((Form::Bytes, data)),
        (true, false) => Some((Form::Text, text.into())),
        (true, true) => None,
    }
}

/// The reasons that are a handler's to give; every other is its own.
fn reason(outcome: Outcome, number: i32) -> Reason {
    match (proto::Reason::try_from(number), outcome) {
        (Ok(proto::Reason::Unspecified), Outcome::Ok) => Reason::Unspecified,
        (Ok(proto::Reason::InvalidData), _) => Reason::InvalidData,
        (Ok(proto::Reason::UnsupportedAction), _) => Reason::UnsupportedAction,
        (Ok(proto::Reason::NotFound), _) => Reason::NotFound,
        (Ok(proto::Reason::AlreadyExists), _) => Reason::AlreadyExists,
        (Ok(proto::Reason::VersionMismatch), _) => Reason::VersionMismatch,
        (Ok(proto::Reason::Forbidden), _) => Reason::Forbidden,
        _ => Reason::Application,
    }
}

/// In the order of their names; what is over the bounds is left out.
fn bounded(headers: std::collections::HashMap<String, String>) -> Vec<(ByteString, ByteString)> {
    let mut headers: Vec<_> = headers.into_iter().collect();
    headers.sort_unstable();
    let mut bytes = 0;
    let fits = headers.iter().take_while(|(name, value)| {
        bytes += name.len() + value.len();
        bytes <= limits::PACKET_HEADER_BYTES
    });
    let fitting = fits.count().min(limits::PACKET_HEADERS);
    headers.truncate(fitting);
    let owned = |(name, value): (String, String)| (name.into(), value.into());
    headers.into_iter().map(owned).collect()
}

fn record(record: proto::Record) -> Record {
    Record {
        key: record.key.into(),
        version: record.version,
        content: content(record.data, record.text),
        created_at: time(record.created_at),
        updated_at: time(record.updated_at),
        updated_by: record.updated_by.into(),
        deleted: record.deleted,
    }
}

/// Of one that is not there or cannot be, the beginning.
fn time(stamp: Option<prost_types::Timestamp>) -> SystemTime {
    let time = stamp.and_then(|stamp| SystemTime::try_from(stamp).ok());
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcome: i32, reason: i32) -> (Outcome, Reason) {
        let answer = answer(proto::HandleResult {
            outcome,
            reason,
            ..proto::HandleResult::default()
        });
        (answer.outcome, answer.reason)
    }

    #[test]
    fn what_a_handler_may_not_say_is_brought_to_what_it_may() {
        use proto::{Outcome as O, Reason as R};
        let cases = [
            (
                O::Rejected,
                R::UnsupportedAction,
                Outcome::Rejected,
                Reason::UnsupportedAction,
            ),
            (O::Ok, R::Unspecified, Outcome::Ok, Reason::Unspecified),
            (O::Ok, R::Application, Outcome::Ok, Reason::Application),
            (
                O::Rejected,
                R::NotFound,
                Outcome::Rejected,
                Reason::NotFound,
            ),
            (
                O::Rejected,
                R::Unspecified,
                Outcome::Rejected,
                Reason::Application,
            ),
            (
                O::Rejected,
                R::Overloaded,
                Outcome::Rejected,
                Reason::Application,
            ),
            (
                O::Retry,
                R::Unspecified,
                Outcome::Retry,
                Reason::Application,
            ),
            (O::Accepted, R::Forbidden, Outcome::Retry, Reason::Forbidden),
            (O::Forgotten, R::Moved, Outcome::Retry, Reason::Application),
            (
                O::Unspecified,
                R::Unspecified,
                Outcome::Retry,
                Reason::Application,
            ),
        ];
        for (outcome, reason, brought, why) in cases {
            assert_eq!(said(outcome.into(), reason.into()), (brought, why));
        }
        assert_eq!(said(99, 99), (Outcome::Retry, Reason::Application));
    }

    #[test]
    fn a_pause_is_of_a_retry_and_bounded() {
        let pause = |outcome: proto::Outcome, seconds| {
            let result = proto::HandleResult {
                outcome: outcome.into(),
                retry_after: Some(prost_types::Duration { seconds, nanos: 0 }),
                ..proto::HandleResult::default()
            };
            answer(result).retry_after
        };
        let seconds = Duration::from_secs;
        assert_eq!(pause(proto::Outcome::Retry, 3), Some(seconds(3)));
        assert_eq!(pause(proto::Outcome::Retry, i64::MAX), Some(LONGEST_PAUSE));
        assert_eq!(pause(proto::Outcome::Retry, -3), None);
        assert_eq!(pause(proto::Outcome::Ok, 3), None);
    }

    #[test]
    fn headers_are_bounded_in_number_and_bytes() {
        let many = (0..100).map(|number| (format!("h{number:02}"), "v".to_owned()));
        let kept = bounded(many.collect());
        assert_eq!(kept.len(), limits::PACKET_HEADERS);
        assert_eq!(kept[63].0, "h63");
        let large = [("a", 10), ("b", limits::PACKET_HEADER_BYTES), ("c", 10)];
        let large = large.map(|(name, bytes)| (name.to_owned(), "v".repeat(bytes)));
        assert_eq!(bounded(large.into_iter().collect()).len(), 1);
    }

    #[test]
    fn an_answer_has_the_form_that_its_handler_gave_it() {
        let of = |data: &[&'static str], text: &[&str]| {
            let result = proto::HandleResult {
                outcome: proto::Outcome::Ok.into(),
                data: data
                    .iter()
                    .map(|item| Bytes::from_static(item.as_bytes()))
                    .collect(),
                text: text.iter().map(|item| (*item).to_owned()).collect(),
                ..proto::HandleResult::default()
            };
            answer(result)
        };
        assert_eq!(of(&[], &["a", "b"]).content.form, Form::Text);
        assert_eq!(of(&["a"], &[]).content, Content::bytes("a"));
        assert_eq!(of(&[], &[]), Answer::ok());
    }
}
