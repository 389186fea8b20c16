//! Answers that are kept: owed to streams, and asked for.

use super::*;

fn owed(seq: u64, req_id: &str) -> Owed {
    Owed {
        queue: settle(0, &[]).queue,
        seq,
        req_id: req_id.into(),
    }
}

async fn owe(bench: &Bench, owed: Vec<Owed>) {
    let commit = Commit {
        owed,
        ..Commit::new(DOMAIN, bench.term, at(0))
    };
    bench.store.commit(commit).await.unwrap().await.unwrap();
}

async fn unsent(bench: &Bench, from: u64) -> Vec<String> {
    let (client, from) = (client("c"), Position(from));
    let page = bench.store.results(&client, from, ALL).await.unwrap();
    assert!(!page.lost && !page.more);
    page.entries.iter().map(text).collect()
}

pub(super) async fn an_owed_answer_becomes_an_entry(bench: &Bench) {
    let mut units: Vec<_> = (1..=3).map(|place| seq(place, answer("x"))).collect();
    units.push(unit(Place::ReqId(ReqIdScope::Client), answer("x")));
    units.push(take(Place::Seq(4), "open"));
    for (at, unit) in units.iter_mut().enumerate() {
        unit.req_id = format!("r{at}").into();
        unit.awaited = at != 2;
    }
    bench.commit(units).await;
    assert_eq!(unsent(bench, 0).await, ["result r2"]);
    bench.told();
    let all = [
        owed(2, "r1"),
        owed(0, "r3"),
        // They have one, are not answered, or not known.
        owed(3, "r2"),
        owed(4, "r4"),
        owed(9, "r9"),
        owed(0, "unknown"),
        owed(2, "r1"),
    ];
    owe(bench, all.to_vec()).await;
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result r1", "result r3"]);
    assert_eq!(
        unsent(bench, 0).await,
        ["result r2", "result r1", "result r3"]
    );
    assert_eq!(unsent(bench, 1).await, ["result r1", "result r3"]);
    assert_eq!(bench.store.tail(), Position(3));
    bench
        .commit_at(0, vec![settle(1, &[]), settle(2, &["r3"])], Vec::new())
        .await;
    assert_eq!(unsent(bench, 0).await, ["result r2"]);
    owe(bench, vec![owed(1, "r0"), owed(2, "r1"), owed(0, "r3")]).await;
    assert!(bench.told().is_empty(), "what is settled is owed to nobody");
    let elsewhere = Owed {
        queue: QueueKey {
            handler: HandlerName::new("notes").unwrap(),
            ..owed(3, "r2").queue
        },
        ..owed(3, "r2")
    };
    owe(bench, vec![elsewhere]).await;
    assert!(bench.told().is_empty());
}

pub(super) async fn kept_results_are_found_by_place_and_by_req_id(bench: &Bench) {
    let mut units: Vec<_> = (1..=3).map(|place| seq(place, answer("x"))).collect();
    units.push(take(Place::Seq(4), "open"));
    units.push(seq(5, answer("x")));
    units.push(unit(Place::ReqId(ReqIdScope::Client), answer("x")));
    units.push(take(Place::ReqId(ReqIdScope::Client), "open too"));
    for (at, unit) in units.iter_mut().enumerate() {
        unit.req_id = format!("r{at}").into();
        unit.awaited = at != 2;
    }
    bench.commit(units).await;
    bench.commit_at(0, vec![settle(1, &[])], Vec::new()).await;
    let places = async |handler: &str, from| {
        let handler = HandlerName::new(handler).unwrap();
        found(bench, "c", &Which::Places { handler, from }, ALL).await
    };
    let said = |text: &str| text.to_owned();
    let (second, third, fifth) = (said("2 r1 awaited"), said("3 r2"), said("5 r4 awaited"));
    let fourth = said("4 r3 open");
    let all = [second, third.clone(), fourth.clone(), fifth.clone()];
    assert_eq!(places("todos", 0).await, (all.to_vec(), false));
    assert_eq!(
        places("todos", 3).await,
        (vec![third, fourth, fifth], false)
    );
    assert_eq!(places("todos", 6).await, (Vec::new(), false));
    assert_eq!(places("notes", 0).await, (Vec::new(), false));
    let names = ["r6", "r5", "r1", "unknown", "r5"].map(ByteString::from);
    let named = Which::ReqIds(names.to_vec());
    let known = ["0 r6 open", "0 r5 awaited", "0 r5 awaited"].map(said);
    assert_eq!(
        found(bench, "c", &named, ALL).await,
        (known.to_vec(), false)
    );
    assert_eq!(found(bench, "d", &named, ALL).await, (Vec::new(), false));
}

/// What an engine finds of an earlier start is its own to test: not all of them have one.
pub(super) async fn what_this_start_has_is_not_unheard(bench: &Bench) {
    let once = unit(Place::ReqId(ReqIdScope::Client), answer("x"));
    bench.commit(vec![seq(1, answer("x")), once]).await;
    let page = bench.store.unheard(&client("c"), 0, 10).await.unwrap();
    assert!(page.owed.is_empty() && page.next.is_none(), "{page:?}");
}

pub(super) async fn kept_results_are_paged(bench: &Bench) {
    let units = (1..=5).map(|place| seq(place, answer(&"x".repeat(100))));
    bench.commit(units.collect()).await;
    let from = |from| Which::Places {
        handler: HandlerName::new("todos").unwrap(),
        from,
    };
    for (items, bytes) in [(2, 1 << 20), (10, 320), (0, 0)] {
        let limit = ScanLimit { items, bytes };
        let (mut next, mut seen) = (0, Vec::new());
        loop {
            let (page, more) = found(bench, "c", &from(next), limit).await;
            assert!(!page.is_empty() && page.len() <= 2);
            next = page[page.len() - 1][..1].parse::<u64>().unwrap() + 1;
            seen.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
    }
}

async fn found(bench: &Bench, name: &str, which: &Which, limit: ScanLimit) -> (Vec<String>, bool) {
    let page = bench.store.kept(&client(name), which, limit).await.unwrap();
    let said = |kept: &KeptResult| {
        assert_eq!(
            (&kept.client, kept.handler.as_str()),
            (&client(name), "todos")
        );
        let how = match (kept.answer.outcome, kept.awaited) {
            (Outcome::Accepted, _) => " open",
            (_, true) => " awaited",
            (_, false) => "",
        };
        format!("{} {}{how}", kept.seq, kept.req_id)
    };
    (page.items.iter().map(said).collect(), page.more)
}
