use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Disk;
use super::SimulatedDisk;
use super::content::sectors;

fn name(name: &str) -> &Path {
    Path::new(name)
}

fn content(disk: &SimulatedDisk, path: &str) -> Vec<u8> {
    let file = disk.open(name(path)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create(name("a")).unwrap();
    disk.sync_dir(name("")).unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync().unwrap();
    file.write_at(1000, &[2; 1048]).unwrap();
    file.write_at(2048, &[3; 100]).unwrap();
    assert_eq!(content(&disk, "a").len(), 2148);

    let mut images = BTreeSet::new();
    for _ in 0..200 {
        let after = content(&disk.crash(), "a");
        assert_eq!(after[..1000], [1; 1000]);
        for sector in sectors(1000, 1048) {
            let part = &after[sector.start as usize..sector.end as usize];
            assert!(
                part.iter().all(|byte| *byte == part[0]),
                "a sector is whole"
            );
        }
        images.insert(after);
    }
    // Three sectors that are the one or the other, and the write behind them there or not.
    assert_eq!(images.len(), 16);
}

#[test]
fn a_name_is_as_durable_as_its_directory() {
    let disk = SimulatedDisk::new(2);
    disk.make_dir(name("d")).unwrap();
    disk.sync_dir(name("")).unwrap();
    for path in ["d/a", "d/b"] {
        let file = disk.create(name(path)).unwrap();
        file.write_at(0, path.as_bytes()).unwrap();
        file.sync().unwrap();
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.insert(disk.crash().paths());
    }
    let (a, b) = (PathBuf::from("d/a"), PathBuf::from("d/b"));
    let prefixes = BTreeSet::from([vec![], vec![a.clone()], vec![a.clone(), b.clone()]]);
    assert_eq!(seen, prefixes);

    disk.sync_dir(name("d")).unwrap();
    disk.rename(name("d/a"), name("d/b")).unwrap();
    for _ in 0..100 {
        let after = disk.crash();
        if after.paths().len() == 1 {
            assert_eq!(content(&after, "d/b"), b"d/a");
        } else {
            assert_eq!(content(&after, "d/b"), b"d/b");
        }
    }
    disk.sync_dir(name("d")).unwrap();
    assert_eq!(disk.crash().paths(), std::slice::from_ref(&b));
    disk.remove(&b).unwrap();
    disk.sync_dir(name("d")).unwrap();
    assert!(disk.crash().paths().is_empty());
    assert!(
        disk.state.lock().files.is_empty(),
        "nothing finds it any more"
    );
}

#[test]
fn a_directory_that_is_lost_takes_its_files_along() {
    let disk = SimulatedDisk::new(3);
    disk.make_dir(name("d")).unwrap();
    disk.create(name("d/a")).unwrap();
    disk.sync_dir(name("d")).unwrap();
    let lost = (0..50).filter(|_| disk.crash().paths().is_empty()).count();
    assert!((1..50).contains(&lost), "{lost}");
}

#[test]
fn the_power_fails_in_the_operation_that_was_asked_for() {
    let disk = SimulatedDisk::new(4);
    let file = disk.create(name("a")).unwrap();
    disk.sync_dir(name("")).unwrap();
    disk.crash_at(2);
    file.write_at(0, b"one").unwrap();
    assert!(file.write_at(3, b"two").is_err());
    assert!(file.sync().is_err());
    assert!(file.len().is_err(), "reads too");
    assert!(disk.list(name("")).is_err());
    let seen: BTreeSet<Vec<u8>> = (0..200).map(|_| content(&disk.crash(), "a")).collect();
    assert!(seen.contains(b"onetwo".as_slice()), "it may have happened");
    assert!(seen.contains(b"one".as_slice()) && seen.contains(b"".as_slice()));
    let after = disk.crash();
    after.open(name("a")).unwrap().write_at(0, b"on").unwrap();
}

#[test]
fn a_failed_sync_loses_what_is_still_read() {
    let disk = SimulatedDisk::new(5);
    let file = disk.create(name("a")).unwrap();
    disk.sync_dir(name("")).unwrap();
    file.write_at(0, b"lost").unwrap();
    disk.fail_at(1);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(content(&disk, "a"), b"lost");
    assert_eq!(content(&disk.crash(), "a"), b"");
}

#[test]
fn without_sync_nothing_is_durable() {
    let disk = SimulatedDisk::new(6).without_sync();
    let file = disk.create(name("a")).unwrap();
    disk.sync_dir(name("")).unwrap();
    file.write_at(0, b"told").unwrap();
    file.sync().unwrap();
    let lost = (0..50).filter(|_| content(&disk.crash(), "a").is_empty());
    assert!(lost.count() > 0);
}

#[test]
fn a_full_disk_says_so_and_reserved_room_can_be_written() {
    let disk = SimulatedDisk::new(7).capacity(1000);
    let file = disk.create(name("a")).unwrap();
    file.reserve(600).unwrap();
    assert_eq!(disk.free().unwrap(), 400);
    let other = disk.create(name("b")).unwrap();
    let full = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    };
    full(other.write_at(0, &[1; 500]));
    assert_eq!(other.len().unwrap(), 400, "what there was room for");
    full(other.set_len(401));
    full(other.reserve(401));
    full(disk.create(name("c")).map(drop));
    file.write_at(0, &[1; 600]).unwrap();
    disk.set_capacity(1100);
    other.write_at(0, &[1; 500]).unwrap();
    disk.remove(name("b")).unwrap();
    assert_eq!(disk.free().unwrap(), 0, "its handle keeps it");
    drop(other);
    assert_eq!(disk.free().unwrap(), 500);
}

#[test]
fn damage_is_read_and_stays() {
    let disk = SimulatedDisk::new(8);
    let file = disk.create(name("a")).unwrap();
    disk.sync_dir(name("")).unwrap();
    file.write_at(0, b"abc").unwrap();
    file.sync().unwrap();
    assert!(disk.flip(name("a"), 1, 3));
    assert!(!disk.flip(name("a"), 3, 3));
    assert_eq!(content(&disk.crash(), "a"), b"aac");
    assert!(disk.cut(name("a"), 1));
    assert!(!disk.cut(name("a"), 1));
    assert_eq!(content(&disk.crash(), "a"), b"a");
    assert_eq!(disk.operations(), 4);
}
