//! The file under redb: every page with its checksum, so that redb never sees a byte that it did not write.
//!
//! redb has checksums of its own, and reads without looking at them. Here every page of 4096 bytes is followed by its
//! checksum (seeded with the page's number, so that a page in another's place is noticed too): what does not verify, what
//! was never written and what is beyond the end is an error of kind `InvalidData` that names the page.
//!
//! The first page is redb's header, the only one that it writes in place. It is kept in memory and goes to the file with
//! each sync, in turns to one of two places, twice each: a torn write leaves the header of the sync before, as redb expects
//! of a header that did not reach the disk, and a flipped bit leaves the other copy.
//!
//! A commit in one phase (compacting makes such) writes header and pages at once, and redb finds out by its checksums whether
//! all of them got there. It cannot here, as a torn page is an error; so the pages are synced before a header that may name
//! them.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::disk::DiskFile;

/// redb's page.
pub(super) const PAGE: usize = 4096;
/// A page with its checksum, as it is in the file.
const SEALED: usize = PAGE + 8;
/// Magic, number, length, the page, checksum.
const HEAD: usize = 8 + 8 + 8 + PAGE + 8;
/// Where the copies of the header are. Those of one header are far from each other, as damage is seldom.
const HEADS: [[u64; 2]; 2] = [[0, 16 << 10], [8 << 10, 24 << 10]];
/// Where the second page is.
const FRONT: u64 = 32 << 10;
const MAGIC: [u8; 8] = *b"tgtable1";

/// A file of pages.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn DiskFile>,
    /// A lock, as redb's writer and its readers come from different threads.
    head: Mutex<Head>,
}

/// The header, and what is known of its copies.
#[derive(Debug)]
struct Head {
    page: Box<[u8; PAGE]>,
    /// Goes up by one with every write, so that the newest is known.
    number: u64,
    /// Which place it was last written to.
    place: usize,
    /// Whether it has to be written at the next sync.
    changed: bool,
    /// How long the file was, in redb's terms, when the header was written.
    len: u64,
    /// redb's flags when it was written: which commit counts, and whether that one was made in two phases.
    flags: u8,
    /// Whether pages were written since the last sync.
    unsynced: bool,
}

/// Where redb's header has its flags, and the one for a commit in two phases.
const FLAGS: usize = 9;
const TWO_PHASES: u8 = 4;

impl Pages {
    /// A new file, which is empty.
    pub(super) fn create(file: Arc<dyn DiskFile>) -> Self {
        Self {
            file,
            head: Mutex::new(Head {
                page: Box::new([0; PAGE]),
                number: 0,
                place: 1,
                changed: false,
                len: 0,
                flags: 0,
                unsynced: false,
            }),
        }
    }

    /// A file that is there, for reading only.
    pub(super) fn read_only(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let head = Head::newest(&*file)?;
        Ok(Self {
            file,
            head: Mutex::new(head),
        })
    }

    /// A file that is there. Its header is written again, so that both its copies are whole and durable before the next
    /// one goes to the other place.
    pub(super) fn open(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let pages = Self::read_only(file)?;
        {
            let head = pages.head.lock();
            head.write(&*pages.file, head.number, head.place)?;
            pages.file.sync()?;
        }
        Ok(pages)
    }

    /// The length that redb saw when the header was last written: a file that was cut is shorter.
    pub(super) fn recorded_len(&self) -> u64 {
        self.head.lock().len
    }

    fn physical_len(&self, len: u64) -> u64 {
        match len.div_ceil(PAGE as u64) {
            0 => 0,
            pages => FRONT + (pages - 1) * SEALED as u64,
        }
    }

    fn logical_len(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        Ok(match len.checked_sub(FRONT) {
            None => 0,
            Some(rest) => (rest / SEALED as u64 + 1) * PAGE as u64,
        })
    }

    /// Reads whole pages, which do not include the first, as they are in the file, and verifies them.
    fn sealed(&self, first: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut sealed = vec![0; count * SEALED];
        let read = self.file.read_at(place(first), &mut sealed);
        if let Err(err) = read {
            return Err(match err.kind() {
                ErrorKind::UnexpectedEof => {
                    damaged(format!("page {first} is beyond the end of the file"))
                }
                _ => err,
            });
        }
        for (number, sealed) in (first..).zip(sealed.chunks_exact(SEALED)) {
            let (page, sum) = sealed.split_at(PAGE);
            if sum != checksum(number, page) {
                let what = if sealed.iter().all(|byte| *byte == 0) {
                    "is empty"
                } else {
                    "does not match its checksum"
                };
                return Err(damaged(format!("page {number} {what}")));
            }
        }
        Ok(sealed)
    }

    /// A page that is to be written in part: what is there, or zeros where nothing was written yet.
    fn for_writing(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut sealed = vec![0; SEALED];
        let within = place(number) + SEALED as u64 <= self.file.len()?;
        if within {
            self.file.read_at(place(number), &mut sealed)?;
        }
        if sealed.iter().all(|byte| *byte == 0) {
            return Ok(sealed);
        }
        self.sealed(number, 1)
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.logical_len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let in_head = in_head(offset, out.len());
        let (head, rest) = out.split_at_mut(in_head);
        if in_head > 0 {
            let at = offset as usize;
            head.copy_from_slice(&self.head.lock().page[at..at + in_head]);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let offset = offset + in_head as u64;
        let first = offset / PAGE as u64;
        let skip = (offset % PAGE as u64) as usize;
        let sealed = self.sealed(first, (skip + rest.len()).div_ceil(PAGE))?;
        let (mut rest, mut skip) = (rest, skip);
        for sealed in sealed.chunks_exact(SEALED) {
            let page = &sealed[skip..PAGE];
            let (out, later) = rest.split_at_mut(page.len().min(rest.len()));
            out.copy_from_slice(&page[..out.len()]);
            (rest, skip) = (later, 0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(self.physical_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut head = self.head.lock();
        if head.changed {
            // In two phases the first header does not count yet, and nothing is written before the second one.
            let flags = head.page[FLAGS];
            if head.unsynced && (flags != head.flags || flags & TWO_PHASES == 0) {
                self.file.sync()?;
            }
            head.len = self.logical_len()?;
            let (number, place) = (head.number + 1, 1 - head.place);
            head.write(&*self.file, number, place)?;
            (head.number, head.place, head.flags) = (number, place, flags);
            head.changed = false;
        }
        self.file.sync()?;
        head.unsynced = false;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let in_head = in_head(offset, data.len());
        let (front, rest) = data.split_at(in_head);
        if in_head > 0 {
            let at = offset as usize;
            let mut head = self.head.lock();
            head.page[at..at + in_head].copy_from_slice(front);
            head.changed = true;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let offset = offset + in_head as u64;
        let first = offset / PAGE as u64;
        let mut skip = (offset % PAGE as u64) as usize;
        let mut rest = rest;
        let mut sealed = Vec::with_capacity((skip + rest.len()).div_ceil(PAGE) * SEALED);
        for number in first.. {
            let start = sealed.len();
            let (now, later) = rest.split_at(rest.len().min(PAGE - skip));
            if now.len() == PAGE {
                sealed.extend_from_slice(now);
            } else {
                sealed.extend_from_slice(&self.for_writing(number)?[..PAGE]);
                sealed[start + skip..start + skip + now.len()].copy_from_slice(now);
            }
            let sum = checksum(number, &sealed[start..]);
            sealed.extend_from_slice(&sum);
            (rest, skip) = (later, 0);
            if rest.is_empty() {
                break;
            }
        }
        self.head.lock().unsynced = true;
        self.file.write_at(place(first), &sealed)
    }
}

impl Head {
    /// The newest copy that is whole.
    fn newest(file: &dyn DiskFile) -> io::Result<Self> {
        let mut newest: Option<Self> = None;
        for (place, copies) in HEADS.iter().enumerate() {
            for at in copies {
                let Some(head) = Self::read(file, *at, place)? else {
                    continue;
                };
                if newest.as_ref().is_none_or(|old| old.number < head.number) {
                    newest = Some(head);
                }
            }
        }
        newest.ok_or_else(|| damaged("no copy of the header is whole".to_owned()))
    }

    fn read(file: &dyn DiskFile, at: u64, place: usize) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; HEAD];
        match file.read_at(at, &mut bytes) {
            Ok(()) => {}
            Err(err) if err.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(err) => return Err(err),
        }
        let (front, sum) = bytes.split_at(HEAD - 8);
        if front[..8] != MAGIC || sum != checksum(0, front) {
            return Ok(None);
        }
        let mut page = Box::new([0; PAGE]);
        page.copy_from_slice(&front[24..]);
        Ok(Some(Self {
            flags: page[FLAGS],
            unsynced: false,
            page,
            number: number(&front[8..16]),
            len: number(&front[16..24]),
            place,
            changed: false,
        }))
    }

    fn write(&self, file: &dyn DiskFile, number: u64, place: usize) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&*self.page);
        let sum = checksum(0, &bytes);
        bytes.extend_from_slice(&sum);
        for at in HEADS[place] {
            file.write_at(at, &bytes)?;
        }
        Ok(())
    }
}

/// How many of the bytes from `offset` on are of the first page.
fn in_head(offset: u64, len: usize) -> usize {
    (PAGE as u64).saturating_sub(offset).min(len as u64) as usize
}

/// Where a page that is not the first begins in the file.
fn place(number: u64) -> u64 {
    FRONT + (number - 1) * SEALED as u64
}

fn checksum(number: u64, page: &[u8]) -> [u8; 8] {
    xxh3_64_with_seed(page, number).to_le_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

fn damaged(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
