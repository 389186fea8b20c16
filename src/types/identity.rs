//! Who sent a packet, from which queue, to which handler.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use super::limits;

/// Who is calling. Stored with every packet, never the token that proved it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Empty without identity.
    pub subject: ByteString,
    /// Every name (keys, topics, client ids) lives inside it. Empty where the identity has none.
    pub tenant: ByteString,
    pub roles: Vec<ByteString>,
}

/// One client queue's owner: the same id under another subject is another client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey {
    pub tenant: ByteString,
    pub subject: ByteString,
    pub client_id: ByteString,
}

/// The checked name of a handler: 1 to 128 of `A-Z a-z 0-9 _ -`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(Arc<str>);

impl HandlerName {
    /// `None` where the name is empty, too long or has another character.
    pub fn new(name: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let fits = !name.is_empty() && name.len() <= limits::HANDLER_BYTES;
        (fits && name.bytes().all(legal)).then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for HandlerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HandlerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
