//! What calls were to carry when the process ended.

use std::sync::Arc;

use super::store;
use crate::store::conformance::{
    ALL, Recorder, answer, at, client, finished, seq, take, taken, unit,
};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::{Embedded, Options};
use crate::store::{
    Commit, Domain, Effect, EntryKind, Finish, Owed, Place, Position, QueueKey, ReqIdScope, Settle,
    Store, Unit,
};
use crate::types::HandlerName;

const DOMAIN: Domain = Domain(7);

/// With everything in memory, or in the table at once.
fn options(checkpoint_bytes: u64) -> Options {
    Options {
        checkpoint_bytes,
        segment_bytes: 64 << 10,
        ..Options::default()
    }
}

async fn commit(store: &Embedded, fill: impl FnOnce(&mut Commit)) -> Vec<crate::store::Judged> {
    let term = store.take_over(DOMAIN).await.unwrap();
    let mut commit = Commit::new(DOMAIN, term, at(0));
    fill(&mut commit);
    store.commit(commit).await.unwrap().await.unwrap()
}

fn named(unit: Unit, req_id: &str) -> Unit {
    Unit {
        req_id: req_id.into(),
        ..unit
    }
}

fn once(req_id: &str, effect: Effect) -> Unit {
    named(unit(Place::ReqId(ReqIdScope::Client), effect), req_id)
}

/// The req_ids, read in pages of about so many.
async fn unheard(store: &Embedded, limit: usize) -> Vec<Owed> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let page = store.unheard(&client("c"), from, limit).await.unwrap();
        all.extend(page.owed);
        match page.next {
            Some(next) => from = next,
            None => return all,
        }
    }
}

fn names(owed: &[Owed]) -> Vec<&str> {
    owed.iter().map(|owed| &*owed.req_id).collect()
}

async fn told(store: &Embedded) -> Vec<String> {
    let page = store.results(&client("c"), Position(0), ALL).await.unwrap();
    let name = |entry: &crate::store::Entry| match &entry.kind {
        EntryKind::Result(result) => result.req_id.to_string(),
        other => panic!("{other:?} is no result"),
    };
    page.entries.iter().map(name).collect()
}

#[tokio::test]
async fn what_calls_were_to_carry_is_found_at_the_next_start() {
    for checkpoint_bytes in [1, 64 << 20] {
        through_starts(options(checkpoint_bytes)).await;
    }
}

async fn through_starts(options: Options) {
    let open = |disk: &Arc<SimulatedDisk>| {
        store(disk.clone(), options.clone(), Arc::new(Recorder::default()))
    };
    let disk = Arc::new(SimulatedDisk::new(1));
    let first = open(&disk);
    let judged = commit(&first, |commit| {
        commit.units = vec![
            named(seq(1, answer("x")), "settled"),
            named(seq(2, answer("x")), "carried"),
            Unit {
                awaited: false,
                ..named(seq(3, answer("x")), "an entry")
            },
            named(take(Place::Seq(4), ""), "finished"),
            named(take(Place::Seq(5), ""), "open"),
            named(seq(6, answer("x")), "owed"),
            once("once", answer("x")),
            once("once settled", answer("x")),
            once("once owed", answer("x")),
        ];
    })
    .await;
    let queue = QueueKey {
        client: client("c"),
        handler: HandlerName::new("todos").unwrap(),
    };
    let owed = |seq, req_id: &str| Owed {
        queue: queue.clone(),
        seq,
        req_id: req_id.into(),
    };
    commit(&first, |commit| {
        let finish = finished(taken(&judged[3]), "done");
        commit.finishes = vec![Finish {
            awaited: true,
            ..finish
        }];
        commit.settles = vec![Settle {
            queue: queue.clone(),
            through: 1,
            req_ids: vec!["once settled".into()],
        }];
        commit.owed = vec![owed(6, "owed"), owed(0, "once owed")];
    })
    .await;
    assert_eq!(names(&unheard(&first, 100).await), [] as [&str; 0]);
    assert_eq!(told(&first).await, ["an entry", "owed", "once owed"]);

    let disk = Arc::new(disk.killed());
    let second = open(&disk);
    for limit in [100, 1] {
        let mut found = unheard(&second, limit).await;
        found.sort_by_key(|owed| owed.seq);
        let expected = [owed(0, "once"), owed(2, "carried"), owed(4, "finished")];
        assert_eq!(found, expected);
    }
    let other = second.unheard(&client("d"), 0, 100).await.unwrap();
    assert!(other.owed.is_empty());
    let found = unheard(&second, 100).await;
    commit(&second, |commit| {
        commit.owed = found;
        commit.units = vec![named(seq(7, answer("x")), "new")];
    })
    .await;
    assert_eq!(names(&unheard(&second, 100).await), [] as [&str; 0]);
    let mut all = told(&second).await;
    assert_eq!(all[..3], ["an entry", "owed", "once owed"]);
    all.sort();
    let expected = [
        "an entry",
        "carried",
        "finished",
        "once",
        "once owed",
        "owed",
    ];
    assert_eq!(all, expected);

    let third = open(&Arc::new(disk.killed()));
    assert_eq!(names(&unheard(&third, 100).await), ["new"]);
    commit(&third, |commit| {
        commit.settles = vec![Settle {
            queue: queue.clone(),
            through: 7,
            req_ids: vec!["once".into()],
        }];
    })
    .await;
    assert_eq!(names(&unheard(&third, 100).await), [] as [&str; 0]);
    assert_eq!(told(&third).await, ["once owed"]);
}
