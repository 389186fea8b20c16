//! The table, and the same as JSON.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Args, CLIENTS, Contender, Round, Turn};
use crate::cli::bench::report::{build, cores, figure, print_table};
use crate::cli::bench::stats::median;

/// What a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    build: &'static str,
    cores: usize,
    rounds: usize,
    seconds: f64,
    /// What the stores are on.
    disk: String,
    servers: Vec<Server>,
    ratios: Vec<Ratio>,
}

/// One server over all rounds; figures that differ are medians.
#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    packets: u64,
    packets_per_second: f64,
    /// Calls that were sent again, all of it or the rest, for want of room.
    refused: u64,
    rounds: Vec<f64>,
    /// Of the server alone, without the load.
    cpu_nanoseconds_per_packet: Option<f64>,
    bytes_written_per_packet: Option<f64>,
    p50_milliseconds: Option<f64>,
    p99_milliseconds: Option<f64>,
}

/// The gateway's packets a second by another's, each round's turns beside each other.
#[derive(Debug, Serialize)]
struct Ratio {
    to: &'static str,
    ratio: f64,
    min: f64,
    max: f64,
    target: f64,
    reached: bool,
}

impl Report {
    pub(super) fn new(rounds: &[Round], args: &Args, folder: &Path) -> Self {
        let servers = Contender::ALL.map(|contender| Server::new(rounds, contender));
        let ratios = [
            Ratio::new(rounds, Contender::Floor, 0.25),
            Ratio::new(rounds, Contender::Batches, 1.0),
            Ratio::new(rounds, Contender::Windowed, 2.0),
        ];
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: build(),
            cores: cores(),
            rounds: rounds.len(),
            seconds: args.seconds,
            disk: disk(folder),
            servers: servers.into_iter().flatten().collect(),
            ratios: ratios.into_iter().flatten().collect(),
        }
    }

    /// What did not reach its target.
    pub(super) fn missed(&self) -> Vec<&'static str> {
        let missed = self.ratios.iter().filter(|ratio| !ratio.reached);
        missed.map(|ratio| ratio.to).collect()
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "tidegate {} ({}), {} cores shared by server and load, {} rounds, {} s of the gateway, {CLIENTS} clients, on {}\n",
            self.version, self.build, self.cores, self.rounds, self.seconds, self.disk
        )?;
        let heads = ["", "throughput", "server's CPU", "written", "p50", "p99"];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(self.servers.iter().map(Server::cells));
        print_table(out, &rows)?;
        writeln!(out)?;
        let heads = ["gateway by", "ratio", "spread", "target", ""];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(self.ratios.iter().map(Ratio::cells));
        print_table(out, &rows)?;
        writeln!(
            out,
            "\nThe gateway's packets are accepted, run, their results received on a stream, and settled; JetStream's are published."
        )
    }

    pub(super) fn json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self)
            .expect("strings and numbers under string keys are JSON");
        json.push('\n');
        json
    }
}

impl Server {
    /// `None`: it was not there.
    fn new(rounds: &[Round], contender: Contender) -> Option<Self> {
        let turns = rounds.iter().map(|round| round.turn(contender));
        let turns = turns.collect::<Option<Vec<_>>>()?;
        let rounds: Vec<f64> = turns.iter().map(|turn| turn.packets_per_second).collect();
        let of_all = |figure: &dyn Fn(&Turn) -> Option<f64>| {
            let figures: Option<Vec<f64>> = turns.iter().map(|turn| figure(turn)).collect();
            median(&figures?)
        };
        let per_packet = |turn: &Turn, figure: f64| figure / turn.packets.max(1) as f64;
        let quantile = |quantile: f64| {
            move |turn: &Turn| {
                let latencies = turn.latencies.as_ref()?;
                Some(latencies.value_at_quantile(quantile) as f64 / 1e6)
            }
        };
        Some(Self {
            name: contender.name(),
            packets: turns.iter().map(|turn| turn.packets).sum(),
            packets_per_second: median(&rounds)?,
            refused: turns.iter().map(|turn| turn.refused).sum(),
            rounds,
            cpu_nanoseconds_per_packet: of_all(&|turn| {
                Some(per_packet(turn, turn.usage?.cpu.as_nanos() as f64))
            }),
            bytes_written_per_packet: of_all(&|turn| {
                Some(per_packet(turn, turn.usage?.written as f64))
            }),
            p50_milliseconds: of_all(&quantile(0.5)),
            p99_milliseconds: of_all(&quantile(0.99)),
        })
    }

    fn cells(&self) -> [String; 6] {
        let cell = |figure: Option<f64>, unit: &str| {
            figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.0} {unit}"))
        };
        let latency = |figure: Option<f64>| {
            figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.1} ms"))
        };
        [
            self.name.to_owned(),
            figure(self.packets_per_second, "packets/s"),
            cell(self.cpu_nanoseconds_per_packet, "ns/packet"),
            cell(self.bytes_written_per_packet, "B/packet"),
            latency(self.p50_milliseconds),
            latency(self.p99_milliseconds),
        ]
    }
}

impl Ratio {
    /// `None`: the other one was not there.
    fn new(rounds: &[Round], other: Contender, target: f64) -> Option<Self> {
        let ratio = |round: &Round| {
            let other = round.turn(other)?.packets_per_second;
            Some(round.gateway.packets_per_second / other)
        };
        let ratios: Vec<f64> = rounds.iter().map(ratio).collect::<Option<_>>()?;
        let ratio = median(&ratios)?;
        Some(Self {
            to: other.name(),
            ratio,
            min: ratios.iter().copied().reduce(f64::min)?,
            max: ratios.iter().copied().reduce(f64::max)?,
            target,
            reached: ratio >= target,
        })
    }

    fn cells(&self) -> [String; 5] {
        [
            self.to.to_owned(),
            format!("{:.2}", self.ratio),
            format!("{:.2}–{:.2}", self.min, self.max),
            format!("≥ {:.2}", self.target),
            if self.reached { "reached" } else { "missed" }.to_owned(),
        ]
    }
}

impl Round {
    /// For who waits.
    pub(super) fn progress(&self) -> String {
        let told = Contender::ALL.into_iter().filter_map(|contender| {
            let rate = self.turn(contender)?.packets_per_second;
            Some(format!(
                "{}: {}",
                contender.name(),
                figure(rate, "packets/s")
            ))
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

/// The file system that a folder is on, and its device, where Linux tells.
fn disk(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, on, kind) = (words.next()?, PathBuf::from(words.next()?), words.next()?);
        folder
            .starts_with(&on)
            .then(|| (on.components().count(), format!("{kind} ({device})")))
    });
    let nearest = mounted.max_by_key(|(depth, _)| *depth);
    nearest.map_or_else(|| "an unknown file system".to_owned(), |(_, disk)| disk)
}
