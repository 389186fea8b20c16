//! The table, and the same as JSON.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::Scenario;
use super::stats::{Row, Summary};

/// What a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    build: &'static str,
    cores: usize,
    rounds: u32,
    seconds: f64,
    scenarios: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    summary: Summary,
    target: String,
    reached: bool,
    floor_rounds: Vec<f64>,
    gateway_rounds: Vec<f64>,
    ratio_rounds: Vec<f64>,
}

/// What the ratio of gateway to floor is to be.
#[derive(Debug, Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::Lone => Self::AtMost(1.3),
            Scenario::OnePerCall => Self::AtLeast(0.75),
            Scenario::ThousandPerCall => Self::AtLeast(0.5),
            Scenario::FanOut => Self::AtLeast(0.6),
        }
    }

    fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(formatter, "≤ {bound:.2}"),
            Self::AtLeast(bound) => write!(formatter, "≥ {bound:.2}"),
        }
    }
}

impl Report {
    /// Rows without a round are left out.
    pub(super) fn new(rows: &[Row], rounds: u32, seconds: f64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: build(),
            cores: cores(),
            rounds,
            seconds,
            scenarios: rows.iter().filter_map(Line::new).collect(),
        }
    }

    /// What did not reach its target.
    pub(super) fn missed(&self) -> Vec<&'static str> {
        let missed = self.scenarios.iter().filter(|line| !line.reached);
        missed.map(|line| line.name).collect()
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "tidegate {} ({}), {} cores shared by server and load, {} rounds of {} s\n",
            self.version, self.build, self.cores, self.rounds, self.seconds
        )?;
        let heads = ["", "floor", "gateway", "ratio", "spread", "target", ""];
        let mut cells = vec![heads.map(str::to_owned)];
        cells.extend(self.scenarios.iter().map(Line::cells));
        print_table(out, &cells)
    }

    pub(super) fn json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self)
            .expect("strings and numbers under string keys are JSON");
        json.push('\n');
        json
    }
}

impl Line {
    fn new(row: &Row) -> Option<Self> {
        let summary = row.summary()?;
        let target = Target::of(row.scenario);
        Some(Self {
            name: row.scenario.name(),
            unit: unit(row.scenario),
            reached: target.is_reached(summary.ratio),
            target: target.to_string(),
            floor_rounds: row.floor.clone(),
            gateway_rounds: row.gateway.clone(),
            ratio_rounds: row.ratios(),
            summary,
        })
    }

    fn cells(&self) -> [String; 7] {
        let summary = &self.summary;
        [
            self.name.to_owned(),
            figure(summary.floor, self.unit),
            figure(summary.gateway, self.unit),
            format!("{:.2}", summary.ratio),
            format!("{:.2}–{:.2}", summary.ratio_min, summary.ratio_max),
            self.target.clone(),
            if self.reached { "reached" } else { "missed" }.to_owned(),
        ]
    }
}

impl Row {
    /// The last round, for who waits.
    pub(super) fn progress(&self) -> String {
        let unit = unit(self.scenario);
        let last = |figures: &[f64]| {
            figures
                .last()
                .map_or(String::new(), |&last| figure(last, unit))
        };
        let (floor, gateway) = (last(&self.floor), last(&self.gateway));
        format!("{}: floor {floor}, gateway {gateway}", self.scenario.name())
    }
}

fn unit(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Lone => "µs",
        Scenario::OnePerCall => "calls/s",
        Scenario::ThousandPerCall => "packets/s",
        Scenario::FanOut => "deliveries/s",
    }
}

pub(super) fn build() -> &'static str {
    match cfg!(debug_assertions) {
        true => "debug",
        false => "release",
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Three digits are more than a run can repeat.
pub(super) fn figure(figure: f64, unit: &str) -> String {
    let (scaled, prefix) = match figure {
        _ if figure >= 1e6 => (figure / 1e6, "M "),
        _ if figure >= 1e4 => (figure / 1e3, "k "),
        _ => (figure, ""),
    };
    let digits = match scaled {
        _ if scaled >= 100.0 => 0,
        _ if scaled >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$} {prefix}{unit}")
}

/// The first column to the left, the others to the right.
pub(super) fn print_table<const COLUMNS: usize>(
    out: &mut dyn Write,
    rows: &[[String; COLUMNS]],
) -> io::Result<()> {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for cells in rows {
        let mut line = String::new();
        for (at, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            match at {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut lone = Row::new(Scenario::Lone);
        lone.add(160.0, 200.0);
        let mut fan_out = Row::new(Scenario::FanOut);
        fan_out.add(5_600_000.0, 3_080_000.0);
        Report::new(&[lone, fan_out], 1, 2.0)
    }

    #[test]
    fn figures_stand_right_aligned_beside_what_they_are_to_reach() {
        let mut out = Vec::new();
        report().print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let table: Vec<&str> = text.lines().skip(2).collect();
        let expected = [
            "                              floor              gateway  ratio     spread  target",
            "lone call, p50               160 µs               200 µs   1.25  1.25–1.25  ≤ 1.30  reached",
            "fan-out to 100  5.60 M deliveries/s  3.08 M deliveries/s   0.55  0.55–0.55  ≥ 0.60   missed",
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn json_has_every_round() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        let lone = &json["scenarios"][0];
        assert_eq!(lone["name"], "lone call, p50");
        assert_eq!(lone["ratio"], 1.25);
        assert_eq!(lone["gateway_rounds"][0], 200.0);
        assert_eq!(lone["reached"], true);
        assert_eq!(json["scenarios"][1]["reached"], false);
        assert_eq!(report().missed(), ["fan-out to 100"]);
    }

    #[test]
    fn a_figure_has_three_digits() {
        assert_eq!(figure(160.04, "µs"), "160 µs");
        assert_eq!(figure(9_999.0, "calls/s"), "9999 calls/s");
        assert_eq!(figure(67_140.0, "calls/s"), "67.1 k calls/s");
        assert_eq!(figure(2_345_678.0, "packets/s"), "2.35 M packets/s");
    }
}
