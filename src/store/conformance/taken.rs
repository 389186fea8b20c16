//! What is taken first and answered later.

use super::*;

pub(super) async fn what_is_taken_is_open_until_it_is_finished(bench: &Bench) {
    let judged = bench.one(take(Place::Seq(1), "a")).await;
    let open = taken(&judged);
    assert_eq!(
        bench.one(take(Place::Seq(1), "a")).await,
        Judged::Open(open)
    );
    let other = Unit {
        fingerprint: 2,
        ..take(Place::Seq(1), "a")
    };
    assert_eq!(bench.one(other).await, Judged::Reused);
    let ahead = bench.one(take(Place::Seq(3), "c")).await;
    assert_eq!(ahead, Judged::Missing { next: 2 });
    assert!(bench.told().is_empty(), "nothing is told of what is taken");
    assert_eq!(bench.store.tail(), Position(0));
    bench.finish(vec![finished(open, "done")]).await;
    let again = bench.one(take(Place::Seq(1), "a")).await;
    assert_eq!(repeated(&again), "done");
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result a"]);
    assert!(bench.store.open_runs().await.unwrap().is_empty());
    done(&bench.one(seq(2, answer("x"))).await);
}

pub(super) async fn req_ids_are_taken_too(bench: &Bench) {
    use ReqIdScope::{Client, Subject};
    for scope in [Client, Subject] {
        let of = || Unit {
            origin: origin((scope == Client).then_some("c"), "todos"),
            ..take(Place::ReqId(scope), "r")
        };
        let open = taken(&bench.one(of()).await);
        assert_eq!(bench.one(of()).await, Judged::Open(open));
        bench.finish(vec![finished(open, "done")]).await;
        assert_eq!(repeated(&bench.one(of()).await), "done");
    }
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result r"], "a subject has no stream of results");
    let nobody = taken(&bench.one(take(Place::None, "n")).await);
    bench.finish(vec![finished(nobody, "done")]).await;
    assert!(
        bench.told().is_empty(),
        "what nothing makes known keeps nothing"
    );
    assert_eq!(open_packets(bench).await, [] as [&str; 0]);
}

pub(super) async fn finishes_come_in_any_order(bench: &Bench) {
    let units = (1..=4).map(|place| take(Place::Seq(place), &place.to_string()));
    let judged = bench.commit(units.collect()).await;
    let all: Vec<_> = judged.iter().map(taken).collect();
    for at in [2, 0, 3] {
        bench
            .finish(vec![finished(all[at], &format!("done {at}"))])
            .await;
    }
    for (at, expected) in [(0, "done 0"), (2, "done 2"), (3, "done 3")] {
        let again = bench.one(take(Place::Seq(at + 1), "x")).await;
        assert_eq!(repeated(&again), expected);
    }
    let again = bench.one(take(Place::Seq(2), "x")).await;
    assert_eq!(again, Judged::Open(all[1]));
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result 3", "result 1", "result 4"]);
    bench
        .commit_at(0, vec![settle(1, &[])], vec![seq(5, answer("x"))])
        .await;
    assert_eq!(bench.one(take(Place::Seq(1), "x")).await, Judged::Forgotten);
    bench.finish(vec![finished(all[1], "done 1")]).await;
    let again = bench.one(take(Place::Seq(2), "x")).await;
    assert_eq!(repeated(&again), "done 1");
}

pub(super) async fn only_the_first_finish_counts(bench: &Bench) {
    let open = taken(&bench.one(take(Place::Seq(1), "a")).await);
    let second = Finish {
        messages: vec![draft("t", "no")],
        ..finished(open, "second")
    };
    bench.finish(vec![finished(open, "first"), second]).await;
    let unknown = TakenId {
        run: open.run,
        at: open.at + 1,
    };
    let third = vec![finished(open, "third"), finished(unknown, "nobody's")];
    bench.finish(third).await;
    let again = bench.one(take(Place::Seq(1), "a")).await;
    assert_eq!(repeated(&again), "first");
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result a"]);
    let req_id = || take(Place::ReqId(ReqIdScope::Client), "r");
    let open = taken(&bench.one(req_id()).await);
    bench.finish(vec![finished(open, "first")]).await;
    bench.finish(vec![finished(open, "second")]).await;
    assert_eq!(repeated(&bench.one(req_id()).await), "first");
}

pub(super) async fn a_finish_comes_before_the_units_of_its_commit(bench: &Bench) {
    let open = taken(&bench.one(take(Place::Seq(1), "a")).await);
    let commit = Commit {
        finishes: vec![finished(open, "done")],
        units: vec![take(Place::Seq(1), "a"), take(Place::Seq(2), "b")],
        ..Commit::new(DOMAIN, bench.term, at(0))
    };
    let judged = bench.store.commit(commit).await.unwrap().await.unwrap();
    assert_eq!(repeated(&judged[0]), "done");
    assert_ne!(taken(&judged[1]), open, "a name is never used again");
}

pub(super) async fn what_is_settled_while_it_is_open_keeps_no_answer(bench: &Bench) {
    let req_id = || take(Place::ReqId(ReqIdScope::Client), "r");
    let units = vec![take(Place::Seq(1), "a"), take(Place::Seq(2), "b"), req_id()];
    let judged = bench.commit(units).await;
    let all: Vec<_> = judged.iter().map(taken).collect();
    let again = vec![take(Place::Seq(1), "a"), take(Place::Seq(2), "b"), req_id()];
    let judged = bench.commit_at(0, vec![settle(1, &["r"])], again).await;
    assert_eq!(judged[0], Judged::Forgotten);
    assert_eq!(judged[1], Judged::Open(all[1]));
    assert_eq!(judged[2], Judged::Forgotten);
    assert_eq!(open_packets(bench).await, ["a", "b", "r"], "still to do");
    let finishes = all.iter().map(|open| finished(*open, "done"));
    bench.finish(finishes.collect()).await;
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told, ["result b"]);
    let again = vec![take(Place::Seq(1), "a"), req_id()];
    let judged = bench.commit(again).await;
    assert_eq!(judged, [Judged::Forgotten, Judged::Forgotten]);
    assert_eq!(open_packets(bench).await, [] as [&str; 0]);
}

pub(super) async fn runs_are_the_packets_of_one_origin(bench: &Bench) {
    let (first, second) = (origin(Some("c"), "todos"), origin(Some("c"), "notes"));
    let of = |origin: &Arc<Origin>, place, text: &str| Unit {
        origin: origin.clone(),
        ..take(Place::Seq(place), text)
    };
    let units = vec![
        of(&first, 1, "a"),
        of(&first, 2, "b"),
        of(&second, 1, "c"),
        Unit {
            origin: second.clone(),
            ..take(Place::None, "d")
        },
        of(&first, 3, "e"),
    ];
    let all: Vec<_> = bench.commit(units).await.iter().map(taken).collect();
    let later = taken(&bench.one(of(&first, 4, "f")).await);
    assert!(later > all[4] && all.is_sorted(), "runs have an order");
    assert_eq!(open_packets(bench).await, ["a", "b", "c", "d", "e", "f"]);
    bench
        .finish(vec![finished(all[0], "x"), finished(all[2], "x")])
        .await;
    let runs = bench.store.open_runs().await.unwrap();
    assert!(runs.is_sorted_by_key(|run| run.id));
    let named: Vec<Vec<_>> = runs.iter().map(names).collect();
    let expected: [&[TakenId]; 4] = [&all[1..2], &all[3..4], &all[4..5], &[later]];
    assert_eq!(named, expected);
    assert_eq!(*runs[0].origin, *first);
    assert_eq!(*runs[1].origin, *second);
    assert_eq!(runs[0].taken_at, at(0));
    let packet = &runs[0].packets[0];
    assert_eq!(
        (
            &packet.place,
            &*packet.req_id,
            packet.fingerprint,
            &*packet.packet
        ),
        (&Place::Seq(2), "b", 1, &b"b"[..])
    );
    assert_eq!(runs[1].packets[0].place, Place::None);
}

pub(super) async fn finishes_publish_in_nobodys_name(bench: &Bench) {
    let open = taken(&bench.one(take(Place::Seq(1), "a")).await);
    let finish = Finish {
        messages: vec![draft("t", "m")],
        awaited: true,
        ..finished(open, "done")
    };
    bench.finish(vec![finish]).await;
    let told = bench.told();
    assert_eq!(told.iter().map(text).collect::<Vec<_>>(), ["m"]);
    match &told[0].kind {
        EntryKind::Message(message) => {
            assert_eq!((&*message.publisher, &*message.client_id), ("", ""));
        }
        other => panic!("{other:?} is no message"),
    }
    assert_eq!(repeated(&bench.one(take(Place::Seq(1), "a")).await), "done");
}

pub(super) async fn a_finish_publishes_as_much_as_a_result_may(bench: &Bench) {
    let (most, room) = (limits::RESULT_MESSAGES, limits::RESULT_MESSAGE_BYTES);
    for (place, count) in [(1, most), (2, 1)] {
        let before = bench.store.tail();
        let open = taken(&bench.one(take(Place::Seq(place), "a")).await);
        let text_of = |number| format!("{number} {}", "x".repeat(room / count));
        let texts: Vec<_> = (0..count).map(text_of).collect();
        let last = Draft {
            ephemeral: true,
            ..draft("t", "now")
        };
        let kept = texts.iter().map(|text| draft("t", text));
        let finish = Finish {
            messages: kept.chain([last]).collect(),
            ..finished(open, "done")
        };
        bench.finish(vec![finish]).await;
        let told: Vec<_> = bench.told().iter().map(text).collect();
        let mut expected = texts.clone();
        expected.extend(["now".into(), "result a".into()]);
        assert!(told == expected, "in their order, the result last");
        assert!(
            bench.texts(&["t"], before.0).await == texts,
            "but what is not kept"
        );
    }
}

pub(super) async fn a_closed_store_takes_nothing(bench: &Bench) {
    let open = taken(&bench.one(take(Place::Seq(1), "a")).await);
    bench.store.close().await;
    let commit = Commit {
        finishes: vec![finished(open, "done")],
        units: vec![seq(2, answer("x"))],
        ..Commit::new(DOMAIN, bench.term, at(0))
    };
    let refused = bench.store.commit(commit).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert!(bench.told().is_empty());
}

async fn open_packets(bench: &Bench) -> Vec<String> {
    let runs = bench.store.open_runs().await.unwrap();
    let packets = runs.iter().flat_map(|run| &run.packets);
    packets.map(|packet| packet.req_id.to_string()).collect()
}

fn names(run: &OpenRun) -> Vec<TakenId> {
    let name = |packet: &OpenPacket| TakenId {
        run: run.id,
        at: packet.at,
    };
    run.packets.iter().map(name).collect()
}
