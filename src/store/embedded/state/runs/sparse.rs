//! Runs that may stay for long, as a packet of them is held until a person decides: what is finished of them goes before.
//!
//! A run is one row, and is written again without the bytes of what is finished once they are half of it: so it takes twice
//! what is open at most, and is written once for each half that goes.

use bytes::Bytes;
use bytestring::ByteString;

use super::Run;
use crate::store::Error;
use crate::store::embedded::rows::{Key, RunRow, Space};
use crate::store::embedded::state::State;

impl Run {
    fn is_sparse(&self) -> bool {
        self.holds && self.open_bytes < self.row_bytes && 2 * self.open_bytes <= self.row_bytes
    }
}

impl State {
    /// A packet of it is held.
    pub(in super::super) fn holds_run(&mut self, id: u64) {
        if let Some(run) = self.runs.runs.get_mut(&id) {
            run.holds = true;
        }
    }

    /// Looks whether its row is to be written again with the frame that is being made.
    pub(in super::super) fn look_at_run(&mut self, id: u64) {
        let run = self.runs.runs.get_mut(&id);
        if let Some(run) = run.filter(|run| run.is_sparse() && !run.shrinks) {
            run.shrinks = true;
            self.staged.held += run.open_bytes;
            self.staged.finished.push(id);
        }
    }

    pub(super) fn shrink_run(&mut self, id: u64) -> Result<(), Error> {
        let run = self.runs.runs.get(&id);
        let Some(run) = run.filter(|run| run.shrinks) else {
            return Ok(());
        };
        let key = Key::number(Space::Run, id);
        let Some(row) = self.get(&key)? else {
            return Ok(());
        };
        let mut row = RunRow::read(row);
        for (packet, known) in row.packets.iter_mut().zip(&run.packets) {
            if known.done {
                (packet.req_id, packet.packet) = (ByteString::new(), Bytes::new());
            }
        }
        self.put(key, |out| row.write(out));
        if let Some(run) = self.runs.runs.get_mut(&id) {
            (run.shrinks, run.row_bytes) = (false, run.open_bytes);
        }
        Ok(())
    }
}
