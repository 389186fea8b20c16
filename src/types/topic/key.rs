//! The keys of records: tokens as in topics, of any characters.

use std::borrow::Cow;

use super::{TopicError, fail, my_token};
use crate::types::limits;

/// The most tokens a key has, so that its topic keeps to what a topic has.
const MAX_TOKENS: usize = 14;

/// The key of a record, with every token `@me` made the caller's token: 1 to 14 tokens, none empty.
pub fn record_key<'a>(key: &'a str, subject: &str) -> Result<Cow<'a, str>, TopicError> {
    if key.split('.').any(str::is_empty) {
        return fail(format!(
            "the key {key:?} has an empty token: it is 1 to {MAX_TOKENS} tokens, separated by dots"
        ));
    }
    put_in_me(key, subject)
}

/// What the keys of a LIST start with. It may end inside a token, or be empty.
pub fn record_prefix<'a>(prefix: &'a str, subject: &str) -> Result<Cow<'a, str>, TopicError> {
    put_in_me(prefix, subject)
}

fn put_in_me<'a>(key: &'a str, subject: &str) -> Result<Cow<'a, str>, TopicError> {
    let tokens = key.split('.').count();
    if tokens > MAX_TOKENS {
        return fail(format!(
            "a key has {tokens} tokens: {MAX_TOKENS} are the most"
        ));
    }
    let key = if key.split('.').any(|token| token == "@me") {
        let me = my_token(subject)?;
        let named = |token| if token == "@me" { me.as_str() } else { token };
        Cow::Owned(key.split('.').map(named).collect::<Vec<_>>().join("."))
    } else {
        Cow::Borrowed(key)
    };
    if key.len() > limits::KEY_BYTES {
        return fail(format!(
            "a key has {} bytes: {} are the most",
            key.len(),
            limits::KEY_BYTES
        ));
    }
    Ok(key)
}
