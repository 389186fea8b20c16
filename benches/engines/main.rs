//! Which engine keeps the gateway's rows: fjall, redb and SQLite on the pattern that the embedded store writes.
//!
//! `cargo bench --bench engines -- [--quick] [--engine NAME]… [--section NAME]…` prints tables; what was decided with
//! them stands in docs/decisions/storage-engine.md. Every step runs in a process of its own, so that memory, cold
//! starts, panics and hangs are those of one engine and one step.

mod child;
mod engine;
mod flips;
mod full;
mod load;
mod measure;
mod pattern;
mod report;
mod whole;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use engine::{Kind, Result};

#[derive(Parser)]
struct Options {
    /// A twentieth of the packets and a tenth of the commits.
    #[arg(long)]
    quick: bool,
    /// Only this engine; may be given several times.
    #[arg(long, value_enum)]
    engine: Vec<Kind>,
    /// Only this section; may be given several times.
    #[arg(long, value_enum)]
    section: Vec<Section>,
    /// Packets to fill with, instead of the usual number.
    #[arg(long)]
    packets: Option<u64>,
    /// cargo passes this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// The bench calls itself with this for a step of its own process.
    #[arg(long, value_enum, hide = true, requires = "dir")]
    step: Option<Step>,
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Section {
    Load,
    Whole,
    Full,
    Flips,
}

#[derive(Clone, Copy, ValueEnum)]
enum Step {
    Load,
    Reopen,
    Shrink,
    Full,
    FlipsClosed,
    FlipsKilled,
    FlipsVerify,
    Whole,
    WholeReopen,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let kinds = if options.engine.is_empty() {
        Kind::ALL.to_vec()
    } else {
        options.engine.clone()
    };
    if let (Some(step), Some(dir)) = (options.step, &options.dir) {
        return run_step(step, kinds[0], dir, &options);
    }

    // Beside the build, because a directory for temporary files may be in memory, where an fsync costs nothing.
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let wanted = |section| options.section.is_empty() || options.section.contains(&section);
    let mut out = std::io::stdout().lock();
    if wanted(Section::Load) {
        writeln!(
            out,
            "{}",
            load::section(root.path(), &kinds, &scale(&options), options.quick)?
        )?;
    }
    if wanted(Section::Whole) {
        let whole = whole::section(root.path(), &scale(&options), options.quick)?;
        writeln!(out, "{whole}")?;
    }
    if wanted(Section::Full) {
        writeln!(out, "{}", full::section(root.path(), &kinds)?)?;
    }
    if wanted(Section::Flips) {
        writeln!(out, "{}", flips::section(root.path(), &kinds)?)?;
    }
    Ok(())
}

fn run_step(step: Step, kind: Kind, dir: &std::path::Path, options: &Options) -> Result<()> {
    match step {
        Step::Load => load::load(kind, dir, &scale(options)),
        Step::Reopen => load::reopen(kind, dir),
        Step::Shrink => load::shrink(kind, dir),
        Step::Full => full::step(kind, dir),
        Step::FlipsClosed => flips::make(kind, dir, flips::End::Closed),
        Step::FlipsKilled => flips::make(kind, dir, flips::End::Killed),
        Step::FlipsVerify => flips::verify(kind, dir),
        Step::Whole => whole::load(dir, &scale(options)),
        Step::WholeReopen => whole::reopen(dir, &scale(options)),
    }
}

fn scale(options: &Options) -> load::Scale {
    let (fill, tenth) = if options.quick {
        (500_000, 10)
    } else {
        (10_000_000, 1)
    };
    load::Scale {
        fill: options.packets.unwrap_or(fill),
        commits: [
            (1, 20_000 / tenth),
            (100, 5_000 / tenth),
            (1_000, 1_000 / tenth),
        ],
    }
}
