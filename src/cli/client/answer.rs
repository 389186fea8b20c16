//! What a command with one answer writes.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use serde_json::Value;
use tidegate_client::proto::PacketResult;

use super::show::{DIM, GOOD};
use super::{Error, Options, json, judged, show};
use crate::cli::Failure;

/// DEL and what is above it.
const UPPER: RangeInclusive<char> = '\u{7f}'..='\u{9f}';

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
    writeln!(out, "{}", written(value))?;
    out.flush()
}

/// Without what could command a terminal: JSON itself lets the upper control characters through.
fn written(value: &Value) -> String {
    let text = value.to_string();
    match text.contains(|character| UPPER.contains(&character)) {
        false => text,
        true => text
            .chars()
            .map(|character| match UPPER.contains(&character) {
                true => format!("\\u{:04x}", u32::from(character)),
                false => character.to_string(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_commands_no_terminal_and_stays_what_it_is() {
        let value = json!({ "a": "\u{1b}[2J\u{9b}2Jé\u{7f}" });
        let text = written(&value);
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
