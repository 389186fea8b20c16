//! Logs go to stderr, as text or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::LogFormat;

/// What is logged, as `tracing` reads it.
pub(super) fn filter(filter: &str) -> Result<EnvFilter, Failure> {
    let parsed = EnvFilter::builder().parse(filter);
    parsed.map_err(|error| {
        Failure::Filter(format!(
            "{filter:?} is no filter for the log ({error}): \"info\" or \"tidegate=debug\" would be right"
        ))
    })
}

pub(super) fn start(format: LogFormat, filter: EnvFilter) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
