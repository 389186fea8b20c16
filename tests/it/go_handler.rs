//! The example in Go: what its README says, and documents that are what was written, whatever happens to the calls.

mod writer;

use std::sync::Arc;
use std::time::Duration;

use tidegate::wire::proto::{Action, HandleItem, Outcome, Principal, Reason};
use tidegate_client::proto::{BatchRequest, Packet};
use tokio::time::{Instant, timeout};

use self::writer::{Tally, Writer};
use crate::support::{
    Example, Faults, Gateway, Ids, Line, Process, Running, Trace, gateway, until_final,
};

/// More than the longest of these needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// As the gateway knows it.
const NAME: &str = "papers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_4_1_documents_are_what_was_written_whatever_happens_to_the_calls() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut setting = Setting::new("automerge-paper", 1_000, seed, Ids::Kept).await;
    let started = Instant::now();
    let written = timeout(PATIENCE, Box::pin(setting.write()));
    let (tallies, texts) = written.await.expect("it is done in time");
    let took = started.elapsed().as_secs_f64();

    let Setting { trace, faults, .. } = &setting;
    let packets = trace.patches.len();
    for (tally, text) in tallies.iter().zip(&texts) {
        assert_eq!((tally.ok, tally.not), (packets, 0), "{:?}", tally.refused);
        assert!(text == trace.end(), "a text is not what was written");
    }
    let again: usize = tallies.iter().map(|tally| tally.again).sum();
    println!(
        "SHOWS 4.1 two documents of {packets} packets ({}) by two clients with the same req_ids, in {took:.1} s ({:.0} packets/s) \
         through {}, and the handler killed once (seed {seed}): both are the final text, each packet got one final OK ({again} \
         were sent again after that, and told the same)",
        trace.name,
        2.0 * packets as f64 / took,
        faults.told(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_another_where_items_come_again_under_other_ids() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut setting = Setting::new("sveltecomponent", 250, seed, Ids::New).await;
    let written = timeout(PATIENCE, Box::pin(setting.write()));
    let (_, texts) = written.await.expect("it is done in time");
    assert!(texts.iter().all(|text| text != setting.trace.end()));
}

/// Two clients that write a document through a gateway and a bad network to the example.
struct Setting {
    trace: Arc<Trace>,
    example: Example,
    process: Option<Process>,
    faults: Arc<Faults>,
    gateway: Gateway,
    /// What is between the gateway and the example.
    _between: Running,
}

impl Setting {
    async fn new(trace: &'static str, batch: usize, seed: u64, ids: Ids) -> Self {
        let example = Example::go();
        let process = example.start().await;
        let faults = Faults::new(seed, example.calls(), ids);
        let service = faults.service();
        let between = service.begin();
        let line = Line::to(&service).await;
        let config = format!(
            "[handlers.{NAME}]\n\
             kind = \"grpc\"\n\
             addresses = [{:?}]\n\
             call_timeout = \"1s\"\n\
             batch = {{ max_packets = {batch} }}\n\
             retry = {{ initial = \"5ms\", max = \"100ms\" }}\n",
            line.uri(),
        );
        faults.cut_with(line);
        Self {
            trace: Arc::new(Trace::read(trace)),
            example,
            process: Some(process),
            faults,
            gateway: gateway().config(&config).start().await,
            _between: between,
        }
    }

    /// What became of each client's packets, and the texts in the end.
    async fn write(&mut self) -> ([Tally; 2], Vec<String>) {
        // A third of the calls that it takes at least.
        let crash_at = self.trace.patches.len() / 1_500;
        let writing = ["desk", "phone"].map(|client_id| {
            let trace = self.trace.clone();
            let client = self.gateway.client();
            async move { Writer::new(client.await, client_id, trace).write().await }
        });
        let [desk, phone] = writing;
        let crashing = async {
            self.faults.forwarded(crash_at).await;
            let running = self.process.take().expect("it runs");
            running.kill().await;
            self.process = Some(self.example.start().await);
        };
        let (desk, phone, ()) = tokio::join!(desk, phone, crashing);
        self.faults.end().await;

        let client = self.gateway.client().await;
        let reads = ["desk", "phone"].map(|key| Packet::read(NAME, key));
        let read = until_final(&client, BatchRequest::of(reads)).await;
        let texts = read.into_iter().map(|mut result| result.text.remove(0));
        ([desk, phone], texts.collect())
    }
}

#[tokio::test]
async fn the_example_in_go_does_what_it_says() {
    let example = Example::go();
    let mut process = example.start().await;
    assert!(example.is_healthy().await);

    assert_eq!(text(&example).await, "");
    let first = update(
        "1",
        &["[0, 0, \"grüße\"]", "[5, 0, \"!\"]", "[2, 2, \"u\"]"],
    );
    assert_eq!(example.outcomes([first.clone()]).await, [Outcome::Ok]);
    assert_eq!(text(&example).await, "grue!");

    // The answer was lost, and so was the process.
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.outcomes([first]).await, [Outcome::Ok]);
    assert_eq!(text(&example).await, "grue!");

    // An edit is done as a whole or not at all, and what follows it goes on.
    let misfit = update("2", &["[0, 5, \"\"]", "[0, 1, \"\"]"]);
    let no_edit = update("3", &["{}"]);
    let next = update("4", &["[5, 0, \"?\"]"]);
    let results = example.handle([misfit.clone(), no_edit, next]).await;
    for refused in &results[..2] {
        assert_eq!(
            (refused.outcome(), refused.reason()),
            (Outcome::Rejected, Reason::InvalidData)
        );
    }
    assert_eq!(results[2].outcome(), Outcome::Ok);
    assert_eq!(text(&example).await, "grue!?");

    // That answer was lost as well: what was refused is refused again, although it fits by now.
    process.kill().await;
    process = example.start().await;
    let again = example.handle([misfit]).await.remove(0);
    assert_eq!(again, results[0]);
    assert_eq!(text(&example).await, "grue!?");

    // From before its domain had another owner; another chain, in a domain of its own, goes on.
    let late = HandleItem {
        term: TERM - 1,
        ..update("5", &["[0, 0, \"x\"]"])
    };
    let behind = update("6", &["[0, 0, \"x\"]"]);
    let elsewhere = HandleItem {
        chain: 2,
        domain: 2,
        term: TERM - 1,
        ..update("7", &["[6, 0, \"…\"]"])
    };
    assert_eq!(
        example.outcomes([late.clone(), behind, elsewhere]).await,
        [Outcome::Retry, Outcome::Retry, Outcome::Ok]
    );
    process.kill().await;
    process = example.start().await;
    assert_eq!(example.outcomes([late]).await, [Outcome::Retry]);
    assert_eq!(text(&example).await, "grue!?…");

    // The same key in another tenant is another document, and there is nothing but edits and reads.
    let other = of("other", "note", update("8", &["[0, 0, \"x\"]"]));
    let delete = HandleItem {
        action: Action::Delete.into(),
        ..update("9", &[])
    };
    let results = example.handle([other, delete]).await;
    assert_eq!(results[0].outcome(), Outcome::Ok);
    assert_eq!(results[1].reason(), Reason::UnsupportedAction);
    assert_eq!(text(&example).await, "grue!?…");
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn names_of_two_tenants_are_two_in_go_however_they_are_written() {
    let example = Example::go();
    let _process = example.start().await;
    // However it joins them, with the handler's name between them or without.
    let between = ["/", " ", "\" \"", "\0"].map(|joint| {
        let handler = format!("{joint}example{joint}");
        [joint.to_owned(), handler]
    });
    let names: Vec<_> = between
        .as_flattened()
        .iter()
        .flat_map(|joint| {
            let (tenant, key) = (format!("a{joint}b"), format!("b{joint}c"));
            [("a".into(), key), (tenant, "c".into())]
        })
        .collect();
    for (number, (tenant, key)) in names.iter().enumerate() {
        let item = HandleItem {
            data: vec![format!("[0, 0, \"{number}\"]").into()],
            ..update(&number.to_string(), &[])
        };
        let item = of(tenant, key, item);
        assert_eq!(example.outcomes([item]).await, [Outcome::Ok]);
    }
    for (number, (tenant, key)) in names.iter().enumerate() {
        let read = of(tenant, key, read());
        let text = example.handle([read]).await.remove(0).text.remove(0);
        assert_eq!(text, number.to_string(), "{key:?} of {tenant:?}");
    }
}

#[tokio::test]
async fn the_example_in_go_does_nothing_that_nobody_waits_for() {
    let example = Example::go();
    let _process = example.start().await;
    let long = format!("[0, 0, \"{}\"]", "x".repeat(LONG));
    let first = HandleItem {
        data: vec![long.into()],
        ..update("1", &[])
    };
    assert_eq!(example.outcomes([first]).await, [Outcome::Ok]);

    // Each of these moves the whole text: some seconds' work.
    example
        .in_vain(update("2", &["[0, 0, \"y\"]"; 10_000]))
        .await;
    // Batches are done one after the other.
    let next = update("3", &["[0, 0, \"z\"]"]);
    assert_eq!(example.outcomes([next]).await, [Outcome::Ok]);
    let text = text(&example).await;
    assert!(
        text.len() == LONG + 1 && text.starts_with("zx"),
        "{text:.9}"
    );
}

/// Characters that are much to move, and less than a call's 4 MiB.
const LONG: usize = 1_000_000;

/// Of the owner that its domains have.
const TERM: u64 = 7;

fn update(id: &str, patches: &[&'static str]) -> HandleItem {
    HandleItem {
        id: id.into(),
        chain: 1,
        action: Action::Update.into(),
        key: "note".into(),
        data: patches.iter().map(|patch| (*patch).into()).collect(),
        domain: 1,
        term: TERM,
        ..HandleItem::default()
    }
}

fn read() -> HandleItem {
    HandleItem {
        action: Action::Read.into(),
        domain: 0,
        term: 0,
        ..update("", &[])
    }
}

/// The same, of this tenant's document.
fn of(tenant: &str, key: &str, item: HandleItem) -> HandleItem {
    HandleItem {
        key: key.into(),
        principal: Some(Principal {
            tenant: tenant.into(),
            ..Principal::default()
        }),
        ..item
    }
}

async fn text(example: &Example) -> String {
    example.handle([read()]).await.remove(0).text.remove(0)
}
