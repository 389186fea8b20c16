//! One versioned record of a collection.

use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::Form;

/// A record as the store keeps it and as answers and change messages carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: ByteString,
    /// Up by exactly 1 with every change, and never used again for this key.
    pub version: u64,
    /// `None` in the answer to a write, and once deleted.
    pub content: Option<(Form, Bytes)>,
    pub created_at: SystemTime,
    pub updated_at: SystemTime,
    /// The subject whose packet made this version.
    pub updated_by: ByteString,
    pub deleted: bool,
}

impl Record {
    /// The same without its content: what the answer to a write carries.
    pub fn without_content(&self) -> Self {
        Self {
            content: None,
            ..self.clone()
        }
    }

    /// About how much room it takes.
    pub fn size(&self) -> usize {
        let content = self.content.as_ref().map_or(0, |(_, bytes)| bytes.len());
        64 + self.key.len() + self.updated_by.len() + content
    }
}
