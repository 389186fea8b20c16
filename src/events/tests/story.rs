//! What one stream sees, case by case.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::{Stream as _, StreamExt as _};
use prost::Message as _;
use tokio::time::Instant;

use super::log::{EPOCH, Log, client};
use super::{Client, HEARTBEAT, gateway, gateway_with_ring, numbers, on};
use crate::events::cursor::{Cursor, Place};
use crate::events::{Hub, Session, Start};
use crate::store::Position;
use crate::wire::proto;
use crate::wire::proto::event::Event as Kind;
use crate::wire::proto::gap::Cause;

fn cursor_at(epoch: u64, position: u64) -> String {
    let place = Place::at(Position(position));
    Cursor { epoch, place }.to_string()
}

fn gap(event: &proto::Event) -> (Cause, &str, u64) {
    match &event.event {
        Some(Kind::Gap(gap)) => (gap.cause(), &gap.pattern, gap.missed),
        other => panic!("a gap was expected, not {other:?}"),
    }
}

fn go_away(event: &proto::Event) -> (proto::go_away::Cause, Duration) {
    match &event.event {
        Some(Kind::GoAway(go_away)) => {
            let after = go_away.reconnect_after.unwrap();
            (go_away.cause(), Duration::try_from(after).unwrap())
        }
        other => panic!("a go-away was expected, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_connected_and_beats_in_silence() {
    let (hub, log) = gateway();
    log.publish("a");
    let mut stream = Client(hub.open(log.clone(), on(&["a"])).unwrap());
    let first = stream.next().await;
    assert_eq!(first.cursor, cursor_at(EPOCH, 1));
    let Some(Kind::Connected(connected)) = first.event else {
        panic!("{first:?}");
    };
    assert_eq!((&*connected.node, connected.resumed), ("here", false));
    assert_eq!(connected.heartbeat_interval.unwrap().seconds, 15);

    log.publish("other");
    let (before, second) = (Instant::now(), stream.next().await);
    assert!(matches!(second.event, Some(Kind::Heartbeat(_))));
    assert_eq!(second.cursor, cursor_at(EPOCH, 2));
    assert!(before.elapsed() >= HEARTBEAT && before.elapsed() < HEARTBEAT + Duration::from_secs(1));

    log.publish("a");
    let third = stream.next().await;
    assert_eq!(third.cursor, cursor_at(EPOCH, 3));
    let Some(Kind::Message(message)) = third.event else {
        panic!("{third:?}");
    };
    assert_eq!((&*message.topic, &*message.text), ("a", "grüße"));
}

#[tokio::test(start_paused = true)]
async fn it_starts_where_it_is_told() {
    let (hub, log) = gateway();
    for topic in ["a.1", "a.2", "a.1", "b", "a.2", "a.3"] {
        log.publish(topic);
    }
    let cases = [
        (Start::Now, vec![]),
        (Start::Earliest, vec![0, 1, 2, 4, 5]),
        (Start::Latest, vec![2, 4, 5]),
        (Start::Last(2), vec![4, 5]),
        (Start::Last(100), vec![0, 1, 2, 4, 5]),
    ];
    for (start, expected) in cases {
        let mut stream = Client::open(&hub, &log, on(&["a.>"]).start(start)).await;
        assert_eq!(stream.rest().await, expected, "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cut_in_the_latest_gets_the_others_on_resume() {
    let (hub, log) = gateway();
    for topic in ["a.1", "a.2", "a.3"] {
        log.publish(topic);
    }
    let mut stream = Client(
        hub.open(log.clone(), on(&["a.*"]).start(Start::Latest))
            .unwrap(),
    );
    for expected in [vec![0, 1, 2], vec![1, 2], vec![2], vec![]] {
        let cursor = stream.next().await.cursor;
        let mut again = Client::open(&hub, &log, on(&["a.*"]).after(&cursor)).await;
        assert_eq!(again.rest().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_history_is_told_for_each_pattern() {
    let (hub, log) = gateway();
    log.publish("a");
    log.publish("b");
    log.remove_through(1);
    log.set_epochs(&[(1, 0), (2, 1)]);
    // Another store; a tail that was cut; an earlier epoch's part that was not in the backup.
    for foreign in [cursor_at(EPOCH, 1), cursor_at(2, 3), cursor_at(1, 2)] {
        let mut stream = Client(
            hub.open(log.clone(), on(&["a", "b"]).after(&foreign))
                .unwrap(),
        );
        let Some(Kind::Connected(connected)) = stream.next().await.event else {
            panic!("connected comes first");
        };
        assert!(!connected.resumed);
        assert_eq!(gap(&stream.next().await), (Cause::History, "a", 0));
        assert_eq!(gap(&stream.next().await), (Cause::History, "b", 0));
        assert_eq!(stream.rest().await, [1]);
    }
    for known in [cursor_at(1, 1), cursor_at(2, 1)] {
        let mut stream = Client(
            hub.open(log.clone(), on(&["a", "b"]).after(&known))
                .unwrap(),
        );
        let Some(Kind::Connected(connected)) = stream.next().await.event else {
            panic!("connected comes first");
        };
        assert!(connected.resumed);
        assert_eq!(stream.rest().await, [1]);
    }
    let garbage = on(&["a"]).after("t1-garbage");
    let error = hub.open(log.clone(), garbage).unwrap_err();
    assert!(
        error.to_string().contains("not a cursor of this gateway"),
        "{error}"
    );
    assert_eq!(hub.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_rules_removed_is_told_to_whom_it_was_owed() {
    let (hub, log) = gateway();
    for _ in 0..5 {
        log.publish("a");
    }
    log.remove_through(3);
    let mut owed = Client::open(&hub, &log, on(&["a"]).after(&cursor_at(EPOCH, 1))).await;
    assert_eq!(gap(&owed.next().await), (Cause::Retention, "a", 2));
    assert_eq!(owed.rest().await, [3, 4]);

    let mut fresh = Client::open(&hub, &log, on(&["a"]).start(Start::Earliest)).await;
    assert_eq!(numbers(&fresh.next().await), [3]);
}

#[tokio::test(start_paused = true)]
async fn results_that_the_rules_removed_are_told_once_before_the_others() {
    let (hub, log) = gateway();
    let me = client("", "", "me");
    for _ in 0..9 {
        log.write_result(&me, false);
    }
    log.show_and_tell();
    log.remove_results_through(3);
    let asked = on(&["a"]).client(&me);
    let resumed = asked.clone().after(&cursor_at(EPOCH, 1));
    let mut owed = Client::open(&hub, &log, resumed).await;
    let told = owed.next().await;
    assert_eq!(gap(&told), (Cause::Retention, "", 0));
    assert_eq!(
        told.cursor,
        cursor_at(EPOCH, 1),
        "it is told again on resume"
    );
    let mut rest = Vec::new();
    while let Some(event) = owed.event().await {
        assert!(
            !matches!(event.event, Some(Kind::Gap(_))),
            "it is told once"
        );
        rest.extend(numbers(&event));
    }
    assert_eq!(rest, [3, 4, 5, 6, 7, 8]);

    let mut past = Client::open(&hub, &log, asked.clone().after(&cursor_at(EPOCH, 3))).await;
    assert_eq!(numbers(&past.next().await), [3, 4]);
    let mut fresh = Client::open(&hub, &log, asked).await;
    assert_eq!(numbers(&fresh.next().await), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_reads_the_store_and_loses_nothing_kept() {
    let (hub, log) = gateway_with_ring(2);
    let mut slow = Client::open(&hub, &log, on(&["a", "live", "*"])).await;
    assert!(slow.event().await.is_none(), "it is at the tail");
    let stored: Vec<u128> = (0..20).map(|_| log.publish("a")).collect();
    assert_eq!(slow.rest().await, stored);

    let ephemeral: Vec<u128> = (0..7).map(|_| log.publish_ephemeral("live")).collect();
    let stored = log.publish("a");
    assert_eq!(
        gap(&slow.next().await),
        (Cause::Slow, "live", ephemeral.len() as u64)
    );
    assert_eq!(numbers(&slow.next().await), [stored], "it is counted once");
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_message_has_the_cursor_of_the_last_stored_one() {
    let (hub, log) = gateway();
    let mut stream = Client::open(&hub, &log, on(&[">"])).await;
    log.publish("a");
    log.publish_ephemeral("live");
    log.publish_ephemeral("live");
    let first = stream.next().await;
    for number in [1, 2] {
        let event = stream.next().await;
        assert_eq!(numbers(&event), [number]);
        assert_eq!(event.cursor, first.cursor);
    }
    let mut later = Client::open(&hub, &log, on(&[">"]).start(Start::Earliest)).await;
    assert_eq!(later.rest().await, [0]);
}

#[tokio::test(start_paused = true)]
async fn results_come_first_and_together() {
    let (hub, log) = gateway();
    let (me, stranger) = (client("", "", "me"), client("", "", "other"));
    log.publish("a");
    log.write_result(&me, false);
    log.write_result(&me, true);
    log.write_result(&stranger, false);
    log.write_result(&me, false);
    log.show_and_tell();
    let asked = on(&["a"]).client(&me).start(Start::Earliest);
    let mut stream = Client::open(&hub, &log, asked.clone()).await;
    let first = stream.next().await;
    assert_eq!(numbers(&first), [1, 4]);
    let Some(Kind::Results(results)) = &first.event else {
        panic!("{first:?}");
    };
    assert_eq!(
        (&*results.client_id, &*results.results[0].handler),
        ("me", "orders")
    );
    assert_eq!(results.results[0].outcome(), proto::Outcome::Ok);

    // The cursor of the results does not skip the message that is still owed.
    let mut again = Client::open(&hub, &log, asked.after(&first.cursor)).await;
    assert_eq!(again.rest().await, [0]);

    assert_eq!(stream.rest().await, [0]);
    for _ in 0..3 {
        log.write_result(&me, false);
    }
    log.show_and_tell();
    assert_eq!(numbers(&stream.next().await), [5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn results_that_were_read_before_they_were_told_come_once() {
    let (hub, log) = gateway();
    let me = client("", "", "me");
    for _ in 0..2 {
        log.write_result(&me, false);
    }
    log.show();
    let mut stream = Client::open(&hub, &log, on(&["a"]).client(&me)).await;
    assert_eq!(stream.rest().await, [0, 1]);
    log.write_result(&me, false);
    log.show_and_tell();
    assert_eq!(stream.rest().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_result_does_not_wait_behind_a_long_history() {
    let (hub, log) = gateway();
    for _ in 0..1000 {
        log.publish("a");
    }
    let me = client("", "", "me");
    let asked = on(&["a"]).client(&me).start(Start::Earliest);
    let mut stream = Client::open(&hub, &log, asked).await;
    assert_eq!(numbers(&stream.next().await), [0]);
    log.write_result(&me, false);
    log.show_and_tell();
    let mut before = 0;
    while numbers(&stream.next().await) != [1000] {
        before += 1;
    }
    assert!(before < 200, "{before} messages came before it");
}

#[tokio::test(start_paused = true)]
async fn tenants_do_not_mix_and_own_messages_are_skipped() {
    let (hub, log) = gateway();
    let me = client("one", "ann", "phone");
    let also_me = client("one", "ann", "laptop");
    let asked = on(&[">"]).tenant("one").client(&me).skipping_own();
    let mut live = Client::open(&hub, &log, asked.clone()).await;
    log.publish_as("two", &also_me, "a");
    log.publish_as("one", &me, "a");
    log.publish_as("one", &also_me, "a");
    log.publish_as("", &also_me, "a");
    log.publish_as("one", &client("one", "bob", "phone"), "a");
    assert_eq!(live.rest().await, [2, 4]);
    let mut scanned = Client::open(&hub, &log, asked.start(Start::Earliest)).await;
    assert_eq!(scanned.rest().await, [2, 4]);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn only_those_whom_it_concerns_are_woken() {
    let (hub, log) = gateway_with_ring(2);
    let mut inbox = Client::open(&hub, &log, on(&["inbox.ann"])).await.0;
    let _busy = Client::open(&hub, &log, on(&["a"])).await;
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(inbox.poll_next_unpin(&mut cx).is_pending());
    for _ in 0..100 {
        log.publish("a");
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    // However much has passed in the ring, it has not lagged: it does not read the store.
    log.fail(usize::MAX);
    log.publish("inbox.ann");
    log.publish("inbox.ann");
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        assert!(matches!(
            inbox.poll_next_unpin(&mut cx),
            Poll::Ready(Some(_))
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_encoded_once_for_all() {
    let (hub, log) = gateway();
    let mut streams = Vec::new();
    for patterns in [["a", "a"], ["*", "b"], [">", "a"]] {
        streams.push(Client::open(&hub, &log, on(&patterns)).await);
    }
    log.publish("a");
    let mut addresses = Vec::new();
    for stream in &mut streams {
        addresses.push(stream.0.next().await.unwrap().as_ptr());
        assert!(stream.rest().await.is_empty(), "it comes once");
    }
    assert_eq!(addresses, [addresses[0]; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_unread_stream_holds_one_batch() {
    let (hub, log) = gateway_with_ring(10_000);
    let mut stream = Client::open(&hub, &log, on(&["a"])).await;
    assert!(stream.event().await.is_none());
    for _ in 0..5_000 {
        log.publish("a");
    }
    assert_eq!(numbers(&stream.next().await), [0]);
    let (held, _) = stream.0.size_hint();
    assert!((1..64).contains(&held), "it holds {held} events");
}

#[tokio::test(start_paused = true)]
async fn two_tabs_close_in_either_order() {
    for first in [0, 1] {
        let (hub, log) = gateway();
        let me = client("", "", "me");
        let mut tabs = Vec::new();
        for _ in 0..2 {
            let asked = on(&["a", "a.*", "a"]).client(&me);
            tabs.push(Client::open(&hub, &log, asked).await);
        }
        drop(tabs.remove(first));
        assert_eq!(hub.streams(), 1);
        let number = log.publish("a");
        assert_eq!(numbers(&tabs[0].next().await), [number]);
        drop(tabs);
        assert!(hub.is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_tells_the_place_of_this_stream() {
    let (hub, log) = gateway();
    let all: Vec<u128> = (0..10).map(|_| log.publish("a")).collect();
    let asked = on(&["a"]).start(Start::Earliest);
    let mut stream = Client::open(&hub, &log, asked.clone()).await;
    let first = stream.next().await;
    assert_eq!(numbers(&first), [0]);
    log.fail(1_000);
    let beat = loop {
        let event = stream.next().await;
        if matches!(event.event, Some(Kind::Heartbeat(_))) {
            break event;
        }
    };
    log.fail(0);
    let sent = Cursor::parse(&beat.cursor).unwrap().place.messages.0;
    assert!(
        (1..10).contains(&sent),
        "it was cut in the middle, at {sent}"
    );
    let mut again = Client::open(&hub, &log, asked.after(&beat.cursor)).await;
    assert_eq!(again.rest().await, all[usize::try_from(sent).unwrap()..]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_of_age() {
    let (hub, log) = gateway();
    let mut stream = Client::open(&hub, &log, on(&["a"])).await;
    let opened = Instant::now();
    let end = loop {
        if let Some(event) = stream.event().await {
            break event;
        }
    };
    let (cause, after) = go_away(&end);
    assert_eq!(cause, proto::go_away::Cause::Age);
    assert!(after <= Duration::from_secs(1));
    let age = opened.elapsed().as_secs();
    assert!((540..=660).contains(&age), "{age} s");
    assert_eq!(stream.0.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_drain_spreads_those_who_come_back() {
    let (hub, log) = gateway();
    log.publish("a");
    let mut streams: Vec<Session> = Vec::new();
    for _ in 0..50 {
        streams.push(Client::open(&hub, &log, on(&["a"])).await.0);
    }
    let waiting = tokio::spawn(async move {
        let mut delays = Vec::new();
        for mut stream in streams {
            delays.push(until_go_away(&mut stream).await);
        }
        delays
    });
    tokio::task::yield_now().await;
    let started = Instant::now();
    hub.drain(Duration::from_secs(10));
    let delays = waiting.await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "they wait for nothing"
    );
    assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(10)));
    let early = delays
        .iter()
        .filter(|delay| **delay < Duration::from_secs(5))
        .count();
    assert!((10..40).contains(&early), "{early} of 50 in the first half");

    let mut late = late(&hub, &log).await;
    until_go_away(&mut late).await;
}

async fn late(hub: &Hub, log: &Arc<Log>) -> Session {
    Client::open(hub, log, on(&["a"]).start(Start::Earliest))
        .await
        .0
}

async fn until_go_away(stream: &mut Session) -> Duration {
    let event = stream.next().await.expect("it is told to go");
    let (cause, after) = go_away(&proto::Event::decode(event).unwrap());
    assert_eq!(cause, proto::go_away::Cause::Draining);
    assert_eq!(stream.next().await, None);
    after
}
