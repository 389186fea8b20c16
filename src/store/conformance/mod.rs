//! What every engine must do: one suite, a line per case.

mod clock;
mod kept;
pub(crate) mod letters;
mod messages;
mod model;
mod queues;
mod records;
mod taken;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;

use super::*;
use crate::types::{
    Answer, Form, HandlerName, MessageBody, MessageId, Outcome, Pattern, Principal, Reason, limits,
};

/// Makes an engine that holds nothing yet and tells this tail.
pub(crate) type Factory = fn(Arc<Recorder>) -> Arc<dyn Store>;

/// Runs the suite.
pub(crate) async fn run(factory: Factory) {
    queues::places_are_taken_in_order(&bench(factory).await).await;
    queues::a_missing_place_ends_its_group(&bench(factory).await).await;
    queues::what_is_settled_counts_as_taken(&bench(factory).await).await;
    queues::req_ids_are_known_within_their_scope(&bench(factory).await).await;
    queues::packets_without_an_identity_are_never_repeats(&bench(factory).await).await;
    queues::clients_and_handlers_have_queues_of_their_own(&bench(factory).await).await;
    records::records_have_versions(&bench(factory).await).await;
    records::conditions_are_judged(&bench(factory).await).await;
    records::changes_are_all_or_none(&bench(factory).await).await;
    queues::refusals_are_recorded(&bench(factory).await).await;
    records::lists_are_paged_in_byte_order(&bench(factory).await).await;
    records::collections_with_records_are_named(&bench(factory).await).await;
    records::changes_are_told(&bench(factory).await).await;
    messages::messages_are_scanned(&bench(factory).await).await;
    messages::wildcards_never_find_names_of_the_gateway(&bench(factory).await).await;
    messages::tenants_see_their_own(&bench(factory).await).await;
    messages::the_last_are_found(&bench(factory).await).await;
    messages::the_latest_of_each_topic_is_found(&bench(factory).await).await;
    messages::histories_are_paged(&bench(factory).await).await;
    messages::ephemeral_messages_are_told_and_not_kept(&bench(factory).await).await;
    queues::results_are_kept_for_streams(&bench(factory).await).await;
    queues::an_older_term_is_fenced(&bench(factory).await).await;
    queues::an_empty_commit_does_nothing(&bench(factory).await).await;
    messages::nothing_kept_holds_a_request(&bench(factory).await).await;
    taken::what_is_taken_is_open_until_it_is_finished(&bench(factory).await).await;
    taken::req_ids_are_taken_too(&bench(factory).await).await;
    taken::finishes_come_in_any_order(&bench(factory).await).await;
    taken::only_the_first_finish_counts(&bench(factory).await).await;
    taken::a_finish_comes_before_the_units_of_its_commit(&bench(factory).await).await;
    taken::what_is_settled_while_it_is_open_keeps_no_answer(&bench(factory).await).await;
    taken::runs_are_the_packets_of_one_origin(&bench(factory).await).await;
    taken::finishes_publish_in_nobodys_name(&bench(factory).await).await;
    taken::a_finish_publishes_as_much_as_a_result_may(&bench(factory).await).await;
    kept::an_owed_answer_becomes_an_entry(&bench(factory).await).await;
    kept::kept_results_are_found_by_place_and_by_req_id(&bench(factory).await).await;
    kept::what_this_start_has_is_not_unheard(&bench(factory).await).await;
    kept::kept_results_are_paged(&bench(factory).await).await;
    letters::what_is_given_up_is_a_dead_letter_with_its_answer(&bench(factory).await).await;
    letters::a_dead_letter_is_sent_anew_once(&bench(factory).await).await;
    letters::what_is_held_stays_open_until_it_is_finished_or_released(&bench(factory).await).await;
    letters::dead_letters_are_paged_the_oldest_first(&bench(factory).await).await;
    clock::a_wall_clock_that_jumps_ages_nothing(&bench(factory).await).await;
    taken::a_closed_store_takes_nothing(&bench(factory).await).await;
    for seed in 0..40 {
        model::it_agrees_with_a_plain_model(&bench(factory).await, seed).await;
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
            settles,
            units,
            ..Commit::new(DOMAIN, self.term, at(seconds))
        };
        self.store.commit(commit).await.unwrap().await.unwrap()
    }

    pub(crate) async fn finish(&self, finishes: Vec<Finish>) {
        let commit = Commit {
            finishes,
            ..Commit::new(DOMAIN, self.term, at(0))
        };
        let judged = self.store.commit(commit).await.unwrap().await.unwrap();
        assert!(judged.is_empty());
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

/// A packet to be answered later.
pub(crate) fn take(place: Place, text: &str) -> Unit {
    Unit {
        req_id: text.into(),
        ..unit(place, Effect::Take(Bytes::from(text.to_owned())))
    }
}

/// Its answer, for its client's streams.
pub(crate) fn finished(taken: TakenId, text: &str) -> Finish {
    Finish {
        taken,
        answer: Answer::rejected(Reason::Application, text).into(),
        messages: Vec::new(),
        awaited: false,
        death: None,
    }
}

pub(crate) fn taken(judged: &Judged) -> TakenId {
    match judged {
        Judged::Taken(taken) => *taken,
        other => panic!("{other:?} is not taken now"),
    }
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

pub(crate) fn draft(topic: &str, text: &str) -> Draft {
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
