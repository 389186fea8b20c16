//! Who sees everything that is told, and everything that is run.

use bytes::Bytes;
use parking_lot::Mutex;

use super::service::DONE;
use crate::store::{Entry, EntryKind, KeptResult, Tail};
use crate::types::MessageBody;

/// Whoever follows the store and the services: what they saw since they were asked last.
#[derive(Debug, Default)]
pub(super) struct Witness {
    applied: Mutex<Vec<Bytes>>,
    /// What services said of their work with their answers.
    published: Mutex<Vec<Bytes>>,
    results: Mutex<Vec<KeptResult>>,
}

impl Tail for Witness {
    fn committed(&self, entries: &[Entry]) {
        for entry in entries {
            match &entry.kind {
                EntryKind::Message(message) | EntryKind::Ephemeral(message) => {
                    let content = match &message.body {
                        MessageBody::Content(_, bytes) => bytes,
                        MessageBody::Record(record) => {
                            &record.content.as_ref().expect("nothing is deleted").1
                        }
                    };
                    let seen = match message.topic.as_str() {
                        DONE => &self.published,
                        _ => &self.applied,
                    };
                    seen.lock().push(content.clone());
                }
                EntryKind::Result(result) => self.results.lock().push(result.clone()),
            }
        }
    }
}

impl Witness {
    /// What is applied says whose it is.
    pub(super) fn take_applied(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.applied.lock())
    }

    pub(super) fn take_published(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.published.lock())
    }

    pub(super) fn take_results(&self) -> Vec<KeptResult> {
        std::mem::take(&mut self.results.lock())
    }
}
