//! What a durable handler promises its clients, through the whole gateway.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tidegate::broker::{self, Ack, Request, Settings};
use tidegate::events::{Hub, StreamSettings};
use tidegate::handler::{
    Batch, CallError, Handled, Handler, HandlerSettings, ItemId, Registry, Unlisted,
};
use tidegate::store::memory::{Keep, Memory};
use tidegate::store::{EntryKind, Position, ScanLimit, Store};
use tidegate::types::{Action, Answer, ClientKey, Content, Principal, Reason as Why};
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{
    BatchRequest, BatchResponse, EventsRequest, Outcome, Packet, PacketResult, Reason,
    ResultsRequest,
};
use tidegate_client::{Client, EventStream};
use tokio::sync::Semaphore;

use crate::support::{Gateway, custom, echo, event, gateway, small, text, watch};

/// A handler that does its work when it is let, and says RETRY as often as it is told.
#[derive(Debug, Clone)]
struct Works(Arc<Shop>);

#[derive(Debug)]
struct Shop {
    /// One for each call.
    let_in: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Vec<(ItemId, String)>>,
    refuse: usize,
    panic: usize,
}

impl Works {
    /// Works at once.
    fn open() -> Self {
        Self::with(Semaphore::MAX_PERMITS)
    }

    fn closed() -> Self {
        Self::with(0)
    }

    fn with(permits: usize) -> Self {
        Self(Arc::new(Shop {
            let_in: Semaphore::new(permits),
            state: Mutex::default(),
        }))
    }

    fn calls(&self) -> Vec<Vec<(ItemId, String)>> {
        self.0.state.lock().calls.clone()
    }

    fn texts(&self) -> Vec<String> {
        let calls = self.calls();
        calls.into_iter().flatten().map(|(_, text)| text).collect()
    }
}

impl Handler for Works {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        Box::pin(async move {
            let items = batch.items.iter().map(|item| (item.id, text(item)));
            self.0.state.lock().calls.push(items.collect());
            self.0.let_in.acquire().await.unwrap().forget();
            let mut state = self.0.state.lock();
            if state.panic > 0 {
                state.panic -= 1;
                drop(state);
                panic!("as the test told it");
            }
            if state.refuse > 0 {
                state.refuse -= 1;
                let refused = |item: &tidegate::handler::Item| {
                    let later = Answer::retry(Why::HandlerUnavailable, "later");
                    Handled::new(item.id, later)
                };
                return Ok(batch.items.iter().map(refused).collect());
            }
            Ok(batch.items.iter().map(echo).collect())
        })
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

fn durable(settings: &mut HandlerSettings) {
    settings.durable = true;
}

async fn start(works: &Works) -> Gateway {
    let builder = gateway().handler_with("jobs", works.clone(), durable);
    builder.start().await
}

fn job(seq: u64) -> Packet {
    let packet = Packet::create("jobs").text(format!("job {seq}"));
    packet.req_id(format!("r{seq}")).seq(seq)
}

fn of(packets: impl IntoIterator<Item = Packet>) -> BatchRequest {
    BatchRequest::of(packets).client_id("c")
}

fn outcomes(answer: &BatchResponse) -> Vec<Outcome> {
    let results = answer.results.iter();
    results.map(PacketResult::outcome).collect()
}

/// The next results of a stream.
async fn results(stream: &mut EventStream) -> Vec<PacketResult> {
    loop {
        match event(stream).await.event {
            Some(Kind::Results(results)) => return results.results,
            Some(Kind::Heartbeat(_) | Kind::Connected(_)) => {}
            other => panic!("{other:?} in a stream that was to bring results"),
        }
    }
}

async fn until_called(works: &Works, times: usize) {
    while works.calls().len() < times {
        tokio::task::yield_now().await;
    }
}

async fn stream(client: &Client) -> EventStream {
    let request = EventsRequest::default().client_id("c");
    watch(client, request).await
}

#[tokio::test]
async fn shows_3_5_what_was_accepted_is_told_on_events_and_again_to_who_asks() {
    let works = Works::open();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let answer = client
        .sync(of((1..=3).map(job)).until_accepted())
        .await
        .unwrap();
    for outcome in outcomes(&answer) {
        assert!(matches!(outcome, Outcome::Accepted | Outcome::Ok));
    }
    let mut told = Vec::new();
    let mut events = stream(&client).await;
    while told.len() < 3 {
        told.extend(results(&mut events).await);
    }
    let seqs: Vec<_> = told
        .iter()
        .map(|result| (result.seq, result.outcome()))
        .collect();
    assert_eq!(seqs, [1, 2, 3].map(|seq| (seq, Outcome::Ok)));
    assert_eq!((&*told[0].text[0], &*told[0].req_id), ("job 1", "r1"));

    let again = client.sync(of((1..=3).map(job))).await.unwrap();
    assert!(again.results.iter().all(|result| result.replayed));
    assert_eq!(outcomes(&again), [Outcome::Ok; 3]);
    let reused = client.sync(of([job(2).text("other")])).await.unwrap();
    assert_eq!(reused.results[0].reason(), Reason::ReqIdReused);
    let ahead = client.sync(of([job(9)])).await.unwrap();
    assert_eq!(
        (ahead.results[0].reason(), ahead.results[0].next_seq),
        (Reason::EarlierMissing, 4)
    );
    let settled = client
        .sync(of([job(2), job(3)]).settle("jobs", 2))
        .await
        .unwrap();
    assert_eq!(outcomes(&settled), [Outcome::Forgotten, Outcome::Ok]);
    assert_eq!(
        works.texts(),
        ["job 1", "job 2", "job 3"],
        "each was applied once"
    );
    println!(
        "SHOWS 3.5 accepted, told on Events, replayed, reused, ahead, forgotten: 3 jobs called once each"
    );
}

#[tokio::test]
async fn shows_3_5_a_repeat_joins_what_is_under_way() {
    let works = Works::closed();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let accepted = client.sync(of([job(1)]).until_accepted()).await.unwrap();
    assert_eq!(outcomes(&accepted), [Outcome::Accepted]);
    let joined = tokio::spawn({
        let client = gateway.client().await;
        async move { client.sync(of([job(1)])).await.unwrap() }
    });
    let again = client.sync(of([job(1)]).until_accepted()).await.unwrap();
    assert_eq!(outcomes(&again), [Outcome::Accepted]);
    let open = client
        .results(ResultsRequest {
            client_id: "c".into(),
            handler: "jobs".into(),
            ..ResultsRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(open.results[0].outcome(), Outcome::Accepted);
    until_called(&works, 1).await;
    works.0.let_in.add_permits(1);
    let told = joined.await.unwrap();
    assert_eq!(
        (outcomes(&told), works.calls().len()),
        (vec![Outcome::Ok], 1)
    );
    println!("SHOWS 3.5 a repeat of an accepted packet waits for its one result: 1 call");
}

#[tokio::test]
async fn what_is_taken_is_called_until_it_is_done_under_one_id() {
    let works = Works::open();
    {
        let mut state = works.0.state.lock();
        (state.refuse, state.panic) = (1, 1);
    }
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let answer = client.sync(of([job(1), job(2)])).await.unwrap();
    assert_eq!(outcomes(&answer), [Outcome::Ok; 2]);
    let calls = works.calls();
    // What panicked is called again in halves; the first one is refused, and what is behind it waits with it.
    let sizes: Vec<_> = calls.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 2], "{calls:?}");
    let known = |id| calls[0].contains(id);
    assert!(calls.iter().flatten().all(known), "{calls:?}");
}

#[tokio::test]
async fn what_is_not_done_when_the_wait_ends_is_accepted_and_comes_on_events() {
    let works = Works::closed();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let request = of([job(1), job(2)]).wait(Duration::from_millis(100));
    let answer = client.sync(request).await.unwrap();
    assert_eq!(outcomes(&answer), [Outcome::Accepted; 2]);
    let mut events = stream(&client).await;
    works.0.let_in.add_permits(10);
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(results(&mut events).await);
    }
    assert!(told.iter().all(|result| result.outcome() == Outcome::Ok));
}

/// Below the wire: there a call that was given up is gone at once.
#[tokio::test]
async fn who_hangs_up_gets_it_on_events() {
    let works = Works::closed();
    let mut settings = custom("jobs", works.clone());
    durable(&mut settings);
    let registry = Registry::new(vec![settings.clone()], settings, Unlisted::AreUnknown);
    let hub = Hub::new(StreamSettings {
        node: "here".into(),
        heartbeat: Duration::from_secs(15),
        age: Duration::from_secs(600),
        ring_entries: 16,
        ring_bytes: 1 << 16,
    });
    let store: Arc<dyn Store> = Arc::new(Memory::new(Keep::default(), Arc::new(hub)));
    let (broker, worker) = broker::build(Arc::new(registry), store.clone(), Settings::default());
    let working = tokio::spawn(worker.run());
    let client = Arc::new(ClientKey {
        tenant: "".into(),
        subject: "".into(),
        client_id: "c".into(),
    });
    let request = Request {
        principal: Arc::new(Principal::default()),
        client: Some(client.clone()),
        ack: Ack::Applied,
        wait: Duration::from_secs(3600),
        settled: Vec::new(),
        packets: vec![Arc::new(small("jobs", "job 1"))],
        size: 0,
    };
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { broker.sync(request).await }
    });
    until_called(&works, 1).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    works.0.let_in.add_permits(1);
    let all = ScanLimit {
        items: 10,
        bytes: 1 << 20,
    };
    let told = loop {
        let page = store.results(&client, Position(0), all).await.unwrap();
        if let Some(entry) = page.entries.into_iter().next() {
            break entry.kind;
        }
        tokio::task::yield_now().await;
    };
    let EntryKind::Result(result) = told else {
        panic!("{told:?} is no result");
    };
    assert_eq!(&*result.req_id, "job 1");
    drop(broker);
    working.await.unwrap();
}

#[tokio::test]
async fn packets_without_a_place_are_taken_by_their_req_id() {
    let works = Works::open();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let packet = |req_id: &str| Packet::create("jobs").text("once").req_id(req_id);
    for _ in 0..2 {
        let answer = client.sync(of([packet("x")])).await.unwrap();
        assert_eq!(outcomes(&answer), [Outcome::Ok]);
    }
    assert_eq!(works.calls().len(), 1);
    let alone = client.sync(BatchRequest::of([packet("")])).await.unwrap();
    assert_eq!(outcomes(&alone), [Outcome::Ok]);
    let asked = ResultsRequest {
        client_id: "c".into(),
        req_ids: vec!["y".into(), "x".into()],
        ..ResultsRequest::default()
    };
    let kept = client.results(asked).await.unwrap().results;
    assert_eq!(
        (kept.len(), &*kept[0].req_id, &*kept[0].text[0]),
        (1, "x", "once")
    );
}

#[tokio::test]
async fn kept_results_are_asked_for_from_a_place_on_as_many_as_fit() {
    let works = Works::open();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let large = |seq| job(seq).data(vec![b'x'; 900_000]);
    for seq in 1..=5 {
        let packet = Packet {
            text: Vec::new(),
            ..large(seq)
        };
        let answer = client.sync(of([packet])).await.unwrap();
        assert_eq!(outcomes(&answer), [Outcome::Ok]);
    }
    let asked = |from_seq| ResultsRequest {
        client_id: "c".into(),
        handler: "jobs".into(),
        from_seq,
        ..ResultsRequest::default()
    };
    let seqs = async |from| {
        let results = client.results(asked(from)).await.unwrap().results;
        results.iter().map(|result| result.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0).await, [1, 2, 3, 4]);
    assert_eq!(seqs(5).await, [5]);
    assert_eq!(seqs(6).await, [0; 0]);
    let nobody = ResultsRequest {
        client_id: "d".into(),
        ..asked(1)
    };
    assert!(client.results(nobody).await.unwrap().results.is_empty());
    let wrong = [
        ResultsRequest::default(),
        ResultsRequest {
            handler: String::new(),
            ..asked(1)
        },
        ResultsRequest {
            handler: "no such/name".into(),
            ..asked(1)
        },
    ];
    for asked in wrong {
        let error = client.results(asked).await.unwrap_err();
        assert_eq!(error.code(), Some(tonic::Code::InvalidArgument));
    }
    let many = ResultsRequest {
        req_ids: vec!["x".into(); 10_001],
        ..asked(0)
    };
    let error = client.results(many).await.unwrap_err();
    assert_eq!(error.code(), Some(tonic::Code::ResourceExhausted));
}

#[tokio::test]
async fn a_result_that_did_not_fit_its_answer_comes_on_events() {
    let works = Works::open();
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let mut events = stream(&client).await;
    // Together they are over 3.5 MiB, but each request is under 4 MiB.
    let large = (1..=4).map(|seq| Packet {
        text: Vec::new(),
        ..job(seq).data(vec![b'x'; 950_000])
    });
    let answer = client.sync(of(large)).await.unwrap();
    let expected = [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Accepted];
    assert_eq!(outcomes(&answer), expected);
    assert_eq!(answer.results[3].reason(), Reason::ResponseTooLarge);
    let told = results(&mut events).await;
    assert_eq!((told[0].seq, told[0].data[0].len()), (4, 950_000));
}

#[tokio::test]
async fn echo_is_durable_where_the_configuration_says_so() {
    let config = "[handlers.echo]\nkind = \"echo\"\ndurable = true\n";
    let gateway = gateway().config(config).start().await;
    let client = gateway.client().await;
    let packet = || Packet::create("echo").text("hello").seq(1);
    for replayed in [false, true] {
        let answer = client.sync(of([packet()])).await.unwrap();
        let told = &answer.results[0];
        assert_eq!((told.outcome(), told.replayed), (Outcome::Ok, replayed));
        assert_eq!(told.text, ["hello"]);
    }
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_leaves_what_waits_to_be_called_again_where_it_is() {
    let works = Works::open();
    works.0.state.lock().refuse = usize::MAX;
    let gateway = start(&works).await;
    let client = gateway.client().await;
    let answer = client.sync(of([job(1)]).until_accepted()).await.unwrap();
    assert_eq!(outcomes(&answer), [Outcome::Accepted]);
    until_called(&works, 1).await;
    gateway.stop().await.unwrap();
}

/// Answers with two megabytes, whatever it is asked.
#[derive(Debug)]
struct Talks;

impl Handler for Talks {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        let large = |item: &tidegate::handler::Item| {
            let content = Content::text("x".repeat(2 << 20));
            let answer = Answer {
                content,
                ..Answer::ok()
            };
            Handled::new(item.id, answer)
        };
        let answers = batch.items.iter().map(large).collect();
        Box::pin(async move { Ok(answers) })
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

#[tokio::test]
async fn a_result_beyond_a_mebibyte_comes_as_ok_without_content() {
    let builder = gateway().handler("passing", Talks);
    let gateway = builder
        .handler_with("durable", Talks, durable)
        .start()
        .await;
    let client = gateway.client().await;
    for handler in ["passing", "durable"] {
        let packet = Packet::create(handler).text("talk").req_id("r").seq(1);
        let read = Packet::read(handler, "k");
        let answer = client.sync(of([packet, read])).await.unwrap();
        for result in &answer.results {
            assert_eq!(result.outcome(), Outcome::Ok);
            assert_eq!(result.reason(), Reason::TooLarge);
            assert!(result.text.is_empty() && result.message.contains("1048576"));
        }
    }
}
