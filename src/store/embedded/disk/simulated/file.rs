//! An open file: what each operation does to its content, and what of it when it is the one that fails.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;

use super::super::DiskFile;
use super::content::Pending;
use super::state::{Fate, State};

#[derive(Debug)]
pub(super) struct SimulatedFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) id: u64,
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.powered()?;
        Ok(state.file(self.id)?.now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        if state.grow(self.id, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.file(self.id)?;
        file.allocated = len;
        file.write(Pending::SetLen(len));
        fate.or_off()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        fate.or_failed()?;
        let reached = state.grow(self.id, len);
        let file = state.file(self.id)?;
        if reached > file.now.len() as u64 {
            file.write(Pending::SetLen(reached));
        }
        if reached < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        fate.or_off()
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.powered()?;
        let file = state.file(self.id)?;
        let bytes = usize::try_from(at)
            .ok()
            .and_then(|at| file.now.get(at..at.checked_add(buffer.len())?));
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        let end = at + bytes.len() as u64;
        let reached = state.grow(self.id, end);
        let mut done = reached.saturating_sub(at).min(bytes.len() as u64) as usize;
        if matches!(fate, Fate::Fails) {
            done = state.random.random_range(0..=done);
        }
        if done > 0 {
            let written = bytes[..done].to_vec();
            state.file(self.id)?.write(Pending::Write(at, written));
        }
        fate.or_failed()?;
        fate.or_off()?;
        if done < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.begin()?;
        if matches!(fate, Fate::Fails) {
            // As kernels do it: the pages are clean afterwards, still read, and never written.
            state.file(self.id)?.pending.clear();
        }
        fate.or_failed()?;
        fate.or_off()?;
        if state.syncs {
            state.file(self.id)?.harden();
        }
        Ok(())
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if let Some(file) = self.state.lock().files.get_mut(&self.id) {
            file.handles -= 1;
        }
    }
}
