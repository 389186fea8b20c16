//! The engine as a whole.

mod backup;
mod bounds;
mod checkpoints;
mod clock;
mod copies;
mod damage;
mod full;
mod header;
mod history;
mod holders;
mod kept;
mod letters;
mod looked;
mod model;
mod panics;
mod plan;
mod power;
mod random;
mod seen;
mod told;
mod unheard;
mod words;
mod world;

use std::path::Path;
use std::sync::Arc;

use super::disk::simulated::SimulatedDisk;
use super::{Embedded, Options, open};
use crate::store::clock::Wall;
use crate::store::conformance::{self, Recorder};
use crate::store::{Store, Tail};

/// Opens a store on a disk that no other test has.
fn store(disk: Arc<SimulatedDisk>, options: Options, tail: Arc<dyn Tail>) -> Embedded {
    let path = Path::new("simulated");
    open::start(None, path, disk, options, Wall::now(), tail).unwrap()
}

fn fresh(tail: Arc<Recorder>) -> Arc<dyn Store> {
    let disk = Arc::new(SimulatedDisk::new(1));
    Arc::new(store(disk, Options::default(), tail))
}

/// Moves everything to parts and table all the time.
fn restless(tail: Arc<Recorder>) -> Arc<dyn Store> {
    let disk = Arc::new(SimulatedDisk::new(1));
    let options = Options {
        checkpoint_bytes: 1,
        segment_bytes: 64 << 10,
        ..Options::default()
    };
    Arc::new(store(disk, options, tail))
}

#[tokio::test]
async fn it_does_what_every_engine_must() {
    conformance::run(fresh).await;
}

#[tokio::test]
async fn it_does_so_while_everything_moves() {
    conformance::run(restless).await;
}
