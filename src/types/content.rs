//! What a packet, a record or a message carries: never looked into, never wrapped.

use bytes::Bytes;
use smallvec::SmallVec;

/// Whether content came as bytes or as UTF-8 text. It goes out as it came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Form {
    #[default]
    Bytes,
    /// Every item is valid UTF-8: checked at the edge.
    Text,
}

/// The items of one packet or answer, all of one form. One item needs no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub form: Form,
    pub items: SmallVec<[Bytes; 1]>,
}

impl Content {
    pub fn text(item: impl Into<String>) -> Self {
        Self {
            form: Form::Text,
            items: SmallVec::from_iter([Bytes::from(item.into())]),
        }
    }

    pub fn bytes(item: impl Into<Bytes>) -> Self {
        Self {
            form: Form::Bytes,
            items: SmallVec::from_iter([item.into()]),
        }
    }

    /// The size of all items together, without framing.
    pub fn len(&self) -> usize {
        self.items.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// As much of a text as takes so many bytes, whole characters only.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let fits = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=bytes.min(text.len())).rev().find(fits);
    &text[..end.unwrap_or(0)]
}
