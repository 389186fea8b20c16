//! Real documents, patch by patch, from clients through the gateway to watchers: what comes out is the text that was
//! written.

mod author;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_client::proto::{EventsRequest, Packet, Record};
use tidegate_client::{Client, EventStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use self::author::{Author, Tally};
use crate::support::{Gateway, Trace, gateway, message};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The key of a record that comes after everything else, so that the text tells what is missing, and not a wait.
const LAST: &str = "the-end";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_2_2_a_document_comes_out_as_it_was_written() {
    let gateway = gateway().start().await;
    let shown = timeout(PATIENCE, one_document(&gateway)).await;
    println!("SHOWS 2.2 {}", shown.expect("it is done in time"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_2_3_two_documents_under_the_same_ids_stay_apart() {
    let gateway = gateway().start().await;
    let traces = ["sveltecomponent", "friendsforever_flat"].map(|name| Arc::new(Trace::read(name)));
    let shown = timeout(PATIENCE, async {
        let people = [("ann", "editor"), ("bob", "editor")];
        let people = two_documents(&gateway, "shared", people, &traces).await;
        let devices = [("ann", "desk"), ("ann", "phone")];
        let devices = two_documents(&gateway, "own", devices, &traces).await;
        format!(
            "two subjects with one client_id: {people}; two client_ids of one subject: {devices}"
        )
    });
    println!("SHOWS 2.3 {}", shown.await.expect("it is done in time"));
}

#[test]
fn a_lost_a_doubled_and_an_overtaken_patch_are_found() {
    let trace = Trace::read("friendsforever_flat");
    let order: Vec<usize> = (0..trace.patches.len()).collect();
    let is_whole = |order: &[usize]| {
        let mut copy = trace.copy();
        order.iter().for_each(|at| copy.apply(&trace.patches[*at]));
        copy.is_whole()
    };
    assert!(is_whole(&order));
    for at in [0, 10_000, order.len() - 2] {
        let (mut lost, mut doubled, mut overtaken) = (order.clone(), order.clone(), order.clone());
        lost.remove(at);
        doubled.insert(at, at);
        overtaken.swap(at, at + 1);
        assert!(!is_whole(&lost), "without patch {at}");
        assert!(!is_whole(&doubled), "patch {at} twice");
        assert!(!is_whole(&overtaken), "patch {at} after the next");
    }
}

async fn one_document(gateway: &Gateway) -> String {
    const CUT_EVERY: usize = 5_000;
    let trace = Arc::new(Trace::read("automerge-paper"));
    let topics = || EventsRequest::on(["records.paper.>"]);

    let watching = gateway.client().await.events(topics()).await.unwrap();
    let watching = tokio::spawn(watch(watching, trace.clone()));
    let first = topics().from_earliest();
    let cut = watch_in_pieces(gateway.client().await, first, CUT_EVERY, trace.clone());
    let cut = tokio::spawn(cut);
    let (begin, begun) = oneshot::channel();
    let (listed, is_listed) = oneshot::channel();
    let listing = list_and_watch(gateway.client().await, begun, listed, trace.clone());
    let listing = tokio::spawn(listing);

    let client = gateway.client().await;
    let mut author = Author::new(client, "paper", &trace, 500).client_id("author");
    let batches = author.batches();
    let started = Instant::now();
    author.write(batches / 3).await;
    begin.send(()).expect("somebody waits for it");
    author.write(batches - 1).await;
    // So the sending goes on while the list is read, however slowly that is.
    is_listed.await.expect("there is a list");
    author.write(batches).await;
    let took = started.elapsed();
    end(&gateway.client().await, "paper").await;

    watching.await.unwrap();
    let cuts = cut.await.unwrap();
    let (records, both) = listing.await.unwrap();
    let late = gateway.client().await;
    let late = late.events(topics().from_earliest()).await.unwrap();
    let started = Instant::now();
    watch(late, trace.clone()).await;
    let late = started.elapsed();

    let packets = trace.patches.len();
    let Tally { repeats, early } = author.tally;
    format!(
        "{packets} packets of {}, with {repeats} of {batches} batches twice and {early} ahead of their turn, in {} beside \
         three watchers; the text is right for who watched, who came afterwards ({}), who listed ({records} records, {both} of \
         them watched too) and watched, and who was cut {cuts} times",
        trace.name,
        rate(packets, took),
        rate(packets, late),
    )
}

/// Two authors, each a subject and a client_id, whose packets have the same req_ids and places.
async fn two_documents(
    gateway: &Gateway,
    handler: &'static str,
    who: [(&str, &'static str); 2],
    traces: &[Arc<Trace>; 2],
) -> String {
    let topics = EventsRequest::on([format!("records.{handler}.>")]);
    let mut stream = gateway.client().await.events(topics).await.unwrap();
    let mut authors = Vec::new();
    for ((subject, client_id), trace) in who.into_iter().zip(traces) {
        let client = Client::builder(gateway.uri()).subject(subject);
        let author = Author::new(client.connect().await.unwrap(), handler, trace, 100);
        authors.push(author.client_id(client_id).under(trace.name));
    }
    let [one, other] = authors.as_mut_slice() else {
        unreachable!("there are two")
    };
    let started = Instant::now();
    for batch in 1..=one.batches().max(other.batches()) {
        tokio::join!(one.write(batch), other.write(batch));
    }
    let took = started.elapsed();
    end(&gateway.client().await, handler).await;

    let mut copies = [traces[0].copy(), traces[1].copy()];
    let (mut turns, mut before) = (0, None);
    while let Some(record) = next(&mut stream).await {
        let (name, _) = record.key.split_once('.').unwrap();
        let whose = traces.iter().position(|trace| trace.name == name).unwrap();
        assert_eq!(record.updated_by, who[whose].0);
        copies[whose].apply(&record.text);
        turns += usize::from(before.replace(whose) != Some(whose));
    }
    for ((subject, client_id), copy) in who.iter().zip(&copies) {
        copy.assert_whole(&format!("who watched {subject} at {client_id}"));
    }
    let packets = traces[0].patches.len() + traces[1].patches.len();
    format!(
        "{packets} packets in {turns} turns, {}, both texts right",
        rate(packets, took)
    )
}

async fn watch(mut stream: EventStream, trace: Arc<Trace>) {
    let mut copy = trace.copy();
    while let Some(record) = next(&mut stream).await {
        copy.apply(&record.text);
    }
    copy.assert_whole("who watched");
}

/// Hangs up after so many messages, and goes on from the last one's cursor. Gives how often.
async fn watch_in_pieces(
    client: Client,
    first: EventsRequest,
    piece: usize,
    trace: Arc<Trace>,
) -> usize {
    let mut copy = trace.copy();
    let mut request = first;
    for cuts in 0.. {
        let mut stream = client.events(request.clone()).await.unwrap();
        for _ in 0..piece {
            let watched = message(&mut stream).await;
            let record = watched.message.record.unwrap();
            if record.key == LAST {
                copy.assert_whole("who was cut");
                return cuts;
            }
            copy.apply(&record.text);
            request = request.from_cursor(watched.cursor);
        }
    }
    unreachable!("the last record comes")
}

/// Keeps a copy as an application does: reads all there is, then what changes, and passes by what it has. Gives how many
/// records were listed, and how many of those were watched as well.
async fn list_and_watch(
    client: Client,
    begun: oneshot::Receiver<()>,
    listed: oneshot::Sender<()>,
    trace: Arc<Trace>,
) -> (usize, usize) {
    begun.await.unwrap();
    let mut copy = trace.copy();
    let mut versions = HashMap::new();
    let (records, cursor) = list(&client, "paper").await;
    for record in &records {
        copy.apply(&record.text);
        versions.insert(record.key.clone(), record.version);
    }
    listed.send(()).expect("somebody waits for it");

    let topics = EventsRequest::on(["records.paper.>"]).from_cursor(cursor);
    let mut stream = client.events(topics).await.unwrap();
    let mut both = 0;
    while let Some(record) = next(&mut stream).await {
        if versions.get(&record.key) >= Some(&record.version) {
            both += 1;
            continue;
        }
        copy.apply(&record.text);
        versions.insert(record.key, record.version);
    }
    copy.assert_whole("who listed and watched");
    (records.len(), both)
}

/// All records in the order of their keys, which is that in which they were made, and the cursor of the first page: later
/// pages may bring more than there was then, and never less.
async fn list(client: &Client, handler: &str) -> (Vec<Record>, String) {
    let (mut records, mut cursor, mut page) = (Vec::new(), None, String::new());
    loop {
        let packet = Packet::list(handler, "").page(1_000, page);
        let mut answer = client.sync(packet).await.unwrap();
        let result = answer.results.pop().unwrap();
        records.extend(result.records);
        let cursor = cursor.get_or_insert(answer.cursor);
        page = result.next_page_token;
        if page.is_empty() {
            return (records, std::mem::take(cursor));
        }
    }
}

/// Tells those who watch that nothing more comes.
async fn end(client: &Client, handler: &str) {
    let packet = Packet::create(handler).key(LAST).text("that was all");
    client.sync(packet).await.unwrap();
}

/// The next record that was written; `None` at the end.
async fn next(stream: &mut EventStream) -> Option<Record> {
    let record = message(stream).await.message.record.unwrap();
    (record.key != LAST).then_some(record)
}

fn rate(packets: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    format!("{seconds:.1} s ({:.0} packets/s)", packets as f64 / seconds)
}
