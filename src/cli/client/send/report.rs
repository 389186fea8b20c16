//! What became of lines: counted, and told where it is not good.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_client::proto::{Outcome, PacketResult};

use super::lines::Line;
use crate::cli::Failure;
use crate::cli::client::json::{outcome, reason};
use crate::cli::client::show::{BAD, GOOD};
use crate::cli::client::{Error, answer, content, json, show};
use crate::cli::text::{counted, shown};

/// So many are told on stderr; the others are in the file, or counted.
const LISTED: u64 = 10;
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

    /// One more.
    pub(super) fn add(&mut self, end: End) {
        *match end {
            End::Unreadable => &mut self.unreadable,
            End::Told(Outcome::Ok) => &mut self.ok,
            End::Told(Outcome::Rejected | Outcome::Expired) => &mut self.refused,
            End::Told(Outcome::Forgotten) => &mut self.forgotten,
            End::Told(_) | End::Untold => &mut self.in_doubt,
        } += 1;
    }

    fn in_words(&self) -> String {
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
            Self { forgotten: 1.., .. } => Err(Error::Open(format!(
                "{} finished before, and how is not known any more",
                lines(self.forgotten)
            ))),
            _ => Ok(()),
        }
    }
}

/// What a line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was never sent.
    Unreadable,
    Told(Outcome),
    /// The call that carried it was lost, and its handler keeps nothing.
    Untold,
}

/// Where it is told.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    refused: Option<(PathBuf, File)>,
    listed: u64,
    /// Of this call and those before it.
    pub(super) tally: Tally,
}

impl Report {
    pub(super) fn new(json: bool, refused: Option<&Path>, tally: Tally) -> Result<Self, Error> {
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map(|file| (path.to_owned(), file))
                .map_err(|error| Error::Usage(format!("--refused {}: {error}", path.display())))
        };
        Ok(Self {
            json,
            refused: refused.map(open).transpose()?,
            listed: 0,
            tally,
        })
    }

    pub(super) fn unreadable(&mut self, line: &Line, why: &str) -> Result<(), Failure> {
        self.tally.add(End::Unreadable);
        if self.json {
            answer::line(&json!({ "line": line.end.lines, "unreadable": why }))?;
        }
        self.wrong(line, &shown(why), json!({ "message": why }))
    }

    pub(super) fn untold(&mut self, line: &Line) -> Result<(), Failure> {
        self.tally.add(End::Untold);
        let why = "the call was lost, and its handler keeps nothing: it may have been applied";
        if self.json {
            answer::line(&json!({ "line": line.end.lines, "message": why }))?;
        }
        self.wrong(line, why, json!({ "message": why }))
    }

    pub(super) fn told(&mut self, line: &Line, result: &PacketResult) -> Result<(), Failure> {
        self.tally.add(End::Told(result.outcome()));
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

    /// `why`: for people.
    fn wrong(&mut self, line: &Line, why: &str, mut details: Value) -> Result<(), Failure> {
        let number = line.end.lines;
        let text = String::from_utf8_lossy(&line.text);
        self.listed += 1;
        if self.listed <= LISTED && !self.json {
            let mut err = anstream::stderr().lock();
            let text = content::short(&text, WIDTH);
            writeln!(err, "{BAD}line {number}{BAD:#}: {why}\n    {text}")?;
        }
        let Some((path, file)) = &mut self.refused else {
            return Ok(());
        };
        details["line"] = number.into();
        details["input"] = text.into();
        let mut entry = details.to_string();
        entry.push('\n');
        let written = file.write_all(entry.as_bytes());
        Ok(written
            .map_err(|error| Error::File(format!("--refused {}: {error}", path.display())))?)
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
        if self.listed > LISTED {
            writeln!(err, "… and {} more", self.listed - LISTED)?;
        }
        let good = self.tally.in_words();
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
