//! The commit log: numbered frames in append-only segments, durable once [`Log::sync`] has returned.
//!
//! * Frames are numbered without gaps. What is durable is there after a crash, whole and in order; what is not may be
//!   there as well, but never without those before it.
//! * Nothing is written over. A start begins a segment of its own; one is begun only when those before it are synced; a
//!   number of a segment is given once. So a stale rest is never taken for frames.
//! * Damage costs what it hit: later frames are delivered all the same, and the numbers that are missing are told.
//! * What [`Log::open`] has delivered is durable: a sync that failed leaves frames that are read and will never reach the
//!   disk by themselves, so the end of the log is written again.
//! * After an operation failed, it refuses everything until it is opened again; only a disk that has no room for a
//!   reservation leaves it as it was.

mod format;
mod segment;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

pub(super) use format::MAX_FRAME;
use format::{FRAME_HEADER, FrameHeader, Marker, SEGMENT_HEADER, SegmentHeader};
pub(super) use walk::MARKER_NAME;
pub(super) use walk::{Damaged, Recovered};
use walk::{Found, Walked, segment_path};

use crate::store::embedded::disk::{Disk, DiskFile};

/// What a buffer for frames keeps of its size after a larger one.
const BUFFER_KEPT: usize = 4 << 20;

/// How much is written again at once.
const REWRITE: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Where its files are, below the disk's own directory. Nothing else is there.
    pub(super) directory: PathBuf,
    /// What is reserved at once. A larger frame gets a segment of its own size.
    pub(super) segment_bytes: u64,
}

impl Options {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            segment_bytes: 16 << 20,
        }
    }
}

/// The log, opened. One thread has it.
#[derive(Debug)]
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    options: Options,
    /// Its own, made when it was begun: checksums are keyed with it.
    id: u64,
    /// Those before the active one, oldest first.
    sealed: VecDeque<Sealed>,
    /// The one that is written. None until something is reserved: a full disk can be opened.
    active: Option<Active>,
    /// Reserved already, for when the active one is full.
    spare: Option<Spare>,
    /// Says how far the log is durable, as far as a hint can. `None` until there was room for it.
    marker: Option<Arc<dyn DiskFile>>,
    next_segment: u64,
    /// The number of the next frame.
    next: u64,
    /// The number of the last frame that is durable.
    durable: u64,
    /// The frame that is being written.
    buffer: Vec<u8>,
    /// Something went wrong, and what is on disk is not known any more.
    failed: bool,
}

#[derive(Debug)]
struct Sealed {
    number: u64,
    bytes: u64,
    /// No frame of it is above this one.
    last: u64,
}

#[derive(Debug)]
struct Active {
    file: Arc<dyn DiskFile>,
    number: u64,
    /// Where the next frame goes.
    at: u64,
    reserved: u64,
}

#[derive(Debug)]
struct Spare {
    file: Arc<dyn DiskFile>,
    number: u64,
    reserved: u64,
}

impl Log {
    /// Opens the log, delivers every frame above `from` in order, and removes what was never told. Memory stays bounded by
    /// two segments, unless what is delivered is kept.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        from: u64,
        deliver: &mut dyn FnMut(u64, Bytes),
    ) -> io::Result<(Self, Recovered)> {
        make_dir(&*disk, &options.directory)?;
        let walked = walk::walk(&*disk, &options.directory, from, deliver)?;
        let mut log = Self {
            id: walked.id.unwrap_or_else(rand::random),
            sealed: VecDeque::new(),
            active: None,
            spare: None,
            marker: None,
            next_segment: walked.segments.last().map_or(0, |last| last.number) + 1,
            next: walked.recovered.next,
            durable: walked.recovered.next - 1,
            buffer: Vec::new(),
            failed: false,
            disk,
            options,
        };
        log.mend(&walked)?;
        Ok((log, walked.recovered))
    }

    /// The number of the next frame.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last frame that is durable.
    #[cfg(test)]
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether no operation of it has failed.
    pub(super) fn is_usable(&self) -> bool {
        !self.failed
    }

    /// The room that it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.bytes).sum();
        let active = self.active.as_ref().map_or(0, |active| active.reserved);
        let spare = self.spare.as_ref().map_or(0, |spare| spare.reserved);
        sealed + active + spare
    }

    /// Makes sure that the next frame, with a payload of so many bytes, needs no more room. If the disk is full nothing
    /// has happened, and it may be tried again.
    pub(super) fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        self.usable()?;
        let frame = frame_bytes(bytes)?;
        let active = self.active.as_ref();
        if active.is_some_and(|active| active.at + frame <= active.reserved) {
            return Ok(());
        }
        let needed = SEGMENT_HEADER as u64 + frame;
        if (self.spare.as_ref()).is_some_and(|spare| needed <= spare.reserved) {
            return Ok(());
        }
        let reserved = self.prepare(needed.max(self.options.segment_bytes));
        if let Err(error) = &reserved
            && !is_full(error)
        {
            self.failed = true;
        }
        reserved
    }

    /// Writes a frame. It is durable when [`Log::sync`] has returned.
    pub(super) fn append(&mut self, number: u64, parts: &[&[u8]]) -> io::Result<()> {
        if number != self.next {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("frame {number} does not follow {}", self.next - 1),
            ));
        }
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.reserve(bytes)?;
        let appended = self.write(parts, bytes);
        self.failed |= appended.is_err();
        appended
    }

    /// What was appended before is durable when this returns.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.usable()?;
        if self.durable + 1 == self.next {
            return Ok(());
        }
        let synced = self.sync_active();
        self.failed |= synced.is_err();
        synced
    }

    /// Removes the segments all of whose frames are below `number`, never the active one. The bytes that this gave back.
    pub(super) fn remove_before(&mut self, number: u64) -> io::Result<u64> {
        let mut bytes = 0;
        while let Some(oldest) = self.sealed.front()
            && oldest.last < number
        {
            let path = segment_path(&self.options.directory, oldest.number);
            self.disk.remove(&path)?;
            bytes += oldest.bytes;
            self.sealed.pop_front();
        }
        Ok(bytes)
    }

    /// Syncs everything. The next start finds the marker exact even after a power loss.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.sync()?;
        match &self.marker {
            Some(marker) => marker.sync(),
            None => Ok(()),
        }
    }

    fn usable(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other(
                "the log has failed and must be opened again",
            ));
        }
        Ok(())
    }

    /// Makes the spare segment at least so large.
    fn prepare(&mut self, bytes: u64) -> io::Result<()> {
        self.make_marker()?;
        if let Some(spare) = &mut self.spare {
            if let Err(error) = spare.file.reserve(bytes) {
                spare
                    .file
                    .set_len(spare.reserved)
                    .map_err(io::Error::other)?;
                return Err(error);
            }
            spare.reserved = bytes;
            return Ok(());
        }
        let number = self.next_segment;
        let path = segment_path(&self.options.directory, number);
        let file = self.disk.create(&path)?;
        if let Err(error) = file.reserve(bytes) {
            // A part of it may have been given: a disk that is full gets it back.
            drop(file);
            self.disk.remove(&path).map_err(io::Error::other)?;
            return Err(error);
        }
        self.next_segment += 1;
        self.disk.sync_dir(&self.options.directory)?;
        self.spare = Some(Spare {
            file,
            number,
            reserved: bytes,
        });
        Ok(())
    }

    fn write(&mut self, parts: &[&[u8]], bytes: usize) -> io::Result<()> {
        let frame = frame_bytes(bytes)?;
        let full = |active: &Active| active.at + frame > active.reserved;
        if self.active.as_ref().is_none_or(full) {
            self.switch()?;
        }
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("the log has no segment to write"));
        };
        self.buffer.clear();
        self.buffer.resize(FRAME_HEADER, 0);
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        let header = FrameHeader {
            length: bytes as u32,
            number: self.next,
            durable: self.durable,
            payload_check: xxh3_64(&self.buffer[FRAME_HEADER..]),
        };
        let header = header.encode(format::key(self.id, active.number));
        self.buffer[..FRAME_HEADER].copy_from_slice(&header);
        active.file.write_at(active.at, &self.buffer)?;
        active.at += frame;
        self.next += 1;
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    /// Goes on in the spare segment. Its header is synced before anything is written behind it, so that a header that
    /// cannot be read is damage and nothing else.
    fn switch(&mut self) -> io::Result<()> {
        if self.durable + 1 < self.next {
            self.sync_active()?;
        }
        let Some(spare) = self.spare.take() else {
            return Err(io::Error::other("the log has no segment to go on in"));
        };
        let header = SegmentHeader {
            id: self.id,
            segment: spare.number,
            first: self.next,
        };
        spare.file.write_at(0, &header.encode())?;
        spare.file.sync()?;
        let next = Active {
            file: spare.file,
            number: spare.number,
            at: SEGMENT_HEADER as u64,
            reserved: spare.reserved,
        };
        if let Some(full) = self.active.replace(next) {
            self.sealed.push_back(Sealed {
                number: full.number,
                bytes: full.reserved,
                last: self.next - 1,
            });
        }
        Ok(())
    }

    fn sync_active(&mut self) -> io::Result<()> {
        if let Some(active) = &self.active {
            active.file.sync()?;
        }
        self.durable = self.next - 1;
        self.mark();
        Ok(())
    }

    /// Not synced: it is exact when the process is killed, and may be old after a power loss. That it could not be written
    /// makes it older, and nothing less durable.
    fn mark(&self) {
        if let Some(marker) = &self.marker {
            let content = Marker {
                id: self.id,
                durable: self.durable,
            };
            let _ = marker.write_at(0, &content.encode());
        }
    }

    /// The marker is synced when it is made: it has the log's id, should a segment lose its header.
    fn make_marker(&mut self) -> io::Result<()> {
        if self.marker.is_some() {
            return Ok(());
        }
        let path = self.options.directory.join(MARKER_NAME);
        let marker = if self.disk.exists(&path)? {
            self.disk.open(&path)?
        } else {
            self.disk.create(&path)?
        };
        let content = Marker {
            id: self.id,
            durable: self.durable,
        };
        marker.write_at(0, &content.encode())?;
        marker.sync()?;
        self.disk.sync_dir(&self.options.directory)?;
        self.marker = Some(marker);
        Ok(())
    }

    /// Brings the files into the state that was told: what is no part of the log is cut off, and what was read is durable.
    /// Whatever of this a crash undoes is done again by the next start.
    fn mend(&mut self, walked: &Walked) -> io::Result<()> {
        let used = walked.segments.iter().filter(|found| found.used);
        let newest = used.map(|found| found.number).next_back();
        for found in walked.segments.iter().filter(|found| found.used) {
            let newest = Some(found.number) == newest;
            if newest || found.keep < found.file_bytes {
                let path = segment_path(&self.options.directory, found.number);
                let file = self.disk.open(&path)?;
                if newest {
                    rewrite(&*file, found.keep)?;
                }
                file.set_len(found.keep)?;
                file.sync()?;
            }
            self.sealed.push_back(Sealed {
                number: found.number,
                bytes: found.keep,
                last: found.last,
            });
        }
        // With what was durable in the marker, a segment that has nothing but a header has nothing more to say.
        match self.make_marker() {
            Err(error) if !is_full(&error) => return Err(error),
            _ => {}
        }
        let unused: Vec<&Found> = walked.segments.iter().filter(|found| !found.used).collect();
        for found in &unused {
            self.disk
                .remove(&segment_path(&self.options.directory, found.number))?;
        }
        if !unused.is_empty() {
            self.disk.sync_dir(&self.options.directory)?;
        }
        Ok(())
    }
}

/// A log of its own that has nothing, and whose first frame follows the one that is `durable` elsewhere.
pub(super) fn begin(disk: &dyn Disk, directory: &Path, durable: u64) -> io::Result<()> {
    make_dir(disk, directory)?;
    let id = rand::random();
    let marker = disk.create(&directory.join(MARKER_NAME))?;
    marker.write_at(0, &Marker { id, durable }.encode())?;
    marker.sync()?;
    disk.sync_dir(directory)
}

/// The same walk for a check: changes nothing, and says what [`Log::open`] would.
pub(super) fn verify(
    disk: &dyn Disk,
    options: &Options,
    from: u64,
    deliver: &mut dyn FnMut(u64, Bytes),
) -> io::Result<Recovered> {
    let walked = walk::walk(disk, &options.directory, from, deliver)?;
    Ok(walked.recovered)
}

/// What is damaged, for a person.
pub(super) fn describe(damaged: &Damaged) -> String {
    let Damaged {
        segment,
        offset,
        bytes,
        numbers,
    } = damaged;
    let missing = match numbers.end.saturating_sub(numbers.start) {
        0 if *bytes > 0 => "whether frames are missing is not known".to_owned(),
        0 => "nothing is missing".to_owned(),
        1 => format!("missing is the frame {}", numbers.start),
        _ => format!(
            "missing are the frames {} to {}",
            numbers.start,
            numbers.end - 1
        ),
    };
    format!(
        "the commit log, segment {segment} at {offset}: {bytes} bytes cannot be read; {missing}"
    )
}

/// A directory is as durable as the one above it.
fn make_dir(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    disk.make_dir(directory)?;
    for above in directory.ancestors().skip(1) {
        disk.sync_dir(above)?;
    }
    Ok(())
}

/// Writes again what is there.
fn rewrite(file: &dyn DiskFile, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; REWRITE.min(length as usize)];
    let mut at = 0;
    while at < length {
        let part = (length - at).min(buffer.len() as u64);
        let part = &mut buffer[..part as usize];
        file.read_at(at, part)?;
        file.write_at(at, part)?;
        at += part.len() as u64;
    }
    Ok(())
}

fn frame_bytes(payload: usize) -> io::Result<u64> {
    if payload > MAX_FRAME - FRAME_HEADER {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a frame of {payload} bytes is larger than the log takes"),
        ));
    }
    Ok((FRAME_HEADER + payload) as u64)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
