//! `tidegate bench`: how fast the gateway is on this machine, against a floor.
//!
//! The floor is a bare tonic service of the same messages that just answers. It gets the same load from the same clients, in
//! turn with the gateway, in the same run: what a machine can do changes by the minute, the ratio hardly. Servers and load
//! share the machine's cores, each on a runtime of its own, as two processes would.

mod calls;
pub mod durable;
mod fan_out;
mod floor;
mod report;
mod servers;
mod stats;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use tokio::runtime::{Builder, Runtime};

use report::Report;
use servers::Servers;
use stats::Row;

/// Measures the gateway against a bare service of the same messages, in turn
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    alone: Option<Alone>,
    /// Which scenario; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// How often floor and gateway each have their turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long a turn is measured, after a warm-up of a quarter of that
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Writes every figure to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Ends with 1 when a target is missed; otherwise only a wrong answer does
    #[arg(long)]
    strict: bool,
}

/// What is measured only when it is asked for.
#[derive(Debug, clap::Subcommand)]
enum Alone {
    Durable(durable::Args),
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// One call at a time, of one packet: how long it takes
    Lone,
    /// 256 calls in flight, of one packet each
    OnePerCall,
    /// Calls of 1000 packets with 100 bytes each
    #[value(name = "1000-per-call")]
    ThousandPerCall,
    /// 100 subscribers of an ephemeral topic
    #[value(name = "fan-out-100")]
    FanOut,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Lone => "lone call, p50",
            Self::OnePerCall => "one packet per call",
            Self::ThousandPerCall => "1000 packets per call",
            Self::FanOut => "fan-out to 100",
        }
    }
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start the servers: {0}")]
    Start(String),
    #[error("{scenario} against the {server}: {fault}")]
    Turn {
        scenario: &'static str,
        server: String,
        fault: Fault,
    },
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("missed: {0}")]
    Missed(String),
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// What ends a turn: a figure counts only when every answer was right.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("cannot connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("a call was refused: {0}")]
    Status(#[from] tonic::Status),
    #[error(transparent)]
    Client(#[from] tidegate_client::Error),
    #[error("{0}")]
    Wrong(String),
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Floor,
    Gateway,
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Floor => "floor",
            Self::Gateway => "gateway",
        })
    }
}

/// How long a turn takes.
#[derive(Debug, Clone, Copy)]
struct Times {
    warm_up: Duration,
    measure: Duration,
}

/// Measures, prints the table to standard output and the progress to standard error. It makes runtimes of its own, so it must
/// not be called from inside one.
pub fn run(args: &Args) -> Result<(), Error> {
    if let Some(Alone::Durable(args)) = &args.alone {
        return durable::run(args);
    }
    let report = measure(args, &mut std::io::stderr())?;
    report.print(&mut std::io::stdout().lock())?;
    if let Some(path) = &args.json {
        write_json(path, &report.json())?;
    }
    judged(report.missed(), args.strict)
}

/// The figures are there in any case.
fn judged(missed: Vec<&'static str>, strict: bool) -> Result<(), Error> {
    match strict && !missed.is_empty() {
        true => Err(Error::Missed(missed.join("; "))),
        false => Ok(()),
    }
}

fn write_json(path: &Path, json: &str) -> Result<(), Error> {
    let written = std::fs::write(path, json);
    written.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn warn_of_debug(progress: &mut dyn Write) -> Result<(), Error> {
    if cfg!(debug_assertions) {
        let warning = "this is a debug build: its figures say nothing about a release";
        writeln!(progress, "{warning}")?;
    }
    Ok(())
}

fn measure(args: &Args, progress: &mut dyn Write) -> Result<Report, Error> {
    warn_of_debug(progress)?;
    let servers_runtime = runtime("bench-server")?;
    let load_runtime = runtime(durable::LOAD_THREADS)?;
    let servers = servers_runtime.block_on(Servers::start())?;
    let mut rows = Vec::new();
    for &scenario in chosen(&args.scenario) {
        let mut row = Row::new(scenario);
        for round in 1..=args.rounds {
            let floor = load_runtime.block_on(turn(scenario, Server::Floor, &servers, args))?;
            let gateway = load_runtime.block_on(turn(scenario, Server::Gateway, &servers, args))?;
            row.add(floor, gateway);
            writeln!(progress, "{round}/{} {}", args.rounds, row.progress())?;
        }
        rows.push(row);
    }
    drop(load_runtime);
    servers_runtime.block_on(servers.stop());
    Ok(Report::new(&rows, args.rounds, args.seconds))
}

/// One server's figure: microseconds, or so many a second.
async fn turn(
    scenario: Scenario,
    server: Server,
    servers: &Servers,
    args: &Args,
) -> Result<f64, Error> {
    let measure = Duration::from_secs_f64(args.seconds);
    let times = Times {
        warm_up: measure / 4,
        measure,
    };
    let uri = servers.uri(server);
    let figure = match scenario {
        Scenario::Lone => calls::lone(uri, times).await,
        Scenario::OnePerCall => calls::one_per_call(uri, times).await,
        Scenario::ThousandPerCall => calls::thousand_per_call(uri, times).await,
        Scenario::FanOut => fan_out::deliveries(uri, times).await,
    };
    figure.map_err(|fault| Error::Turn {
        scenario: scenario.name(),
        server: server.to_string(),
        fault,
    })
}

fn chosen(scenarios: &[Scenario]) -> &[Scenario] {
    if scenarios.is_empty() {
        Scenario::value_variants()
    } else {
        scenarios
    }
}

fn runtime(threads: &str) -> Result<Runtime, Error> {
    let built = Builder::new_multi_thread()
        .thread_name(threads)
        .enable_all()
        .build();
    built.map_err(|error| Error::Start(format!("no runtime: {error}")))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("0.1 to 3600 seconds are a turn".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_its_figures() {
        let args = Args {
            alone: None,
            scenario: Vec::new(),
            rounds: 1,
            seconds: 0.1,
            json: None,
            strict: false,
        };
        let report = measure(&args, &mut std::io::sink()).unwrap().json();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let scenarios = report["scenarios"].as_array().unwrap();
        assert_eq!(scenarios.len(), Scenario::value_variants().len());
        // A call takes more than a microsecond, and nothing happens ten thousand million times a second.
        let plausible = 1.0..1e10;
        for scenario in scenarios {
            for server in ["floor", "gateway"] {
                let figure = scenario[server].as_f64().unwrap();
                assert!(plausible.contains(&figure), "{scenario}");
            }
        }
    }

    #[test]
    fn a_missed_target_is_a_failure_where_that_is_asked_for() {
        assert!(judged(vec!["lone call"], false).is_ok());
        assert!(judged(Vec::new(), true).is_ok());
        let missed = judged(vec!["lone call", "fan-out"], true).unwrap_err();
        assert_eq!(missed.to_string(), "missed: lone call; fan-out");
    }

    #[test]
    fn a_turn_has_a_length() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "long"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
