//! Topics and patterns: dot-separated tokens, `*` for one, a last `>` for one or more. One matcher serves live delivery,
//! replay and rights; its cases are `tests/conformance/topics.yaml`, for every language.

mod key;
mod pattern;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;

use bytestring::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use key::{record_key, record_prefix};
pub use pattern::Pattern;

/// The most tokens a topic has. A `records.` topic keeps to it too: two tokens, and the fourteen that a key may bring.
pub const MAX_TOKENS: usize = 16;

/// The most bytes a topic has, but for the `records.` topics, whose keys may bring more.
const MAX_BYTES: usize = 512;
const MAX_RECORD_BYTES: usize = 2048;

/// A checked topic name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(ByteString);

/// What is wrong with a topic, pattern or key, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TopicError(pub String);

impl Topic {
    /// A topic to publish on, or to read the history of. `@me` becomes what it stands for, as a literal.
    pub fn parse(name: &str, subject: &str) -> Result<Self, TopicError> {
        if name.contains(['*', '>']) {
            return fail(format!(
                "the topic {name:?} has a wildcard: a topic is one name, only patterns have * and >"
            ));
        }
        check(name)?;
        put_in_me(name, subject).map(|name| Self(name.as_ref().into()))
    }

    /// Where the changes of a record are told: `records.<handler>.<key…>`.
    pub fn of_record(handler: &str, key: &str) -> Self {
        let mut topic = String::with_capacity(9 + handler.len() + key.len());
        topic.push_str("records.");
        topic.push_str(handler);
        for token in key.split('.') {
            topic.push('.');
            topic.extend(encoded(token));
        }
        Self(topic.into())
    }

    /// A name that was a topic before it was stored.
    pub(crate) fn restored(name: ByteString) -> Self {
        Self(name)
    }

    /// Whether it is one of the gateway's own, where no client may publish: `records.…` and everything that starts with `@`
    /// (inboxes too, as long as no role can grant them).
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('@') || first_token(&self.0) == "records"
    }

    /// Whether it is a person's inbox, or below one: `@user.<subject>`, the subject as one token that [`encode_token`] gives.
    pub fn is_inbox(&self) -> bool {
        let below = self.0.strip_prefix("@user.");
        let subject = below.map(first_token);
        subject.is_some_and(|subject| subject.bytes().all(is_of_token))
    }

    /// Whether a principal without any role must not read it: another's inbox, and every other `@` name.
    pub fn is_private_to_another(&self, subject: &str) -> bool {
        is_private_to_another(&self.0, subject)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One token for any string: every byte outside `A-Za-z0-9_-` is percent-encoded.
pub fn encode_token(raw: &str) -> String {
    encoded(raw).to_string()
}

fn encoded(raw: &str) -> percent_encoding::PercentEncode<'_> {
    const OUTSIDE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');
    utf8_percent_encode(raw, OUTSIDE)
}

/// What holds for topics and patterns as they are written. Wildcards are the caller's to judge.
fn check(name: &str) -> Result<(), TopicError> {
    if name.is_empty() {
        return fail("a topic is empty: give one or more tokens, separated by dots".into());
    }
    check_size(name)?;
    if name.split('.').any(str::is_empty) {
        return fail(format!(
            "the topic {name:?} has an empty token: every dot needs a token on both sides"
        ));
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return fail(format!(
            "the topic {name:?} has white space or a control character: encode it, as in %20"
        ));
    }
    Ok(())
}

fn check_size(name: &str) -> Result<(), TopicError> {
    let most = match first_token(name) {
        "records" => MAX_RECORD_BYTES,
        _ => MAX_BYTES,
    };
    if name.len() > most {
        return fail(format!(
            "a topic has {} bytes: {most} are the most",
            name.len()
        ));
    }
    let tokens = name.split('.').count();
    if tokens > MAX_TOKENS {
        return fail(format!(
            "a topic has {tokens} tokens: {MAX_TOKENS} are the most"
        ));
    }
    Ok(())
}

/// Puts in what `@me` stands for: `@user.<subject>` as the first token, and below `records.<handler>.` what the caller's
/// token in a key becomes in a topic. The name was checked, and is split before anything is put in, so that no subject can
/// bring a wildcard or another token.
fn put_in_me<'a>(name: &'a str, subject: &str) -> Result<Cow<'a, str>, TopicError> {
    if !name.split('.').any(|token| token == "@me") {
        return Ok(Cow::Borrowed(name));
    }
    let me = my_token(subject)?;
    let in_records = first_token(name) == "records";
    let mut made = String::with_capacity(name.len() + me.len() + 8);
    for (at, token) in name.split('.').enumerate() {
        if at > 0 {
            made.push('.');
        }
        match (token, at) {
            ("@me", 0) => {
                made.push_str("@user.");
                made.push_str(&me);
            }
            ("@me", 2..) if in_records => made.extend(encoded(&me)),
            ("@me", _) => {
                return fail(format!(
                    "the topic {name:?} has @me inside: it stands first, or in the key below records.<handler>."
                ));
            }
            _ => made.push_str(token),
        }
    }
    check_size(&made)?;
    Ok(Cow::Owned(made))
}

/// The token that `@me` is.
fn my_token(subject: &str) -> Result<String, TopicError> {
    if subject.is_empty() {
        return fail(
            "@me is the caller's own inbox or token and needs a subject, and the caller has none"
                .into(),
        );
    }
    Ok(encode_token(subject))
}

fn is_private_to_another(name: &str, subject: &str) -> bool {
    if !name.starts_with('@') {
        return false;
    }
    let mut tokens = name.split('.');
    let own = tokens.next() == Some("@user")
        && !subject.is_empty()
        && tokens.next() == Some(encode_token(subject).as_str());
    !own
}

/// Of what [`encode_token`] gives.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'%')
}

fn first_token(name: &str) -> &str {
    name.split_once('.').map_or(name, |(first, _)| first)
}

fn fail<T>(message: String) -> Result<T, TopicError> {
    Err(TopicError(message))
}
