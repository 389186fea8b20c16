//! Events: one constructor for each kind, and the cursor in front of an encoded one.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding;
use prost::length_delimiter_len;

use super::answer::{BatchAnswer, FRAMING};
use super::{EncodedAnswer, message, proto};
use crate::store::KeptResult;
use crate::types::Message;

pub(crate) use proto::gap::Cause as GapCause;
pub(crate) use proto::go_away::Cause as LeaveCause;

/// The tag of `Event.cursor`, which is the first field of every encoded event.
const CURSOR_TAG: u8 = 0x0A;

pub(crate) fn of_message(cursor: String, kept: &Message) -> proto::Event {
    event(cursor, proto::event::Event::Message(message::message(kept)))
}

/// Results of one client, in one event: encoded one by one, as a message for each would cost what it says four times over.
#[derive(Debug)]
pub(crate) struct ResultsEvent {
    cursor: String,
    results: Bytes,
}

impl ResultsEvent {
    pub(crate) fn new<'a>(
        cursor: String,
        client_id: &str,
        kept: impl Iterator<Item = &'a KeptResult> + Clone,
    ) -> Self {
        let sizes = kept.clone().map(|kept| {
            let names = kept.req_id.len() + kept.handler.as_str().len();
            FRAMING + names + kept.answer.size()
        });
        let mut answer = BatchAnswer::with_capacity(sizes.sum());
        for kept in kept {
            let handler = kept.handler.as_str();
            answer.push(&kept.req_id, handler, kept.seq, &kept.answer);
        }
        let EncodedAnswer(results) = answer.finish(client_id, String::new());
        Self { cursor, results }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let parts = [self.cursor.len(), self.results.len()];
        parts
            .iter()
            .map(|&len| 1 + length_delimiter_len(len) + len)
            .sum()
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        const RESULTS: u32 = 4;
        const CURSOR: u32 = 1;
        encoding::string::encode(CURSOR, &self.cursor, out);
        encoding::bytes::encode(RESULTS, &self.results, out);
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out.freeze()
    }
}

pub(crate) fn connected(cursor: String, connected: proto::Connected) -> proto::Event {
    event(cursor, proto::event::Event::Connected(connected))
}

pub(crate) fn heartbeat(cursor: String) -> proto::Event {
    event(cursor, proto::event::Event::Heartbeat(proto::Heartbeat {}))
}

/// `missed` is 0 where it is not known.
pub(crate) fn gap(cursor: String, cause: GapCause, pattern: &str, missed: u64) -> proto::Event {
    let gap = proto::Gap {
        cause: cause.into(),
        pattern: pattern.to_owned(),
        missed,
    };
    event(cursor, proto::event::Event::Gap(gap))
}

pub(crate) fn go_away(
    cursor: String,
    cause: LeaveCause,
    reconnect_after: prost_types::Duration,
) -> proto::Event {
    let go_away = proto::GoAway {
        cause: cause.into(),
        reconnect_after: Some(reconnect_after),
    };
    event(cursor, proto::event::Event::GoAway(go_away))
}

/// The same encoded event under another cursor. Cursors are never empty and shorter than 128 bytes, so that their length is
/// one byte.
pub(crate) fn under_cursor(encoded: &Bytes, cursor: &str) -> Bytes {
    debug_assert_eq!(encoded[0], CURSOR_TAG);
    let rest = &encoded[2 + usize::from(encoded[1])..];
    let mut out = BytesMut::with_capacity(2 + cursor.len() + rest.len());
    out.put_u8(CURSOR_TAG);
    out.put_u8(u8::try_from(cursor.len()).expect("a cursor of ours is shorter than 128 bytes"));
    out.put_slice(cursor.as_bytes());
    out.put_slice(rest);
    out.freeze()
}

fn event(cursor: String, event: proto::event::Event) -> proto::Event {
    proto::Event {
        cursor,
        event: Some(event),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn an_encoded_event_gets_another_cursor_and_nothing_else_changes() {
        for (old, new) in [("a", "bcd"), ("abc", "d"), ("a", &*"x".repeat(127))] {
            let told = gap(old.into(), GapCause::Slow, "chat.>", 300);
            let moved = under_cursor(&told.encode_to_vec().into(), new);
            let expected = gap(new.into(), GapCause::Slow, "chat.>", 300);
            assert_eq!(proto::Event::decode(moved).unwrap(), expected);
        }
    }
}
