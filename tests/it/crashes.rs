//! The gateway's process is killed, again and again, while clients write and watch: what was told stands, and who was not
//! told sends again.

mod plan;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tidegate_client::Client;
use tidegate_client::proto::event::Event as Kind;
use tidegate_client::proto::{EventsRequest, Packet, Record};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::plan::Plan;
use self::writer::Writer;
use crate::support::{Process, Setup, Trace};

/// More than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

const CLIENTS: usize = 4;
const KILLS: usize = 20;

const HANDLER: &str = "paper";

/// The key of a record that comes after everything else.
const LAST: &str = "the-end";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_3_1_each_packet_is_applied_once_through_twenty_kills() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let shown = timeout(PATIENCE, through_kills(seed)).await;
    println!("SHOWS 3.1 {}", shown.expect("it is done in time"));
}

async fn through_kills(seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let trace = Trace::read("automerge-paper");
    let plan = Arc::new(Plan::of(&trace, HANDLER, CLIENTS, &mut rng));
    let directory = tempfile::tempdir().unwrap();
    // That a log ends torn is no news here.
    let setup = Process::with(&directory.path().join("data")).args(&["--log", "error"]);
    let process = setup.start().await;

    let (runs, gateway) = watch::channel(true);
    let finished = watch::Sender::new(0);
    let connect = || Client::connect(setup.uri());
    let watching = rebuild(connect().await.unwrap(), gateway.clone(), plan.clone());
    let watching = tokio::spawn(watching);
    let mut writers = Vec::new();
    for script in 0..CLIENTS {
        let client = connect().await.unwrap();
        let writer = Writer::new(client, &plan, script, gateway.clone(), finished.clone());
        writers.push(Arc::new(writer));
    }

    let started = Instant::now();
    let writing: Vec<_> = writers
        .iter()
        .cloned()
        .map(|writer| tokio::spawn(async move { writer.write().await }))
        .collect();
    let killed = kill_often(
        &setup,
        process,
        runs,
        finished.subscribe(),
        trace.patches.len(),
        rng,
    );
    let (process, slowest) = killed.await;
    for written in join_all(writing).await {
        written.unwrap();
    }
    let took = started.elapsed();

    let (lost, replayed) = tally(&writers);
    join_all(writers.iter().map(|writer| writer.repeat())).await;
    let client = connect().await.unwrap();
    assert_listed(&client, &plan).await;
    let last = Packet::create(HANDLER).key(LAST).text("that was all");
    client.sync(last).await.unwrap();
    let streams = watching.await.unwrap();
    assert!(process.stop().await.success());

    let (packets, changes) = (trace.patches.len(), plan.changes());
    format!(
        "{packets} packets of {CLIENTS} clients in {:.1} s ({:.0} packets/s) through {KILLS} kills (seed {seed}), the slowest \
         start {} ms: {lost} requests without an answer, {replayed} results told again on the way and all of them once more \
         at the end, the same; {} records as they must be; {changes} changes, each once and in order, for who watched in \
         {streams} streams",
        took.as_secs_f64(),
        packets as f64 / took.as_secs_f64(),
        slowest.as_millis(),
        plan.records().len(),
    )
}

/// At random moments among those in which the packets become final. Gives the last process, and the longest start.
async fn kill_often(
    setup: &Setup,
    mut process: Process,
    runs: watch::Sender<bool>,
    mut finished: watch::Receiver<usize>,
    packets: usize,
    mut rng: StdRng,
) -> (Process, Duration) {
    let mut slowest = Duration::ZERO;
    for kill in 0..KILLS {
        let share = (kill as f64 + rng.random::<f64>()) / KILLS as f64;
        let moment = (share * packets as f64) as usize;
        finished
            .wait_for(|finished| *finished >= moment)
            .await
            .unwrap();
        // Otherwise it would always be just after an answer.
        sleep(Duration::from_micros(rng.random_range(0..10_000))).await;
        runs.send_replace(false);
        process.kill().await;
        let started = Instant::now();
        process = setup.start().await;
        slowest = slowest.max(started.elapsed());
        runs.send_replace(true);
    }
    (process, slowest)
}

/// Follows every change, from the cursor of the last one wherever a stream ends. Gives how many streams it took.
async fn rebuild(client: Client, mut gateway: watch::Receiver<bool>, plan: Arc<Plan>) -> usize {
    let mut versions = HashMap::new();
    let mut request = EventsRequest::on([format!("records.{HANDLER}.>")]).from_earliest();
    for streams in 1.. {
        gateway.wait_for(|runs| *runs).await.unwrap();
        let Ok(mut stream) = client.events(request.clone()).await else {
            continue;
        };
        while let Some(Ok(event)) = stream.next().await {
            match event.event {
                Some(Kind::Connected(connected)) => {
                    assert_eq!(connected.resumed, !request.cursor.is_empty());
                }
                Some(Kind::Heartbeat(_)) => {}
                Some(Kind::Message(message)) => {
                    let record = message.record.unwrap();
                    if record.key == LAST {
                        assert_rebuilt(&versions, &plan);
                        return streams;
                    }
                    let before = versions.insert(record.key.clone(), record.version);
                    assert_eq!(record.version, before.unwrap_or(0) + 1, "{record:?}");
                    assert_planned(&record, &plan);
                }
                other => panic!("{other:?} although everything is kept"),
            }
            request = request.from_cursor(event.cursor);
        }
    }
    unreachable!("the last record comes")
}

fn assert_planned(record: &Record, plan: &Plan) {
    let planned = plan.histories[&record.key].at(record.version);
    let text = (!record.deleted).then_some(record.text.as_str());
    assert_eq!(planned, Some(text), "{record:?}");
}

fn assert_rebuilt(versions: &HashMap<String, u64>, plan: &Plan) {
    let seen: u64 = versions.values().sum();
    assert_eq!(seen, plan.changes() as u64, "every change was seen");
}

async fn assert_listed(client: &Client, plan: &Plan) {
    let mut planned = plan.records();
    let mut page = String::new();
    loop {
        let packet = Packet::list(HANDLER, "").page(1_000, page);
        let result = client.sync(packet).await.unwrap().results.pop().unwrap();
        for record in &result.records {
            let planned = planned.remove(record.key.as_str());
            assert_eq!(planned, Some((record.version, record.text.as_str())));
        }
        page = result.next_page_token;
        if page.is_empty() {
            break;
        }
    }
    assert!(planned.is_empty(), "these are missing: {planned:?}");
}

fn tally(writers: &[Arc<Writer>]) -> (usize, usize) {
    let tallies = writers.iter().map(|writer| &writer.tally);
    let tallies = tallies.map(|tally| (tally.lost(), tally.replayed()));
    tallies.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}
