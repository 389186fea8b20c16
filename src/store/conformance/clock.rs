//! A wall clock that jumps while the engine runs.

use super::*;

/// About the year 2100, by the seconds of these tests.
const FAR: u64 = 2_500_000_000;

pub(super) async fn a_wall_clock_that_jumps_ages_nothing(bench: &Bench) {
    let units = || {
        let once = unit(Place::ReqId(ReqIdScope::Client), answer("once"));
        [seq(1, answer("first")), once].map(|unit| Unit {
            awaited: false,
            ..unit
        })
    };
    let mut first = vec![
        unit(Place::None, publish("a", "kept")),
        changing([change(Op::Put, "gone", None, "x")]),
        changing([change(Op::Delete, "gone", None, "")]),
    ];
    first.extend(units());
    bench.commit_at(0, Vec::new(), first).await;
    // Ahead, back, and far behind where it began: some times each, as not everything is looked at at once.
    for seconds in [FAR, FAR + 10, 0, FAR, 10] {
        for _ in 0..3 {
            bench.commit_at(seconds, Vec::new(), Vec::new()).await;
        }
        let message = publish("a", "later");
        bench
            .commit_at(seconds, Vec::new(), vec![unit(Place::None, message)])
            .await;
    }
    for judged in bench.commit_at(0, Vec::new(), units().into()).await {
        assert!(matches!(judged, Judged::Repeat(_)), "{judged:?}");
    }
    let kept = bench.texts(&["a"], 0).await;
    assert_eq!(kept, ["kept", "later", "later", "later", "later", "later"]);
    let results = bench.store.results(&client("c"), Position(0), ALL).await;
    let results = results.unwrap();
    assert!(!results.lost);
    assert_eq!(results.entries.len(), 2);
    let back = bench
        .one(changing([change(Op::Create, "gone", None, "y")]))
        .await;
    let Judged::Done(answer) = back else {
        panic!("{back:?}");
    };
    let body = answer.body.unwrap();
    assert_eq!(body.records[0].version, 3, "the deletion is remembered");
}
