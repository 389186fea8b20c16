//! Each operation of a checkpoint fails in turn, those that were done all the same among them: then it goes on, the power
//! fails or not, and after a restart nothing is missing, nothing is there twice, and every file has an owner.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::world::{FOREVER, World, everything};
use crate::store::conformance::ALL;
use crate::store::embedded::disk::Disk as _;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::keeper::{Keeper, PARTS, Unsure};
use crate::store::embedded::meta::part_path;
use crate::store::embedded::parts::Blocks;
use crate::store::embedded::rows::Space;
use crate::store::embedded::table::{Direction, Limit};
use crate::store::embedded::{Keep, Keeping, MessageBounds, Options, TopicRule};
use crate::store::{Position, Store};
use crate::types::Pattern;

/// Nothing moves before it is told to; then retention and merging have something to do as well.
fn options() -> Options {
    let last = TopicRule {
        pattern: Pattern::parse("last.>", "").unwrap(),
        keep: MessageBounds {
            last: Some(2),
            ..MessageBounds::default()
        },
    };
    Options {
        keep: Keep {
            messages: MessageBounds {
                bytes: 6 << 10,
                ..MessageBounds::default()
            },
            topics: vec![last],
            ..Keep::default()
        },
        checkpoint_bytes: 1 << 30,
        segment_bytes: 1 << 20,
        cache_bytes: 1 << 20,
    }
}

/// A keeper of the test's own, so that nothing is done but what it is told to; the log is not cut.
fn keeper(world: &World) -> Keeper {
    Keeper {
        wake: std::sync::mpsc::sync_channel(1).1,
        is_closed: Arc::default(),
        jobs: std::sync::mpsc::channel().0,
        disk: world.disk.clone(),
        blocks: Blocks::new(1 << 20),
        shared: world.store.shared.clone(),
        keep: Keeping::new(world.options.keep.clone()),
        asked: std::sync::mpsc::channel().1,
        unsure: Unsure::default(),
    }
}

/// Does what there is to do, once. Whatever fails is tried again the next time.
fn keeps(keeper: &mut Keeper) {
    let _ = keeper.checkpoint(false);
    let _ = keeper.trim();
}

async fn writes(world: &mut World, commits: usize) {
    for _ in 0..commits {
        world.step(1).await.unwrap();
    }
    world.land_all().await.unwrap();
}

/// Every message once, and every file of a part has its row, and every row its file.
async fn is_whole(world: &World) {
    let seed = world.seed;
    let page = world
        .store
        .scan(&everything(), Position(0), ALL)
        .await
        .unwrap();
    let positions: Vec<_> = page.entries.iter().map(|entry| entry.position).collect();
    let once: BTreeSet<_> = positions.iter().collect();
    assert_eq!(
        once.len(),
        positions.len(),
        "seed {seed}: twice in {positions:?}"
    );
    let any = Bound::Unbounded;
    let limit = Limit {
        rows: usize::MAX,
        bytes: usize::MAX,
    };
    let table = &world.store.shared.table;
    let rows = table.range(Space::Part as u8, any, any, Direction::Forward, limit);
    let rows: Vec<_> = rows
        .unwrap()
        .iter()
        .map(|(key, _)| part_path(key))
        .collect();
    let files = world.disk.list(Path::new(PARTS)).unwrap();
    let files: Vec<_> = files.iter().map(|name| format!("{PARTS}/{name}")).collect();
    assert_eq!(rows, files, "seed {seed}");
    assert_eq!(world.store.damage(), Vec::<String>::new(), "seed {seed}");
}

/// A world with some parts, and something to move: so much that parts are merged, and others go.
async fn world(seed: u64) -> World {
    let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
    let mut keeper = keeper(&world);
    for _ in 0..3 {
        writes(&mut world, 16).await;
        keeps(&mut keeper);
    }
    writes(&mut world, 16).await;
    world
}

/// In how many of the operations that follow the power fails.
const LATER: u64 = 16;

/// What comes after the operation that fails.
#[derive(Debug, Clone, Copy)]
enum Then {
    GoesOn,
    /// The power fails so many operations later, most often in the next attempt.
    Power(u64),
}

/// False: there are fewer operations.
async fn fails(seed: u64, number: u64, then: Then) -> bool {
    let mut world = world(seed).await;
    let mut keeper = keeper(&world);
    let before = world.disk.operations();
    world.disk.fail_at(number);
    if let Then::Power(later) = then {
        world.disk.crash_at(number + later);
    }
    keeps(&mut keeper);
    let has_failed = world.disk.operations() - before >= number;
    keeps(&mut keeper);
    world.disk.disarm();
    let image = match then {
        Then::GoesOn => {
            writes(&mut world, 8).await;
            keeps(&mut keeper);
            world.disk.killed()
        }
        Then::Power(_) => world.disk.crash(),
    };
    world.reopen(image).await.unwrap();
    world.check().await;
    is_whole(&world).await;
    // And the next one does what it should.
    writes(&mut world, 4).await;
    keeps(&mut self::keeper(&world));
    world.reopen(world.disk.killed()).await.unwrap();
    world.check().await;
    is_whole(&world).await;
    has_failed
}

#[tokio::test]
async fn a_checkpoint_that_fails_anywhere_loses_nothing_and_leaves_nothing_twice() {
    let seed: u64 = rand::random();
    println!("of seed {seed}");
    let mut number = 1;
    while fails(seed, number, Then::GoesOn).await {
        for later in 1..=LATER {
            fails(seed, number, Then::Power(later)).await;
        }
        number += 1;
    }
    println!(
        "{} operations failed, each in {} ways",
        number - 1,
        LATER + 1
    );
    assert!(number > 10, "{number}");
}
