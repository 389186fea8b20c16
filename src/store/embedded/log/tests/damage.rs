//! What a log says of bytes that are not what was written, and what it still reads.

use super::{
    Disk, MARKER, SEGMENT_HEADER, SimulatedDisk, append, clean, damaged, filled, marker, numbers,
    offset, open, open_from, payload, segment,
};

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
    let files = disk.paths();
    for next in [1, 3] {
        let (mut log, recovered, frames) = open(&disk);
        assert_eq!((frames.len() as u64, recovered.next), (next - 1, next));
        let places = recovered.damaged.iter().map(|it| (it.segment, it.offset));
        assert!(places.eq([(1, 0), (1, 64), (2, 0), (2, 64)]));
        assert_eq!(recovered.torn, None, "it was no crash");
        append(&mut log, 2);
    }
    assert!(files.iter().all(|file| disk.paths().contains(file)));
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
    log.reserve(1).unwrap();
    drop(log);
    let (mut log, recovered, _) = open(&disk);
    assert_eq!(recovered.damaged, [damaged(2, offset(1), 0, 9..11)]);
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
    assert_eq!((recovered.next, recovered.torn), (15, None));
    let told = recovered.damaged.iter().map(|it| it.segment);
    assert!(told.eq([7, 7, 8, 8]), "nothing of it is known");
    assert!(disk.exists(&segment(7)).unwrap());
}
