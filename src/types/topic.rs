//! Topics and patterns: dot-separated tokens, `*` for one, a last `>` for one or more. One matcher serves live delivery,
//! replay and rights.

use bytestring::ByteString;

/// The most tokens a topic has, but for the `records.` topics, whose keys may bring more.
pub const MAX_TOKENS: usize = 16;

/// A checked topic name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(ByteString);

/// A checked pattern, with `@me` put in as a literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(ByteString);

/// What is wrong with a topic or pattern, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TopicError(pub String);

impl Topic {
    /// A topic to publish on. `@me` as the first token becomes `@user.<subject>`.
    pub fn parse(_name: &str, _subject: &str) -> Result<Self, TopicError> {
        todo!()
    }

    /// Where the changes of a record are told: `records.<handler>.<key…>`.
    pub fn of_record(_handler: &str, _key: &str) -> Self {
        todo!()
    }

    /// Whether it is one of the gateway's own, where no client may publish: `records.…` and everything that starts with `@`
    /// (but for inboxes, which rights decide).
    pub fn is_reserved(&self) -> bool {
        todo!()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// `@me` as the first token, or below `records.<handler>.`, becomes what it stands for, as a literal.
    pub fn parse(_pattern: &str, _subject: &str) -> Result<Self, TopicError> {
        todo!()
    }

    pub fn matches(&self, _topic: &Topic) -> bool {
        todo!()
    }

    /// The one topic that it matches, if it has no wildcard.
    pub fn exact(&self) -> Option<&Topic> {
        todo!()
    }

    /// Whether everything that `other` matches is matched by this one too.
    pub fn covers(&self, _other: &Self) -> bool {
        todo!()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One token for any string: every byte outside `A-Za-z0-9_-` is percent-encoded.
pub fn encode_token(_raw: &str) -> String {
    todo!()
}
