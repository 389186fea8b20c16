//! Ten minutes of durable packets on one gateway, with so little kept that everything is removed again meanwhile: it gets no
//! slower, and takes no more memory or disk. `make soak` runs all of it; the other tests run ten seconds of it. (What it is
//! told by does not begin with `TIDEGATE_`: that is the gateway's configuration.)

use std::path::Path;
use std::time::Duration;

use tidegate::cli::bench::durable::load::{Load, Shape};
use tidegate_client::Client;
use tidegate_client::proto::{BatchRequest, Outcome, Packet};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::support::Process;

/// So that what is kept is removed within seconds.
const CONFIG: &str = r#"
[store]
messages = "8MiB"
results = "4MiB"

[handlers.echo]
kind = "echo"
durable = true
"#;

/// How much, and how long.
struct Plan {
    /// The whole of it, or the ten seconds that say nothing about time.
    whole: bool,
    /// Each has a p99 of its own.
    periods: u32,
    period: Duration,
    /// How often each of the four clients sends 1000 packets.
    every: Duration,
}

impl Plan {
    fn from_environment() -> Self {
        let Ok(minutes) = std::env::var("SOAK_MINUTES") else {
            return Self {
                whole: false,
                periods: 10,
                period: Duration::from_secs(1),
                every: Duration::from_millis(500),
            };
        };
        let periods = minutes
            .parse()
            .expect("SOAK_MINUTES is a number of minutes");
        assert!(periods >= 2, "SOAK_MINUTES is at least 2 minutes");
        Self {
            whole: true,
            periods,
            period: Duration::from_secs(60),
            // 40 000 packets a second: 24 million in ten minutes.
            every: Duration::from_millis(100),
        }
    }

    fn seconds(&self) -> f64 {
        (self.period * self.periods).as_secs_f64()
    }
}

/// What the gateway takes, at one moment.
#[derive(Debug, Clone, Copy)]
struct Taken {
    resident: u64,
    disk: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_3_8_a_soak_gets_no_slower_and_no_larger() {
    let plan = Plan::from_environment();
    // A real disk, and not what some systems have under /tmp.
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut setup = Process::with(data.path()).config(CONFIG);
    if let Ok(program) = std::env::var("SOAK_PROGRAM") {
        setup = setup.program(program);
    }
    let gateway = setup.start().await;
    let mut load = Load::start(&gateway.uri(), &busy(&plan)).await.unwrap();
    let mut hoarder = Load::start(&gateway.uri(), &hoarder()).await.unwrap();
    let publisher = publish(Client::connect(gateway.uri()).await.unwrap());

    let start = Instant::now();
    let (mut p99, mut taken) = (Vec::new(), Vec::new());
    for period in 1..=plan.periods {
        // Forty samples a period, so that what comes and goes with the log's segments is evened out.
        for sample in 1..=40 {
            let passed = plan.period * (period - 1) + plan.period * sample / 40;
            tokio::select! {
                fault = load.failed() => panic!("in period {period}: {fault}"),
                fault = hoarder.failed() => panic!("in period {period}: {fault}"),
                () = sleep_until(start + passed) => {}
            }
            assert!(!publisher.is_finished(), "publishing failed");
            taken.push(Taken {
                resident: gateway.memory().resident,
                disk: disk(data.path()),
            });
        }
        let latencies = load.tally.take_latencies();
        p99.push(latencies.value_at_quantile(0.99) as f64 / 1e6);
        let last = taken.last().unwrap();
        assert!(last.resident > 0 && last.disk > 0, "both were measured");
        eprintln!(
            "{period}/{}: p99 {:.1} ms, {} MiB resident, {} MiB on disk, {} packets",
            plan.periods,
            p99.last().unwrap(),
            last.resident >> 20,
            last.disk >> 20,
            load.tally.results(),
        );
    }
    publisher.abort();
    // Ends only when every packet has had its one result.
    let packets = load.stop().await.unwrap() + hoarder.stop().await.unwrap();
    assert!(gateway.stop().await.success());

    let (third, last) = (quarter(&taken, 2), quarter(&taken, 3));
    let memory = growth(&third, &last, |taken| taken.resident);
    let disk = growth(&third, &last, |taken| taken.disk);
    p99.sort_by(f64::total_cmp);
    let (median, worst) = (p99[p99.len() / 2], p99[p99.len() - 1]);
    let largest = last.iter().map(|taken| taken.disk).max().unwrap();
    // Messages, results, the log that is not yet in the parts, and as much again while parts are written anew.
    assert!(largest < 128 << 20, "retention bites: {largest} bytes");
    assert!(packets > 0);
    if plan.whole {
        assert!(worst <= 3.0 * median, "p99 {worst} ms against {median} ms");
        assert!((0.9..1.1).contains(&memory), "memory {memory:.3}");
        assert!((0.9..1.1).contains(&disk), "disk {disk:.3}");
        assert!(packets as f64 >= 20e6 / 600.0 * plan.seconds(), "{packets}");
    }
    println!(
        "SHOWS 3.8 {packets} packets taken, run and settled in {:.0} s{}: p99 of the worst {} s {worst:.1} ms against {median:.1} in the median; last quarter by the third: memory {memory:.3} (of {} MiB), disk {disk:.3} (of {} MiB)",
        plan.seconds(),
        if plan.whole {
            ""
        } else {
            " (the whole is `make soak`)"
        },
        plan.period.as_secs(),
        mean(&third, |taken| taken.resident) as u64 >> 20,
        mean(&third, |taken| taken.disk) as u64 >> 20,
    );
}

fn busy(plan: &Plan) -> Shape {
    Shape {
        name: "soak".to_owned(),
        clients: 4,
        packets_per_call: 1000,
        unfinished: 500,
        settles: true,
        every: Some(plan.every),
    }
}

/// Never says what it is done with: its results are kept, until there are too many.
fn hoarder() -> Shape {
    Shape {
        name: "hoarder".to_owned(),
        clients: 1,
        packets_per_call: 500,
        unfinished: 0,
        settles: false,
        every: Some(Duration::from_millis(100)),
    }
}

/// A megabyte of messages a second.
fn publish(client: Client) -> JoinHandle<()> {
    tokio::spawn(async move {
        let packet = Packet::publish("soak.news").data(vec![b'm'; 1000]);
        let request = BatchRequest::of(std::iter::repeat_n(packet, 100));
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let response = client.sync(request.clone()).await.unwrap();
            for result in response.results {
                assert_eq!(result.outcome(), Outcome::Ok, "{result:?}");
            }
        }
    })
}

/// The nth, from 0.
fn quarter(taken: &[Taken], number: usize) -> Vec<Taken> {
    let length = taken.len() / 4;
    taken[number * length..(number + 1) * length].to_vec()
}

fn mean(taken: &[Taken], of: impl Fn(&Taken) -> u64) -> f64 {
    taken.iter().map(|taken| of(taken) as f64).sum::<f64>() / taken.len() as f64
}

fn growth(before: &[Taken], after: &[Taken], of: impl Fn(&Taken) -> u64) -> f64 {
    mean(after, &of) / mean(before, &of)
}

/// As `du` counts: blocks, not lengths.
fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.map(|entry| {
        // What is removed meanwhile takes nothing.
        let Some((path, meta)) = entry
            .ok()
            .and_then(|entry| Some((entry.path(), entry.metadata().ok()?)))
        else {
            return 0;
        };
        match meta.is_dir() {
            true => disk(&path),
            false => meta.blocks() * 512,
        }
    });
    sizes.sum()
}
