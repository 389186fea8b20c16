//! Over directories that a store has written, whole and damaged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::store::conformance::{Recorder, at, change, changing, publish, seq};
use crate::store::embedded::rows::Key;
use crate::store::embedded::table::{Op as TableOp, Table};
use crate::store::embedded::{Embedded, Options};
use crate::store::{Commit, Domain, Op, Place, Store, Unit};

const RECORDS: u64 = 50;

/// Where what was written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Parts,
    Log,
}

/// A directory with records, messages and results.
async fn written(place: In) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint_bytes: match place {
            In::Parts => 1,
            In::Log => 1 << 30,
        },
        segment_bytes: 64 << 10,
        ..Options::default()
    };
    let tail = Arc::new(Recorder::default());
    let store = Embedded::open(directory.path(), options, tail).unwrap();
    let term = store.take_over(Domain(7)).await.unwrap();
    for number in 0..RECORDS {
        let put = change(Op::Put, &format!("key-{number}"), None, &"x".repeat(500));
        let units = vec![
            seq(2 * number + 1, publish("chat.kitchen", "who buys milk?")),
            Unit {
                place: Place::Seq(2 * number + 2),
                ..changing([put])
            },
        ];
        let commit = Commit {
            units,
            ..Commit::new(Domain(7), term, at(number))
        };
        store.commit(commit).await.unwrap().await.unwrap();
    }
    if place == In::Parts {
        store.close().await;
        return directory;
    }
    // As a process that was killed leaves it: what is durable is there, and nothing else.
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in content(directory.path()) {
        let path = copy.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    store.close().await;
    copy
}

/// All files, by their paths.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn check(directory: &Path) -> Inspection {
    Inspection::of(directory, Depth::Check).unwrap()
}

/// What must be the same while nothing is damaged.
fn summary(found: &Inspection) -> String {
    let parts: Vec<_> = found.parts.iter().map(|part| &part.messages).collect();
    let rows: Vec<_> = found.table.spaces.iter().map(|space| space.rows).collect();
    let (log, tail) = (&found.log.messages, found.tail);
    format!("{parts:?} {log:?} {rows:?} {:?} {tail}", found.collections)
}

fn flip(path: &Path, offset: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

fn files_in(directory: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_whole_is_counted_and_stays_as_it_is() {
    for place in [In::Parts, In::Log] {
        let directory = written(place).await;
        let before = content(directory.path());
        let found = check(directory.path());
        assert_eq!(found.damage, [""; 0], "{place:?}");
        assert_eq!(found.tail, 2 * RECORDS);
        assert_eq!(found.places, 1);
        assert_eq!(found.epochs.len(), 1);
        assert_eq!(
            found.collections,
            BTreeMap::from([("todos".into(), RECORDS)])
        );
        let in_log = found.log.messages.count;
        let in_parts: u64 = found.parts.iter().map(|part| part.messages.count).sum();
        assert_eq!(in_log + in_parts, 2 * RECORDS, "{place:?}");
        assert_eq!(in_log > 0, place == In::Log, "{place:?}");
        let all: u64 = before.values().map(|bytes| bytes.len() as u64).sum();
        assert_eq!(found.bytes, all);
        let records = found
            .table
            .spaces
            .iter()
            .find(|space| space.name == "records");
        assert_eq!(records.unwrap().rows, RECORDS);
        assert_eq!(content(directory.path()), before, "nothing was changed");
        let again = Inspection::of(directory.path(), Depth::Overview).unwrap();
        assert_eq!(summary(&again), summary(&found));
    }
}

#[tokio::test]
async fn a_flipped_byte_is_found_wherever_it_counts() {
    for place in [In::Parts, In::Log] {
        let directory = written(place).await;
        let whole = summary(&check(directory.path()));
        let mut found = 0;
        for (name, bytes) in content(directory.path()) {
            if ["FORMAT", "LOCK"]
                .iter()
                .any(|other| name == Path::new(other))
            {
                continue;
            }
            let path = directory.path().join(&name);
            // Few checks of many: a prime, so that every kind of place is hit in turn.
            for offset in (0..bytes.len() as u64).step_by(9_973) {
                flip(&path, offset);
                let seen = check(directory.path());
                let is_part = name.starts_with(PARTS);
                assert!(!is_part || !seen.damage.is_empty(), "{name:?} at {offset}");
                // Room that nothing uses has nothing to lose.
                if seen.damage.is_empty() {
                    assert_eq!(summary(&seen), whole, "{name:?} at {offset}");
                } else {
                    found += 1;
                }
                flip(&path, offset);
            }
        }
        assert!(found > 10, "{place:?}: only {found} flips were found");
        assert_eq!(check(directory.path()).damage, [""; 0], "all are undone");
    }
}

#[tokio::test]
async fn what_is_gone_is_named_with_what_was_in_it() {
    let directory = written(In::Parts).await;
    let part = files_in(directory.path(), PARTS).remove(0);
    fs::remove_file(&part).unwrap();
    let found = check(directory.path());
    let name = part.file_name().unwrap().to_str().unwrap();
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert!(found.damage[0].contains(name), "{:?}", found.damage);
    assert!(
        found.damage[0].contains("from position 1 to "),
        "{:?}",
        found.damage
    );

    fs::remove_file(directory.path().join(TABLE)).unwrap();
    let found = check(directory.path());
    assert!(found.damage[0].contains(TABLE), "{:?}", found.damage);

    let directory = written(In::Log).await;
    let segments = files_in(directory.path(), LOG);
    let segment = segments
        .iter()
        .find(|path| path.to_string_lossy().ends_with(".log"));
    fs::remove_file(segment.unwrap()).unwrap();
    let found = check(directory.path());
    let frames = found
        .damage
        .iter()
        .any(|what| what.contains("missing are the frames 1 to "));
    let positions = found
        .damage
        .iter()
        .any(|what| what.contains("missing are the positions 1 to "));
    assert!(frames && positions, "{:?}", found.damage);
}

#[tokio::test]
async fn counts_and_rows_that_are_not_as_they_should_be_are_found() {
    let directory = written(In::Parts).await;
    let put = |space: Space, key: &[u8], value: &[u8]| {
        let disk = Arc::new(RealDisk::new(directory.path()));
        let table = Table::open(disk, Path::new(TABLE), 1 << 20).unwrap();
        let op = TableOp {
            space: space as u8,
            key,
            value: Some(value),
        };
        table.apply(&[op]).unwrap();
    };
    let header = Header {
        tail: 2 * RECORDS,
        number: 1 << 40,
        places: 5,
        ..Header::default()
    };
    put(Space::Meta, HEADER.as_bytes(), &header.to_bytes());
    let found = check(directory.path());
    assert_eq!(
        found.damage,
        ["the count of places says 5, and there are 1"]
    );

    put(Space::Holder, Key::number(Space::Holder, 7).rest(), &[1]);
    put(Space::Record, b"\0\0\0\x05todosmilk", &[3]);
    let found = check(directory.path());
    let told = found.damage.join("\n");
    assert!(
        told.contains(r#"the row "todos" "milk" of records"#),
        "{told}"
    );
    assert!(
        told.contains("of owners of results: it cannot be read"),
        "{told}"
    );
}

#[test]
fn what_is_no_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Inspection::of(path, Depth::Check).unwrap_err();
    assert!(matches!(refused(directory.path()), OpenError::Foreign(..)));
    assert!(matches!(
        refused(&directory.path().join("none")),
        OpenError::Io(..)
    ));
    fs::write(directory.path().join(FORMAT), "something else, format 7\n").unwrap();
    let told = refused(directory.path()).to_string();
    assert!(told.contains("something else, format 7"), "{told}");
}
