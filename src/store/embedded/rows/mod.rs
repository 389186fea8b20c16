//! What the engine keeps beside messages: rows in spaces, by key. A packet costs bytes of a row, seldom a row.

mod key;
mod letter;
mod queue;
mod results;
mod run;

pub(super) use key::{
    Key, Owner, QueueHash, Seed, Space, collection_prefix, end_of, shown, split_record,
};
pub(super) use letter::LetterRow;
pub(super) use queue::{HolderRow, OwnedRow, QueueRow};
pub(super) use results::{ResultsEntry, ResultsRow, ResultsWriter, Scope};
pub(super) use run::{RunPacket, RunRow};
