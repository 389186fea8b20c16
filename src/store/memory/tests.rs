//! The suite of all engines, and the bounds of this one.

use std::time::Duration;

use super::*;
use crate::store::conformance::{
    self, ALL, Recorder, answer, at, bench, change, changing, client, publish, seq, take, unit,
};
use crate::store::{Judged, LossCause, Op, Place, ReqIdScope};
use crate::types::Pattern;

#[tokio::test]
async fn it_conforms() {
    conformance::run(|tail| Arc::new(Memory::new(Keep::default(), tail))).await;
}

fn small(tail: Arc<Recorder>) -> Arc<dyn Store> {
    let bounds = Bounds {
        message_bytes: 3000,
        message_age: Duration::from_secs(100),
        result_bytes: 2000,
        result_age: Duration::from_secs(100),
        places: 3,
        place_age: Duration::from_secs(1000),
        once: 3,
        once_age: Duration::from_secs(100),
        deletion_age: Duration::from_secs(100),
        ..Bounds::default()
    };
    Arc::new(Memory::bounded(bounds, Wall::OfCommits, tail))
}

#[tokio::test]
async fn the_oldest_messages_go_first_and_are_told_as_lost() {
    let bench = bench(small).await;
    for number in 0..50 {
        let message = publish("a", &number.to_string());
        bench.commit(vec![unit(Place::None, message)]).await;
    }
    let kept = bench.texts(&["a"], 0).await;
    assert!((5..30).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().unwrap(), "49");
    assert_eq!(bench.texts(&[">"], 0).await, kept);
    let filter = Filter {
        tenant: "".into(),
        patterns: vec![Pattern::parse("a", "").unwrap()],
    };
    let floor = 50 - kept.len() as u64;
    for (from, lost) in [(0, true), (floor - 1, true), (floor, false), (50, false)] {
        let page = bench
            .store
            .scan(&filter, Position(from), ALL)
            .await
            .unwrap();
        let told = page
            .loss
            .iter()
            .any(|loss| loss.cause == LossCause::Retention && &*loss.pattern == "a");
        assert_eq!(told, lost, "from {from}");
    }
    bench.commit_at(101, Vec::new(), Vec::new()).await;
    assert!(bench.texts(&["a"], 50).await.is_empty());
    assert!(bench.texts(&[">"], 0).await.is_empty(), "they were too old");
}

#[tokio::test]
async fn who_holds_most_loses_its_oldest_result() {
    let bench = bench(small).await;
    let mut other = seq(1, answer("other"));
    other.origin = Arc::new(crate::store::Origin {
        client: Some(client("other")),
        ..(*other.origin).clone()
    });
    let repeat = crate::store::Unit {
        effect: answer("again"),
        origin: other.origin.clone(),
        ..seq(1, answer(""))
    };
    bench.commit(vec![other]).await;
    bench
        .commit((1..=40).map(|place| seq(place, answer("x"))).collect())
        .await;
    let again = vec![seq(1, answer("")), seq(40, answer("")), repeat];
    let judged = bench.commit(again).await;
    assert_eq!(judged[0], Judged::Forgotten);
    assert!(matches!(judged[1], Judged::Repeat(_)));
    assert!(matches!(judged[2], Judged::Repeat(_)), "it held little");
}

#[tokio::test]
async fn results_and_places_age() {
    let bench = bench(small).await;
    bench.commit(vec![seq(1, answer("x"))]).await;
    bench.commit_at(101, Vec::new(), Vec::new()).await;
    let judged = bench
        .commit_at(101, Vec::new(), vec![seq(1, answer("x"))])
        .await;
    assert_eq!(
        judged,
        [Judged::Forgotten],
        "the answer is gone, the place is not"
    );
    bench.commit_at(1001, Vec::new(), Vec::new()).await;
    let judged = bench
        .commit_at(1001, Vec::new(), vec![seq(1, answer("x"))])
        .await;
    assert!(matches!(judged[0], Judged::Done(_)));
}

#[tokio::test]
async fn a_full_table_of_places_takes_no_new_client() {
    let bench = bench(small).await;
    let of = |name: &str, place| {
        let unit = seq(place, answer("x"));
        let origin = crate::store::Origin {
            client: Some(client(name)),
            ..(*unit.origin).clone()
        };
        crate::store::Unit {
            origin: Arc::new(origin),
            ..unit
        }
    };
    for name in ["1", "2", "3"] {
        assert!(matches!(
            bench.commit(vec![of(name, 1)]).await[0],
            Judged::Done(_)
        ));
    }
    let units = vec![of("4", 1), of("4", 2)];
    assert_eq!(bench.commit(units).await, [Judged::NoRoom, Judged::Skipped]);
    assert!(matches!(
        bench.commit(vec![of("1", 2)]).await[0],
        Judged::Done(_)
    ));
}

#[tokio::test]
async fn req_ids_go_by_number_and_by_age() {
    let bench = bench(small).await;
    let of = |req_id: &str| {
        let mut unit = unit(Place::ReqId(ReqIdScope::Client), answer("x"));
        unit.req_id = req_id.into();
        unit.awaited = false;
        unit
    };
    bench.commit(["1", "2", "3", "4"].map(of).into()).await;
    let again = bench.commit(vec![of("2"), of("1")]).await;
    assert!(matches!(again[0], Judged::Repeat(_)));
    assert!(
        matches!(again[1], Judged::Done(_)),
        "it was the oldest of four"
    );
    let kept = bench
        .store
        .results(&client("c"), Position(0), ALL)
        .await
        .unwrap();
    assert_eq!(kept.entries.len(), 3);
    bench.commit_at(101, Vec::new(), Vec::new()).await;
    let kept = bench
        .store
        .results(&client("c"), Position(0), ALL)
        .await
        .unwrap();
    assert!(kept.entries.is_empty());
}

#[tokio::test]
async fn a_forgotten_deletion_raises_the_floor() {
    let bench = bench(small).await;
    let put = |key| changing([change(Op::Put, key, None, "x")]);
    let version = |judged: &[Judged]| match &judged[0] {
        Judged::Done(answer) => answer.body.as_ref().unwrap().records[0].version,
        other => panic!("{other:?}"),
    };
    bench
        .commit(vec![put("old"), put("k"), put("k"), put("k")])
        .await;
    bench
        .commit(vec![changing([change(Op::Delete, "k", None, "")])])
        .await;
    assert_eq!(
        version(&bench.commit_at(50, Vec::new(), vec![put("new")]).await),
        1
    );
    bench.commit_at(101, Vec::new(), Vec::new()).await;
    assert_eq!(
        version(&bench.commit_at(101, Vec::new(), vec![put("k")]).await),
        5
    );
    assert_eq!(
        version(&bench.commit_at(101, Vec::new(), vec![put("newer")]).await),
        5
    );
    assert_eq!(
        version(&bench.commit_at(101, Vec::new(), vec![put("old")]).await),
        2
    );
}

#[tokio::test]
async fn terms_are_times_and_only_rise() {
    let memory = Memory::new(Keep::default(), Arc::new(Recorder::default()));
    let term = memory.take_over(Domain(1)).await.unwrap();
    assert!(term.0 > 1_700_000_000_000);
    assert!(memory.take_over(Domain(1)).await.unwrap() > term);
    assert_ne!(
        memory.epochs(),
        Memory::new(Keep::default(), Arc::new(Recorder::default())).epochs()
    );
    assert!(at(0) < SystemTime::now());
}

#[tokio::test]
async fn results_that_the_bounds_removed_are_told_once_as_lost() {
    let bench = bench(small).await;
    let unawaited = |place| crate::store::Unit {
        awaited: false,
        ..seq(place, answer("x"))
    };
    bench.commit((1..=40).map(unawaited).collect()).await;
    let client = client("c");
    let first = bench
        .store
        .results(&client, Position(0), ALL)
        .await
        .unwrap();
    let floor = first.entries[0].position.0 - 1;
    assert!(first.lost && floor > 1, "{floor}");
    for (from, lost) in [(floor - 1, true), (floor, false), (40, false)] {
        let page = bench.store.results(&client, Position(from), ALL).await;
        assert_eq!(page.unwrap().lost, lost, "from {from}");
    }
    let limit = ScanLimit { items: 2, ..ALL };
    let (mut from, mut told) = (Position(0), 0);
    loop {
        let page = bench.store.results(&client, from, limit).await.unwrap();
        told += usize::from(page.lost);
        from = page.entries.last().unwrap().position;
        if !page.more {
            break;
        }
    }
    assert_eq!((from, told), (Position(40), 1));
    // The client's row goes with its last result and its place; what was lost stays known.
    for seconds in [101, 1202, 1203, 1204] {
        bench.commit_at(seconds, Vec::new(), Vec::new()).await;
    }
    let page = bench.store.results(&client, Position(39), ALL).await;
    assert!(page.unwrap().lost);
}

#[tokio::test]
async fn what_is_settled_is_not_lost_and_what_is_open_stays() {
    let bench = bench(small).await;
    let req_id = |name: &str| {
        let mut unit = unit(Place::ReqId(ReqIdScope::Client), answer("x"));
        unit.req_id = name.into();
        unit.awaited = false;
        unit
    };
    let open = bench
        .commit(vec![
            take(Place::Seq(1), "a"),
            take(Place::ReqId(ReqIdScope::Client), "b"),
        ])
        .await;
    bench.commit(["1", "2", "3"].map(req_id).into()).await;
    let settle = crate::store::Settle {
        queue: crate::store::QueueKey {
            client: client("c"),
            handler: crate::types::HandlerName::new("todos").unwrap(),
        },
        through: 0,
        req_ids: vec!["1".into()],
    };
    bench.commit_at(0, vec![settle], Vec::new()).await;
    bench.commit(vec![req_id("4")]).await;
    let page = bench.store.results(&client("c"), Position(0), ALL).await;
    assert!(!page.unwrap().lost, "the one that went was settled");
    bench.commit_at(0, Vec::new(), vec![req_id("5")]).await;
    let page = bench.store.results(&client("c"), Position(0), ALL).await;
    assert!(page.unwrap().lost);
    bench.commit_at(2000, Vec::new(), Vec::new()).await;
    let again = vec![
        take(Place::Seq(1), "a"),
        take(Place::ReqId(ReqIdScope::Client), "b"),
    ];
    let again = bench.commit_at(2000, Vec::new(), again).await;
    for (again, open) in again.iter().zip(&open) {
        assert_eq!(*again, Judged::Open(conformance::taken(open)));
    }
}

#[tokio::test]
async fn dead_letters_are_bounded() {
    let few = |tail: Arc<Recorder>| -> Arc<dyn Store> {
        let bounds = Bounds {
            letters: 3,
            letter_bytes: 25_000,
            ..Bounds::default()
        };
        Arc::new(Memory::bounded(bounds, Wall::OfCommits, tail))
    };
    let bench = bench(few).await;
    conformance::letters::the_oldest_go_at_the_bound_and_none_that_is_held(&bench, 10_000).await;
}
