//! However much comes, at once or in one commit, a frame is bounded.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::{Condvar, Mutex};
use tokio::task::unconstrained;

use super::store;
use crate::store::conformance::{at, publish, seq, take, unit};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::log::{self, Log};
use crate::store::embedded::writer::{CUT_BYTES, FRAME_BYTES};
use crate::store::embedded::{Embedded, Options};
use crate::store::{
    Commit, Committing, Domain, Effect, Entry, Error, Judged, Place, Store, Tail, Term, Unit,
};

/// The syncing thread waits in it for as long as a test holds it.
#[derive(Debug, Default)]
struct Held {
    is_held: Mutex<bool>,
    freed: Condvar,
}

impl Held {
    fn hold(&self) {
        *self.is_held.lock() = true;
    }

    fn free(&self) {
        *self.is_held.lock() = false;
        self.freed.notify_all();
    }
}

impl Tail for Held {
    fn committed(&self, _: &[Entry]) {
        let mut is_held = self.is_held.lock();
        while *is_held {
            self.freed.wait(&mut is_held);
        }
    }
}

/// Nothing is moved out of the log.
fn options() -> Options {
    Options {
        checkpoint_bytes: 1 << 30,
        ..Options::default()
    }
}

/// The sizes of the frames that are in the log.
fn frames(disk: &SimulatedDisk) -> Vec<usize> {
    let (mut sizes, options) = (Vec::new(), log::Options::new(Path::new("log")));
    let disk = Arc::new(disk.killed());
    Log::open(disk, options, 0, &mut |_, payload: Bytes| {
        sizes.push(payload.len())
    })
    .unwrap();
    sizes
}

async fn send(store: &Embedded, term: Term, units: Vec<Unit>) -> Committing {
    let commit = Commit {
        units,
        ..Commit::new(Domain(1), term, at(0))
    };
    store.commit(commit).await.unwrap()
}

/// Of what is taken, the bytes are not in the frame before it is complete.
fn packet(place: Place, bytes: usize) -> Unit {
    Unit {
        effect: Effect::Take(vec![b'x'; bytes].into()),
        ..take(place, "")
    }
}

#[tokio::test]
async fn what_comes_while_the_disk_is_slow_goes_in_several_frames() {
    let (disk, tail) = (Arc::new(SimulatedDisk::new(1)), Arc::new(Held::default()));
    let store = store(disk.clone(), options(), tail.clone());
    let term = store.take_over(Domain(1)).await.unwrap();
    let mut sent = Vec::new();
    tail.hold();
    sent.push(send_now(&store, term, publish("a", "m")));
    for _ in 0..1_000 {
        sent.push(send_now(&store, term, packet(Place::None, 10_000).effect));
    }
    tail.free();
    for committing in sent {
        committing.await.unwrap();
    }
    let sizes = frames(&disk);
    store.close().await;
    assert!(
        sizes.iter().all(|size| *size < FRAME_BYTES + 20_000),
        "{sizes:?}"
    );
    assert!(sizes.iter().sum::<usize>() > 10_000_000);
}

/// There is room in line for it: it is accepted without waiting.
fn send_now(store: &Embedded, term: Term, effect: Effect) -> Committing {
    let sent = send(store, term, vec![unit(Place::None, effect)]);
    unconstrained(sent).now_or_never().unwrap()
}

#[tokio::test]
async fn a_commit_that_is_too_large_for_a_frame_is_cut_between_units() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = store(disk.clone(), options(), Arc::new(Held::default()));
    let term = store.take_over(Domain(1)).await.unwrap();
    // The group of this one ends in the first frame, and nothing of it is in the others.
    let missing = Unit {
        group: 7,
        ..seq(9, publish("a", "never"))
    };
    let behind = Unit {
        group: 7,
        ..unit(Place::None, publish("a", "never"))
    };
    let mut units = vec![missing];
    units.extend((1..=40).map(|place| packet(Place::Seq(place), 1_000_000)));
    units.push(behind);
    let judged = send(&store, term, units).await.await.unwrap();
    assert_eq!(judged[0], Judged::Missing { next: 1 });
    assert!(
        judged[1..41]
            .iter()
            .all(|one| matches!(one, Judged::Taken(_)))
    );
    assert_eq!(judged[41], Judged::Skipped);
    let open = store.open_runs().await.unwrap();
    assert_eq!(open.iter().map(|run| run.packets.len()).sum::<usize>(), 40);
    let sizes = frames(&disk);
    store.close().await;
    assert!(
        sizes.iter().all(|size| *size < CUT_BYTES + 1_100_000),
        "{sizes:?}"
    );
    assert!(sizes.iter().sum::<usize>() > 40_000_000);
}

/// Wherever the disk is full: who is told that nothing was applied can rely on it, and a part that is there is in doubt.
#[tokio::test]
async fn a_cut_commit_whose_rest_fails_is_in_doubt() {
    let (mut refused, mut doubted) = (0, 0);
    for before in (1..=40).step_by(3) {
        let disk = Arc::new(SimulatedDisk::new(1));
        let store = store(disk.clone(), options(), Arc::new(Held::default()));
        let term = store.take_over(Domain(1)).await.unwrap();
        let mut filled = 0;
        for _ in 0..before {
            let one = send(&store, term, vec![packet(Place::None, 1_000_000)]).await;
            filled += usize::from(one.await.is_ok());
            // What is reserved by now is all there is.
            disk.set_capacity(disk.bytes_of(""));
        }
        let units = (1..=40).map(|place| packet(Place::Seq(place), 1_000_000));
        let told = send(&store, term, units.collect()).await.await;
        disk.set_capacity(u64::MAX);
        let open = store.open_runs().await.unwrap();
        let there: usize = open.iter().map(|run| run.packets.len()).sum();
        match told {
            Ok(_) => assert_eq!(there, filled + 40),
            Err(Error::Refused(why)) => {
                refused += 1;
                assert_eq!(there, filled, "{why}");
            }
            Err(_) => doubted += 1,
        }
        store.close().await;
    }
    assert!(refused > 0 && doubted > 0, "{refused} {doubted}");
}

/// The syncing thread finds the line full while the writing thread waits for it, frame after frame.
#[tokio::test]
async fn a_cut_commit_with_a_full_line_behind_it_goes_through() {
    let (disk, tail) = (Arc::new(SimulatedDisk::new(1)), Arc::new(Held::default()));
    let store = Arc::new(store(disk, options(), tail.clone()));
    let term = store.take_over(Domain(1)).await.unwrap();
    let mut sent = Vec::new();
    let mut behind = Vec::new();
    tail.hold();
    sent.push(send_now(&store, term, publish("a", "m")));
    let units = (1..=30).map(|place| packet(Place::Seq(place), 1_000_000));
    let cut = send(&store, term, units.collect());
    sent.push(unconstrained(cut).now_or_never().unwrap());
    for _ in 0..6_000 {
        let store = store.clone();
        behind.push(tokio::spawn(async move {
            let unit = unit(Place::None, publish("a", "behind"));
            send(&store, term, vec![unit]).await.await
        }));
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    tail.free();
    // Where it hangs it does so for good.
    let all = async {
        for committing in sent {
            committing.await.unwrap();
        }
        for told in behind {
            told.await.unwrap().unwrap();
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
    ended.unwrap();
    store.close().await;
}
