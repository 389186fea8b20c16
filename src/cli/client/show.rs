//! What the gateway tells, for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use tidegate_client::proto::{Gap, Message, PacketResult, Reason, Record, gap};

use super::content::told;
use super::json::{moment, outcome, reason};
use crate::cli::text::shown;

pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const NAME: Style = AnsiColor::Cyan.on_default();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const NOTICE: Style = AnsiColor::Yellow.on_default();

/// As `REJECTED (NOT_FOUND): there is no record "milk"`.
pub(super) fn why(result: &PacketResult) -> String {
    let mut why = outcome(result).to_owned();
    if result.reason() != Reason::Unspecified {
        let _ = write!(why, " ({})", reason(result));
    }
    if !result.code.is_empty() {
        let _ = write!(why, " [{}]", shown(&result.code));
    }
    if !result.message.is_empty() {
        let _ = write!(why, ": {}", shown(&result.message));
    }
    if let [present] = &result.records[..] {
        let _ = write!(why, "; there is {}", record(present));
    }
    why
}

/// All that an answer brought, a line for each item.
pub(super) fn answer(result: &PacketResult) -> Vec<String> {
    let records = result.records.iter().map(record);
    let messages = result.messages.iter().map(message);
    let texts = result.text.iter().map(|text| shown(text));
    let data = result.data.iter().map(|data| told("", data));
    records.chain(messages).chain(texts).chain(data).collect()
}

/// On one line.
pub(super) fn record(record: &Record) -> String {
    let key = shown(&record.key);
    let mut line = format!("{NAME}{key}{NAME:#} {DIM}version {}{DIM:#}", record.version);
    if record.deleted {
        line += " deleted";
    } else if !record.text.is_empty() || !record.data.is_empty() {
        let _ = write!(line, "  {}", told(&record.text, &record.data));
    }
    line
}

/// On one line.
pub(super) fn message(message: &Message) -> String {
    let time = moment(message.time).unwrap_or_default();
    let topic = shown(&message.topic);
    let what = match &message.record {
        Some(change) if change.deleted => format!("{DIM}version {}{DIM:#} deleted", change.version),
        Some(change) => format!(
            "{DIM}version {}{DIM:#}  {}",
            change.version,
            told(&change.text, &change.data)
        ),
        None => told(&message.text, &message.data),
    };
    format!("{DIM}{time}{DIM:#} {NAME}{topic}{NAME:#}  {what}")
}

pub(super) fn gap(gap: &Gap) -> String {
    let cause = match gap.cause() {
        gap::Cause::Unspecified => "something",
        gap::Cause::Retention => "what was older than is kept",
        gap::Cause::History => "what came before: the cursor is of another store",
        gap::Cause::Slow => "what came faster than it was read",
        gap::Cause::Damage => "what a damaged store lost",
    };
    let mut line = format!("missing: {cause}");
    if !gap.pattern.is_empty() {
        let _ = write!(line, ", of {}", shown(&gap.pattern));
    }
    if gap.missed > 0 {
        let _ = write!(line, " ({})", gap.missed);
    }
    line
}
