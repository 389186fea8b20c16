//! What a command with one answer writes.

use std::io::{self, Write};

use serde_json::Value;
use tidegate_client::proto::PacketResult;

use super::show::{DIM, GOOD};
use super::{Error, Options, json, judged, show};
use crate::cli::Failure;

impl Options {
    /// What became of a packet: in JSON whatever it is, for people what it brought.
    pub(super) fn tell(&self, result: PacketResult) -> Result<(), Failure> {
        if self.json {
            line(&json::result(&result))?;
            judged(result)?;
            return Ok(());
        }
        let result = judged(result)?;
        let mut out = anstream::stdout().lock();
        let lines = show::answer(&result);
        if lines.is_empty() {
            let again = if result.replayed { ", as before" } else { "" };
            writeln!(out, "{GOOD}OK{GOOD:#}{DIM}{again}{DIM:#}")?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        Ok(out.flush()?)
    }

    /// What was asked for, which this command writes in its own way; a refusal is told in JSON too.
    pub(super) fn asked(&self, result: PacketResult) -> Result<PacketResult, Error> {
        if self.json && result.outcome() != tidegate_client::proto::Outcome::Ok {
            // Who closed it has what it wanted.
            let _ = line(&json::result(&result));
        }
        judged(result)
    }
}

/// One line of JSON.
pub(super) fn line(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    out.flush()
}
