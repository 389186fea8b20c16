//! What became of lines: counted, and told where it is not good.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_client::proto::{Outcome, PacketResult};

use super::lines::Line;
use crate::cli::client::json::{outcome, reason};
use crate::cli::client::show::{BAD, GOOD};
use crate::cli::client::{Error, answer, content, json, show};
use crate::cli::text::counted;

/// So many are told on stderr; the others are in the file, or counted.
const TOLD: u64 = 10;
/// Of a line that was refused.
const WIDTH: usize = 80;

/// How many lines came to what end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    pub(super) ok: u64,
    /// REJECTED and EXPIRED.
    pub(super) refused: u64,
    /// FORGOTTEN: finished before, and how is not kept.
    pub(super) forgotten: u64,
    /// By a handler that keeps nothing, whose answer was lost.
    pub(super) in_doubt: u64,
    /// Never sent.
    pub(super) unreadable: u64,
}

impl Tally {
    pub(super) fn lines(&self) -> u64 {
        self.ok + self.refused + self.forgotten + self.in_doubt + self.unreadable
    }

    fn of(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Rejected | Outcome::Expired => &mut self.refused,
            Outcome::Forgotten => &mut self.forgotten,
            Outcome::Unspecified | Outcome::Accepted | Outcome::Retry | Outcome::InDoubt => {
                &mut self.in_doubt
            }
        }
    }

    fn told(&self) -> String {
        let mut parts = vec![format!("{} OK", self.ok)];
        for (count, what) in [
            (self.refused, "refused"),
            (self.forgotten, "finished before"),
            (self.in_doubt, "in doubt"),
            (self.unreadable, "not readable"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }

    /// What scripts are told by the code that the command ends with.
    pub(super) fn verdict(&self) -> Result<(), Error> {
        let lines = |count| counted(count, "line", "lines");
        match self {
            Self {
                unreadable: 1.., ..
            } => Err(Error::Input(format!(
                "{} cannot be read",
                lines(self.unreadable)
            ))),
            Self { refused: 1.., .. } => {
                Err(Error::Refused(format!("{} refused", lines(self.refused))))
            }
            Self { in_doubt: 1.., .. } => Err(Error::Open(format!(
                "{} may have been applied or not",
                lines(self.in_doubt)
            ))),
            _ => Ok(()),
        }
    }
}

/// Where it is told.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    refused: Option<File>,
    told: u64,
    /// Of this call and those before it.
    pub(super) tally: Tally,
}

impl Report {
    pub(super) fn new(json: bool, refused: Option<&Path>, tally: Tally) -> Result<Self, Error> {
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map_err(|error| Error::Usage(format!("--refused {}: {error}", path.display())))
        };
        Ok(Self {
            json,
            refused: refused.map(open).transpose()?,
            told: 0,
            tally,
        })
    }

    pub(super) fn unreadable(&mut self, line: &Line, why: &str) -> io::Result<()> {
        self.tally.unreadable += 1;
        if self.json {
            answer::line(&json!({ "line": line.end.lines, "unreadable": why }))?;
        }
        self.wrong(line, why, json!({ "message": why }))
    }

    pub(super) fn done(&mut self, line: &Line, result: &PacketResult) -> io::Result<()> {
        *self.tally.of(result.outcome()) += 1;
        if self.json {
            let mut told = json::result(result);
            told["line"] = line.end.lines.into();
            answer::line(&told)?;
        }
        if result.outcome() == Outcome::Ok {
            return Ok(());
        }
        let details = json!({
            "outcome": outcome(result),
            "reason": reason(result),
            "code": result.code,
            "message": result.message,
        });
        self.wrong(line, &show::why(result), details)
    }

    fn wrong(&mut self, line: &Line, why: &str, mut details: Value) -> io::Result<()> {
        let number = line.end.lines;
        let text = String::from_utf8_lossy(&line.text);
        self.told += 1;
        if self.told <= TOLD && !self.json {
            let mut err = anstream::stderr().lock();
            let text = content::short(&text, WIDTH);
            writeln!(err, "{BAD}line {number}{BAD:#}: {why}\n    {text}")?;
        }
        let Some(file) = &mut self.refused else {
            return Ok(());
        };
        details["line"] = number.into();
        details["input"] = text.into();
        let mut entry = details.to_string();
        entry.push('\n');
        file.write_all(entry.as_bytes())
    }

    /// `before`: what earlier calls did.
    pub(super) fn summary(&self, before: Tally, took: Duration) -> io::Result<()> {
        let (lines, earlier) = (self.tally.lines(), before.lines());
        let rate = (lines - earlier) as f64 / took.as_secs_f64().max(1e-3);
        if self.json {
            let mut tally = serde_json::to_value(self.tally).map_err(io::Error::from)?;
            tally["lines"] = lines.into();
            tally["lines_before"] = earlier.into();
            tally["seconds"] = took.as_secs_f64().into();
            return answer::line(&json!({ "summary": tally }));
        }
        let mut err = anstream::stderr().lock();
        if self.told > TOLD {
            writeln!(err, "… and {} more", self.told - TOLD)?;
        }
        let good = self.tally.told();
        let lines = counted(lines, "line", "lines");
        write!(
            err,
            "{lines}: {GOOD}{good}{GOOD:#}; {:.1} s, {rate:.0}/s",
            took.as_secs_f64()
        )?;
        match earlier {
            0 => writeln!(err),
            _ => writeln!(err, " ({earlier} of them by an earlier call)"),
        }
    }
}
