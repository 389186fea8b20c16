//! A thread that breaks down: whoever waits for it hears so, and the store can be closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::store;
use crate::store::conformance::{at, publish, unit};
use crate::store::embedded::Options;
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::{Commit, Domain, Entry, Error, Place, Store, Tail, Term};

const RUNS: usize = 200;

/// Whoever follows the log breaks down, in the thread that syncs it.
#[derive(Debug)]
struct Panics;

impl Tail for Panics {
    fn committed(&self, _: &[Entry]) {
        panic!("whoever follows the log breaks down");
    }
}

async fn commit(store: &dyn Store, term: Term) -> Result<(), Error> {
    let commit = Commit {
        units: vec![unit(Place::None, publish("a", "m"))],
        ..Commit::new(Domain(1), term, at(0))
    };
    store.commit(commit).await?.await.map(drop)
}

/// Some commits at once, some one after the other, and some while it is closed.
async fn breaks_down(store: Arc<dyn Store>) {
    let term = store.take_over(Domain(1)).await.unwrap();
    let some = |count: usize| {
        let store = store.clone();
        (0..count).map(move |_| {
            let store = store.clone();
            tokio::spawn(async move { commit(&*store, term).await })
        })
    };
    let at_once: Vec<_> = some(4).collect();
    for _ in 0..3 {
        assert!(commit(&*store, term).await.is_err());
    }
    let while_closing: Vec<_> = some(4).collect();
    store.close().await;
    for told in at_once.into_iter().chain(while_closing) {
        assert!(told.await.unwrap().is_err());
    }
    assert!(commit(&*store, term).await.is_err(), "it is closed");
}

#[test]
fn nobody_waits_for_a_thread_that_has_panicked() {
    for run in 0..RUNS {
        let runtime = Runtime::new().unwrap();
        let disk = Arc::new(SimulatedDisk::new(1));
        let store = Arc::new(store(disk, Options::default(), Arc::new(Panics)));
        let ended =
            runtime.block_on(async { timeout(Duration::from_secs(10), breaks_down(store)).await });
        // Of what hangs, the runtime would wait for the end.
        runtime.shutdown_background();
        assert!(ended.is_ok(), "run {run}: somebody waits for good");
    }
}
