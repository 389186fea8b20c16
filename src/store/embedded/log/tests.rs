//! A test for each rule of the log; of what is damaged, and what is tried at random, in files of their own.

mod damage;
mod random;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::format::{self, FRAME_HEADER, Head, MARKER, SEGMENT_HEADER, SegmentHeader};
use super::walk::{Damaged, MARKER_NAME, Recovered, Torn, segment_path};
use super::{Log, MAX_FRAME, Options, verify};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::disk::{Disk, RealDisk};

const SEGMENT: u64 = 8192;

fn options() -> Options {
    Options {
        segment_bytes: SEGMENT,
        ..Options::new(Path::new("log"))
    }
}

fn segment(number: u64) -> PathBuf {
    segment_path(Path::new("log"), number)
}

fn marker() -> PathBuf {
    Path::new("log").join(MARKER_NAME)
}

type Frames = Vec<(u64, Bytes)>;

fn open_from(disk: &SimulatedDisk, from: u64) -> io::Result<(Log, Recovered, Frames)> {
    let mut checked = Frames::new();
    let told = verify(disk, &options(), from, &mut |number, payload| {
        checked.push((number, payload));
    });
    let mut frames = Frames::new();
    let disk = Arc::new(disk.clone());
    let (log, recovered) = Log::open(disk, options(), from, &mut |number, payload| {
        frames.push((number, payload));
    })?;
    assert_eq!(told?, recovered, "the check says what the start does");
    assert_eq!(checked, frames);
    assert_eq!(recovered.frames, frames.len() as u64);
    Ok((log, recovered, frames))
}

fn open(disk: &SimulatedDisk) -> (Log, Recovered, Frames) {
    open_from(disk, 0).unwrap()
}

fn numbers(frames: &Frames) -> Vec<u64> {
    frames.iter().map(|(number, _)| *number).collect()
}

fn clean(next: u64) -> Recovered {
    Recovered {
        frames: next - 1,
        next,
        ..Recovered::default()
    }
}

/// So long that seven are in a segment, and of a content that says which it is.
fn payload(number: u64) -> Vec<u8> {
    vec![number as u8; 1100]
}

fn append(log: &mut Log, count: u64) {
    for _ in 0..count {
        let number = log.next();
        log.append(number, &[&payload(number)]).unwrap();
        log.sync().unwrap();
    }
}

/// A log of so many frames, seven a segment.
fn filled(seed: u64, count: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    let (mut log, ..) = open(&disk);
    append(&mut log, count);
    log.close().unwrap();
    disk
}

/// Where the frame that is so many behind the first one of its segment begins.
fn offset(index: u64) -> u64 {
    SEGMENT_HEADER as u64 + index * (FRAME_HEADER as u64 + 1100)
}

fn damaged(segment: u64, offset: u64, bytes: u64, numbers: std::ops::Range<u64>) -> Damaged {
    Damaged {
        segment,
        offset,
        bytes,
        numbers,
    }
}

#[test]
fn frames_come_back_in_order_from_where_they_are_asked_for() {
    let disk = SimulatedDisk::new(1);
    let (mut log, recovered, _) = open(&disk);
    assert_eq!(recovered, clean(1));
    log.append(1, &[b"a", b"", b"bc"]).unwrap();
    log.append(2, &[]).unwrap();
    assert_eq!(log.durable(), 0);
    log.sync().unwrap();
    assert_eq!(log.durable(), 2);
    log.append(3, &[&vec![3; 20_000]]).unwrap();
    log.append(4, &[b"last"]).unwrap();
    log.close().unwrap();

    let (_, recovered, frames) = open(&disk);
    assert_eq!(recovered, clean(5));
    assert_eq!(numbers(&frames), [1, 2, 3, 4]);
    assert_eq!(frames[0].1, "abc");
    assert_eq!(frames[1].1, "");
    assert_eq!(frames[2].1, vec![3; 20_000]);
    assert_eq!(frames[3].1, "last");
    let (log, recovered, frames) = open_from(&disk, 3).unwrap();
    assert_eq!((recovered.next, log.next()), (5, 5));
    assert_eq!(numbers(&frames), [4]);
    let (log, _, frames) = open_from(&disk, 9).unwrap();
    assert_eq!((log.next(), frames.len()), (10, 0));
}

#[test]
fn only_the_next_number_is_taken() {
    let (mut log, ..) = open(&SimulatedDisk::new(2));
    append(&mut log, 1);
    for number in [0, 1, 3] {
        let refused = log.append(number, &[b"x"]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
    append(&mut log, 1);
}

#[test]
fn a_frame_that_is_too_large_is_refused_and_nothing_else() {
    let (mut log, ..) = open(&SimulatedDisk::new(3));
    let refused = log.reserve(MAX_FRAME - FRAME_HEADER + 1).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    append(&mut log, 1);
}

#[test]
fn segments_below_a_number_are_removed_and_never_the_active_one() {
    let disk = filled(4, 7 * 3 + 1);
    let (mut log, ..) = open(&disk);
    append(&mut log, 1);
    let full = log.bytes();
    assert_eq!(log.remove_before(7).unwrap(), 0);
    let freed = log.remove_before(15).unwrap();
    assert_eq!(log.bytes(), full - freed);
    assert_eq!(freed, 2 * offset(7), "starts cut what is not used");
    assert!(log.remove_before(u64::MAX).unwrap() > 0);
    assert_eq!(log.bytes(), SEGMENT, "the active one");
    append(&mut log, 1);
    log.close().unwrap();
    let (_, recovered, frames) = open_from(&disk, 22).unwrap();
    assert_eq!(recovered.damaged, []);
    assert_eq!(numbers(&frames), [23, 24]);
}

#[test]
fn a_start_gives_back_what_was_reserved_and_leaves_no_empty_segments() {
    let disk = filled(5, 1);
    for _ in 0..3 {
        let (log, ..) = open(&disk);
        assert_eq!(log.bytes(), offset(1));
        drop(log);
        let (mut log, ..) = open(&disk);
        log.reserve(100).unwrap();
        assert_eq!(log.bytes(), offset(1) + SEGMENT);
    }
}

#[test]
fn a_torn_end_is_told_once_and_gone() {
    for kept in [1, FRAME_HEADER as u64, FRAME_HEADER as u64 + 700] {
        let disk = filled(6, 3);
        let (mut log, ..) = open(&disk);
        append(&mut log, 1);
        log.append(5, &[&payload(5)]).unwrap();
        drop(log);
        assert!(disk.cut(&segment(2), offset(1) + kept));
        let (mut log, recovered, frames) = open(&disk);
        let torn = Torn {
            segment: 2,
            offset: offset(1),
            bytes: kept,
        };
        assert_eq!(recovered.torn, Some(torn));
        assert_eq!((recovered.next, recovered.damaged.len()), (5, 0));
        assert_eq!(numbers(&frames), [1, 2, 3, 4]);
        append(&mut log, 1);
        drop(log);
        let (_, recovered, frames) = open(&disk);
        assert_eq!(recovered, clean(6));
        assert_eq!(frames[4].1, payload(5));
    }
}

/// Two frames were under way, and only the second one reached the disk: it must not be applied without the first.
#[test]
fn what_follows_a_lost_frame_that_nobody_was_told_of_is_no_part_of_the_log() {
    let disk = SimulatedDisk::new(7);
    let (mut log, ..) = open(&disk);
    append(&mut log, 2);
    for number in 3..6 {
        log.append(number, &[&payload(number)]).unwrap();
    }
    drop(log);
    assert!(disk.flip(&segment(1), offset(2) + 500, 1));
    let (mut log, recovered, frames) = open(&disk);
    assert_eq!(numbers(&frames), [1, 2]);
    assert_eq!(recovered.damaged, []);
    assert_eq!(recovered.torn.unwrap().bytes, offset(3) - offset(0));
    // The old frame 4 is not there any more to follow a new frame 3.
    log.append(3, &[b"new"]).unwrap();
    log.sync().unwrap();
    drop(log);
    let (_, recovered, frames) = open(&disk);
    assert_eq!(recovered, clean(4));
    assert_eq!(frames[2].1, "new");
}

#[test]
fn another_version_is_refused_by_its_number() {
    let disk = filled(15, 1);
    let file = disk.open(&segment(1)).unwrap();
    let mut bytes = [0; SEGMENT_HEADER];
    file.read_at(0, &mut bytes).unwrap();
    let Head::Right(header) = SegmentHeader::decode(&bytes, 1) else {
        panic!("a header of ours");
    };
    file.write_at(0, &header.encode_as(2)).unwrap();
    let (disk, options) = (Arc::new(disk), options());
    let refused = Log::open(disk, options, 0, &mut |_, _| {}).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    assert!(
        refused.to_string().contains("format version 2"),
        "{refused}"
    );
}

#[test]
fn a_full_disk_refuses_reservations_until_there_is_room() {
    let disk = SimulatedDisk::new(20).capacity(SEGMENT + 1000);
    let (mut log, ..) = open(&disk);
    append(&mut log, 7);
    let full = |log: &mut Log, bytes| {
        let refused = log.reserve(bytes).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    };
    let free = disk.free().unwrap();
    for _ in 0..3 {
        full(&mut log, 1100);
        let refused = log.append(8, &[&payload(8)]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.free().unwrap(), free, "nothing has happened");
    }
    log.append(8, &[b"a small one still fits"]).unwrap();
    log.sync().unwrap();
    disk.set_capacity(2 * SEGMENT + 1000);
    log.reserve(1100).unwrap();
    // What is reserved can be written however full the disk is.
    disk.set_capacity(0);
    append(&mut log, 7);
    full(&mut log, 1100);
    disk.set_capacity(3 * SEGMENT + 1000);
    log.reserve(1100).unwrap();
    let free = disk.free().unwrap();
    full(&mut log, 20_000);
    assert_eq!(disk.free().unwrap(), free);
    append(&mut log, 3);
    drop(log);

    // A full disk can be opened.
    disk.set_capacity(0);
    let (mut log, recovered, _) = open(&disk);
    assert_eq!(recovered, clean(19));
    full(&mut log, 10);
    disk.set_capacity(5 * SEGMENT);
    append(&mut log, 1);
}

#[test]
fn after_a_failure_nothing_is_taken_until_it_is_opened_again() {
    for (operation, appended) in [(1, false), (2, true)] {
        let disk = SimulatedDisk::new(21);
        let (mut log, ..) = open(&disk);
        append(&mut log, 2);
        disk.fail_at(operation);
        assert_eq!(log.append(3, &[b"x"]).is_ok(), appended);
        if appended {
            assert!(log.sync().is_err());
        }
        assert!(log.sync().is_err());
        assert!(log.append(log.next(), &[b"x"]).is_err());
        assert!(log.reserve(1).is_err());
        assert_eq!(log.durable(), 2);
        drop(log);
        let (mut log, recovered, _) = open(&disk);
        assert!(recovered.damaged.is_empty());
        append(&mut log, 1);
    }
}

/// After a failed sync the frame is still read, so the start delivers it. Then it must be durable.
#[test]
fn what_a_start_delivers_is_durable() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let (mut log, ..) = open(&disk);
        append(&mut log, 1);
        log.append(2, &[b"read, and not on the disk"]).unwrap();
        disk.fail_at(1);
        assert!(log.sync().is_err());
        drop(log);
        assert_eq!(open(&disk).2.len(), 2);
        assert_eq!(open(&disk.crash()).2.len(), 2, "seed {seed}");
    }
}

#[test]
fn files_that_are_none_of_its_own_are_left_alone() {
    let disk = filled(22, 3);
    for name in [
        "log/1.log",
        "log/x.log",
        "log/other",
        "log/+000000000000005.log",
    ] {
        disk.create(Path::new(name)).unwrap();
    }
    let (_, recovered, _) = open(&disk);
    assert_eq!(recovered, clean(4));
    assert_eq!(disk.paths().len(), 6);
}

#[test]
fn a_file_system_does_what_the_simulated_disk_does() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.path()));
    let mut next = 1;
    for _ in 0..3 {
        let mut frames = Frames::new();
        let (mut log, recovered) = Log::open(disk.clone(), options(), 0, &mut |number, bytes| {
            frames.push((number, bytes));
        })
        .unwrap();
        assert_eq!(recovered, clean(next));
        for (number, bytes) in frames {
            assert_eq!(bytes, payload(number));
        }
        append(&mut log, 20);
        next += 20;
    }
}

/// A length that no segment of ours has is not allocated.
#[test]
fn a_file_of_a_terabyte_is_not_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.path()));
    let opened = || Log::open(disk.clone(), options(), 0, &mut |_, _| {}).unwrap();
    append(&mut opened().0, 3);
    disk.open(&segment(1)).unwrap().set_len(1 << 40).unwrap();
    let (log, recovered) = opened();
    assert_eq!((recovered.frames, recovered.next), (3, 4));
    assert!(recovered.torn.is_some());
    assert!(log.bytes() < format::MAX_FRAME as u64 * 2);
}
