//! A commit to be, in the plain words of the model.

use crate::store::{Op, Place};

/// A client, and a handler.
pub(super) type Queue = (usize, usize);

pub(super) const HANDLERS: [&str; 3] = ["todos", "notes", "ticks"];

/// The handler of the record that every commit changes, so that its version tells how many there were.
pub(super) const TICKS: usize = 2;

/// A commit to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) time: u64,
    pub(super) settles: Vec<(Queue, u64, Vec<String>)>,
    pub(super) owed: Vec<(Queue, u64, String)>,
    pub(super) finishes: Vec<PlannedFinish>,
    pub(super) letters: Vec<PlannedLetter>,
    pub(super) units: Vec<PlannedUnit>,
}

#[derive(Debug, Clone)]
pub(super) struct PlannedFinish {
    /// The model's name of a packet that was taken.
    pub(super) name: u64,
    pub(super) said: String,
    pub(super) message: Option<(String, String)>,
    pub(super) awaited: bool,
    /// It becomes a dead letter.
    pub(super) death: bool,
}

/// By the model's names of the packets.
#[derive(Debug, Clone)]
pub(super) enum PlannedLetter {
    Hold(u64),
    Release(u64),
    Discard(u64),
}

#[derive(Debug, Clone)]
pub(super) struct PlannedUnit {
    pub(super) client: Option<usize>,
    pub(super) handler: usize,
    pub(super) group: u64,
    /// A dead letter has its packet's name in place of its number.
    pub(super) place: Place,
    pub(super) fingerprint: u64,
    pub(super) req_id: String,
    pub(super) awaited: bool,
    pub(super) effect: PlannedEffect,
    /// The model's name, should it be taken.
    pub(super) name: u64,
}

#[derive(Debug, Clone)]
pub(super) enum PlannedEffect {
    Answer(String),
    Change(Vec<(Op, String, Option<u64>, String)>),
    Publish(Vec<(String, String)>),
    Take,
}
