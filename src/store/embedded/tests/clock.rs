//! What the wall clock says at a start, and what ages by it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::world::everything;
use crate::store::clock::Wall;
use crate::store::conformance::{ALL, Recorder, answer, at, publish, seq, unit};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Options, open};
use crate::store::{Commit, Domain, Judged, LossCause, Place, Position, Store, Unit};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn today() -> SystemTime {
    at(0)
}

fn start(disk: &Arc<SimulatedDisk>, wall: SystemTime) -> Embedded {
    let (path, tail) = (Path::new("simulated"), Arc::new(Recorder::default()));
    let options = Options::default();
    open::start(None, path, disk.clone(), options, Wall::Says(wall), tail).unwrap()
}

async fn commit(store: &Embedded, now: SystemTime, units: Vec<Unit>) -> Vec<Judged> {
    let term = store.take_over(Domain(1)).await.unwrap();
    let commit = Commit {
        units,
        ..Commit::new(Domain(1), term, now)
    };
    store.commit(commit).await.unwrap().await.unwrap()
}

/// A start at this time, in which time is swept, and everything is moved to parts and table.
async fn passes(disk: &Arc<SimulatedDisk>, wall: SystemTime) {
    let store = start(disk, wall);
    commit(&store, wall, Vec::new()).await;
    // One that changes something, so that the frame is written.
    commit(&store, wall, vec![unit(Place::None, publish("tick", "t"))]).await;
    store.close().await;
}

/// Whether the result of the first place is kept, and the message.
async fn kept(disk: &Arc<SimulatedDisk>, wall: SystemTime) -> (bool, bool) {
    let store = start(disk, wall);
    let again = commit(&store, wall, vec![seq(1, answer("x"))]).await;
    let page = store.scan(&everything(), Position(0), ALL).await.unwrap();
    let is_told = page
        .loss
        .iter()
        .any(|loss| loss.cause == LossCause::Retention);
    store.close().await;
    (matches!(again[0], Judged::Repeat(_)), !is_told)
}

#[tokio::test]
async fn a_start_believes_a_week_and_not_a_century() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = start(&disk, today());
    let units = vec![seq(1, answer("x")), unit(Place::None, publish("a", "m"))];
    // The wall clock jumps right then: what is stored ages all the same.
    commit(&store, today() + CENTURY, units).await;
    store.close().await;
    for wall in [today() + CENTURY, today() - CENTURY, today() + 6 * DAY] {
        passes(&disk, wall).await;
        assert_eq!(kept(&disk, wall).await, (true, true));
    }
    passes(&disk, today() + 8 * DAY).await;
    assert_eq!(kept(&disk, today() + 8 * DAY).await, (false, false));
}
