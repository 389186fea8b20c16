//! Reading a log from its first segment to its last: what is delivered, what is missing, and what was never told.
//!
//! One number decides between the last two: how far the log was durable at least, `durable`. The marker says it, each
//! segment's header says it (a segment is begun when those before it are synced), and so does each frame (the last durable
//! one when it was written). What is missing up to there is damage; what is behind it, and does not follow on, was under
//! way when the power failed, and is no part of the log.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::format::{self, Head, MARKER, Marker, SEGMENT_HEADER, SegmentHeader, VERSION};
use super::segment::{Content, Piece};
use crate::store::embedded::disk::Disk;

/// The name of the marker's file.
pub(in super::super) const MARKER_NAME: &str = "last";

/// What a log had to say besides its frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Recovered {
    /// How many frames were delivered.
    pub(in super::super) frames: u64,
    /// The number of the frame that comes next: one above what was delivered and what is missing.
    pub(in super::super) next: u64,
    /// What was being written when the power failed. Nobody was told of it.
    pub(in super::super) torn: Option<Torn>,
    /// What was durable and cannot be read any more, in order of place.
    pub(in super::super) damaged: Vec<Damaged>,
}

/// The end of a log that is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Torn {
    pub(in super::super) segment: u64,
    pub(in super::super) offset: u64,
    pub(in super::super) bytes: u64,
}

/// A stretch that should hold frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Damaged {
    pub(in super::super) segment: u64,
    pub(in super::super) offset: u64,
    /// Zero where what is missing left no trace: a segment's file that is gone, an end that was cut.
    pub(in super::super) bytes: u64,
    /// The frames that are missing, of those that were asked for. May be none; and nobody knows of any when all that
    /// would tell is lost as well.
    pub(in super::super) numbers: Range<u64>,
}

/// What the walk found out about one segment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    /// The length of its file.
    pub(super) file_bytes: u64,
    /// How much of it belongs to the log.
    pub(super) keep: u64,
    /// No frame of it is above this one.
    pub(super) last: u64,
    /// Whether it has frames, or the damage that was told of.
    pub(super) used: bool,
    /// Whether a power loss can have left its end as it is: everything in front of its frames is right.
    may_be_torn: bool,
}

/// A walk that has come to the end.
#[derive(Debug)]
pub(super) struct Walked {
    /// `None` if nothing told it: a new log, or one without an intact header.
    pub(super) id: Option<u64>,
    pub(super) segments: Vec<Found>,
    pub(super) recovered: Recovered,
}

/// Reads everything, changes nothing, and delivers the frames above `from` in order.
pub(super) fn walk(
    disk: &dyn Disk,
    directory: &Path,
    from: u64,
    deliver: &mut dyn FnMut(u64, Bytes),
) -> io::Result<Walked> {
    let numbers = segments(disk, directory)?;
    let mut heads = Vec::with_capacity(numbers.len());
    for number in &numbers {
        heads.push(head(disk, directory, *number)?);
    }
    let marker = marker(disk, directory)?;
    let ids = heads.iter().flatten().map(|head| head.id);
    let id = most_common(ids.chain(marker.map(|marker| marker.id)).collect());
    for head in &mut heads {
        *head = head.filter(|head| Some(head.id) == id);
    }

    let mut walk = Walk {
        from,
        order: 0,
        seen: from,
        durable: from,
        pending: Vec::new(),
        segments: Vec::new(),
        recovered: Recovered::default(),
        deliver,
    };
    if let Some(marker) = marker.filter(|marker| Some(marker.id) == id) {
        walk.durable = walk.durable.max(marker.durable);
    }
    for (number, head) in numbers.iter().zip(&heads) {
        match (head, id) {
            (Some(head), _) => walk.durable = walk.durable.max(head.first - 1),
            // Its frames say what its header does not, and must say it before the segments in front of it are judged.
            (None, Some(id)) => {
                let content = content(disk, directory, *number)?;
                walk.learn(&content.pieces(format::key(id, *number)));
            }
            (None, None) => {}
        }
    }
    for (number, head) in numbers.iter().zip(&heads) {
        let content = content(disk, directory, *number)?;
        let key = id.map(|id| format::key(id, *number));
        walk.segment(*number, *head, &content, key);
    }
    walk.end();
    Ok(Walked {
        id,
        segments: walk.segments,
        recovered: walk.recovered,
    })
}

pub(super) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016}.log"))
}

/// The numbers of the segments whose files are there.
fn segments(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<u64>> {
    if !disk.exists(directory)? {
        return Ok(Vec::new());
    }
    let mut numbers = Vec::new();
    for name in disk.list(directory)? {
        let digits = name.strip_suffix(".log");
        let number = digits.and_then(|digits| digits.parse::<u64>().ok());
        // Not every way to write the number is a name that we gave.
        let ours = |number: &u64| {
            *number < u64::MAX && segment_path(directory, *number) == directory.join(&name)
        };
        numbers.extend(number.filter(ours));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn head(disk: &dyn Disk, directory: &Path, number: u64) -> io::Result<Option<SegmentHeader>> {
    let file = disk.open(&segment_path(directory, number))?;
    if file.len()? < SEGMENT_HEADER as u64 {
        return Ok(None);
    }
    let mut bytes = [0; SEGMENT_HEADER];
    file.read_at(0, &mut bytes)?;
    match SegmentHeader::decode(&bytes, number) {
        Head::Right(header) => Ok(Some(header)),
        Head::Bad => Ok(None),
        Head::OtherVersion(version) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "segment {number} of the log has format version {version}, and only {VERSION} is known here"
            ),
        )),
    }
}

fn marker(disk: &dyn Disk, directory: &Path) -> io::Result<Option<Marker>> {
    let path = directory.join(MARKER_NAME);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let file = disk.open(&path)?;
    if file.len()? < MARKER as u64 {
        return Ok(None);
    }
    let mut bytes = [0; MARKER];
    file.read_at(0, &mut bytes)?;
    Ok(Marker::decode(&bytes))
}

/// One file of another log does not make all the others foreign.
fn most_common(ids: Vec<u64>) -> Option<u64> {
    let count = |id: &u64| ids.iter().filter(|other| *other == id).count();
    ids.iter().copied().max_by_key(count)
}

/// A file that cannot be read is an error and no damage: it may be readable tomorrow, and nothing is cut until then.
fn content(disk: &dyn Disk, directory: &Path, number: u64) -> io::Result<Content> {
    let path = segment_path(directory, number);
    let content = disk.open(&path).and_then(|file| Content::read(&*file));
    content.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("segment {number} of the log cannot be read: {error}"),
        )
    })
}

/// A stretch that is no frame, until it is known what it was.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    segment: u64,
    offset: u64,
    bytes: u64,
}

struct Walk<'a> {
    /// Nobody asks for this frame and those before it.
    from: u64,
    /// The highest frame that was there.
    order: u64,
    /// Everything up to this was delivered, told missing, or not asked for.
    seen: u64,
    /// How far the log was durable, at least.
    durable: u64,
    /// Bad stretches since the last thing that was right.
    pending: Vec<Stretch>,
    segments: Vec<Found>,
    recovered: Recovered,
    deliver: &'a mut dyn FnMut(u64, Bytes),
}

impl Walk<'_> {
    fn learn(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            if let Piece::Frame { header, .. } | Piece::Broken { header, .. } = piece {
                self.durable = self.durable.max(header.durable);
            }
        }
    }

    fn segment(
        &mut self,
        number: u64,
        head: Option<SegmentHeader>,
        content: &Content,
        key: Option<u64>,
    ) {
        let mut end = content.end.max(SEGMENT_HEADER) as u64;
        let pieces = match key {
            Some(key) => content.pieces(key),
            None => Vec::new(),
        };
        self.learn(&pieces);
        self.segments.push(Found {
            number,
            file_bytes: content.file_bytes,
            keep: 0,
            last: 0,
            used: false,
            // A header is synced before anything is written behind it.
            may_be_torn: head.is_some() || content.end <= SEGMENT_HEADER,
        });
        let place = |offset: usize, bytes: usize| Stretch {
            segment: number,
            offset: offset as u64,
            bytes: bytes as u64,
        };
        match head {
            Some(head) => {
                // Never behind what was durable, which this header itself says: it always goes on.
                self.missing_before(head.first, place(0, 0));
                self.order = self.order.max(head.first - 1);
            }
            None if content.end == 0 => {}
            None => self.pending.push(place(0, content.end.min(SEGMENT_HEADER))),
        }
        for piece in &pieces {
            let (at, header, whole) = match *piece {
                Piece::Frame { at, header } => (at, header, true),
                Piece::Broken { at, header } => (at, header, false),
                Piece::Bad { at, bytes } => {
                    self.pending.push(place(at, bytes));
                    continue;
                }
            };
            let length = format::FRAME_HEADER + header.length as usize;
            let here = place(at, length.min(content.bytes.len() - at));
            if header.number <= self.order {
                // A frame of another time: not ours.
                self.pending.push(here);
                continue;
            }
            let follows = self.missing_before(header.number, place(at, 0));
            if !follows || (!whole && header.number > self.durable) {
                end = self.tear(here, content.end as u64);
                break;
            }
            end = end.max(here.offset + here.bytes);
            self.order = header.number;
            let asked = header.number > self.from;
            self.seen = self.seen.max(header.number);
            if let Some(found) = self.segments.last_mut() {
                found.used = true;
            }
            if !whole {
                let next = header.number + u64::from(asked);
                self.damaged(here, header.number..next);
            } else if asked {
                self.recovered.frames += 1;
                (self.deliver)(header.number, content.payload(at, &header));
            }
        }
        if key.is_none() && content.end > SEGMENT_HEADER {
            self.pending
                .push(place(SEGMENT_HEADER, content.end - SEGMENT_HEADER));
        }
        let read = content.bytes.len() as u64;
        if content.file_bytes > read {
            self.pending.push(Stretch {
                segment: number,
                offset: read,
                bytes: content.file_bytes - read,
            });
            end = content.file_bytes;
        }
        if let Some(found) = self.segments.last_mut() {
            found.keep = match content.end {
                0 => 0,
                _ => end.min(content.file_bytes),
            };
            found.last = self.seen.max(self.order);
        }
    }

    /// Told when the next thing that is right is known: what should have been between. `false` if it is behind what was
    /// durable, and so the log ended before it.
    fn missing_before(&mut self, number: u64, place: Stretch) -> bool {
        let missing = self.seen + 1..number;
        if missing.is_empty() {
            self.flush(None);
            return true;
        }
        if missing.end - 1 > self.durable {
            return false;
        }
        self.seen = missing.end - 1;
        self.flush(Some((place, missing)));
        true
    }

    /// Everything pending is damage; what is missing was where it begins, or at `place`.
    fn flush(&mut self, missing: Option<(Stretch, Range<u64>)>) {
        let pending = std::mem::take(&mut self.pending);
        let mut missing = missing;
        if pending.is_empty()
            && let Some((place, numbers)) = missing.take()
        {
            self.damaged(place, numbers);
        }
        for stretch in pending {
            let none = self.seen + 1..self.seen + 1;
            let numbers = missing.take().map_or(none, |(_, numbers)| numbers);
            self.damaged(stretch, numbers);
        }
    }

    fn damaged(&mut self, place: Stretch, numbers: Range<u64>) {
        let mut segments = self.segments.iter_mut();
        if let Some(found) = segments.find(|found| found.number == place.segment) {
            found.used = true;
        }
        self.recovered.damaged.push(Damaged {
            segment: place.segment,
            offset: place.offset,
            bytes: place.bytes,
            numbers,
        });
    }

    /// The log ends here, or where the bad stretches before this place began. Gives where this segment ends then.
    fn tear(&mut self, here: Stretch, end: u64) -> u64 {
        let pending = std::mem::take(&mut self.pending);
        let mut cut = here.offset;
        for stretch in pending {
            if stretch.segment == here.segment {
                cut = cut.min(stretch.offset);
            } else {
                let none = self.seen + 1..self.seen + 1;
                self.damaged(stretch, none);
            }
        }
        self.torn(Stretch {
            segment: here.segment,
            offset: cut,
            bytes: end.saturating_sub(cut),
        });
        cut
    }

    fn torn(&mut self, stretch: Stretch) {
        match &mut self.recovered.torn {
            Some(torn) => torn.bytes += stretch.bytes,
            None => {
                self.recovered.torn = Some(Torn {
                    segment: stretch.segment,
                    offset: stretch.offset,
                    bytes: stretch.bytes,
                });
            }
        }
        let mut segments = self.segments.iter_mut();
        if let Some(found) = segments.find(|found| found.number == stretch.segment) {
            found.keep = found.keep.min(stretch.offset);
        }
    }

    /// What is missing at the end was durable; what is left over was not.
    fn end(&mut self) {
        if self.seen < self.durable {
            let missing = self.seen + 1..self.durable + 1;
            self.seen = self.durable;
            let newest = self.segments.iter().rev().find(|found| found.keep > 0);
            let place = newest.map_or((0, 0), |found| (found.number, found.keep));
            let place = Stretch {
                segment: place.0,
                offset: place.1,
                bytes: 0,
            };
            self.flush(Some((place, missing)));
        }
        // A segment is begun when those before it are synced, so only the newest one can be torn.
        let newest = self.segments.iter().rev().find(|found| found.keep > 0);
        let torn = newest.filter(|found| found.may_be_torn);
        let torn = torn.map(|found| found.number);
        for stretch in std::mem::take(&mut self.pending) {
            if Some(stretch.segment) == torn {
                self.torn(stretch);
            } else {
                let none = self.seen + 1..self.seen + 1;
                self.damaged(stretch, none);
            }
        }
        self.recovered.next = self.seen + 1;
    }
}
