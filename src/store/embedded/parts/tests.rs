//! Parts against a plain map, whole and damaged.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::super::disk::Disk;
use super::super::disk::simulated::SimulatedDisk;
use super::*;
use crate::store::packed::PackedMessage;
use crate::types::{Form, Message, MessageBody, MessageId, Topic};

type Model = BTreeMap<u64, PackedMessage>;

const PATH: &str = "part";

fn message(tenant: &str, topic: &str, seconds: u64, len: usize, fill: u8) -> PackedMessage {
    PackedMessage::new(&Message {
        tenant: tenant.into(),
        topic: Topic::parse(topic, "").unwrap(),
        id: MessageId(u128::from(seconds)),
        time: UNIX_EPOCH + Duration::from_secs(seconds),
        publisher: "ann".into(),
        client_id: "c".into(),
        headers: Vec::new(),
        body: MessageBody::Content(Form::Bytes, Bytes::from(vec![fill; len])),
    })
}

/// Messages of three tenants, most in a few topics, the rest in many, at positions with holes between them.
fn some(random: &mut StdRng, count: usize) -> Model {
    let mut position = random.random_range(0..1000);
    let mut model = Model::new();
    for _ in 0..count {
        position += match random.random_range(0..10) {
            0 => random.random_range(1..5000),
            _ => 1,
        };
        let tenant = *["", "a", "tenant"].choose(random).unwrap();
        let topic = match random.random_range(0..10) {
            0..6 => "busy".to_owned(),
            6..9 => format!("room.{}", random.random_range(0..30)),
            _ => format!("room.{:05}.x", random.random_range(0..50_000)),
        };
        let len = match random.random_range(0..500) {
            0 => random.random_range(10_000..60_000),
            _ => random.random_range(0..200),
        };
        let seconds = random.random_range(1..1_000_000);
        model.insert(
            position,
            message(tenant, &topic, seconds, len, random.random()),
        );
    }
    model
}

fn write(disk: &Arc<dyn Disk>, model: &Model) -> io::Result<PartInfo> {
    let mut part = PartWriter::new(disk.clone(), Path::new(PATH), "kept.long")?;
    for (position, message) in model {
        part.add(*position, message)?;
    }
    part.finish()
}

fn open(disk: &Arc<dyn Disk>) -> Part {
    Part::open(&**disk, Path::new(PATH), Blocks::new(300_000), None).unwrap()
}

fn simulated(seed: u64) -> (Arc<SimulatedDisk>, Arc<dyn Disk>) {
    let disk = Arc::new(SimulatedDisk::new(seed));
    (disk.clone(), disk)
}

/// What a scan gives, in the order in which it does.
fn scanned(part: &Part, after: u64) -> (Vec<(u64, Bytes)>, Vec<RangeInclusive<u64>>) {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let mut at = after;
    part.scan(after, &mut |step| {
        match step {
            Step::Message(position, message) => {
                assert!(position > at);
                at = position;
                found.push((position, message.bytes().clone()));
            }
            Step::Lost(damage) => {
                let positions = damage.positions.unwrap();
                assert!(*positions.start() > at, "{positions:?} after {at}");
                at = *positions.end();
                lost.push(positions);
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    (found, lost)
}

fn of_topic(model: &Model, tenant: &str, topic: &str) -> Vec<u64> {
    let of = |message: &PackedMessage| message.names() == (tenant, topic);
    let positions = model.iter().filter(|(_, message)| of(message));
    positions.map(|(position, _)| *position).collect()
}

#[test]
fn it_holds_what_a_map_holds() {
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let (_, disk) = simulated(seed);
        let count = [0, 1, 300, 20_000][seed as usize % 4];
        let model = some(&mut random, count);
        let info = write(&disk, &model).unwrap();
        let part = open(&disk);
        assert_eq!(*part.info(), info, "seed {seed}");
        assert_eq!(info.messages, count as u64);
        assert_eq!(info.class, "kept.long");
        let ends = (info.first, info.last);
        let first = model.first_key_value().map_or(0, |(at, _)| *at);
        let last = model.last_key_value().map_or(0, |(at, _)| *at);
        assert_eq!(ends, (first, last));
        let times = model.values().map(PackedMessage::time);
        assert_eq!(info.newest, times.clone().max().unwrap_or(UNIX_EPOCH));
        assert_eq!(info.oldest, times.min().unwrap_or(UNIX_EPOCH));
        assert_eq!(part.verify().unwrap(), []);

        for _ in 0..20 {
            let after = random.random_range(0..=last + 1);
            let expected = model.range(after + 1..);
            let expected: Vec<_> = expected.map(|(at, of)| (*at, of.bytes().clone())).collect();
            assert_eq!(scanned(&part, after), (expected, vec![]), "seed {seed}");
        }
        for _ in 0..200 {
            let position = random.random_range(0..=last + 1);
            let got = part.get(position).unwrap().map(|step| match step {
                Step::Message(at, message) => (at, message.bytes().clone()),
                Step::Lost(damage) => panic!("{damage:?}"),
            });
            let expected = model
                .get(&position)
                .map(|of| (position, of.bytes().clone()));
            assert_eq!(got, expected, "seed {seed}");
        }
        topics_are_found(&mut random, &part, &model, seed);
    }
}

fn topics_are_found(random: &mut StdRng, part: &Part, model: &Model, seed: u64) {
    let last = model.last_key_value().map_or(0, |(at, _)| *at);
    for _ in 0..30 {
        let tenant = *["", "a", "tenant", "nobody"].choose(random).unwrap();
        let topic = match random.random_range(0..4) {
            0 => "busy".to_owned(),
            1 => "busy.not".to_owned(),
            _ => format!("room.{}", random.random_range(0..30)),
        };
        let of = of_topic(model, tenant, &topic);
        let from = random.random_range(0..=last + 1);
        let limit = random.random_range(1..2500);
        let after = of.iter().filter(|at| **at > from).take(limit);
        let found = part.topic(tenant, &topic, from, limit).unwrap().found;
        assert_eq!(found, after.copied().collect::<Vec<_>>(), "seed {seed}");
        let before = of.iter().rev().filter(|at| **at < from).take(limit);
        let found = part.topic_before(tenant, &topic, from, limit).unwrap();
        assert_eq!(
            found.found,
            before.copied().collect::<Vec<_>>(),
            "seed {seed}"
        );

        let prefix = *["", "room.", "room.1", "b", "z"].choose(random).unwrap();
        let mut expected = BTreeMap::new();
        for (position, message) in model {
            let (of, topic) = message.names();
            if of == tenant && topic.starts_with(prefix) {
                expected.insert(topic.to_owned(), *position);
            }
        }
        assert_eq!(
            part.topics(tenant, prefix).unwrap().found,
            expected,
            "seed {seed}"
        );
    }
}

#[test]
fn what_is_damaged_is_told_and_the_rest_is_right() {
    let (mut lost_in_all, mut unreadable, mut without_index) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let (_, disk) = simulated(seed);
        let model = some(&mut random, 2500);
        let info = write(&disk, &model).unwrap();
        let what = damage(&mut random, &*disk, info.file_bytes);
        let what = format!("seed {seed}, {what}");
        let part = match Part::open(&*disk, Path::new(PATH), Blocks::new(300_000), None) {
            Ok(part) => part,
            Err(Error::Unreadable(_)) => {
                unreadable += 1;
                continue;
            }
            Err(err) => panic!("{what}: {err}"),
        };
        let (found, lost) = scanned(&part, 0);
        let is_lost = |position: u64| lost.iter().any(|lost| lost.contains(&position));
        for (position, bytes) in &found {
            let expected = model.get(position).map(PackedMessage::bytes);
            assert_eq!(expected, Some(bytes), "{what}: {position}");
            assert!(!is_lost(*position), "{what}");
        }
        let missing = model.keys().filter(|at| is_lost(**at)).count();
        assert_eq!(found.len() + missing, model.len(), "{what}: {lost:?}");
        lost_in_all += missing;
        let verified = part.verify().unwrap();
        assert!(!verified.is_empty(), "{what}: nobody noticed");
        let mut told: Vec<_> = verified.into_iter().filter_map(|of| of.positions).collect();
        told.sort_by_key(|of| *of.start());
        assert_eq!(told, lost, "{what}");

        for (tenant, topic) in [("a", "busy"), ("tenant", "room.3"), ("", "room.7")] {
            let of = of_topic(&model, tenant, topic);
            let left: Vec<_> = of.iter().copied().filter(|at| !is_lost(*at)).collect();
            let mut got = [
                part.topic(tenant, topic, 0, usize::MAX).unwrap(),
                part.topic_before(tenant, topic, u64::MAX, usize::MAX)
                    .unwrap(),
            ];
            got[1].found.reverse();
            for got in got {
                // By the index all are there, also those whose messages are not.
                if got.found == of {
                    continue;
                }
                without_index += 1;
                assert_eq!(got.found, left, "{what}");
                let damage: Vec<_> = got
                    .damage
                    .into_iter()
                    .filter_map(|of| of.positions)
                    .collect();
                assert_eq!(damage, lost, "{what}");
            }
            for position in of.iter().step_by(9) {
                let got = part.get(*position).unwrap();
                let told = matches!(got, Some(Step::Lost(_)));
                assert_eq!(told, is_lost(*position), "{what}: {position}");
            }
        }
    }
    println!(
        "{lost_in_all} messages lost and told, {unreadable} parts unreadable, {without_index} topics walked"
    );
    assert!(lost_in_all > 10_000 && without_index > 50 && unreadable < 20);
}

/// Damages the file somewhere, and says how.
fn damage(random: &mut StdRng, disk: &dyn Disk, len: u64) -> String {
    let file = disk.open(Path::new(PATH)).unwrap();
    // The end, with the index and what is behind it, is small beside the messages, and gets its share.
    let at = match random.random_range(0..3) {
        0 => random.random_range(len - len / 6..len),
        1 => random.random_range(len - 600..len),
        _ => random.random_range(0..len),
    };
    let fill = |random: &mut StdRng, most: u64, zeros: bool| {
        let len = random.random_range(1..most).min(len - at);
        let mut bytes = vec![0; len as usize];
        if !zeros {
            random.fill(&mut bytes[..]);
        }
        // So that it is damage in any case.
        let mut before = [0];
        file.read_at(at, &mut before).unwrap();
        bytes[0] = !before[0];
        file.write_at(at, &bytes).unwrap();
        format!("{len} bytes at {at}, zeros: {zeros}")
    };
    match random.random_range(0..6) {
        0 => {
            file.set_len(at).unwrap();
            format!("cut at {at}")
        }
        1 => fill(random, 60_000, false),
        2 => fill(random, 10_000, true),
        3 => {
            let both = fill(random, 100, false);
            let at = len - 1 - random.random_range(0..300);
            let mut byte = [0];
            file.read_at(at, &mut byte).unwrap();
            file.write_at(at, &[byte[0] ^ 8]).unwrap();
            format!("{both} and a flip at {at}")
        }
        _ => {
            let mut byte = [0];
            file.read_at(at, &mut byte).unwrap();
            byte[0] ^= 1 << random.random_range(0..8);
            file.write_at(at, &byte).unwrap();
            format!("a flip at {at}")
        }
    }
}

#[test]
fn what_is_finished_survives_a_crash_and_what_is_not_leaves_nothing() {
    let model = some(&mut StdRng::seed_from_u64(1), 3000);
    let (simulated, disk) = simulated(1);
    write(&disk, &model).unwrap();
    let after: Arc<dyn Disk> = Arc::new(simulated.crash());
    let expected = model.iter().map(|(at, of)| (*at, of.bytes().clone()));
    assert_eq!(scanned(&open(&after), 0).0, expected.collect::<Vec<_>>());

    let operations = simulated.operations();
    for fails in 1..=operations {
        let (simulated, disk) = self::simulated(fails);
        simulated.fail_at(fails);
        write(&disk, &model).unwrap_err();
        assert_eq!(disk.list(Path::new("")).unwrap(), [""; 0], "at {fails}");
        write(&disk, &model).unwrap();
    }
    let full = Arc::new(SimulatedDisk::new(3).capacity(100_000));
    let disk: Arc<dyn Disk> = full.clone();
    let err = write(&disk, &model).unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::StorageFull);
    full.set_capacity(10_000_000);
    write(&disk, &model).unwrap();
}

#[test]
fn positions_go_up() {
    let (_, disk) = simulated(1);
    let mut part = PartWriter::new(disk, Path::new(PATH), "").unwrap();
    let message = message("", "a", 1, 1, 1);
    part.add(0, &message).unwrap_err();
    part.add(7, &message).unwrap();
    part.add(7, &message).unwrap_err();
}

#[test]
fn the_cache_is_bounded() {
    let blocks = Blocks::new(50_000);
    let part = blocks.part();
    for at in 0..100 {
        blocks.put((part, at), Bytes::from(vec![0; 4000]));
        // What is asked for again and again stays.
        assert!(blocks.get((part, 0)).is_some(), "{at}");
        assert!(blocks.bytes() <= 50_000);
    }
    assert!(blocks.get((part, 99)).is_some());
    assert!(blocks.get((part, 50)).is_none());
    blocks.forget(part);
    assert_eq!(blocks.bytes(), 0);
}
