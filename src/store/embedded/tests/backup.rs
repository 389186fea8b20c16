//! A copy of the directory, as other programs make it, that is put back after more was told: the future that is lost is
//! another history.

use std::sync::Arc;

use super::store;
use crate::store::conformance::{ALL, Recorder, at, publish, unit};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Options};
use crate::store::{Commit, Domain, Epoch, Place, Position, Store};

fn open(disk: &Arc<SimulatedDisk>) -> Embedded {
    store(
        disk.clone(),
        Options::default(),
        Arc::new(Recorder::default()),
    )
}

async fn publishes(store: &Embedded, texts: &[&str]) {
    let term = store.take_over(Domain(1)).await.unwrap();
    let units = texts
        .iter()
        .map(|text| unit(Place::None, publish("a", text)));
    let commit = Commit {
        units: units.collect(),
        ..Commit::new(Domain(1), term, at(0))
    };
    store.commit(commit).await.unwrap().await.unwrap();
}

/// Up to where a cursor of this epoch may be believed; `None`: its history is not known.
fn holds(store: &Embedded, epoch: u64) -> Option<Position> {
    let epochs = store.epochs();
    let at = epochs.iter().position(|known| known.id == epoch)?;
    Some(
        epochs
            .get(at + 1)
            .map_or_else(|| store.tail(), |next| next.start),
    )
}

fn own(store: &Embedded) -> Epoch {
    *store.epochs().last().unwrap()
}

#[tokio::test]
async fn a_cursor_of_a_future_that_was_lost_is_not_believed() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let first = open(&disk);
    publishes(&first, &["1", "2"]).await;
    let backup = disk.killed();
    // What the backup does not have: more of this start, and another start.
    publishes(&first, &["3", "4", "5"]).await;
    let (old, reached) = (own(&first), first.tail());
    first.close().await;
    let second = open(&disk);
    publishes(&second, &["6"]).await;
    let lost = own(&second);
    assert_eq!(holds(&second, old.id), Some(reached), "it goes on here");
    second.close().await;

    let disk = Arc::new(backup);
    let restored = open(&disk);
    assert!(
        ![old.id, lost.id].contains(&own(&restored).id),
        "another epoch"
    );
    assert_eq!(holds(&restored, lost.id), None, "it never was");
    assert_eq!(
        holds(&restored, old.id),
        Some(Position(2)),
        "no further than the backup"
    );
    // The positions that were lost are given again: that is why.
    publishes(&restored, &["another 3"]).await;
    assert_eq!(holds(&restored, old.id), Some(Position(2)));
    assert_eq!(holds(&restored, own(&restored).id), Some(Position(3)));
    let page = restored
        .scan(&super::world::everything(), Position(2), ALL)
        .await;
    assert_eq!(page.unwrap().entries.len(), 1);
}
