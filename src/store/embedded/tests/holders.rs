//! The bound on kept results: who holds much loses first, and where nobody does, it holds too.

use std::path::Path;
use std::sync::Arc;

use crate::store::clock::Wall;
use crate::store::conformance::{Bench, Recorder, answer, bench, client, seq};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Options, keep::Keep, open};
use crate::store::{Judged, Origin, Store, Tail, Unit};

/// So that results of less than 128 bytes are little.
const BOUND: usize = 8 << 20;

/// Each has one result of so many bytes, at least and at most.
const CLIENTS: usize = 150_000;
const ROW: (usize, usize) = (56, 100);

const TOGETHER: usize = 1_000;

fn bounded(tail: Arc<Recorder>) -> Arc<dyn Store> {
    let options = Options {
        keep: Keep {
            result_bytes: BOUND as u64,
            ..Keep::default()
        },
        checkpoint_bytes: 4 << 20,
        ..Options::default()
    };
    let disk = Arc::new(SimulatedDisk::new(1));
    let tail: Arc<dyn Tail> = tail;
    Arc::new(
        open::start(
            None,
            Path::new("simulated"),
            disk,
            options,
            Wall::OfCommits,
            tail,
        )
        .unwrap(),
    )
}

fn of(name: &str, place: u64, text: &str) -> Unit {
    let unit = seq(place, answer(text));
    let origin = Origin {
        client: Some(client(name)),
        ..(*unit.origin).clone()
    };
    Unit {
        origin: Arc::new(origin),
        ..unit
    }
}

fn name(client: usize) -> String {
    format!("client {client:06}")
}

/// Whether what a client's first packet was answered is still known.
async fn kept(bench: &Bench, names: impl Iterator<Item = String>) -> Vec<bool> {
    let repeats = names.map(|name| of(&name, 1, "")).collect();
    let judged = bench.commit(repeats).await;
    let kept = judged.iter().map(|judged| match judged {
        Judged::Repeat(_) => true,
        Judged::Forgotten => false,
        other => panic!("{other:?} is neither"),
    });
    kept.collect()
}

#[tokio::test]
async fn where_everybody_holds_little_the_bound_holds() {
    let bench = bench(bounded).await;
    let much = "x".repeat(1_000);
    bench
        .commit((1..=20).map(|place| of("greedy", place, &much)).collect())
        .await;
    let first = CLIENTS / 2;
    for (from, to) in [(0, first), (first, CLIENTS)] {
        for start in (from..to).step_by(TOGETHER) {
            let visits = start..to.min(start + TOGETHER);
            bench
                .commit(visits.map(|client| of(&name(client), 1, "x")).collect())
                .await;
        }
        let greedy = kept(&bench, ["greedy".to_owned()].into_iter()).await;
        assert_eq!(greedy, [to == first], "nobody else holds much");
    }
    let mut known = 0;
    for start in (0..CLIENTS).step_by(TOGETHER) {
        let names = (start..CLIENTS.min(start + TOGETHER)).map(name);
        let kept = kept(&bench, names).await;
        known += kept.into_iter().filter(|kept| *kept).count();
    }
    assert!(known * ROW.0 <= BOUND, "{known} are kept");
    assert!(known * ROW.1 >= BOUND, "{known} are kept");
}
