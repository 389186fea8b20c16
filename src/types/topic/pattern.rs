//! Which topics somebody means.

use bytestring::ByteString;

use super::{Topic, TopicError, check, fail, is_private_to_another, put_in_me};

/// A checked pattern, with `@me` put in as a literal. A wildcard in the first token never matches an `@` name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    shape: Shape,
    /// As it was written, but for `@me`.
    text: Topic,
}

/// What is to compare. Matching runs per event and stream, and nearly every pattern is one of the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    Exact,
    /// Only a last `>`, below literal tokens.
    Below,
    /// `>` alone.
    Everything,
    /// Token by token.
    Tokens,
}

impl Pattern {
    /// `@me` as the first token, or below `records.<handler>.`, becomes what it stands for, as a literal.
    pub fn parse(pattern: &str, subject: &str) -> Result<Self, TopicError> {
        check(pattern)?;
        let mut tokens = pattern.split('.').peekable();
        let (mut stars, mut tail) = (false, false);
        while let Some(token) = tokens.next() {
            match token {
                "*" => stars = true,
                ">" if tokens.peek().is_none() => tail = true,
                ">" => {
                    return fail(format!(
                        "the pattern {pattern:?} goes on behind >: `>` matches the rest of a topic, so it must be the last token"
                    ));
                }
                _ if token.contains(['*', '>']) => {
                    return fail(format!(
                        "the pattern {pattern:?} has a wildcard inside a token: * and > stand alone"
                    ));
                }
                _ => {}
            }
        }
        let text = put_in_me(pattern, subject)?;
        let shape = match (stars, tail) {
            (false, false) => Shape::Exact,
            (false, true) if text.len() == 1 => Shape::Everything,
            (false, true) => Shape::Below,
            (true, _) => Shape::Tokens,
        };
        let text = Topic(ByteString::from(text.as_ref()));
        Ok(Self { shape, text })
    }

    pub fn matches(&self, topic: &Topic) -> bool {
        self.matches_name(topic.as_str())
    }

    /// The same for the name of a topic, where it is not worth making one.
    pub(crate) fn matches_name(&self, topic: &str) -> bool {
        let text = self.as_str();
        match self.shape {
            Shape::Exact => text == topic,
            Shape::Below => {
                let above = &text.as_bytes()[..text.len() - 1];
                topic.len() > above.len() && topic.as_bytes().starts_with(above)
            }
            Shape::Everything => !topic.starts_with('@'),
            Shape::Tokens => {
                !(text.starts_with('*') && topic.starts_with('@')) && tokens_match(text, topic)
            }
        }
    }

    /// Whether its first token names the gateway's own topics: `records.…` and everything that starts with `@`.
    pub fn is_reserved(&self) -> bool {
        self.text.is_reserved()
    }

    /// The one topic that it matches, if it has no wildcard.
    pub fn exact(&self) -> Option<&Topic> {
        (self.shape == Shape::Exact).then_some(&self.text)
    }

    /// Whether everything that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let (wide, narrow) = (self.as_str(), other.as_str());
        if wide.starts_with(['*', '>']) && narrow.starts_with('@') {
            return false;
        }
        let mut narrow = narrow.split('.');
        for token in wide.split('.') {
            match (token, narrow.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(narrow)) if narrow != ">" => {}
                (literal, Some(narrow)) if literal == narrow && literal != "*" => {}
                _ => return false,
            }
        }
        narrow.next().is_none()
    }

    /// Whether a principal without any role must not subscribe it: another's inbox, and every other `@` name.
    pub fn is_private_to_another(&self, subject: &str) -> bool {
        is_private_to_another(self.as_str(), subject)
    }

    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

fn tokens_match(pattern: &str, topic: &str) -> bool {
    let mut topic = topic.split('.');
    for token in pattern.split('.') {
        match (token, topic.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(token)) if literal == token => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}
