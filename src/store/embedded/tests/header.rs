//! The header of the table of rows is there four times: two of it, each twice.

use std::path::Path;
use std::sync::Arc;

use super::seen::Seen;
use super::world::{FOREVER, Heard, World, open_on};
use crate::store::Store;
use crate::store::embedded::Options;
use crate::store::embedded::disk::simulated::SimulatedDisk;

/// Where the copies of the one and of the other are.
const COPIES: [[u64; 2]; 2] = [[0, 16 << 10], [8 << 10, 24 << 10]];

fn options() -> Options {
    Options {
        checkpoint_bytes: 8 << 10,
        segment_bytes: 8 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

/// What differs from what was told to be there, and what the store says about itself; or why it does not open.
async fn without(world: &World, copies: &[u64]) -> Result<(usize, Vec<String>), String> {
    let disk = Arc::new(world.disk.killed());
    for copy in copies {
        // In the page that it holds.
        assert!(disk.flip(Path::new("rows.table"), copy + 100, 0x10));
    }
    let store = open_on(&disk, &options(), Arc::new(Heard::default()));
    let store = store.map_err(|error| error.to_string())?;
    let seen = Seen::at_last(&store, &world.model).await;
    let told = store.damage();
    store.close().await;
    let differs = seen.differs(&Seen::of_model(&world.model));
    Ok((differs.len(), told))
}

#[tokio::test]
async fn a_damaged_header_of_the_table_is_made_good_or_told() {
    for seed in 0..6 {
        let mut world = World::new(seed, SimulatedDisk::new(seed), options(), FOREVER).await;
        for _ in 0..60 {
            world.step(2).await.unwrap();
        }
        world.land_all().await.unwrap();
        world.store.close().await;
        for copies in COPIES {
            for copy in copies {
                let whole = without(&world, &[copy]).await.unwrap();
                assert_eq!(whole, (0, Vec::new()), "seed {seed}: the other copy");
            }
        }
        let mut told = 0;
        let all = [COPIES[0], COPIES[1]].concat();
        for copies in [&COPIES[0][..], &COPIES[1][..], &all] {
            match without(&world, copies).await {
                Ok((differs, said)) => {
                    assert!(differs == 0 || !said.is_empty(), "seed {seed}: {copies:?}");
                    told += usize::from(!said.is_empty());
                }
                Err(why) => {
                    assert!(why.len() > 40, "{why}");
                    told += 1;
                }
            }
        }
        assert!(
            told >= 1,
            "seed {seed}: without all of them something is told"
        );
    }
}
