//! One small operation, as the gateway holds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{Answer, Content};

/// The header that continues a trace.
pub const TRACEPARENT: &str = "traceparent";

/// What a packet asks its handler to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Create,
    Read,
    Update,
    Delete,
    Put,
    List,
    Call,
}

impl Action {
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::Delete,
        Self::Put,
        Self::List,
        Self::Call,
    ];

    /// READ and LIST: they have no place, are never recorded, and hold up nobody.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::List)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Read => "READ",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Put => "PUT",
            Self::List => "LIST",
            Self::Call => "CALL",
        }
    }
}

/// A packet that was converted and checked. Strings and content share the buffer of the request that brought them.
#[derive(Debug, Clone)]
pub struct Packet {
    pub req_id: ByteString,
    /// As it was written; whether there is such a handler is the registry's to say.
    pub handler: ByteString,
    /// The place among its client's packets to its handler; 0: none.
    pub seq: u64,
    pub action: Action,
    pub key: ByteString,
    pub content: Content,
    pub if_version: Option<u64>,
    /// Not applied later than this after it was received.
    pub ttl: Option<Duration>,
    /// Outside every order.
    pub unordered: bool,
    /// What few packets have.
    pub more: Option<Box<More>>,
    /// Of what must be equal in a repeat: req_id, handler, action, method, key, content, files and if_version.
    pub fingerprint: u64,
    /// Its size on the wire, with what it has from its call: for every bound in bytes.
    pub size: usize,
    /// Its bytes as they came, in the buffer of the request.
    pub raw: Bytes,
    /// What it has from its call.
    pub carried: Option<Arc<Carried>>,
    /// Set where the edge found it wrong: the answer that it gets in its turn instead of being applied.
    pub refusal: Option<Box<Answer>>,
}

/// A header that a packet has from its call: one for all packets of it, which copy nothing for it while they wait.
#[derive(Debug)]
pub struct Carried {
    pub header: (ByteString, ByteString),
    /// As a packet has it on the wire. A message may be written in pieces: behind a packet's own bytes it is a part of it.
    pub field: Bytes,
}

/// The fields of a packet that few packets have.
#[derive(Debug, Clone, Default)]
pub struct More {
    pub method: ByteString,
    pub headers: Vec<(ByteString, ByteString)>,
    pub files: Vec<(ByteString, PacketFile)>,
    pub page_size: u32,
    pub page_token: ByteString,
}

/// A file that belongs to a packet.
#[derive(Debug, Clone)]
pub struct PacketFile {
    pub name: ByteString,
    pub content_type: ByteString,
    pub size: u64,
    pub sha256: Bytes,
    pub source: Option<Source>,
}

/// Where a file's bytes are.
#[derive(Debug, Clone)]
pub enum Source {
    Content(Bytes),
    Upload(ByteString),
}

impl Packet {
    pub fn method(&self) -> &ByteString {
        static NONE: ByteString = ByteString::from_static("");
        self.more.as_ref().map_or(&NONE, |more| &more.method)
    }

    pub fn page_size(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.page_size)
    }

    pub fn page_token(&self) -> &str {
        self.more.as_ref().map_or("", |more| &more.page_token)
    }

    /// The trace that it is a part of, as it came.
    pub fn traceparent(&self) -> Option<&str> {
        let mut headers = self.headers();
        let found = headers.find(|(name, _)| *name == *TRACEPARENT);
        found.map(|(_, value)| &**value)
    }

    /// Its own, and what it has from its call.
    pub fn headers(&self) -> impl Iterator<Item = &(ByteString, ByteString)> {
        let own = self.more.as_ref().map_or(&[][..], |more| &more.headers);
        let carried = self.carried.iter().map(|carried| &carried.header);
        own.iter().chain(carried)
    }

    /// What is kept of it once it is taken: the bytes that it came in, with what it has from its call.
    pub fn kept(&self) -> Bytes {
        let Some(carried) = &self.carried else {
            return self.raw.clone();
        };
        let mut kept = BytesMut::with_capacity(self.raw.len() + carried.field.len());
        kept.extend_from_slice(&self.raw);
        kept.extend_from_slice(&carried.field);
        kept.freeze()
    }

    /// Without a share of the buffer that brought it, which is that of a whole request: for what waits for long.
    pub fn owned(&self) -> Self {
        let raw = Bytes::copy_from_slice(&self.raw);
        let text = |text: &ByteString| ByteString::from(&**text);
        let bytes = |part: &Bytes| moved(part, &self.raw, &raw);
        let more = |more: &More| More {
            method: text(&more.method),
            headers: more
                .headers
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            files: more
                .files
                .iter()
                .map(|(field, file)| {
                    let file = PacketFile {
                        name: text(&file.name),
                        content_type: text(&file.content_type),
                        size: file.size,
                        sha256: bytes(&file.sha256),
                        source: file.source.as_ref().map(|source| match source {
                            Source::Content(content) => Source::Content(bytes(content)),
                            Source::Upload(id) => Source::Upload(text(id)),
                        }),
                    };
                    (text(field), file)
                })
                .collect(),
            page_size: more.page_size,
            page_token: text(&more.page_token),
        };
        Self {
            req_id: text(&self.req_id),
            handler: text(&self.handler),
            key: text(&self.key),
            content: Content {
                form: self.content.form,
                items: self.content.items.iter().map(bytes).collect(),
            },
            more: self.more.as_deref().map(more).map(Box::new),
            carried: self.carried.clone(),
            refusal: self.refusal.clone(),
            raw,
            ..*self
        }
    }
}

/// The same part of a copy; a copy of its own, where it was no part.
fn moved(part: &Bytes, from: &Bytes, to: &Bytes) -> Bytes {
    let at = (part.as_ptr() as usize).checked_sub(from.as_ptr() as usize);
    let end = at.and_then(|at| at.checked_add(part.len()));
    match (at, end) {
        (Some(at), Some(end)) if end <= from.len() => to.slice(at..end),
        _ => Bytes::copy_from_slice(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_owns_what_it_has_shares_no_request() {
        let request = Bytes::from(vec![b'x'; 1000]);
        let part = |at: usize| request.slice(at..at + 10);
        let text = |at: usize| ByteString::try_from(part(at)).unwrap();
        let file = PacketFile {
            name: text(60),
            content_type: text(60),
            size: 10,
            sha256: part(60),
            source: Some(Source::Content(part(150))),
        };
        let more = More {
            method: text(50),
            // Outside the packet, which is no part of it.
            headers: vec![(text(60), text(900))],
            files: vec![(text(60), file)],
            ..More::default()
        };
        let packet = Packet {
            req_id: text(10),
            handler: text(20),
            seq: 7,
            action: Action::Call,
            key: text(30),
            content: Content::bytes(part(120)),
            if_version: Some(3),
            ttl: None,
            unordered: false,
            more: Some(Box::new(more)),
            fingerprint: 5,
            size: 300,
            raw: request.slice(0..300),
            carried: None,
            refusal: None,
        };
        let owned = packet.owned();
        assert_eq!(format!("{owned:?}"), format!("{packet:?}"));
        drop(packet);
        assert!(request.is_unique(), "nothing else has a share of it");
        let raw = owned.raw.as_ptr() as usize;
        let content = owned.content.items[0].as_ptr() as usize;
        assert_eq!(content - raw, 120, "it is there once");
    }
}
