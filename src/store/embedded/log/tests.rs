//! A test for each rule of the log, and two that try everything at random.

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
fn a_damaged_payload_costs_its_frame() {
    let disk = filled(8, 10);
    assert!(disk.flip(&segment(1), offset(2) + 500, 1));
    for _ in 0..2 {
        let (_, recovered, frames) = open(&disk);
        assert_eq!(numbers(&frames), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
        let place = damaged(1, offset(2), offset(1) - offset(0), 3..4);
        assert_eq!(recovered.damaged, [place], "told again until it is removed");
        assert_eq!((recovered.torn, recovered.next), (None, 11));
    }
    let (_, recovered, _) = open_from(&disk, 3).unwrap();
    assert!(recovered.damaged[0].numbers.is_empty());
}

#[test]
fn damaged_headers_cost_the_frames_between_two_that_are_right() {
    let disk = filled(9, 10);
    assert!(disk.flip(&segment(1), offset(2) + 5, 1));
    assert!(disk.flip(&segment(1), offset(3) + 33, 1));
    let (_, recovered, frames) = open(&disk);
    assert_eq!(numbers(&frames), [1, 2, 5, 6, 7, 8, 9, 10]);
    let bytes = offset(4) - offset(2);
    assert_eq!(recovered.damaged, [damaged(1, offset(2), bytes, 3..5)]);
}

#[test]
fn a_segment_that_is_gone_is_told() {
    let disk = filled(10, 20);
    disk.remove(&segment(2)).unwrap();
    let (_, recovered, frames) = open(&disk);
    assert_eq!(
        numbers(&frames),
        [1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 18, 19, 20]
    );
    assert_eq!(recovered.damaged, [damaged(3, 0, 0, 8..15)]);
    disk.remove(&segment(1)).unwrap();
    let (_, recovered, _) = open(&disk);
    assert_eq!(recovered.damaged, [damaged(3, 0, 0, 1..15)]);
    let (_, recovered, _) = open_from(&disk, 14).unwrap();
    assert_eq!(recovered.damaged, []);
}

#[test]
fn a_damaged_segment_header_costs_no_frame() {
    let disk = filled(11, 10);
    for number in [1, 2] {
        assert!(disk.flip(&segment(number), 20, 1));
    }
    let (mut log, recovered, frames) = open(&disk);
    assert_eq!(frames.len(), 10, "the marker knows the log's id");
    let header = SEGMENT_HEADER as u64;
    let places = [damaged(1, 0, header, 1..1), damaged(2, 0, header, 8..8)];
    assert_eq!(recovered.damaged, places);
    append(&mut log, 1);
}

#[test]
fn without_any_header_all_is_told_and_the_files_stay() {
    let disk = filled(12, 10);
    for number in [1, 2] {
        assert!(disk.flip(&segment(number), 20, 1));
    }
    assert!(disk.flip(&marker(), 20, 1));
    let (_, recovered, frames) = open_from(&disk, 0).unwrap();
    assert!(frames.is_empty());
    assert!(recovered.torn.is_some());
}

/// The marker knows how far the log went when its end leaves no trace.
#[test]
fn an_end_that_was_durable_and_is_gone_is_told() {
    let disk = filled(13, 10);
    assert!(disk.cut(&segment(2), offset(1)));
    for _ in 0..2 {
        let (log, recovered, frames) = open(&disk);
        assert_eq!(frames.len(), 8);
        assert_eq!(recovered.damaged, [damaged(2, offset(1), 0, 9..11)]);
        assert_eq!((recovered.torn, log.next()), (None, 11));
    }
    let (mut log, ..) = open(&disk);
    append(&mut log, 1);
    drop(log);
    let (_, recovered, frames) = open(&disk);
    assert_eq!((frames.len(), frames[8].0), (9, 11));
    assert_eq!(recovered.damaged[0].numbers, 9..11);
}

#[test]
fn an_old_marker_and_a_broken_one_take_nothing_away() {
    let disk = filled(14, 3);
    let file = disk.open(&marker()).unwrap();
    let mut old = [0; MARKER];
    file.read_at(0, &mut old).unwrap();
    let (mut log, ..) = open(&disk);
    append(&mut log, 3);
    drop(log);
    file.write_at(0, &old).unwrap();
    assert_eq!(open(&disk).1, clean(7));
    assert!(disk.cut(&marker(), 10));
    assert_eq!(open(&disk).1, clean(7));
    disk.remove(&marker()).unwrap();
    assert_eq!(open(&disk).1, clean(7));
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

/// Content is what clients send, and they may send what looks like frames.
#[test]
fn frames_inside_of_damaged_content_are_not_taken() {
    let foreign = filled(16, 20);
    let disk = SimulatedDisk::new(17);
    let (mut log, ..) = open(&disk);
    append(&mut log, 1);
    let mut content = Vec::new();
    for (disk, number) in [(&foreign, 1), (&foreign, 2), (&disk, 1)] {
        let mut bytes = vec![0; 2000];
        let file = disk.open(&segment(number)).unwrap();
        file.read_at(0, &mut bytes).unwrap();
        content.extend(bytes);
    }
    log.append(2, &[&content]).unwrap();
    append(&mut log, 1);
    drop(log);
    assert!(disk.flip(&segment(1), offset(1) + 4, 1));
    let (_, recovered, frames) = open(&disk);
    assert_eq!(numbers(&frames), [1, 3]);
    assert_eq!(frames[1].1, payload(3));
    let missing: Vec<u64> = (recovered.damaged.into_iter())
        .flat_map(|damaged| damaged.numbers)
        .collect();
    assert_eq!(missing, [2]);
}

#[test]
fn a_file_of_another_log_or_place_is_no_segment_of_this_one() {
    let disk = filled(18, 14);
    let foreign = filled(19, 14);
    for (source, number, as_number) in [(&foreign, 2, 7), (&disk, 1, 8)] {
        let mut bytes = vec![0; offset(7) as usize];
        let file = source.open(&segment(number)).unwrap();
        file.read_at(0, &mut bytes).unwrap();
        let copy = disk.create(&segment(as_number)).unwrap();
        copy.write_at(0, &bytes).unwrap();
    }
    let (_, recovered, frames) = open(&disk);
    assert_eq!(frames.len(), 14);
    assert_eq!(recovered.next, 15);
    assert!(recovered.torn.is_some(), "told, as nothing of it is known");
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
