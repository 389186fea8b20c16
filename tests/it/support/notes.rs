//! Handlers of the tests' own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tidegate::handler::{Batch, CallError, Handled, Handler, Item};
use tidegate::types::{Action, Answer};

/// Notes what it is called with, and answers each item with its content. Clones share their notes.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<Call>>>);

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub handler: String,
    /// What all items have, if it is one.
    pub action: Option<Action>,
    pub texts: Vec<String>,
}

impl Notes {
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().clone()
    }

    /// The texts of each call.
    pub fn texts(&self) -> Vec<Vec<String>> {
        self.calls().into_iter().map(|call| call.texts).collect()
    }

    /// For handlers that answer otherwise.
    pub fn note(&self, batch: &Batch) {
        self.0.lock().push(Call {
            handler: batch.handler.to_string(),
            action: batch.action,
            texts: batch.items.iter().map(text).collect(),
        });
    }
}

impl Handler for Notes {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        self.note(&batch);
        let answers = batch.items.iter().map(echo).collect();
        Box::pin(std::future::ready(Ok(answers)))
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

/// The item's first text.
pub fn text(item: &Item) -> String {
    let first = item.packet.content.items.first();
    first.map_or_else(String::new, |text| {
        String::from_utf8(text.to_vec()).unwrap()
    })
}

/// Its content as its answer.
pub fn echo(item: &Item) -> Handled {
    let answer = Answer {
        content: item.packet.content.clone(),
        ..Answer::ok()
    };
    Handled::new(item.id, answer)
}
