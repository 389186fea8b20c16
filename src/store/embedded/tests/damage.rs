//! Bytes that flip and files that are cut: what is missing is told, or it does not open and says why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::Model;
use super::plan::HANDLERS;
use super::words::{result_of, said, text};
use super::world::{CLIENTS, FOREVER, Heard, World, everything, open_on};
use crate::store::conformance::{ALL, client};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Options};
use crate::store::{LossCause, Position, ScanLimit, Store, Which};
use crate::types::HandlerName;

const IMAGES: u64 = 10;
const COPIES: u64 = 30;

fn options() -> Options {
    Options {
        checkpoint_bytes: 24 << 10,
        segment_bytes: 8 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

/// A disk after a clean end or a killed process, and what is on it. (After a power loss the last frame of the log may as well
/// be one that was never told: that it was harmed cannot be known.)
async fn image(seed: u64) -> (SimulatedDisk, Model) {
    let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
    for _ in 0..60 {
        world.step(2).await.unwrap();
    }
    world.land_all().await.unwrap();
    if seed.is_multiple_of(2) {
        world.store.close().await;
    }
    (world.disk.killed(), world.model)
}

/// Something differs: what, and of which kind.
type Difference = (&'static str, String);

/// Reads everything. What differs from the model, and what was said of it.
async fn read(store: &Embedded, model: &Model) -> (Vec<Difference>, Vec<String>) {
    let (mut differs, mut errors) = (Vec::new(), Vec::new());
    let (mut from, mut found, mut lost) = (0, BTreeMap::new(), BTreeSet::new());
    let tail = store.tail().0;
    while from < tail {
        let limit = ScanLimit { items: 20, ..ALL };
        let page = match store.scan(&everything(), Position(from), limit).await {
            Ok(page) => page,
            Err(error) => {
                errors.push(error.to_string());
                break;
            }
        };
        found.extend(
            page.entries
                .iter()
                .map(|entry| (entry.position.0, text(entry))),
        );
        if page.loss.iter().any(|loss| loss.cause == LossCause::Damage) {
            lost.extend(from + 1..=page.through.0);
        }
        assert!(page.through.0 > from, "it goes on");
        from = page.through.0;
    }
    for sent in &model.messages {
        match found.remove(&sent.position) {
            Some(there) => assert_eq!(there, sent.text, "another one in its place"),
            None if lost.contains(&sent.position) => {}
            None if sent.position > tail => differs.push(("log", format!("{sent:?}"))),
            None => differs.push(("message", format!("{sent:?}"))),
        }
    }
    assert!(found.is_empty(), "out of thin air: {found:?}");
    for (handler, name) in HANDLERS.iter().enumerate() {
        let mut records: BTreeMap<_, _> = model
            .records
            .iter()
            .filter(|((of, _), _)| *of == handler)
            .map(|((_, key), (version, _))| (key.clone(), *version))
            .collect();
        match store.list(name, "", None, ALL).await {
            Err(error) => errors.push(error.to_string()),
            Ok(page) => {
                for record in page.items {
                    let version = records.remove(&*record.key);
                    if version != Some(record.version) {
                        differs.push(("records", format!("{record:?} and not {version:?}")));
                    }
                }
                differs.extend(records.keys().map(|key| ("records", key.clone())));
            }
        }
    }
    for (at, name) in CLIENTS.iter().enumerate() {
        match store.results(&client(name), Position(0), ALL).await {
            Err(error) => errors.push(error.to_string()),
            Ok(page) => {
                let found: Vec<_> = page.entries.iter().map(result_of).collect();
                if found != model.results(at) {
                    differs.push(("results", name.to_string()));
                }
            }
        }
    }
    for ((of, handler), known) in &model.queues {
        let which = Which::Places {
            handler: HandlerName::new(HANDLERS[*handler]).unwrap(),
            from: 0,
        };
        match store.kept(&client(CLIENTS[*of]), &which, ALL).await {
            Err(error) => errors.push(error.to_string()),
            Ok(page) => {
                let kept = page
                    .items
                    .iter()
                    .filter(|kept| kept.answer.outcome.is_final());
                let found = kept.map(|kept| (kept.seq, said(&kept.answer)));
                let kept = known
                    .kept
                    .iter()
                    .map(|(seq, kept)| (*seq, kept.said.clone()));
                if !found.eq(kept) {
                    differs.push(("places", format!("{of} {handler}")));
                }
            }
        }
    }
    match store.open_runs().await {
        Err(error) => errors.push(error.to_string()),
        Ok(runs) => {
            let packets = runs.iter().flat_map(|run| &run.packets);
            let found: Vec<_> = packets.map(|packet| packet.req_id.to_string()).collect();
            let open: Vec<_> = model
                .open
                .iter()
                .map(|taken| taken.req_id.clone())
                .collect();
            if found != open {
                differs.push(("taken", format!("{found:?} and not {open:?}")));
            }
        }
    }
    (differs, errors)
}

/// Whether what was told says that this may differ.
fn covers(told: &str, kind: &str) -> bool {
    let table = |names: &[&str]| {
        names
            .iter()
            .any(|name| told.contains(&format!("missing are {name}, after")))
    };
    // Rows of every kind are in frames.
    told.contains("the commit log")
        || match kind {
            "records" => table(&["records", "deletions"]),
            "results" => table(&[
                "results",
                "places",
                "owners of results",
                "req_ids",
                "owed results",
            ]),
            "places" => table(&["places", "results"]),
            "taken" => table(&["taken packets"]),
            "message" => table(&["parts"]),
            _ => false,
        }
}

#[tokio::test]
async fn shows_3_3_what_is_damaged_is_told_or_refused() {
    let first: u64 = rand::random();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 0..IMAGES {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let (disk, model) = image(seed).await;
        let mut random = StdRng::seed_from_u64(seed);
        for copy in 0..COPIES {
            let disk = Arc::new(disk.killed());
            let paths = disk.paths();
            let path = &paths[random.random_range(0..paths.len())];
            let len = disk.len_of(path);
            let mut harm = format!("{}", path.display());
            if random.random_bool(0.2) {
                let to = random.random_range(0..len.max(1));
                disk.cut(path, to);
                harm += &format!(" cut to {to} of {len}");
            } else {
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..len.max(1));
                    disk.flip(path, at, 1 << random.random_range(0..8));
                    harm += &format!(", {at} of {len}");
                }
            }
            let store = match open_on(&disk, &options(), Arc::new(Heard::default())) {
                Ok(store) => store,
                Err(error) => {
                    assert!(error.to_string().len() > 40, "{error}");
                    *counts.entry("refused").or_default() += 1;
                    continue;
                }
            };
            let (differs, errors) = read(&store, &model).await;
            let told = store.damage();
            for (kind, what) in &differs {
                assert!(
                    !errors.is_empty() || told.iter().any(|told| covers(told, kind)),
                    "seed {seed}, copy {copy}, {harm}: {kind} {what:.300}: not told in {told:.1000?}"
                );
            }
            let what = match (told.is_empty() && errors.is_empty(), differs.is_empty()) {
                (true, _) => "whole",
                (false, true) => "told, and nothing of the rows is missing",
                (false, false) => "told, and rows are missing",
            };
            *counts.entry(what).or_default() += 1;
            // It takes commits, makes checkpoints of what is left, and has nothing new to tell when it was closed.
            store.close().await;
            let again = open_on(&disk, &options(), Arc::new(Heard::default())).unwrap();
            again.close().await;
        }
    }
    println!(
        "SHOWS 3.3 store: {} harmed copies, seeds from {first}: {counts:?}; no panic, no silence",
        IMAGES * COPIES
    );
}

/// A table that cannot be read any more while it is used is replaced, and everything goes on.
#[tokio::test]
async fn a_table_that_breaks_in_use_is_mended() {
    let mut mended = 0;
    for seed in 0..12 {
        // Next to no cache, so that everything is read from the disk.
        let options = Options {
            cache_bytes: 0,
            ..options()
        };
        let mut world = World::new(seed, SimulatedDisk::new(seed), options, FOREVER).await;
        for _ in 0..40 {
            world.step(1).await.unwrap();
        }
        world.land_all().await.unwrap();
        let path = std::path::Path::new("rows.table");
        let len = world.disk.len_of(path);
        for at in (33_000..len).step_by(2_000) {
            world.disk.flip(path, at, 4);
        }
        let (mut refused, mut taken) = (0, 0);
        while taken < 200 {
            let plan = world.plan();
            taken += u32::from(world.try_anyhow(plan).await);
            refused += 1;
            assert!(refused < 50_000, "seed {seed}: it goes on");
            tokio::task::yield_now().await;
        }
        let told = world.store.damage();
        mended += u32::from(told.iter().any(|told| told.contains("the table of rows")));
        world.store.close().await;
        assert!(
            world.disk.bytes_of("log") < 200 << 10,
            "seed {seed}: the log does not grow for good"
        );
    }
    assert!(mended >= 6, "{mended}");
}
