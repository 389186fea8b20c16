//! A disk that fills, is freed, and fills again: commits are refused, what was told stays, and it goes on.

use super::world::{FOREVER, World};
use crate::store::embedded::Options;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::{Error, Store};

fn options() -> Options {
    Options {
        checkpoint_bytes: 64 << 10,
        segment_bytes: 16 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

#[tokio::test]
async fn shows_3_4_a_full_disk_refuses_and_goes_on() {
    let first: u64 = rand::random();
    let (mut refused, mut told) = (0, 0);
    for number in 0..8 {
        let seed = first.wrapping_add(number);
        println!("of seed {seed}");
        let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
        for _ in 0..3 {
            for _ in 0..20 {
                world.step(3).await.unwrap();
            }
            world.land_all().await.unwrap();
            world.disk.set_capacity(world.disk.bytes_of(""));
            let mut here = 0;
            for _ in 0..2_000 {
                match world.try_step().await {
                    Ok(()) => {}
                    Err(Error::Refused(_)) => here += 1,
                    Err(error) => {
                        panic!("seed {seed}: an unknown outcome for want of room: {error}")
                    }
                }
                if here >= 20 {
                    break;
                }
            }
            assert!(here >= 20, "seed {seed}: the disk is full");
            refused += here;
            // Reads work, and nothing of what was refused is there.
            world.resolve(false).await;
            world.disk.set_capacity(u64::MAX);
            world.goes_on().await;
            world.check().await;
        }
        told += world.told;
        world.store.close().await;
        world.reopen(world.disk.crash()).await.unwrap();
        world.check().await;
    }
    println!(
        "SHOWS 3.4 store: 8 disks, each full three times; {refused} commits refused, {told} told, none lost, no outcome \
         unknown; seeds from {first}"
    );
}
