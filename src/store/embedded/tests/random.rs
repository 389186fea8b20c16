//! Random commits, times that jump, failures, crashes and clean closes, against the plain model.

use std::time::Duration;

use rand::Rng;

use super::model::Ages;
use super::world::World;
use crate::store::Store;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Keep, MessageBounds, Options, TopicRule};
use crate::types::Pattern;

const SEEDS: u64 = 200;
const STEPS: u64 = 60;

pub(super) const AGES: Ages = Ages {
    result: 100,
    once: 60,
    place: 150,
    deletion: 80,
    places: 4,
    letters: 5,
};

pub(super) fn options() -> Options {
    let seconds = Duration::from_secs;
    let rule = |pattern: &str, keep: MessageBounds| TopicRule {
        pattern: Pattern::parse(pattern, "").unwrap(),
        keep,
    };
    let whole = MessageBounds::default();
    Options {
        keep: Keep {
            topics: vec![
                rule(
                    "last.>",
                    MessageBounds {
                        last: Some(3),
                        ..whole
                    },
                ),
                rule(
                    "chat.>",
                    MessageBounds {
                        age: seconds(50),
                        ..whole
                    },
                ),
            ],
            result_age: seconds(AGES.result),
            once_age: seconds(AGES.once),
            place_age: seconds(AGES.place),
            deletion_age: seconds(AGES.deletion),
            places: AGES.places as u64,
            letters: AGES.letters,
            ..Keep::default()
        },
        checkpoint_bytes: 4 << 10,
        segment_bytes: 4 << 10,
        cache_bytes: 1 << 20,
    }
}

#[tokio::test]
async fn shows_3_6_random_units_agree_with_a_plain_model() {
    let first: u64 = rand::random();
    let (mut told, mut crashes, mut closes, mut failures) = (0, 0, 0, 0);
    for number in 0..SEEDS {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let mut world = World::new(seed, SimulatedDisk::new(seed), options(), AGES).await;
        world.pace = 15;
        for _ in 0..STEPS {
            match world.random.random_range(0..40) {
                0 => {
                    let cut = world.random.random_range(1..30);
                    world.disk.crash_at(cut);
                    while world.step(1).await.is_ok() {}
                    world.reopen(world.disk.crash()).await.unwrap();
                    world.check().await;
                    crashes += 1;
                }
                1 => {
                    world.disk.disarm();
                    if world.land_all().await.is_err() {
                        world.goes_on().await;
                    }
                    world.store.close().await;
                    world.reopen(world.disk.crash()).await.unwrap();
                    world.check().await;
                    closes += 1;
                }
                2 => {
                    let next = world.random.random_range(1..12);
                    world.disk.fail_at(next);
                    failures += 1;
                }
                _ => {}
            }
            if world.step(1).await.is_err() {
                world.goes_on().await;
            }
        }
        world.disk.disarm();
        // Also where nothing failed since: the last look for room may have.
        let _ = world.land_all().await;
        world.goes_on().await;
        world.check().await;
        told += world.told;
        world.store.close().await;
    }
    println!(
        "SHOWS 3.6 store: {SEEDS} seeds from {first}, {told} commits told, {crashes} power losses, {closes} clean closes, \
         {failures} operations that failed: all as in the model"
    );
}
