//! One byte flipped in a copy of a small directory: who notices?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::child::{self, Outcome};
use crate::engine::{Engine, Kind, Result, Size, Table};
use crate::full::{Model, apply, difference};
use crate::pattern::Pattern;
use crate::report::table;

const COPIES: usize = 100;
const COMMITS: usize = 400;
/// How the process ended, and the ends of the names of the files to flip a byte in. A file is taken first and then a byte
/// of it, so without the last case a log that is one file among many would hardly be hit. (redb has one file.)
const CASES: [(&str, &str, &[&str]); 3] = [
    ("closed", "flips-closed", &[""]),
    ("killed", "flips-killed", &[""]),
    (
        "killed, its log",
        "flips-killed",
        &[".jnl", "-wal", ".redb"],
    ),
];
const SEED: u64 = 3;

#[derive(Clone, Copy)]
pub(crate) enum End {
    Closed,
    Killed,
}

#[derive(Serialize, Deserialize)]
enum Verdict {
    Noticed(String),
    Harmless,
    /// Wrong or missing rows without an error, and whether the engine's own check finds it.
    Silent {
        what: String,
        check: bool,
    },
}

pub(crate) fn section(root: &Path, kinds: &[Kind]) -> Result<String> {
    let (mut rows, mut silent) = (Vec::new(), Vec::new());
    for &kind in kinds {
        for (end, step, only) in CASES {
            let whole = root.join(format!("flips-{}-{}", kind.name(), end.replace(", ", "-")));
            if !matches!(
                child::run(child::command(step, kind, &whole)?, LIMIT)?,
                Outcome::Ended { .. }
            ) {
                return Err("making a directory hung".into());
            }
            let mut counts = BTreeMap::<&str, usize>::new();
            let mut rng = StdRng::seed_from_u64(SEED);
            for _ in 0..COPIES {
                let copy = root.join("copy");
                copy_dir(&whole, &copy)?;
                let place = flip(&copy, only, &mut rng)?;
                let (verdict, what) = judge(kind, &copy)?;
                *counts.entry(verdict).or_default() += 1;
                if verdict != "noticed" && verdict != "harmless" {
                    let row = [kind.name(), end, verdict, &place, &what];
                    silent.push(row.map(str::to_owned).to_vec());
                }
                std::fs::remove_dir_all(&copy)?;
            }
            let count = |verdict| counts.get(verdict).copied().unwrap_or_default().to_string();
            let verdicts = [
                "noticed",
                "harmless",
                "SILENT",
                "silent, check finds it",
                "PANIC",
                "HUNG",
            ]
            .map(count);
            rows.push(
                [
                    vec![kind.name().to_owned(), end.to_owned()],
                    verdicts.to_vec(),
                ]
                .concat(),
            );
        }
    }
    let title = format!("One byte flipped in each of {COPIES} copies, seed {SEED}");
    let head = [
        "engine",
        "left",
        "noticed",
        "harmless",
        "SILENT",
        "silent, its check finds it",
        "panic",
        "hung",
    ];
    let mut out = table(&title, &head, &rows);
    out += &table(
        "Not noticed",
        &["engine", "left", "verdict", "where", "what"],
        &silent,
    );
    Ok(out)
}

const LIMIT: Duration = Duration::from_secs(30);

fn judge(kind: Kind, copy: &Path) -> Result<(&'static str, String)> {
    let (status, out, err) = match child::run(child::command("flips-verify", kind, copy)?, LIMIT)? {
        Outcome::Ended { status, out, err } => (status, out, err),
        Outcome::Hung => return Ok(("HUNG", String::new())),
    };
    // Also one of a thread of the engine, whatever the reading thread made of it.
    if let Some(line) = err.lines().find(|line| line.contains("panicked")) {
        return Ok(("PANIC", line.to_owned()));
    }
    Ok(match serde_json::from_str(&out) {
        Ok(Verdict::Noticed(what)) => ("noticed", what),
        Ok(Verdict::Harmless) => ("harmless", String::new()),
        Ok(Verdict::Silent { what, check: false }) => ("SILENT", what),
        Ok(Verdict::Silent { what, check: true }) => ("silent, check finds it", what),
        Err(_) => ("PANIC", format!("ended with {status}")),
    })
}

pub(crate) fn make(kind: Kind, dir: &Path, end: End) -> Result<()> {
    let mut engine = kind.open(dir, Size::Small)?;
    let mut pattern = Pattern::new(KEEP);
    for _ in 0..COMMITS {
        engine.commit(&pattern.next(100).rows)?;
    }
    match end {
        End::Closed => engine.close(),
        End::Killed => std::process::exit(0),
    }
}

/// Small enough for expiry to be at work.
const KEEP: usize = 8_000;

pub(crate) fn verify(kind: Kind, dir: &Path) -> Result<()> {
    let mut pattern = Pattern::new(KEEP);
    let mut model = Model::new();
    for _ in 0..COMMITS {
        apply(&mut model, pattern.next(100).rows);
    }
    let verdict = match kind.open(dir, Size::Small) {
        Err(error) => Verdict::Noticed(error.to_string()),
        Ok(engine) => read(engine, &model),
    };
    child::tell(&verdict)?;
    // What closing it does is not asked here.
    std::process::exit(0);
}

fn read(mut engine: Box<dyn Engine>, model: &Model) -> Verdict {
    match difference(&*engine, model) {
        Err(error) => Verdict::Noticed(error.to_string()),
        Ok(None) => Verdict::Harmless,
        Ok(Some(what)) => {
            let what = earlier(&*engine).map_or(what, |commit| {
                format!("as after commit {commit} of {COMMITS}")
            });
            Verdict::Silent {
                what,
                check: engine.check().is_err(),
            }
        }
    }
}

/// The commit after which everything was as it is now: then what is missing is the end, and nothing else.
fn earlier(engine: &dyn Engine) -> Option<usize> {
    let mut found = Model::new();
    for table in Table::ALL {
        let mut keep = |key: &[u8], value: &[u8]| {
            found.insert((table, key.to_vec()), value.to_vec());
            Ok(())
        };
        engine.scan(table, &mut keep).ok()?;
    }
    let (mut pattern, mut model) = (Pattern::new(KEEP), Model::new());
    (0..COMMITS).find(|_| {
        let same = model == found;
        apply(&mut model, pattern.next(100).rows);
        same
    })
}

fn flip(dir: &Path, only: &[&str], rng: &mut StdRng) -> Result<String> {
    let mut files = Vec::new();
    list(dir, &mut files)?;
    files.retain(|path| only.iter().any(|end| path.to_string_lossy().ends_with(end)));
    loop {
        let path = &files[rng.random_range(0..files.len())];
        let mut bytes = std::fs::read(path)?;
        // What was made long in advance ends in zeros that mean nothing.
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
            continue;
        };
        let at = rng.random_range(0..=last);
        bytes[at] ^= rng.random_range(1..=255_u8);
        std::fs::write(path, bytes)?;
        return Ok(format!(
            "{} byte {at} of {}",
            path.strip_prefix(dir)?.display(),
            last + 1
        ));
    }
}

/// Sorted, because the order of a directory is no one's promise and the seed is to mean something.
fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        match entry.metadata()?.is_dir() {
            true => list(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.metadata()?.is_dir() {
            true => copy_dir(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
