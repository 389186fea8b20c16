//! `tidegate bench durable`: the whole life of durable packets, against the floor, and beside NATS JetStream where a
//! `nats-server` is there.
//!
//! Floor, gateway and both ways of JetStream take turns in one run. The gateway's turns go to one store, which is older with
//! each of them; JetStream's get an empty directory each.

mod jetstream;
mod ledger;
pub mod load;
mod nats;
mod report;
mod usage;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use self::jetstream::Way;
use self::load::{Load, Shape};
use self::report::Report;
use self::usage::{Usage, Whose};
use super::servers::Servers;
use super::{Error, Fault, Server, Times, calls, judged, runtime, seconds, write_json};

pub(super) use self::usage::LOAD_THREADS;

/// The whole life of durable packets: accepted, run, each result received on a stream, settled
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long the gateway is measured, all rounds together; the others get a quarter of that, at most 5 s a turn
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    seconds: f64,
    /// How often each has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where the stores are, each removed at the end [default: target, where there is one, else here]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// A nats-server to measure beside it, at least 2.15 [default: from PATH or target/tools/bin, where there is one]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Writes every figure to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Ends with 1 when a target is missed; otherwise only a wrong answer does
    #[arg(long)]
    strict: bool,
}

/// Four clients, each with one call being taken while the last results of the one before come: of four subjects each may hold
/// 2000 packets of the lane, and what has a result may be counted in it for a moment longer.
const CLIENTS: usize = 4;
pub(super) const PACKETS_PER_CALL: usize = 1000;
const UNFINISHED: u64 = 500;

/// The others' turns are not longer.
const LONGEST_TURN: Duration = Duration::from_secs(5);

/// What one turn came to.
#[derive(Debug)]
pub(super) struct Turn {
    packets_per_second: f64,
    packets: u64,
    /// Of the server, while that many packets went through. `None` where nobody counts.
    usage: Option<Usage>,
    /// Calls that the gateway had no room for.
    refused: u64,
    /// From send to result, where there is a result.
    latencies: Option<Histogram<u64>>,
}

/// The turns of one round.
#[derive(Debug)]
struct Round {
    floor: Turn,
    gateway: Turn,
    batches: Option<Turn>,
    windowed: Option<Turn>,
}

/// Who has turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Floor,
    Gateway,
    Batches,
    Windowed,
}

impl Contender {
    const ALL: [Self; 4] = [Self::Floor, Self::Gateway, Self::Batches, Self::Windowed];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor, 1000 per call",
            Self::Gateway => "gateway, durable",
            Self::Batches => "JetStream, atomic batches, always synced",
            Self::Windowed => "JetStream, windowed, as it comes",
        }
    }
}

impl Round {
    /// `None`: it was not there.
    fn turn(&self, contender: Contender) -> Option<&Turn> {
        match contender {
            Contender::Floor => Some(&self.floor),
            Contender::Gateway => Some(&self.gateway),
            Contender::Batches => self.batches.as_ref(),
            Contender::Windowed => self.windowed.as_ref(),
        }
    }
}

/// Measures, prints the table to standard output and the progress to standard error. It makes runtimes of its own.
pub(super) fn run(args: &Args) -> Result<(), Error> {
    let report = measure(args, &mut io::stderr())?;
    report.print(&mut io::stdout().lock())?;
    if let Some(path) = &args.json {
        write_json(path, &report.json())?;
    }
    judged(report.missed(), args.strict)
}

fn measure(args: &Args, progress: &mut dyn Write) -> Result<Report, Error> {
    super::warn_of_debug(progress)?;
    let folder = Folder::make(args.path.as_deref())?;
    let nats = jetstream::find(args.nats_server.as_deref());
    if nats.is_none() {
        let hint = "no nats-server of 2.15 or later is here (`--nats-server` names one; in a clone, `make tools` installs one): measured without JetStream";
        writeln!(progress, "{hint}")?;
    }
    let servers_runtime = runtime("bench-server")?;
    let load_runtime = runtime(LOAD_THREADS)?;
    let store = folder.0.join("store");
    let servers = servers_runtime.block_on(Servers::start_durable(&store))?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let round = round(
            args,
            number,
            &load_runtime,
            &servers,
            nats.as_deref(),
            &folder.0,
        )?;
        writeln!(progress, "{number}/{} {}", args.rounds, round.progress())?;
        rounds.push(round);
    }
    drop(load_runtime);
    servers_runtime.block_on(servers.stop());
    Ok(Report::new(&rounds, args, &folder.0))
}

fn round(
    args: &Args,
    number: u32,
    load: &Runtime,
    servers: &Servers,
    nats: Option<&Path>,
    folder: &Path,
) -> Result<Round, Error> {
    let long = Duration::from_secs_f64(args.seconds / f64::from(args.rounds));
    let short = (long / 4).min(LONGEST_TURN);
    let jetstream = |way, name| {
        let turn = |program| load.block_on(jetstream::turn(program, folder, way, times(short)));
        let turn = nats.map(turn).transpose();
        turn.map_err(|fault| failed("JetStream", name, fault))
    };
    Ok(Round {
        floor: load
            .block_on(floor(servers.uri(Server::Floor), times(short)))
            .map_err(|fault| failed("floor", "1000 packets per call", fault))?,
        gateway: load
            .block_on(gateway(servers.uri(Server::Gateway), number, times(long)))
            .map_err(|fault| failed("gateway", "durable", fault))?,
        batches: jetstream(Way::Batches, "atomic batches")?,
        windowed: jetstream(Way::Windowed, "windowed publish")?,
    })
}

fn times(measure: Duration) -> Times {
    let warm_up = measure / 4;
    Times { warm_up, measure }
}

fn failed(server: &str, scenario: &'static str, fault: Fault) -> Error {
    let server = server.to_owned();
    Error::Turn {
        scenario,
        server,
        fault,
    }
}

/// The load of `1000-per-call`, with what it takes.
async fn floor(uri: &str, times: Times) -> Result<Turn, Fault> {
    let look = async |answered: &AtomicU64| {
        measured(Whose::Here, times, || answered.load(Ordering::Relaxed)).await
    };
    calls::thousand_per_call_while(uri, look).await
}

/// A turn that any packet is missing from, or has twice, is none.
async fn gateway(uri: &str, round: u32, times: Times) -> Result<Turn, Fault> {
    let shape = Shape {
        name: format!("bench-durable-{round}"),
        clients: CLIENTS,
        packets_per_call: PACKETS_PER_CALL,
        unfinished: UNFINISHED,
        settles: true,
        every: None,
    };
    let mut load = Load::start(uri, &shape).await?;
    let tally = load.tally.clone();
    let measuring = async {
        sleep(times.warm_up).await;
        tally.take_latencies();
        let now = Times {
            warm_up: Duration::ZERO,
            ..times
        };
        let turn = measured(Whose::Here, now, || tally.results()).await;
        Turn {
            refused: tally.refused(),
            latencies: Some(tally.take_latencies()),
            ..turn
        }
    };
    let turn = tokio::select! {
        fault = load.failed() => return Err(fault),
        turn = measuring => turn,
    };
    load.stop().await?;
    Ok(turn)
}

/// By how much a counter of packets grows, and what its server takes for that, after the warm-up.
async fn measured(whose: Whose, times: Times, packets: impl Fn() -> u64) -> Turn {
    sleep(times.warm_up).await;
    let (start, before, usage) = (Instant::now(), packets(), whose.usage());
    sleep(times.measure).await;
    let packets = packets() - before;
    Turn {
        packets_per_second: packets as f64 / start.elapsed().as_secs_f64(),
        packets,
        usage: whose
            .usage()
            .zip(usage)
            .map(|(now, before)| now.since(before)),
        refused: 0,
        latencies: None,
    }
}

/// A folder of this run's own. It is removed when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make(inside: Option<&Path>) -> Result<Self, Error> {
        let target = Path::new("target");
        let default = if target.is_dir() {
            target
        } else {
            Path::new(".")
        };
        let name = format!("tidegate-bench-{:08x}", rand::random::<u32>());
        let path = inside.unwrap_or(default).join(name);
        let made = std::fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        match made {
            Ok(path) => Ok(Self(path)),
            Err(source) => Err(Error::Write { path, source }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is named as what it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_has_its_figures_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args {
            seconds: 0.4,
            rounds: 2,
            path: Some(folder.path().to_owned()),
            nats_server: Some(folder.path().join("none")),
            json: None,
            strict: false,
        };
        let report = measure(&args, &mut io::sink()).unwrap().json();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let servers = report["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 2, "without JetStream: {report}");
        for server in servers {
            let rate = server["packets_per_second"].as_f64().unwrap();
            assert!(rate > 1.0, "{report}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
