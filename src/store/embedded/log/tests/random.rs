//! Everything that can happen to a log, at random, with seeds that a failing run names.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{
    Bytes, Disk, Frames, Log, Path, Recovered, SimulatedDisk, append, marker, open, open_from,
    payload, segment,
};

/// Lives of one log: each ends with a crash, a kill, or an operation that fails.
struct Lives {
    random: StdRng,
    disk: SimulatedDisk,
    /// What was appended last under each number.
    appended: BTreeMap<u64, Vec<u8>>,
    /// The last number that was told to be durable.
    told: u64,
    /// Nothing up to here is asked for any more.
    from: u64,
    crashes: u32,
}

impl Lives {
    fn new(seed: u64, disk: SimulatedDisk) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            disk,
            appended: BTreeMap::new(),
            told: 0,
            from: 0,
            crashes: 0,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        let cut = self.random.random_range(1..100);
        match self.random.random_range(0..4) {
            0 | 1 => self.disk.crash_at(cut),
            2 => self.disk.fail_at(cut),
            _ => {}
        }
        if let Ok((log, recovered, frames)) = open_from(&self.disk, self.from) {
            self.check(&recovered, &frames)?;
            self.use_it(log);
        }
        if self.disk.list(Path::new("")).is_err() || self.random.random() {
            self.disk = self.disk.crash();
            self.crashes += 1;
        }
        Ok(())
    }

    fn check(&mut self, recovered: &Recovered, frames: &Frames) -> Result<(), String> {
        if !recovered.damaged.is_empty() {
            return Err(format!("a crash is no damage: {recovered:?}"));
        }
        let mut next = self.from + 1;
        for (number, payload) in frames {
            if *number != next {
                return Err(format!("{number} follows {}", next - 1));
            }
            if self.appended.get(number).is_none_or(|was| was != payload) {
                return Err(format!("{number} has another content"));
            }
            next += 1;
        }
        if next <= self.told {
            return Err(format!("{next} to {} were told and are gone", self.told));
        }
        self.told = next - 1;
        self.appended.split_off(&next);
        Ok(())
    }

    /// Until something fails, or for a while.
    fn use_it(&mut self, mut log: Log) {
        for _ in 0..self.random.random_range(0..80) {
            let done = match self.random.random_range(0..20) {
                0..10 => {
                    let number = log.next();
                    let length = match self.random.random_range(0..30) {
                        0 => 20_000,
                        _ => self.random.random_range(0..2000),
                    };
                    let mut payload = vec![0; length];
                    self.random.fill(payload.as_mut_slice());
                    self.appended.insert(number, payload.clone());
                    let (a, b) = payload.split_at(length / 3);
                    log.append(number, &[a, b])
                }
                10..17 => log.sync(),
                17 => log.reserve(self.random.random_range(0..10_000)),
                _ => {
                    self.from = self.random.random_range(self.from..=self.told);
                    log.remove_before(self.from + 1).map(drop)
                }
            };
            self.told = self.told.max(log.durable());
            if done.is_err() {
                assert!(log.sync().is_err() || log.durable() + 1 == log.next());
                return;
            }
        }
        let next = log.next();
        if self.random.random() && log.close().is_ok() {
            self.told = next - 1;
        }
    }
}

#[test]
fn every_synced_frame_is_there_after_every_crash() {
    let mut crashes = 0;
    for seed in 0..200 {
        let mut lives = Lives::new(seed, SimulatedDisk::new(seed));
        for life in 0..12 {
            if let Err(problem) = lives.live() {
                panic!("seed {seed}, life {life}: {problem}");
            }
        }
        crashes += lives.crashes;
    }
    assert!(crashes >= 300, "{crashes}");
}

#[test]
fn without_sync_the_same_run_fails() {
    let failed = (0..200).filter(|seed| {
        let mut lives = Lives::new(*seed, SimulatedDisk::new(*seed).without_sync());
        (0..12).any(|_| lives.live().is_err())
    });
    assert!(failed.count() > 100);
}

/// What is done to the files of a log; whether the marker was hit.
fn harm(disk: &SimulatedDisk, random: &mut StdRng) -> (String, bool) {
    let paths = disk.paths();
    let path = &paths[random.random_range(0..paths.len())];
    let len = disk.open(path).unwrap().len().unwrap();
    let at = random.random_range(0..len);
    let done = match random.random_range(0..8) {
        0 => {
            assert!(disk.cut(path, at));
            format!("cut {path:?} at {at}")
        }
        1 => {
            disk.remove(path).unwrap();
            format!("removed {path:?}")
        }
        2 => {
            let at = at / 512 * 512;
            let zeros = vec![0; 512.min(len - at) as usize];
            disk.open(path).unwrap().write_at(at, &zeros).unwrap();
            format!("zeroed a sector of {path:?} at {at}")
        }
        _ => {
            let mask = random.random_range(1..=255);
            assert!(disk.flip(path, at, mask));
            format!("flipped {mask:#x} in {path:?} at {at}")
        }
    };
    (done, *path == marker())
}

#[test]
fn whatever_is_harmed_is_told_exactly() {
    const FRAMES: u64 = 40;
    let mut told = 0;
    for seed in 0..600 {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = SimulatedDisk::new(seed);
        for _ in 0..2 {
            let (mut log, ..) = open(&disk);
            append(&mut log, FRAMES / 2);
            log.close().unwrap();
        }
        let mut done = Vec::new();
        let mut marker_hit = false;
        // One harm is always told exactly. With more, the end can be lost together with what would tell it.
        let harms = if seed % 2 == 0 {
            1
        } else {
            random.random_range(2..6)
        };
        for _ in 0..harms {
            let (what, marker) = harm(&disk, &mut random);
            done.push(what);
            marker_hit |= marker;
        }
        let context = format!("seed {seed}: {done:?}");

        let (mut log, recovered, frames) = open(&disk);
        let got = check_harmed(&recovered, &frames, &context);
        let exact = got == (1..=FRAMES).collect();
        assert!(exact || (harms > 1 && marker_hit), "{context}");
        told += u32::from(!recovered.damaged.is_empty());

        let next = log.next();
        log.append(next, &[&payload(next)]).unwrap();
        log.sync().unwrap();
        drop(log);
        let (_, again, after) = open(&disk);
        check_harmed(&again, &after, &context);
        assert_eq!(again.next, next + 1, "{context}");
        assert_eq!(after.len(), frames.len() + 1, "it goes on: {context}");
    }
    assert!(told > 200, "{told}");
}

/// The numbers that came or were told missing: each once, without a gap, right.
fn check_harmed(recovered: &Recovered, frames: &Frames, context: &str) -> BTreeSet<u64> {
    let mut got = BTreeSet::new();
    for (number, bytes) in frames {
        assert_eq!(*bytes, payload(*number), "{context}");
        assert!(got.last() < Some(number), "in order: {context}");
        got.insert(*number);
    }
    for number in recovered.damaged.iter().flat_map(|it| it.numbers.clone()) {
        assert!(
            got.insert(number),
            "{number} came and is missing: {context}"
        );
    }
    let all = (1..recovered.next).collect();
    assert_eq!(got, all, "silence about something: {context}");
    got
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = SimulatedDisk::new(seed);
        let (mut log, ..) = open(&disk);
        append(&mut log, 3);
        drop(log);
        for path in [segment(1), segment(2), segment(3), marker()] {
            let file = match disk.open(&path) {
                Ok(file) => file,
                Err(_) => disk.create(&path).unwrap(),
            };
            let mut bytes = vec![0; random.random_range(0..3000)];
            random.fill(bytes.as_mut_slice());
            let magic = super::format::FRAME_MAGIC;
            for _ in 0..random.random_range(0..20) {
                let at = random.random_range(0..=bytes.len());
                bytes.splice(at..at, magic);
            }
            let at = random.random_range(0..3000);
            file.write_at(at, &bytes).unwrap();
        }
        let (mut log, recovered, frames) = open(&disk);
        check_harmed(&recovered, &frames, &format!("seed {seed}"));
        let next = log.next();
        log.append(next, &[b"on"]).unwrap();
        drop(log);
        let (.., frames) = open(&disk);
        let last = frames
            .last()
            .map(|(number, bytes)| (*number, bytes.clone()));
        assert_eq!(last, Some((next, Bytes::from_static(b"on"))), "seed {seed}");
    }
}
