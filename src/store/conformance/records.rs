//! Records: versions, conditions, lists, and the messages of their changes.

use super::*;

pub(super) async fn records_have_versions(bench: &Bench) {
    let made = bench
        .one(changing([change(Op::Create, "k", None, "a")]))
        .await;
    assert_eq!(versions(&made), [1]);
    let body = done(&made).body.as_ref().unwrap();
    assert_eq!(
        body.records[0].content, None,
        "a write's answer has no content"
    );
    let record = bench.record("k").await.unwrap();
    assert_eq!(record.content, Some((Form::Text, "a".into())));
    assert_eq!((record.created_at, record.updated_at), (at(0), at(0)));
    assert_eq!(&*record.updated_by, "ann");
    let put = vec![changing([change(Op::Put, "k", None, "b")])];
    assert_eq!(versions(&bench.commit_at(5, Vec::new(), put).await[0]), [2]);
    let record = bench.record("k").await.unwrap();
    assert_eq!((record.created_at, record.updated_at), (at(0), at(5)));
    let gone = bench
        .one(changing([change(Op::Delete, "k", None, "")]))
        .await;
    assert_eq!(versions(&gone), [3]);
    assert!(done(&gone).body.as_ref().unwrap().records[0].deleted);
    assert_eq!(bench.record("k").await, None);
    let again = bench
        .one(changing([change(Op::Create, "k", Some(0), "c")]))
        .await;
    assert_eq!(versions(&again), [4], "a version is never used again");
    let other = bench
        .one(changing([change(Op::Put, "other", None, "c")]))
        .await;
    assert_eq!(versions(&other), [1]);
}

pub(super) async fn conditions_are_judged(bench: &Bench) {
    use Reason::{AlreadyExists, NotFound, VersionMismatch};
    bench
        .one(changing([change(Op::Create, "k", None, "a")]))
        .await;
    let there = [
        (Op::Create, None, AlreadyExists, 0),
        (Op::Create, Some(1), AlreadyExists, 0),
        (Op::Create, Some(0), VersionMismatch, 1),
        (Op::Update, Some(0), VersionMismatch, 1),
        (Op::Update, Some(2), VersionMismatch, 1),
        (Op::Put, Some(0), VersionMismatch, 1),
        (Op::Delete, Some(7), VersionMismatch, 1),
    ];
    let missing = [
        (Op::Update, None, NotFound, 0),
        (Op::Update, Some(0), NotFound, 0),
        (Op::Delete, None, NotFound, 0),
        (Op::Delete, Some(1), VersionMismatch, 0),
        (Op::Update, Some(1), VersionMismatch, 0),
        (Op::Put, Some(1), VersionMismatch, 0),
        (Op::Create, Some(1), VersionMismatch, 0),
    ];
    for (key, cases) in [("k", there), ("none", missing)] {
        for (op, if_version, reason, records) in cases {
            let judged = bench
                .one(changing([change(op, key, if_version, "x")]))
                .await;
            let answer = done(&judged);
            let said = format!("{op:?} of {key} if {if_version:?}");
            assert_eq!(answer.outcome, Outcome::Rejected, "{said}");
            assert_eq!(answer.reason, reason, "{said}");
            let body = answer.body.as_ref();
            let present = body.map_or(&[][..], |body| &body.records);
            assert_eq!(present.len(), records, "{said}");
            for record in present {
                assert_eq!(record.content, Some((Form::Text, "a".into())), "{said}");
            }
        }
    }
    let good = [
        (Op::Update, 1, 2),
        (Op::Put, 2, 3),
        (Op::Delete, 3, 4),
        (Op::Put, 0, 5),
    ];
    for (op, if_version, version) in good {
        let judged = bench
            .one(changing([change(op, "k", Some(if_version), "x")]))
            .await;
        assert_eq!(versions(&judged), [version], "{op:?} if {if_version}");
    }
}

pub(super) async fn changes_are_all_or_none(bench: &Bench) {
    bench
        .one(changing([change(Op::Create, "b", None, "x")]))
        .await;
    let create = |key| change(Op::Create, key, None, "y");
    let failed = bench
        .one(changing([create("a"), create("b"), create("c")]))
        .await;
    assert_eq!(done(&failed).reason, Reason::AlreadyExists);
    assert_eq!(
        (bench.record("a").await, bench.record("c").await),
        (None, None)
    );
    let twice = bench.one(changing([create("a"), create("a")])).await;
    assert_eq!(done(&twice).reason, Reason::AlreadyExists);
    let chained = [
        create("a"),
        change(Op::Update, "a", Some(1), "z"),
        change(Op::Delete, "a", Some(2), ""),
        change(Op::Create, "a", Some(0), "w"),
    ];
    assert_eq!(versions(&bench.one(changing(chained)).await), [1, 2, 3, 4]);
    assert_eq!(bench.record("a").await.unwrap().version, 4);
    assert_eq!(
        bench.texts(&["records.todos.a"], 0).await,
        ["a@1", "a@2", "a@3", "a@4"]
    );
}

pub(super) async fn lists_are_paged_in_byte_order(bench: &Bench) {
    let keys = ["b.2", "a", "b.10", "b", "c", "b.ü", "B.1"];
    bench
        .one(changing(keys.map(|key| change(Op::Create, key, None, "x"))))
        .await;
    bench
        .one(changing([change(Op::Delete, "b.2", None, "")]))
        .await;
    let two = ScanLimit { items: 2, ..ALL };
    let list = async |prefix, after, limit| {
        let page = bench
            .store
            .list("todos", prefix, after, limit)
            .await
            .unwrap();
        let keys: Vec<_> = page
            .items
            .iter()
            .map(|record| record.key.to_string())
            .collect();
        (keys.join(" "), page.more)
    };
    assert_eq!(
        list("", None, ALL).await,
        ("B.1 a b b.10 b.ü c".into(), false)
    );
    assert_eq!(list("b", None, two).await, ("b b.10".into(), true));
    assert_eq!(list("b", Some("b.10"), two).await, ("b.ü".into(), false));
    assert_eq!(list("b.", None, two).await, ("b.10 b.ü".into(), false));
    assert_eq!(list("b.", Some("a"), two).await, ("b.10 b.ü".into(), false));
    assert_eq!(list("x", None, two).await, (String::new(), false));
    let small = ScanLimit { items: 9, bytes: 1 };
    assert_eq!(list("", None, small).await, ("B.1".into(), true));
    let other = bench.store.list("notes", "", None, ALL).await.unwrap();
    assert!(other.items.is_empty());
}

pub(super) async fn changes_are_told(bench: &Bench) {
    bench
        .one(changing([change(Op::Create, "a b.c", None, "x")]))
        .await;
    bench
        .one(changing([change(Op::Delete, "a b.c", None, "")]))
        .await;
    let told = bench.told();
    let filter = filter("", &["records.todos.>"]);
    let scanned = bench.store.scan(&filter, Position(0), ALL).await.unwrap();
    let scanned = scanned.entries;
    assert_eq!(told.len(), 2);
    let mut ids = Vec::new();
    for (told, scanned) in told.iter().zip(&scanned) {
        let (EntryKind::Message(told_message), EntryKind::Message(message)) =
            (&told.kind, &scanned.kind)
        else {
            panic!("{told:?} and {scanned:?} are messages");
        };
        assert_eq!((told.position, told_message), (scanned.position, message));
        assert_eq!(message.topic.as_str(), "records.todos.a%20b.c");
        assert_eq!((&*message.publisher, &*message.client_id), ("ann", "c"));
        assert_eq!(message.time, at(0));
        let MessageBody::Record(record) = &message.body else {
            panic!("{message:?} carries a record");
        };
        assert_eq!(record.deleted, record.content.is_none());
        assert_eq!(record.deleted, record.version == 2);
        ids.push(message.id);
    }
    assert_ne!(ids[0], ids[1]);
}

pub(super) async fn collections_with_records_are_named(bench: &Bench) {
    let of = |collection: &str, op, key: &str| Unit {
        effect: Effect::Change {
            collection: collection.into(),
            changes: smallvec::smallvec![change(op, key, None, "x")],
        },
        ..changing([])
    };
    let units = [
        ("todos", "a"),
        ("b", "a"),
        ("todo", "b"),
        ("todos", "z"),
        ("gone", "a"),
    ];
    let units = units.map(|(collection, key)| of(collection, Op::Put, key));
    bench.commit(units.into()).await;
    bench.one(of("gone", Op::Delete, "a")).await;
    let names = async |limit| bench.store.collections(limit).await.unwrap();
    assert_eq!(names(10).await, ["b", "todo", "todos"]);
    assert_eq!(names(2).await.len(), 2);
}
