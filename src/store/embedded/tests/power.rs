//! Power loss at any moment: nothing that was told is lost, and nothing is seen that was not durable.

use rand::Rng;

use super::world::{FOREVER, World};
use crate::store::Store;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Keep, MessageBounds, Options};

const SEEDS: u64 = 40;
const LIVES: u64 = 5;

/// So small that segments, checkpoints, parts and retention come by all the time.
fn options() -> Options {
    Options {
        keep: Keep {
            messages: MessageBounds {
                bytes: 24 << 10,
                ..MessageBounds::default()
            },
            ..Keep::default()
        },
        checkpoint_bytes: 24 << 10,
        segment_bytes: 8 << 10,
        cache_bytes: 1 << 20,
    }
}

/// Whether the disk does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncs {
    Yes,
    NotReally,
}

/// How many commits were told, and how many operations there were.
async fn lives(seed: u64, syncs: Syncs) -> (u64, u64) {
    let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
    if syncs == Syncs::NotReally {
        let _ = (*world.disk).clone().without_sync();
    }
    let mut operations = 0;
    for life in 0..LIVES {
        let cut = world.random.random_range(1..250);
        world.disk.crash_at(cut);
        let window = world.random.random_range(1..5);
        while world.step(window).await.is_ok() {}
        world.look().await;
        operations += world.disk.operations();
        let mut image = world.disk.crash();
        // Now and then the power fails again while it opens.
        if life % 2 == 1 {
            let again = world.random.random_range(1..40);
            image.crash_at(again);
            let heard = std::sync::Arc::new(super::world::Heard::default());
            drop(super::world::open_on(
                &image.clone().into(),
                &options(),
                heard,
            ));
            image = image.crash();
        }
        world.reopen(image).await.unwrap();
        world.check().await;
    }
    let told = world.told;
    world.store.close().await;
    (told, operations)
}

#[tokio::test]
async fn shows_3_2_power_loss_takes_back_nothing_that_was_told() {
    let first: u64 = rand::random();
    let (mut told, mut operations) = (0, 0);
    for number in 0..SEEDS {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let (some, of) = lives(seed, Syncs::Yes).await;
        told += some;
        operations += of;
    }
    println!(
        "SHOWS 3.2 store: {} power losses among {operations} operations, {told} commits told, none lost; seeds from {first}",
        SEEDS * LIVES
    );
}

#[tokio::test]
async fn shows_3_2_without_sync_the_same_run_fails() {
    let mut failed = 0;
    for seed in 0..5 {
        let run = tokio::spawn(lives(seed, Syncs::NotReally));
        failed += u32::from(run.await.is_err_and(|error| error.is_panic()));
    }
    assert_eq!(failed, 5, "without the sync what was told is lost");
    println!("SHOWS 3.2 store: without the sync 5 of 5 runs lose what was told; seeds 0 to 4");
}
