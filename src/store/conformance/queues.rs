//! Places, req_ids, results and terms.

use super::*;

pub(super) async fn places_are_taken_in_order(bench: &Bench) {
    let missing = bench.one(seq(2, answer("two"))).await;
    assert_eq!(missing, Judged::Missing { next: 1 });
    let both = vec![
        seq(1, answer("one")),
        seq(2, answer("two")),
        seq(1, answer("x")),
    ];
    let judged = bench.commit(both).await;
    assert_eq!(&*done(&judged[0]).message, "one");
    assert_eq!(&*done(&judged[1]).message, "two");
    assert_eq!(repeated(&judged[2]), "one");
    assert_eq!(repeated(&bench.one(seq(2, answer("x"))).await), "two");
    let mut other = seq(2, answer("x"));
    other.fingerprint = 2;
    assert_eq!(bench.one(other).await, Judged::Reused);
    let judged = bench.one(seq(u64::MAX, answer("x"))).await;
    assert_eq!(judged, Judged::Missing { next: 3 });
    done(&bench.one(seq(3, answer("three"))).await);
}

pub(super) async fn a_missing_place_ends_its_group(bench: &Bench) {
    let mut units = vec![
        seq(2, publish("a", "no")),
        seq(1, publish("a", "no")),
        seq(1, publish("a", "yes")),
    ];
    units[2].group = 1;
    let judged = bench.commit(units).await;
    assert_eq!(judged[0], Judged::Missing { next: 1 });
    assert_eq!(judged[1], Judged::Skipped);
    done(&judged[2]);
    assert_eq!(bench.texts(&["a"], 0).await, ["yes"]);
}

pub(super) async fn what_is_settled_counts_as_taken(bench: &Bench) {
    bench
        .commit((1..=3).map(|place| seq(place, answer("x"))).collect())
        .await;
    let later = vec![seq(2, answer("x")), seq(3, answer("x"))];
    let judged = bench.commit_at(0, vec![settle(2, &[])], later).await;
    assert_eq!(judged[0], Judged::Forgotten);
    assert_eq!(repeated(&judged[1]), "x");
    let units = vec![
        seq(10, answer("x")),
        seq(12, answer("x")),
        seq(11, answer("x")),
    ];
    let judged = bench.commit_at(0, vec![settle(10, &[])], units).await;
    assert_eq!(judged[0], Judged::Forgotten);
    assert_eq!(judged[1], Judged::Missing { next: 11 });
    let judged = bench
        .commit_at(0, vec![settle(5, &[])], vec![seq(11, answer("x"))])
        .await;
    done(&judged[0]);
    let last = vec![seq(u64::MAX, answer("x")), seq(12, answer("x"))];
    let judged = bench.commit_at(0, vec![settle(u64::MAX, &[])], last).await;
    assert_eq!(judged, [Judged::Forgotten, Judged::Forgotten]);
}

pub(super) async fn req_ids_are_known_within_their_scope(bench: &Bench) {
    let scoped = |scope, client_id: Option<&str>, text: &str| Unit {
        origin: origin(client_id, "todos"),
        ..unit(Place::ReqId(scope), answer(text))
    };
    use ReqIdScope::{Client, Subject};
    done(&bench.one(scoped(Client, Some("c"), "c")).await);
    done(&bench.one(scoped(Client, Some("d"), "d")).await);
    done(&bench.one(scoped(Subject, None, "s")).await);
    assert_eq!(
        repeated(&bench.one(scoped(Client, Some("c"), "x")).await),
        "c"
    );
    assert_eq!(
        repeated(&bench.one(scoped(Client, Some("d"), "x")).await),
        "d"
    );
    assert_eq!(repeated(&bench.one(scoped(Subject, None, "x")).await), "s");
    let mut other = scoped(Client, Some("c"), "x");
    other.fingerprint = 2;
    assert_eq!(bench.one(other).await, Judged::Reused);
    let again = vec![
        scoped(Client, Some("c"), "x"),
        scoped(Client, Some("d"), "x"),
    ];
    let judged = bench
        .commit_at(0, vec![settle(0, &["r", "unknown"])], again)
        .await;
    assert_eq!(judged[0], Judged::Forgotten);
    assert_eq!(repeated(&judged[1]), "d");
}

pub(super) async fn packets_without_an_identity_are_never_repeats(bench: &Bench) {
    for _ in 0..2 {
        done(&bench.one(unit(Place::None, publish("a", "m"))).await);
    }
    assert_eq!(bench.texts(&["a"], 0).await, ["m", "m"]);
}

pub(super) async fn clients_and_handlers_have_queues_of_their_own(bench: &Bench) {
    for (name, handler) in [("c", "todos"), ("d", "todos"), ("c", "notes")] {
        let said = format!("{name} {handler}");
        let first = Unit {
            origin: origin(Some(name), handler),
            ..seq(1, answer(&said))
        };
        assert_eq!(*done(&bench.one(first).await).message, *said);
    }
}

pub(super) async fn refusals_are_recorded(bench: &Bench) {
    let mut refused = changing([change(Op::Update, "k", None, "x")]);
    refused.place = Place::Seq(1);
    assert_eq!(done(&bench.one(refused).await).reason, Reason::NotFound);
    bench
        .one(changing([change(Op::Create, "k", None, "a")]))
        .await;
    let mut again = changing([change(Op::Update, "k", None, "x")]);
    again.place = Place::Seq(1);
    assert!(repeated(&bench.one(again).await).contains("no record"));
    assert_eq!(bench.record("k").await.unwrap().version, 1);
}

pub(super) async fn results_are_kept_for_streams(bench: &Bench) {
    let mut units: Vec<_> = (1..=4).map(|place| seq(place, answer("x"))).collect();
    units.push(unit(Place::ReqId(ReqIdScope::Client), answer("x")));
    for (at, unit) in units.iter_mut().enumerate() {
        unit.awaited = at == 1;
        unit.req_id = format!("r{at}").into();
    }
    bench.commit(units).await;
    let unsettled = async |from| {
        let client = client("c");
        let page = bench
            .store
            .results(&client, Position(from), ALL)
            .await
            .unwrap();
        page.entries.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let all = "result r0 result r2 result r3 result r4";
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told.join(" "), all);
    assert_eq!(unsettled(0).await, all);
    assert_eq!(unsettled(1).await, "result r2 result r3 result r4");
    assert_eq!(bench.store.tail(), Position(4));
    assert!(
        bench.texts(&[">"], 0).await.is_empty(),
        "patterns never see results"
    );
    bench.commit_at(0, vec![settle(3, &[])], Vec::new()).await;
    assert_eq!(unsettled(0).await, "result r3 result r4");
    bench
        .commit_at(0, vec![settle(0, &["r4"])], Vec::new())
        .await;
    assert_eq!(unsettled(0).await, "result r3");
    let none = bench
        .store
        .results(&client("d"), Position(0), ALL)
        .await
        .unwrap();
    assert!(none.entries.is_empty());
}

pub(super) async fn an_older_term_is_fenced(bench: &Bench) {
    let newer = bench.store.take_over(DOMAIN).await.unwrap();
    assert!(newer > bench.term);
    let commit = |domain, term| Commit {
        settles: vec![settle(1, &[])],
        units: vec![unit(Place::None, publish("a", "m"))],
        ..Commit::new(domain, term, at(0))
    };
    let fenced = bench.store.commit(commit(DOMAIN, bench.term)).await;
    assert!(matches!(fenced, Err(Error::Fenced(term)) if term == newer));
    assert!(bench.texts(&["a"], 0).await.is_empty() && bench.told().is_empty());
    bench
        .store
        .commit(commit(DOMAIN, newer))
        .await
        .unwrap()
        .await
        .unwrap();
    let other = bench.store.take_over(Domain(8)).await.unwrap();
    bench
        .store
        .commit(commit(Domain(8), other))
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(bench.texts(&["a"], 0).await.len(), 2);
}

pub(super) async fn an_empty_commit_does_nothing(bench: &Bench) {
    assert!(bench.commit(Vec::new()).await.is_empty());
    assert_eq!(bench.store.tail(), Position(0));
    assert!(bench.told().is_empty());
    assert!(!bench.store.epochs().is_empty());
}
