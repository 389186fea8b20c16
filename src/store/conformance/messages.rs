//! Messages: scans, histories, and what is told.

use super::*;

pub(super) async fn messages_are_scanned(bench: &Bench) {
    for (at, topic) in ["a.x", "b", "a.y", "a.x", "b.c"].iter().enumerate() {
        bench
            .one(unit(Place::None, publish(topic, &at.to_string())))
            .await;
    }
    assert_eq!(bench.store.tail(), Position(5));
    assert_eq!(bench.texts(&["a.>"], 0).await, ["0", "2", "3"]);
    assert_eq!(bench.texts(&["a.>", "b"], 1).await, ["1", "2", "3"]);
    assert_eq!(bench.texts(&["a.x"], 0).await, ["0", "3"]);
    assert_eq!(bench.texts(&["b", "a.x", "b"], 0).await, ["0", "1", "3"]);
    assert_eq!(bench.texts(&["a.x"], 1).await, ["3"]);
    assert!(bench.texts(&["a.x"], 5).await.is_empty());
    assert!(bench.texts(&["none"], 0).await.is_empty());
    assert!(bench.texts(&[], 0).await.is_empty());
    for patterns in [&["a.>"][..], &["a.x", "a.y"]] {
        let filter = filter("", patterns);
        for limit in [ScanLimit { items: 1, ..ALL }, ScanLimit { bytes: 1, ..ALL }] {
            let (mut from, mut seen) = (Position(0), Vec::new());
            while from < bench.store.tail() {
                let page = bench.store.scan(&filter, from, limit).await.unwrap();
                assert!(page.entries.len() <= 1 && page.loss.is_empty());
                assert!(page.through > from, "a page always goes on");
                seen.extend(page.entries.iter().map(text));
                from = page.through;
            }
            assert_eq!(seen, ["0", "2", "3"]);
        }
    }
}

pub(super) async fn wildcards_never_find_names_of_the_gateway(bench: &Bench) {
    bench
        .one(unit(Place::None, publish("@user.ann", "private")))
        .await;
    bench
        .one(unit(Place::None, publish("chat", "public")))
        .await;
    assert_eq!(bench.texts(&[">", "*.ann"], 0).await, ["public"]);
    assert_eq!(bench.texts(&["@user.ann"], 0).await, ["private"]);
}

pub(super) async fn tenants_see_their_own(bench: &Bench) {
    let origin = Arc::new(Origin {
        principal: Arc::new(Principal {
            tenant: "acme".into(),
            ..Principal::default()
        }),
        client: None,
        handler: HandlerName::new("todos").unwrap(),
    });
    let theirs = unit(Place::None, publish("a", "theirs"));
    bench.one(Unit { origin, ..theirs }).await;
    bench.one(unit(Place::None, publish("a", "ours"))).await;
    for pattern in ["a", ">"] {
        assert_eq!(bench.texts(&[pattern], 0).await, ["ours"]);
        let filter = filter("acme", &[pattern]);
        let page = bench.store.scan(&filter, Position(0), ALL).await.unwrap();
        assert_eq!(
            page.entries.iter().map(text).collect::<Vec<_>>(),
            ["theirs"]
        );
        let (latest, _) = bench.store.latest(&filter).await.unwrap();
        assert_eq!(latest.len(), 1);
    }
}

pub(super) async fn the_last_are_found(bench: &Bench) {
    for (at, topic) in ["a.x", "b", "a.y", "a.x", "b"].iter().enumerate() {
        bench
            .one(unit(Place::None, publish(topic, &at.to_string())))
            .await;
    }
    for patterns in [&["a.*"][..], &["a.x", "a.y"]] {
        for (count, from) in [(0, 5), (1, 3), (2, 2), (3, 0), (4, 0), (usize::MAX, 0)] {
            let found = bench
                .store
                .last(&filter("", patterns), count)
                .await
                .unwrap();
            assert_eq!(found, Position(from), "{count} of {patterns:?}");
        }
    }
    for none in ["none", "none.*"] {
        let found = bench.store.last(&filter("", &[none]), 3).await.unwrap();
        assert_eq!(found, bench.store.tail());
    }
}

pub(super) async fn the_latest_of_each_topic_is_found(bench: &Bench) {
    for (at, topic) in ["a.x", "b", "a.y", "a.x", "b"].iter().enumerate() {
        bench
            .one(unit(Place::None, publish(topic, &at.to_string())))
            .await;
    }
    for (patterns, expected) in [(&["a.*"][..], "2 3"), (&["b", "a.y"], "2 4"), (&["c"], "")] {
        let (entries, through) = bench.store.latest(&filter("", patterns)).await.unwrap();
        let texts: Vec<_> = entries.iter().map(text).collect();
        assert_eq!((texts.join(" "), through), (expected.into(), Position(5)));
    }
}

pub(super) async fn histories_are_paged(bench: &Bench) {
    for at in 0..5 {
        let topic = if at == 2 { "b" } else { "a" };
        bench
            .one(unit(Place::None, publish(topic, &at.to_string())))
            .await;
    }
    let topic = Topic::parse("a", "").unwrap();
    let three = ScanLimit { items: 3, ..ALL };
    let page = bench
        .store
        .history("", &topic, Position(0), three)
        .await
        .unwrap();
    let positions: Vec<_> = page.items.iter().map(|(position, _)| position.0).collect();
    assert_eq!((positions, page.more), (vec![1, 2, 4], true));
    let page = bench
        .store
        .history("", &topic, Position(4), three)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.more), (1, false));
}

pub(super) async fn ephemeral_messages_are_told_and_not_kept(bench: &Bench) {
    let ephemeral = Draft {
        ephemeral: true,
        ..draft("a", "now")
    };
    let drafts = [draft("a", "kept"), ephemeral, draft("a", "kept too")];
    let effect = Effect::Publish(drafts.into_iter().collect());
    bench.one(unit(Place::None, effect)).await;
    let told = bench.told();
    let said: Vec<_> = told
        .iter()
        .map(|entry| (entry.position.0, text(entry)))
        .collect();
    let expected = [(1, "kept"), (1, "now"), (2, "kept too")];
    assert_eq!(
        said,
        expected.map(|(position, text)| (position, text.to_owned()))
    );
    assert!(matches!(told[1].kind, EntryKind::Ephemeral(_)));
    assert_eq!(bench.texts(&["a"], 0).await, ["kept", "kept too"]);
}

/// Everything of a packet shares the buffer of its request: a kept slice of it would hold all of it.
pub(super) async fn nothing_kept_holds_a_request(bench: &Bench) {
    let request = Bytes::from(b"0123456789abcdef".repeat(1000));
    let slice = |from: usize| request.slice(from..from + 10);
    let name = |from| ByteString::try_from(slice(from)).unwrap();
    let origin = Arc::new(Origin {
        principal: Arc::new(Principal {
            subject: name(0),
            tenant: name(1),
            roles: Vec::new(),
        }),
        client: Some(Arc::new(ClientKey {
            tenant: name(1),
            subject: name(0),
            client_id: name(2),
        })),
        handler: HandlerName::new("todos").unwrap(),
    });
    let echoed = Answer {
        content: crate::types::Content::bytes(slice(7)),
        ..Answer::rejected(Reason::Application, name(3))
    };
    let kept = Change {
        key: name(4),
        content: Some((Form::Bytes, slice(5))),
        ..change(Op::Put, "", None, "")
    };
    let draft = |ephemeral| Draft {
        headers: vec![(name(6), name(8))],
        data: slice(9),
        ephemeral,
        ..draft("a", "")
    };
    let effects = [
        Effect::Answer(echoed),
        changing([kept]).effect,
        Effect::Publish([draft(false), draft(true)].into_iter().collect()),
    ];
    let mut units = Vec::new();
    for (effect, place) in effects.into_iter().zip(1..) {
        units.push(Unit {
            origin: origin.clone(),
            req_id: name(11),
            awaited: false,
            ..seq(place, effect)
        });
    }
    units.push(Unit {
        origin: origin.clone(),
        req_id: name(12),
        ..unit(Place::ReqId(ReqIdScope::Subject), answer("x"))
    });
    for place in [Place::Seq(4), Place::ReqId(ReqIdScope::Client)] {
        units.push(Unit {
            origin: origin.clone(),
            req_id: name(13),
            ..unit(place, Effect::Take(slice(14)))
        });
    }
    drop(origin);
    let judged = bench.commit(units).await;
    let mut done = judged[..4].iter();
    assert!(done.all(|judged| matches!(judged, Judged::Done(_))));
    let taken = |judged: &Judged| matches!(judged, Judged::Taken(_));
    assert!(judged[4..].iter().all(taken));
    drop(judged);
    assert_eq!(
        bench.tail.0.lock().len(),
        6,
        "three results, three messages"
    );
    assert!(
        request.is_unique(),
        "something that is kept holds the request"
    );
}
