//! The disk fills, is freed and fills again, three times in one process.
//!
//! Runs on a small tmpfs in name spaces of its own, so it needs no privileges; where they are not allowed it says so.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::child::{self, Outcome};
use crate::engine::{Engine, Kind, Result, Row, Size, Table};
use crate::pattern::Pattern;
use crate::report::table;

const MOUNT: &str = r#"mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@""#;
const ROUNDS: usize = 3;
const BALLAST: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Round {
    error: String,
    went_on: String,
}

pub(crate) type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

pub(crate) fn section(root: &Path, kinds: &[Kind]) -> Result<String> {
    let mut rows = Vec::new();
    for &kind in kinds {
        let dir = root.join(format!("full-{}", kind.name()));
        std::fs::create_dir_all(&dir)?;
        let inner = child::command("full", kind, &dir)?;
        let mut outer = Command::new("unshare");
        outer
            .args(["-Urm", "sh", "-c", MOUNT])
            .arg(&dir)
            .arg(inner.get_program())
            .args(inner.get_args());
        let (rounds, verdict) = match child::run(outer, Duration::from_secs(120)) {
            Ok(Outcome::Ended { status, out, err }) => {
                let rounds: Vec<Round> = out
                    .lines()
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .collect();
                let last = err.lines().last().unwrap_or_default().to_owned();
                (
                    rounds,
                    if status.success() {
                        "all that was told is there".to_owned()
                    } else {
                        last
                    },
                )
            }
            Ok(Outcome::Hung) => (Vec::new(), "HUNG".to_owned()),
            Err(error) => (Vec::new(), format!("SKIPPED: {error}")),
        };
        for (i, round) in rounds.into_iter().enumerate() {
            rows.push(vec![
                kind.name().to_owned(),
                (i + 1).to_string(),
                round.error,
                round.went_on,
            ]);
        }
        rows.push(vec![
            kind.name().to_owned(),
            "end".to_owned(),
            verdict,
            String::new(),
        ]);
    }
    Ok(table(
        "Disk full, 64 MiB",
        &["engine", "round", "what it said", "what it took to go on"],
        &rows,
    ))
}

pub(crate) fn step(kind: Kind, dir: &Path) -> Result<()> {
    for i in 0..ROUNDS {
        std::fs::write(dir.join(format!("ballast-{i}")), vec![1; BALLAST])?;
    }
    let data = dir.join("data");
    let mut engine = kind.open(&data, Size::Small)?;
    let mut pattern = Pattern::new(usize::MAX / 2);
    let mut model = Model::new();
    for i in 0..ROUNDS {
        let (failed, error) = loop {
            let commit = pattern.next(100);
            match engine.commit(&commit.rows) {
                Ok(()) => apply(&mut model, commit.rows),
                Err(error) => break (commit.rows, error),
            }
        };
        std::fs::remove_file(dir.join(format!("ballast-{i}")))?;
        // The commit that failed may be there or not; after it went through, it is.
        let went_on = match engine.commit(&failed) {
            Ok(()) => "room",
            Err(_) => {
                let _ = engine.close();
                engine = kind.open(&data, Size::Small)?;
                engine.commit(&failed)?;
                "room, and opening again"
            }
        };
        apply(&mut model, failed);
        child::tell(&Round {
            error: error.to_string(),
            went_on: went_on.to_owned(),
        })?;
        writeln!(std::io::stdout())?;
        if let Some(wrong) = difference(&*engine, &model)? {
            return Err(format!("round {}: {wrong}", i + 1).into());
        }
    }
    engine.close()
}

pub(crate) fn apply(model: &mut Model, rows: Vec<Row>) {
    for row in rows {
        match row.value {
            Some(value) => drop(model.insert((row.table, row.key), value)),
            None => drop(model.remove(&(row.table, row.key))),
        }
    }
}

/// Reads everything; what is not as in the model, if anything. An error is the engine's.
pub(crate) fn difference(engine: &dyn Engine, model: &Model) -> Result<Option<String>> {
    for table in Table::ALL {
        let mut expected = model
            .range((table, Vec::new())..)
            .take_while(|((of, _), _)| *of == table);
        let mut wrong = None;
        engine.scan(table, &mut |key, value| {
            if wrong.is_none()
                && !expected
                    .next()
                    .is_some_and(|((_, k), v)| k == key && v == value)
            {
                wrong = Some(format!(
                    "{}: a row is missing, wrong or too many",
                    table.name()
                ));
            }
            Ok(())
        })?;
        if wrong.is_none() && expected.next().is_some() {
            wrong = Some(format!("{}: the last rows are missing", table.name()));
        }
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}
