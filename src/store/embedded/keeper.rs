//! The thread that makes checkpoints, and removes what need not be kept. Nobody waits for it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime};

use hashbrown::HashMap;
use tokio::time::Instant;

use super::backup::{Ask, BackupError, Moment};
use super::damage::mend;
use super::disk::Disk;
use super::keep::Keeping;
use super::levels::{Mem, Shared};
use super::meta::{self, part_key, part_row};
use super::parts::{Blocks, Damage, Part, PartWriter, Step};
use super::reader::tell;
use super::rows::Space;
use super::syncer::Job;
use super::table::Op;
use crate::store::packed::PackedMessage;

/// Where the parts are.
pub(super) const PARTS: &str = "parts";

/// How long it waits for a reason to do something.
const IDLE: Duration = Duration::from_secs(30);

/// What was not moved for so long is moved, however little it is: retention removes whole parts.
const OLD: Duration = Duration::from_secs(60 * 60);

/// Classes that keep the last messages of each topic become one part when they have so many.
const MERGED: usize = 4;

/// What the keeping thread is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    Checkpoint,
    /// A checkpoint though nothing has changed: damage was told, and what was damaged is not needed any more.
    Settle,
    /// The table was found to be damaged.
    Mend,
    /// A last checkpoint, and the end.
    Close,
}

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) wake: Receiver<Wake>,
    /// Nobody has the store any more.
    pub(super) is_closed: Arc<AtomicBool>,
    pub(super) jobs: Sender<Job>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) shared: Arc<Shared>,
    pub(super) keep: Keeping,
    /// Those who wait for what a backup is made of.
    pub(super) asked: Receiver<Ask>,
    pub(super) unsure: Unsure,
}

/// What the table was asked and did not say yes to: it may have been done nevertheless. So the same is asked again, before
/// anything else: other rows beside these could have messages twice, or name files that are not there any more.
#[derive(Debug, Default)]
pub(super) struct Unsure {
    /// The parts of the level that is frozen.
    moved: Option<Vec<Arc<Part>>>,
    replaced: Option<Replacing>,
}

/// Parts that go, and what comes in their place.
#[derive(Debug)]
struct Replacing {
    gone: Vec<Arc<Part>>,
    new: Option<Arc<Part>>,
    lost: Lost,
}

impl Keeper {
    /// Runs until it is closed, or nobody is left who could wake it.
    pub(super) fn run(mut self) {
        let mut moved = Instant::now();
        // On a full disk every commit that is refused asks for a checkpoint: the same failure is told once.
        let mut told = String::new();
        loop {
            let why = self.wake.recv_timeout(IDLE);
            let is_old = moved.elapsed() >= OLD;
            self.mend();
            if why.is_ok() || is_old {
                let force = why == Ok(Wake::Settle) || self.shared.damages.take_unsettled();
                match self.checkpoint(force) {
                    Ok(()) => {
                        moved = Instant::now();
                        if !std::mem::take(&mut told).is_empty() {
                            tracing::info!("checkpoints are made again");
                        }
                    }
                    Err(error) => {
                        let error = error.to_string();
                        if error != told {
                            tracing::warn!(%error, "a checkpoint failed: it is tried again");
                            told = error;
                        }
                    }
                }
            }
            while let Ok(ask) = self.asked.try_recv() {
                let moment = self.moment();
                // Whoever asked may be gone.
                let _ = ask.send(moment.map_err(|error| BackupError::Failed(error.to_string())));
            }
            if let Err(error) = self.trim() {
                tracing::warn!(%error, "old messages could not be removed yet");
            }
            match why {
                _ if self.is_closed.load(Ordering::Acquire) => return,
                Ok(Wake::Close) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Moves what is in memory into parts and table; then the log need not have it any more.
    pub(super) fn checkpoint(&mut self, force: bool) -> Result<(), Failure> {
        let moved = self.move_down(force);
        if let Err(Failure::Table(super::table::Error::Damaged(what))) = &moved {
            // Without this the log would grow for good.
            self.shared.damages.table_is_damaged(what);
            self.mend();
            return self.move_down(force);
        }
        moved
    }

    /// Puts a damaged table aside, and goes on with what is left of it.
    fn mend(&self) {
        let damages = &self.shared.damages;
        if damages.is_table_damaged()
            && let Err(error) = mend(&self.shared.table, damages)
        {
            tracing::error!(%error, "the damaged table of rows could not be replaced yet");
        }
    }

    /// Everything that was told, in parts and table. Nobody else changes either.
    fn moment(&mut self) -> Result<Moment, Failure> {
        let is_frozen = self.shared.levels.read().frozen.is_some();
        if is_frozen {
            // Of a checkpoint that failed: what came after it is not among what is moved first.
            self.checkpoint(false)?;
        }
        self.checkpoint(false)?;
        Ok(Moment {
            shared: self.shared.clone(),
            rows: self.shared.table.snapshot()?,
            parts: self.shared.levels.read().parts.clone(),
        })
    }

    fn move_down(&mut self, force: bool) -> Result<(), Failure> {
        self.replace_again()?;
        let mem = {
            let mut levels = self.shared.levels.write();
            match &levels.frozen {
                // The last one failed.
                Some(frozen) => frozen.clone(),
                None if levels.active.bytes == 0 && !force => return Ok(()),
                None => levels.freeze().ok_or(Failure::Busy)?,
            }
        };
        let parts = match self.unsure.moved.take() {
            Some(parts) => parts,
            None => self.write_parts(&mem)?,
        };
        let floors = self.shared.levels.read().floors.clone();
        if let Err(error) = self.apply(&mem, &parts, &floors.to_bytes()) {
            self.unsure.moved = Some(parts);
            return Err(error);
        }
        {
            let mut levels = self.shared.levels.write();
            let all = levels.parts.iter().cloned().chain(parts);
            levels.parts = sorted(all);
            levels.frozen = None;
        }
        // A thread that is gone needs none removed.
        let _ = self.jobs.send(Job::Remove(mem.frame + 1));
        Ok(())
    }

    fn write_parts(&self, mem: &Mem) -> Result<Vec<Arc<Part>>, Failure> {
        let keep = self.keep.get();
        let mut writers: HashMap<&str, (PathBuf, PartWriter)> = HashMap::new();
        for (position, message) in mem.log.entries() {
            let (_, topic) = message.names();
            let class = keep.class(topic);
            let count = writers.len();
            let (_, writer) = match writers.entry(class) {
                hashbrown::hash_map::Entry::Occupied(there) => there.into_mut(),
                hashbrown::hash_map::Entry::Vacant(none) => {
                    let path = Path::new(PARTS).join(format!("{:016x}-{count}.part", mem.frame));
                    let writer = self.part_writer(&path, class)?;
                    none.insert((path, writer))
                }
            };
            writer.add(position, message)?;
        }
        let mut parts = Vec::with_capacity(writers.len());
        for (path, mut writer) in writers.into_values() {
            writer.ages_from(mem.header.time);
            writer.finish()?;
            parts.push(self.open(&path)?);
        }
        Ok(parts)
    }

    /// One that a checkpoint before this one left unfinished is in the way.
    fn part_writer(&self, path: &Path, class: &str) -> Result<PartWriter, Failure> {
        if self.disk.exists(path)? {
            self.disk.remove(path)?;
        }
        Ok(PartWriter::new(self.disk.clone(), path, class)?)
    }

    fn open(&self, path: &Path) -> Result<Arc<Part>, Failure> {
        let part = Part::open(&*self.disk, path, self.blocks.clone(), None)?;
        Ok(Arc::new(part))
    }

    /// Everything of a checkpoint is there at once, or not at all.
    fn apply(&self, mem: &Mem, parts: &[Arc<Part>], floors: &[u8]) -> Result<(), Failure> {
        let rows = mem.rows.iter().map(|(key, row)| Op {
            space: key.space(),
            key: key.rest(),
            value: row.as_deref(),
        });
        let mut ops: Vec<Op<'_>> = rows.collect();
        let names: Vec<_> = parts
            .iter()
            .map(|part| (part_key(part), part_row(part.info())))
            .collect();
        ops.extend(names.iter().map(|(key, row)| Op {
            space: Space::Part as u8,
            key,
            value: Some(row),
        }));
        let (header, frame) = (mem.header.to_bytes(), mem.frame.to_le_bytes());
        ops.push(meta::op(meta::HEADER, &header));
        ops.push(meta::op(meta::FRAME, &frame));
        ops.push(meta::op(meta::FLOORS, floors));
        meta::apply(&self.shared.table, &ops)?;
        Ok(())
    }

    /// Removes whole parts: the oldest ones of a class over its bytes, and those that are too old as a whole.
    pub(super) fn trim(&mut self) -> Result<(), Failure> {
        self.replace_again()?;
        let keep = self.keep.get();
        // By the store's own time, as everything else that is kept.
        let now = self.shared.levels.read().active.header.time;
        let parts = self.shared.levels.read().parts.clone();
        let mut classes: HashMap<&str, Vec<&Arc<Part>>> = HashMap::new();
        for part in parts.iter() {
            classes.entry(&part.info().class).or_default().push(part);
        }
        for (class, parts) in classes {
            let bounds = keep.bounds(class);
            let mut bytes: u64 = parts.iter().map(|part| part.info().bytes).sum();
            let oldest = now.checked_sub(bounds.age);
            let mut gone = Vec::new();
            for part in &parts {
                let info = part.info();
                let too_old = oldest.is_some_and(|oldest| info.newest < oldest);
                if bytes <= bounds.bytes && !too_old {
                    break;
                }
                bytes -= info.bytes;
                gone.push((*part).clone());
            }
            if !gone.is_empty() {
                self.replace(&gone, None, Lost::Told)?;
            }
            let left = &parts[gone.len()..];
            if let Some(last) = bounds.last
                && left.len() >= MERGED
            {
                let left: Vec<_> = left.iter().map(|part| (*part).clone()).collect();
                self.merge(class, &left, last)?;
            }
        }
        Ok(())
    }

    /// Makes one part of several, with the last messages of each topic.
    fn merge(&mut self, class: &str, parts: &[Arc<Part>], last: u64) -> Result<(), Failure> {
        let mut counts: HashMap<(String, String), u64> = HashMap::new();
        let mut kept = 0;
        each(
            parts,
            &mut |damage| tell(&self.shared, damage),
            |_, message| {
                let (tenant, topic) = message.names();
                *counts.entry((tenant.into(), topic.into())).or_default() += 1;
                Ok(())
            },
        )?;
        let newest = parts.iter().map(|part| part.info().last).max().unwrap_or(0);
        let path =
            Path::new(PARTS).join(format!("{newest:016x}-last-{}.part", rand::random::<u32>()));
        let mut writer = self.part_writer(&path, class)?;
        each(
            parts,
            &mut |damage| tell(&self.shared, damage),
            |position, message| {
                let (tenant, topic) = message.names();
                let left = counts.get_mut(&(tenant.to_owned(), topic.to_owned()));
                let left = left.ok_or(Failure::Busy)?;
                let is_kept = *left <= last;
                *left -= 1;
                if is_kept {
                    kept += 1;
                    writer.add(position, message)?;
                }
                Ok(())
            },
        )?;
        let newest = parts.iter().map(|part| part.info().newest).max();
        writer.ages_from(newest.unwrap_or(SystemTime::UNIX_EPOCH));
        writer.finish()?;
        let merged = match kept {
            0 => {
                self.disk.remove(&path)?;
                None
            }
            _ => Some(self.open(&path)?),
        };
        self.replace(parts, merged, Lost::Nothing)
    }

    fn replace(
        &mut self,
        gone: &[Arc<Part>],
        new: Option<Arc<Part>>,
        lost: Lost,
    ) -> Result<(), Failure> {
        let gone = gone.to_vec();
        self.unsure.replaced = Some(Replacing { gone, new, lost });
        self.replace_again()
    }

    fn replace_again(&mut self) -> Result<(), Failure> {
        let Some(replacing) = &self.unsure.replaced else {
            return Ok(());
        };
        self.apply_replacing(replacing)?;
        let Some(Replacing { gone, new, lost }) = self.unsure.replaced.take() else {
            return Ok(());
        };
        {
            let mut levels = self.shared.levels.write();
            let is_gone = |part: &&Arc<Part>| gone.iter().any(|other| Arc::ptr_eq(other, part));
            let left = levels.parts.iter().filter(|part| !is_gone(part)).cloned();
            levels.parts = sorted(left.chain(new));
            // Damage that a reader told meanwhile stays.
            let mut merged = (*levels.floors).clone();
            if lost == Lost::Told {
                gone.iter().for_each(|part| merged.remove(part.info()));
            }
            levels.floors = Arc::new(merged);
        }
        for part in gone {
            // Those who read it have it open.
            self.disk.remove(Path::new(part.path()))?;
        }
        Ok(())
    }

    fn apply_replacing(&self, replacing: &Replacing) -> Result<(), Failure> {
        let Replacing { gone, new, lost } = replacing;
        let mut floors = (*self.shared.levels.read().floors).clone();
        if *lost == Lost::Told {
            gone.iter().for_each(|part| floors.remove(part.info()));
        }
        let keys: Vec<_> = gone.iter().map(|part| part_key(part)).collect();
        let row = floors.to_bytes();
        let mut ops = vec![meta::op(meta::FLOORS, &row)];
        ops.extend(keys.iter().map(|key| Op {
            space: Space::Part as u8,
            key,
            value: None,
        }));
        let added = new
            .as_ref()
            .map(|part| (part_key(part), part_row(part.info())));
        ops.extend(added.iter().map(|(key, row)| Op {
            space: Space::Part as u8,
            key,
            value: Some(row),
        }));
        meta::apply(&self.shared.table, &ops)?;
        Ok(())
    }
}

/// Whether who comes later is told that something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Told,
    Nothing,
}

/// Why something is not done yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("another one is under way")]
    Busy,
    #[error("{0}")]
    Table(#[from] super::table::Error),
    #[error("{0}")]
    Part(#[from] super::parts::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn sorted(parts: impl Iterator<Item = Arc<Part>>) -> Arc<[Arc<Part>]> {
    let mut parts: Vec<_> = parts.collect();
    parts.sort_by_key(|part| part.info().first);
    parts.into()
}

fn each(
    parts: &[Arc<Part>],
    lost: &mut dyn FnMut(&Damage),
    mut visit: impl FnMut(u64, &PackedMessage) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for part in parts {
        let mut result = Ok(());
        part.scan(0, &mut |step| {
            match step {
                Step::Message(position, message) => result = visit(position, &message),
                // Whoever looks for it later finds no trace of it.
                Step::Lost(damage) => lost(&damage),
            }
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        result?;
    }
    Ok(())
}
