//! Kept results are bounded by their bytes.

use std::sync::Arc;

use super::store;
use crate::store::conformance::{ALL, Recorder, answer, at, client, seq};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Keep, Options};
use crate::store::{Commit, Domain, Judged, Origin, Position, Store, Term, Unit};

const BOUND: u64 = 20_000;

fn of(name: &str, place: u64, text: &str) -> Unit {
    let unit = seq(place, answer(text));
    let origin = Origin {
        client: Some(client(name)),
        ..(*unit.origin).clone()
    };
    Unit {
        origin: Arc::new(origin),
        awaited: false,
        ..unit
    }
}

async fn commit(store: &Embedded, term: Term, unit: Unit) -> Judged {
    let commit = Commit {
        units: vec![unit],
        ..Commit::new(Domain(1), term, at(0))
    };
    store.commit(commit).await.unwrap().await.unwrap().remove(0)
}

/// How many results a stream of this client gets from its start on, and whether it is told that some are lost.
async fn results(store: &Embedded, name: &str) -> (usize, bool) {
    let page = store
        .results(&client(name), Position(0), ALL)
        .await
        .unwrap();
    (page.entries.len(), page.lost)
}

#[tokio::test]
async fn who_holds_most_loses_its_oldest_results_and_is_told() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let options = Options {
        keep: Keep {
            result_bytes: BOUND,
            ..Keep::default()
        },
        ..Options::default()
    };
    let open = || store(disk.clone(), options.clone(), Arc::new(Recorder::default()));
    let text = "x".repeat(1_000);
    let store = open();
    let term = store.take_over(Domain(1)).await.unwrap();
    for place in 1..=2 {
        commit(&store, term, of("little", place, &text)).await;
    }
    for place in 1..=50 {
        commit(&store, term, of("much", place, &text)).await;
    }
    let (kept, lost) = results(&store, "much").await;
    assert!((10..20).contains(&kept) && lost, "{kept}");
    assert_eq!(results(&store, "little").await, (2, false));
    store.close().await;

    // It is so after a restart, too; the places stay.
    let store = open();
    let term = store.take_over(Domain(1)).await.unwrap();
    assert_eq!(results(&store, "much").await, (kept, true));
    assert_eq!(results(&store, "little").await, (2, false));
    let oldest = commit(&store, term, of("much", 1, &text)).await;
    assert_eq!(oldest, Judged::Forgotten);
    let newest = commit(&store, term, of("much", 50, &text)).await;
    assert!(matches!(newest, Judged::Repeat(_)), "{newest:?}");
    let next = commit(&store, term, of("much", 52, &text)).await;
    assert_eq!(next, Judged::Missing { next: 51 });
}
