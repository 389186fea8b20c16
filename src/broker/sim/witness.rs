//! Who sees everything that is told, and everything that is run.

use parking_lot::Mutex;

use super::check::Name;
use super::jobs::{DONE, Effects};
use crate::store::{Entry, EntryKind, KeptResult, Tail};
use crate::types::MessageBody;

/// Whoever follows the store.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) applied: Mutex<Vec<Name>>,
    /// What the handler that is called said of its work.
    pub(super) published: Mutex<Vec<Name>>,
    pub(super) results: Mutex<Vec<KeptResult>>,
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
                    match message.topic.as_str() {
                        DONE => self.published.lock().push(name(content)),
                        _ => self.applied(content),
                    }
                }
                EntryKind::Result(result) => self.results.lock().push(result.clone()),
            }
        }
    }
}

impl Witness {
    /// What is applied says whose it is.
    fn applied(&self, content: &[u8]) {
        self.applied.lock().push(name(content));
    }
}

fn name(content: &[u8]) -> Name {
    let text = std::str::from_utf8(content).unwrap();
    let (queue, seq) = text.split_once(':').expect("the model's own content");
    (queue.parse().unwrap(), seq.parse().unwrap())
}

impl Effects for Witness {
    fn applied(&self, content: &[u8]) {
        self.applied(content);
    }
}
