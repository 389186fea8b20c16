//! Who sees everything that is told, and everything that is run.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::store::{Entry, EntryKind, KeptResult, Tail};
use crate::types::MessageBody;

/// Whoever follows the store and the services: what they saw since they were asked last.
#[derive(Debug, Default)]
pub(super) struct Witness {
    applied: Mutex<Vec<Bytes>>,
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
                    self.applied.lock().push(content.clone());
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

    pub(super) fn take_results(&self) -> Vec<KeptResult> {
        std::mem::take(&mut self.results.lock())
    }
}
