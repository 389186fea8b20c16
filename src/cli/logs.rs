//! Logs go to stderr, as text or as JSON.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// `filter`: what is written, as `tracing` reads it.
pub(super) fn start(format: LogFormat, filter: &str) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
