//! The table against a plain map, through reopening and damage.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

mod crashes;

use super::super::disk::simulated::SimulatedDisk;
use super::super::disk::{Disk, RealDisk};
use super::*;

/// A row to write: `None` deletes it.
type RowOp = (u8, Vec<u8>, Option<Vec<u8>>);
type Batch = Vec<RowOp>;
type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const CACHE: usize = 1 << 20;
const ALL: Limit = Limit {
    rows: usize::MAX,
    bytes: usize::MAX,
};

fn disk(dir: &tempfile::TempDir) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(dir.path()))
}

fn path() -> &'static Path {
    Path::new("table")
}

/// Rows of three spaces: most are small, some take pages of their own.
fn some_ops(random: &mut StdRng, count: usize) -> Batch {
    (0..count)
        .map(|_| {
            let key = format!("key-{:06}", random.random_range(0..4000));
            let len = match random.random_range(0..200) {
                0 => random.random_range(5_000..40_000),
                _ => random.random_range(0..150),
            };
            let value = vec![random.random(); len];
            let value = random.random_bool(0.8).then_some(value);
            (random.random_range(0..3), key.into_bytes(), value)
        })
        .collect()
}

fn apply(table: &Table, ops: &[RowOp]) -> Result<(), Error> {
    let ops: Vec<_> = ops
        .iter()
        .map(|(space, key, value)| Op {
            space: *space,
            key,
            value: value.as_deref(),
        })
        .collect();
    table.apply(&ops)
}

fn model(model: &mut Model, ops: &[RowOp]) {
    for (space, key, value) in ops {
        match value {
            Some(value) => drop(model.insert((*space, key.clone()), value.clone())),
            None => drop(model.remove(&(*space, key.clone()))),
        }
    }
}

fn everything(table: &Table) -> Model {
    let rows = |space| {
        let rows = table.range(
            space,
            Bound::Unbounded,
            Bound::Unbounded,
            Direction::Forward,
            ALL,
        );
        let rows = rows.unwrap().into_iter();
        rows.map(move |(key, value)| ((space, key), value))
    };
    (0..4).flat_map(rows).collect()
}

#[test]
fn it_holds_what_a_map_holds() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut table = Table::create(disk(&dir), path(), CACHE).unwrap();
        let mut rows = Model::new();
        for _ in 0..12 {
            let count = random.random_range(0..400);
            let ops = some_ops(&mut random, count);
            apply(&table, &ops).unwrap();
            model(&mut rows, &ops);
            match random.random_range(0..5) {
                0 => {
                    drop(table);
                    table = Table::open(disk(&dir), path(), CACHE).unwrap();
                }
                1 => table.compact().unwrap(),
                _ => {}
            }
            assert_eq!(everything(&table), rows, "seed {seed}");
            for _ in 0..20 {
                a_range(&mut random, &table, &rows, seed);
            }
        }
        for space in 0..3 {
            let len = rows.keys().filter(|(of, _)| *of == space).count();
            assert_eq!(table.len(space).unwrap(), len as u64, "seed {seed}");
        }
        assert_eq!(table.verify().unwrap(), [], "seed {seed}");
    }
}

fn a_range(random: &mut StdRng, table: &Table, rows: &Model, seed: u64) {
    let mut bound = || {
        let key = format!("key-{:06}", random.random_range(0..4000)).into_bytes();
        match random.random_range(0..3) {
            0 => Bound::Included(key),
            1 => Bound::Excluded(key),
            _ => Bound::Unbounded,
        }
    };
    let (from, to) = (bound(), bound());
    let space = random.random_range(0..4);
    let limit = Limit {
        rows: random.random_range(1..50),
        bytes: random.random_range(1..5000),
    };
    let within = |key: &Vec<u8>| match (&from, &to) {
        (Bound::Included(from), _) if key < from => false,
        (Bound::Excluded(from), _) if key <= from => false,
        (_, Bound::Included(to)) if key > to => false,
        (_, Bound::Excluded(to)) if key >= to => false,
        _ => true,
    };
    let mut expected: Vec<_> = rows
        .iter()
        .filter(|((of, key), _)| *of == space && within(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    let direction = *[Direction::Forward, Direction::Backward]
        .choose(random)
        .unwrap();
    if direction == Direction::Backward {
        expected.reverse();
    }
    let mut bytes = 0;
    let fit = expected.iter().take(limit.rows).take_while(|(key, value)| {
        let fits = bytes < limit.bytes;
        bytes += key.len() + value.len();
        fits
    });
    let fit = fit.count();
    expected.truncate(fit);
    let as_slice = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) => Bound::Included(key.clone()),
        Bound::Excluded(key) => Bound::Excluded(key.clone()),
        Bound::Unbounded => Bound::Unbounded,
    };
    let (from, to) = (as_slice(&from), as_slice(&to));
    let (from, to) = (
        from.as_ref().map(Vec::as_slice),
        to.as_ref().map(Vec::as_slice),
    );
    let got = table.range(space, from, to, direction, limit).unwrap();
    assert_eq!(got, expected, "seed {seed}");
}

/// A file of a few hundred pages with a history, and what is in it.
fn a_file(seed: u64) -> (Vec<u8>, Model) {
    let mut random = StdRng::seed_from_u64(seed);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
    let table = Table::create(disk.clone(), path(), CACHE).unwrap();
    let mut rows = Model::new();
    for _ in 0..6 {
        let ops = some_ops(&mut random, 1500);
        apply(&table, &ops).unwrap();
        model(&mut rows, &ops);
    }
    // As after a crash, every second time.
    if seed.is_multiple_of(2) {
        drop(table);
    }
    let file = disk.open(path()).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    (bytes, rows)
}

/// Damages a file somewhere, and says how.
fn damage(random: &mut StdRng, file: &mut Vec<u8>) -> String {
    let at = random.random_range(0..file.len());
    match random.random_range(0..10) {
        0 => {
            file.truncate(at);
            format!("cut at {at}")
        }
        1 | 2 => {
            let len = random.random_range(1..10_000).min(file.len() - at);
            file[at..at + len].fill(0);
            format!("{len} zeros at {at}")
        }
        3 => {
            let len = random.random_range(1..2_000).min(file.len() - at);
            random.fill(&mut file[at..at + len]);
            format!("{len} random bytes at {at}")
        }
        4 => {
            // The header's copies are a small part of the file, so they get their share.
            let at = random.random_range(0..32 << 10);
            file[at] ^= 1 << random.random_range(0..8);
            format!("a flip in front at {at}")
        }
        _ => {
            file[at] ^= 1 << random.random_range(0..8);
            format!("a flip at {at}")
        }
    }
}

#[test]
fn what_is_damaged_is_told_and_the_rest_is_right() {
    let files: Vec<_> = (0..4).map(a_file).collect();
    let (mut salvages, mut lost, mut refused, mut told) = (0, 0, 0, 0);
    for seed in 0..320 {
        let mut random = StdRng::seed_from_u64(seed);
        let (file, rows) = files.choose(&mut random).unwrap();
        let mut file = file.clone();
        let what = damage(&mut random, &mut file);
        let what = format!("seed {seed}, {what}");
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(seed));
        disk.create(path()).unwrap().write_at(0, &file).unwrap();

        if let Ok(table) = Table::open(disk.clone(), path(), CACHE) {
            // Only what the damage covers is refused, and the table goes on after each.
            let missing = table.verify().unwrap();
            for ((space, key), value) in rows.iter().step_by(7) {
                match table.get(*space, key) {
                    Ok(got) => assert_eq!(got.as_ref(), Some(value), "{what}"),
                    Err(Error::Damaged(_)) => {
                        told += 1;
                        let covered = missing.iter().any(|part| part.covers(*space, key));
                        assert!(covered, "{what}: {key:?} is not in {missing:?}");
                    }
                    Err(err) => panic!("{what}: {err}"),
                }
            }
        }

        let to = Path::new("salvaged");
        match salvage(&disk, path(), to, CACHE) {
            Ok(salvaged) => {
                salvages += 1;
                let table = Table::open(disk.clone(), to, CACHE).unwrap();
                let left = everything(&table);
                assert_eq!(salvaged.rows, left.len() as u64, "{what}");
                for ((space, key), value) in rows {
                    let covered = salvaged.missing.iter().any(|part| part.covers(*space, key));
                    match left.get(&(*space, key.clone())) {
                        Some(got) => assert!(got == value && !covered, "{what}: {key:?}"),
                        None => {
                            lost += 1;
                            assert!(covered, "{what}: {key:?} is missing and not told");
                        }
                    }
                }
                assert!(left.keys().all(|key| rows.contains_key(key)), "{what}");
            }
            Err(Error::Damaged(_)) => refused += 1,
            Err(err) => panic!("{what}: {err}"),
        }
    }
    println!(
        "{salvages} salvaged with {lost} rows missing, {refused} refused; {told} reads told of damage"
    );
    assert!(lost > 1000 && told > 100 && refused < 40);
}

/// Damage that comes while the table is open, and many readers at once: who asks for what is damaged is told, whoever asks
/// for something else gets it.
#[test]
fn readers_of_damage_do_not_disturb_the_others() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let table = Table::create(disk.clone(), path(), 0).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let mut rows = Model::new();
    let ops = some_ops(&mut random, 4000);
    apply(&table, &ops).unwrap();
    model(&mut rows, &ops);
    let len = table.bytes().unwrap();
    // Until rows are lost while redb's own pages, which it needs to open, are whole.
    let missing = loop {
        let at = random.random_range(40_000..len);
        assert!(disk.flip(path(), at, 4));
        let missing = table.verify().unwrap();
        if missing.iter().any(|part| part.space.is_some()) {
            break missing;
        }
    };
    assert!(missing.iter().all(|part| part.space.is_some()));
    let covered = |space, key: &[u8]| missing.iter().any(|part| part.covers(space, key));
    let read = |step: usize| {
        let (mut right, mut told) = (0, 0);
        for ((space, key), value) in rows.iter().step_by(step) {
            match table.get(*space, key) {
                Ok(got) => {
                    assert_eq!(got.as_ref(), Some(value));
                    assert!(!covered(*space, key), "{key:?}");
                    right += 1;
                }
                Err(Error::Damaged(_)) => {
                    assert!(covered(*space, key), "{key:?}");
                    told += 1;
                }
                Err(err) => panic!("{err}"),
            }
        }
        (right, told)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = [1, 2, 3].map(|step| scope.spawn(move || read(step))).into();
        for reader in readers {
            let (right, told) = reader.join().unwrap();
            assert!(right > 500, "{right} right, {told} told");
        }
    });
    assert!(rows.keys().any(|(space, key)| covered(*space, key)));
    // Writing elsewhere works as well.
    apply(&table, &[(9, b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
    assert_eq!(
        table.get(9, b"key").unwrap().as_deref(),
        Some(&b"value"[..])
    );
}
