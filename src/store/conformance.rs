//! What every engine must do: one suite, a line per case.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;

use super::*;
use crate::types::{
    Answer, Form, HandlerName, MessageBody, MessageId, Outcome, Pattern, Principal, Reason,
};

/// Makes an engine that holds nothing yet and tells this tail.
pub(crate) type Factory = fn(Arc<Recorder>) -> Arc<dyn Store>;

/// Runs the suite.
pub(crate) async fn run(factory: Factory) {
    places_are_taken_in_order(&bench(factory).await).await;
    a_missing_place_ends_its_group(&bench(factory).await).await;
    what_is_settled_counts_as_taken(&bench(factory).await).await;
    req_ids_are_known_within_their_scope(&bench(factory).await).await;
    packets_without_an_identity_are_never_repeats(&bench(factory).await).await;
    clients_and_handlers_have_queues_of_their_own(&bench(factory).await).await;
    records_have_versions(&bench(factory).await).await;
    conditions_are_judged(&bench(factory).await).await;
    changes_are_all_or_none(&bench(factory).await).await;
    refusals_are_recorded(&bench(factory).await).await;
    lists_are_paged_in_byte_order(&bench(factory).await).await;
    changes_are_told(&bench(factory).await).await;
    messages_are_scanned(&bench(factory).await).await;
    wildcards_never_find_names_of_the_gateway(&bench(factory).await).await;
    tenants_see_their_own(&bench(factory).await).await;
    the_last_are_found(&bench(factory).await).await;
    the_latest_of_each_topic_is_found(&bench(factory).await).await;
    histories_are_paged(&bench(factory).await).await;
    ephemeral_messages_are_told_and_not_kept(&bench(factory).await).await;
    results_are_kept_for_streams(&bench(factory).await).await;
    an_older_term_is_fenced(&bench(factory).await).await;
    an_empty_commit_does_nothing(&bench(factory).await).await;
    for seed in 0..40 {
        it_agrees_with_a_plain_model(&bench(factory).await, seed).await;
    }
}

/// Hears what a store tells.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Entry>>);

impl Tail for Recorder {
    fn committed(&self, entries: &[Entry]) {
        self.0.lock().extend_from_slice(entries);
    }
}

/// A store under test.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    tail: Arc<Recorder>,
    term: Term,
}

const DOMAIN: Domain = Domain(7);

pub(crate) const ALL: ScanLimit = ScanLimit {
    items: 10_000,
    bytes: 1 << 30,
};

pub(crate) async fn bench(factory: Factory) -> Bench {
    let tail = Arc::new(Recorder::default());
    let store = factory(tail.clone());
    let term = store.take_over(DOMAIN).await.unwrap();
    Bench { store, tail, term }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

impl Bench {
    pub(crate) async fn commit(&self, units: Vec<Unit>) -> Vec<Judged> {
        self.commit_at(0, Vec::new(), units).await
    }

    pub(crate) async fn commit_at(
        &self,
        seconds: u64,
        settles: Vec<Settle>,
        units: Vec<Unit>,
    ) -> Vec<Judged> {
        let commit = Commit {
            domain: DOMAIN,
            term: self.term,
            now: at(seconds),
            settles,
            units,
        };
        self.store.commit(commit).await.unwrap().await.unwrap()
    }

    async fn one(&self, unit: Unit) -> Judged {
        self.commit(vec![unit]).await.remove(0)
    }

    async fn record(&self, key: &str) -> Option<Record> {
        self.store.record("todos", key).await.unwrap()
    }

    pub(crate) async fn texts(&self, patterns: &[&str], from: u64) -> Vec<String> {
        let filter = filter("", patterns);
        let page = self.store.scan(&filter, Position(from), ALL).await.unwrap();
        assert_eq!(page.through, self.store.tail());
        page.entries.iter().map(text).collect()
    }

    fn told(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.tail.0.lock())
    }
}

pub(crate) fn client(name: &str) -> Arc<ClientKey> {
    Arc::new(ClientKey {
        tenant: "".into(),
        subject: "ann".into(),
        client_id: name.into(),
    })
}

fn origin(client_id: Option<&str>, handler: &str) -> Arc<Origin> {
    Arc::new(Origin {
        principal: Arc::new(Principal {
            subject: "ann".into(),
            ..Principal::default()
        }),
        client: client_id.map(client),
        handler: HandlerName::new(handler).unwrap(),
    })
}

/// A packet of the client `c` to `todos`, whose answer a call carries.
pub(crate) fn unit(place: Place, effect: Effect) -> Unit {
    Unit {
        origin: origin(Some("c"), "todos"),
        group: 0,
        place,
        fingerprint: 1,
        req_id: "r".into(),
        awaited: true,
        effect,
    }
}

pub(crate) fn seq(seq: u64, effect: Effect) -> Unit {
    unit(Place::Seq(seq), effect)
}

pub(crate) fn answer(text: &str) -> Effect {
    Effect::Answer(Answer::rejected(Reason::Application, text))
}

pub(crate) fn publish(topic: &str, text: &str) -> Effect {
    Effect::Publish([draft(topic, text)].into_iter().collect())
}

fn draft(topic: &str, text: &str) -> Draft {
    Draft {
        topic: Topic::parse(topic, "").unwrap(),
        id: MessageId(9),
        headers: vec![("h".into(), "v".into())],
        form: Form::Text,
        data: Bytes::from(text.to_owned()),
        ephemeral: false,
    }
}

pub(crate) fn change(op: Op, key: &str, if_version: Option<u64>, text: &str) -> Change {
    let content = (op != Op::Delete).then(|| (Form::Text, Bytes::from(text.to_owned())));
    Change {
        op,
        key: ByteString::from(key),
        if_version,
        content,
    }
}

pub(crate) fn changing(changes: impl IntoIterator<Item = Change>) -> Unit {
    let effect = Effect::Change {
        collection: "todos".into(),
        changes: changes.into_iter().collect(),
    };
    unit(Place::None, effect)
}

fn filter(tenant: &str, patterns: &[&str]) -> Filter {
    let parse = |pattern: &&str| Pattern::parse(pattern, "").unwrap();
    Filter {
        tenant: tenant.into(),
        patterns: patterns.iter().map(parse).collect(),
    }
}

fn settle(through: u64, req_ids: &[&str]) -> Settle {
    Settle {
        queue: QueueKey {
            client: client("c"),
            handler: HandlerName::new("todos").unwrap(),
        },
        through,
        req_ids: req_ids.iter().map(|id| (*id).into()).collect(),
    }
}

fn text(entry: &Entry) -> String {
    match &entry.kind {
        EntryKind::Message(message) | EntryKind::Ephemeral(message) => match &message.body {
            MessageBody::Content(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            MessageBody::Record(record) => format!("{}@{}", record.key, record.version),
        },
        EntryKind::Result(result) => format!("result {}", result.req_id),
    }
}

fn done(judged: &Judged) -> &Answer {
    match judged {
        Judged::Done(answer) => answer,
        other => panic!("{other:?} is not done now"),
    }
}

fn versions(judged: &Judged) -> Vec<u64> {
    let body = done(judged).body.as_ref();
    let records = body.map_or(&[][..], |body| &body.records);
    records.iter().map(|record| record.version).collect()
}

fn repeated(judged: &Judged) -> &str {
    match judged {
        Judged::Repeat(answer) => &answer.message,
        other => panic!("{other:?} is no repeat"),
    }
}

async fn places_are_taken_in_order(bench: &Bench) {
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

async fn a_missing_place_ends_its_group(bench: &Bench) {
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

async fn what_is_settled_counts_as_taken(bench: &Bench) {
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

async fn req_ids_are_known_within_their_scope(bench: &Bench) {
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

async fn packets_without_an_identity_are_never_repeats(bench: &Bench) {
    for _ in 0..2 {
        done(&bench.one(unit(Place::None, publish("a", "m"))).await);
    }
    assert_eq!(bench.texts(&["a"], 0).await, ["m", "m"]);
}

async fn clients_and_handlers_have_queues_of_their_own(bench: &Bench) {
    for (name, handler) in [("c", "todos"), ("d", "todos"), ("c", "notes")] {
        let said = format!("{name} {handler}");
        let first = Unit {
            origin: origin(Some(name), handler),
            ..seq(1, answer(&said))
        };
        assert_eq!(*done(&bench.one(first).await).message, *said);
    }
}

async fn records_have_versions(bench: &Bench) {
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

async fn conditions_are_judged(bench: &Bench) {
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

async fn changes_are_all_or_none(bench: &Bench) {
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

async fn refusals_are_recorded(bench: &Bench) {
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

async fn lists_are_paged_in_byte_order(bench: &Bench) {
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

async fn changes_are_told(bench: &Bench) {
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

async fn messages_are_scanned(bench: &Bench) {
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

async fn wildcards_never_find_names_of_the_gateway(bench: &Bench) {
    bench
        .one(unit(Place::None, publish("@user.ann", "private")))
        .await;
    bench
        .one(unit(Place::None, publish("chat", "public")))
        .await;
    assert_eq!(bench.texts(&[">", "*.ann"], 0).await, ["public"]);
    assert_eq!(bench.texts(&["@user.ann"], 0).await, ["private"]);
}

async fn tenants_see_their_own(bench: &Bench) {
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

async fn the_last_are_found(bench: &Bench) {
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

async fn the_latest_of_each_topic_is_found(bench: &Bench) {
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

async fn histories_are_paged(bench: &Bench) {
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

async fn ephemeral_messages_are_told_and_not_kept(bench: &Bench) {
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

async fn results_are_kept_for_streams(bench: &Bench) {
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
        page.items.iter().map(text).collect::<Vec<_>>().join(" ")
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
    assert!(none.items.is_empty());
}

async fn an_older_term_is_fenced(bench: &Bench) {
    let newer = bench.store.take_over(DOMAIN).await.unwrap();
    assert!(newer > bench.term);
    let commit = |domain, term| Commit {
        domain,
        term,
        now: at(0),
        settles: vec![settle(1, &[])],
        units: vec![unit(Place::None, publish("a", "m"))],
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

async fn an_empty_commit_does_nothing(bench: &Bench) {
    assert!(bench.commit(Vec::new()).await.is_empty());
    assert_eq!(bench.store.tail(), Position(0));
    assert!(bench.told().is_empty());
    assert!(!bench.store.epochs().is_empty());
}

/// Random changes and places, against what is plainly right.
async fn it_agrees_with_a_plain_model(bench: &Bench, seed: u64) {
    use rand::{Rng, SeedableRng};
    use std::collections::HashMap;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    // By key: the last version, and the content while it is there.
    let mut records: HashMap<&str, (u64, Option<String>)> = HashMap::new();
    // By place: what was answered, as long as it is not settled.
    let mut answers: Vec<Option<String>> = Vec::new();
    let mut changes = 0;
    for step in 0..60 {
        let through = match random.random_range(0..10) {
            0 => random.random_range(0..answers.len() as u64 + 2),
            _ => 0,
        };
        answers.resize(answers.len().max(through as usize), None);
        answers[..through as usize].fill(None);
        let (mut units, mut expected) = (Vec::new(), Vec::new());
        let mut ended = false;
        for number in 0..random.random_range(0..6) {
            let place = random.random_range(1..answers.len() as u64 + 3);
            let key = ["a", "b", "c.d"][random.random_range(0..3)];
            let op = [Op::Create, Op::Update, Op::Delete, Op::Put][random.random_range(0..4)];
            let if_version = random.random_bool(0.3).then(|| random.random_range(0..4));
            let content = format!("{step}.{number}");
            let mut unit = changing([change(op, key, if_version, &content)]);
            unit.place = Place::Seq(place);
            units.push(unit);
            let reached = answers.len() as u64;
            expected.push(if ended {
                "skipped".to_owned()
            } else if place > reached + 1 {
                ended = true;
                format!("missing {}", reached + 1)
            } else if place <= reached {
                let kept = answers[place as usize - 1].as_ref();
                kept.map_or("forgotten".to_owned(), |kept| format!("repeat {kept}"))
            } else {
                let row = records.entry(key).or_default();
                let there = row.1.is_some();
                let present = if there { row.0 } else { 0 };
                let refused = match (if_version, op) {
                    (Some(version), _) if version != present => Some(Reason::VersionMismatch),
                    (_, Op::Create) if there => Some(Reason::AlreadyExists),
                    (_, Op::Update | Op::Delete) if !there => Some(Reason::NotFound),
                    _ => None,
                };
                let answer = match refused {
                    Some(reason) => format!("{reason:?}"),
                    None => {
                        changes += 1;
                        *row = (row.0 + 1, (op != Op::Delete).then_some(content));
                        format!("{}", row.0)
                    }
                };
                answers.push(Some(answer.clone()));
                format!("done {answer}")
            });
        }
        let judged = bench
            .commit_at(step, vec![settle(through, &[])], units)
            .await;
        let said: Vec<_> = judged.iter().map(plain).collect();
        assert_eq!(said, expected, "seed {seed}, step {step}");
    }
    for (key, (version, content)) in records {
        let record = bench.record(key).await;
        let kept = record.map(|record| (record.version, record.content.unwrap().1));
        let wanted = content.map(|content| (version, Bytes::from(content)));
        assert_eq!(kept, wanted, "seed {seed}, {key}");
    }
    let told: Vec<_> = bench.told().iter().map(text).collect();
    assert_eq!(told.len(), changes, "seed {seed}");
    assert_eq!(told, bench.texts(&["records.>"], 0).await, "seed {seed}");
}

fn plain(judged: &Judged) -> String {
    let said = |answer: &Answer| match answer.outcome {
        Outcome::Ok => versions(&Judged::Done(answer.clone()))[0].to_string(),
        _ => format!("{:?}", answer.reason),
    };
    match judged {
        Judged::Done(answer) => format!("done {}", said(answer)),
        Judged::Repeat(answer) => format!("repeat {}", said(answer)),
        Judged::Forgotten => "forgotten".into(),
        Judged::Missing { next } => format!("missing {next}"),
        Judged::Skipped => "skipped".into(),
        other => format!("{other:?}"),
    }
}
