//! Bytes that flip and files that are cut: what is missing is told, or it does not open and says why.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::history::{History, Item};
use super::model::Model;
use super::plan::PlannedUnit;
use super::seen::Seen;
use super::told::Told;
use super::world::{FOREVER, Heard, World, open_on};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Options};
use crate::store::{Place, Store};

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

/// A disk after a clean end or a killed process, and the world that it is of. (After a power loss the last frame of the log
/// may as well be one that was never told: that it was harmed cannot be known.)
async fn image(seed: u64) -> (SimulatedDisk, World) {
    let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
    for _ in 0..60 {
        world.step(2).await.unwrap();
    }
    world.land_all().await.unwrap();
    if seed.is_multiple_of(2) {
        world.store.close().await;
    }
    (world.disk.killed(), world)
}

/// What was done to a file.
#[derive(Debug)]
struct Harm {
    path: PathBuf,
    cut: bool,
    /// The bytes that flipped, or all behind the cut.
    bytes: Vec<RangeInclusive<u64>>,
}

impl Harm {
    fn new(disk: &SimulatedDisk, random: &mut StdRng) -> Self {
        let paths = disk.paths();
        let path = paths[random.random_range(0..paths.len())].clone();
        let len = disk.len_of(&path).max(1);
        let cut = random.random_bool(0.2);
        let bytes = if cut {
            let to = random.random_range(0..len);
            disk.cut(&path, to);
            vec![to..=u64::MAX]
        } else {
            let flips = (0..random.random_range(1..4)).map(|_| {
                let at = random.random_range(0..len);
                disk.flip(&path, at, 1 << random.random_range(0..8));
                at..=at
            });
            flips.collect()
        };
        Self { path, cut, bytes }
    }

    /// Whether this was told because of it: it names what was harmed, and where it names bytes, a harmed one is among them.
    fn explains(&self, told: &str) -> bool {
        if self.path == Path::new("rows.table") {
            // What only the table knows of log and parts may be told as theirs.
            return true;
        }
        if !self.path.starts_with("log") {
            return told.starts_with(&*self.path.to_string_lossy());
        }
        let Some(place) = told.strip_prefix("the commit log, segment ") else {
            return told.starts_with("the commit log: ");
        };
        let number = |text: &str| {
            text.split(' ')
                .next()
                .unwrap()
                .trim_end_matches(':')
                .parse()
        };
        let (segment, rest) = place.split_once(" at ").unwrap();
        let (at, bytes) = rest.split_once(": ").unwrap();
        let at: u64 = number(at).unwrap();
        let bytes: u64 = number(bytes).unwrap();
        let name = format!("{:016}.log", segment.parse::<u64>().unwrap());
        // A segment that was reserved and never written is none any more once a bit of it is set: its header is missed.
        let is_header = at == 0 && bytes == 64;
        let there =
            |harmed: &RangeInclusive<u64>| *harmed.start() <= at + bytes && at <= *harmed.end();
        // What a cut took may be missed only where the next segment begins.
        self.cut || (self.path.ends_with(name) && (is_header || self.bytes.iter().any(there)))
    }
}

/// Everything that differs was told, and nothing was told that was not harmed.
struct Judge<'a> {
    history: &'a History,
    whole: &'a Seen,
    harm: &'a Harm,
    told: Told,
    /// For messages.
    of: String,
}

impl Judge<'_> {
    fn hear(&mut self, store: &Embedded) {
        let texts = store.damage();
        for text in &texts {
            let explained = self.harm.explains(text);
            assert!(explained, "{}: {text}: it was not harmed", self.of);
        }
        self.told.add(texts);
    }

    fn judge(&self, seen: &Seen) -> BTreeSet<Item> {
        let differs = seen.differs(self.whole);
        for item in &differs {
            let (there, right) = (seen.items.get(item), self.whole.items.get(item));
            assert!(
                self.history.may_differ(item, &self.told),
                "{}: {item:?} is {there:.100?} and not {right:.100?}: not told in {:.1500?}",
                self.of,
                self.told.texts
            );
            if let Item::Message(position) = item {
                assert!(
                    there.is_none(),
                    "{}: {item:?} is another one: {there:?}",
                    self.of
                );
                let is_told = seen.lossy.iter().any(|lossy| lossy.contains(position));
                assert!(
                    is_told || *position > seen.tail,
                    "{}: a stream is not told that {item:?} is missing: {:.1500?}",
                    self.of,
                    self.told.texts
                );
            }
        }
        differs
    }

    /// What is said to everything that is sent again.
    async fn repeat(&self, world: &mut World) -> usize {
        let again = world.repeats();
        let said = loop {
            match world.ask(&again).await {
                Some(said) => break said,
                None => tokio::task::yield_now().await,
            }
        };
        let mut plain = world.model.clone();
        let mut differ = 0;
        for (unit, said) in again.iter().zip(said) {
            let right = plain.judged(unit);
            let item = asked(&world.model, unit);
            assert!(
                said == right || self.history.may_differ(&item, &self.told),
                "{}: {item:?} is {said:.100} and not {right:.100}: not told in {:.1500?}",
                self.of,
                self.told.texts
            );
            differ += usize::from(said != right);
        }
        differ
    }
}

/// What a repeat asks for.
fn asked(model: &Model, unit: &PlannedUnit) -> Item {
    match (&unit.place, unit.client) {
        (Place::Seq(seq), Some(of)) => {
            let queue = (of, unit.handler);
            match *seq <= model.queues[&queue].reached {
                true => Item::Place(queue, *seq),
                false => Item::Queue(queue),
            }
        }
        (_, of) => Item::ReqId(of, unit.req_id.clone()),
    }
}

#[tokio::test]
async fn shows_3_3_what_is_damaged_is_told_or_refused() {
    let first: u64 = rand::random();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = |what: &'static str, by: usize| *counts.entry(what).or_default() += by;
    for number in 0..IMAGES {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let (disk, mut world) = image(seed).await;
        let history = History::of(&disk, options().segment_bytes);
        let whole = Seen::of_model(&world.model);
        let mut random = StdRng::seed_from_u64(seed);
        for copy in 0..COPIES {
            let disk = Arc::new(disk.killed());
            let harm = Harm::new(&disk, &mut random);
            let of = format!("seed {seed}, copy {copy}, {harm:?}");
            let open = || open_on(&disk, &options(), Arc::new(Heard::default()));
            let store = match open() {
                Ok(store) => store,
                Err(error) => {
                    assert!(error.to_string().len() > 40, "{of}: {error}");
                    let alone = harm.path.starts_with("log") || harm.path.starts_with("parts");
                    assert!(!alone, "{of}: log and parts are read around: {error}");
                    count("refused", 1);
                    continue;
                }
            };
            let mut judge = Judge {
                history: &history,
                whole: &whole,
                harm: &harm,
                told: Told::default(),
                of,
            };
            let once = Seen::at_last(&store, &world.model).await;
            judge.hear(&store);
            judge.judge(&once);
            // Reading it again changes nothing, unless that found something more.
            let before = store.damage();
            let twice = Seen::at_last(&store, &world.model).await;
            judge.hear(&store);
            let missing = judge.judge(&twice);
            assert!(once == twice || store.damage() != before, "{}", judge.of);
            // It makes a checkpoint of what is left; what was told of messages, streams are told again.
            store.close().await;
            drop(store);
            let store = open().unwrap();
            let after = Seen::at_last(&store, &world.model).await;
            judge.hear(&store);
            judge.judge(&after);
            let is_same = after.items == twice.items;
            assert!(is_same || !store.damage().is_empty(), "{}", judge.of);
            // And it says to everything that comes again what it said, or it was told.
            world.store = store;
            world.take_over().await;
            let others = judge.repeat(&mut world).await;
            judge.hear(&world.store);
            world.store.close().await;

            let told = history.told(&judge.told) + told_messages(&whole, &history, &judge.told);
            match (judge.told.texts.is_empty(), missing.is_empty()) {
                (true, _) => count("whole", 1),
                (false, true) => count("told, and nothing is missing", 1),
                (false, false) => count("told, and something is missing", 1),
            }
            count("missing or different", missing.len());
            count("repeats answered otherwise", others);
            count("rows and messages told", told);
        }
    }
    println!(
        "SHOWS 3.3 store: {} harmed copies, seeds from {first}: {counts:?}; no panic, no silence",
        IMAGES * COPIES
    );
}

fn told_messages(whole: &Seen, history: &History, told: &Told) -> usize {
    let messages = whole
        .items
        .keys()
        .filter(|item| matches!(item, Item::Message(_)));
    messages
        .filter(|item| history.may_differ(item, told))
        .count()
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
