//! `tidegate check`.

use std::io::{self, Write};

use super::Failure;
use super::serve::Serve;
use crate::app;
use crate::config::{Config, DEFAULT, Engine};

/// Says whether `serve` with the same options could use its configuration, or all that is wrong with it
///
/// It reads the file and the environment as `serve` does, and opens no port and no data directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate check --default > tidegate.toml  # every key, as a file to begin with
  tidegate check --config tidegate.toml
  tidegate check --config tidegate.toml --ephemeral --listen 127.0.0.1:50061

It ends with 0, and with 64 where something is wrong: each mistake has a line, with its place.")]
pub(super) struct Check {
    /// Print every key with its default and what it means, as a file to begin with
    #[arg(long, exclusive = true)]
    default: bool,
    #[command(flatten)]
    serve: Serve,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.default {
            return Ok(out.write_all(DEFAULT.as_bytes())?);
        }
        let config = self.serve.config()?;
        self.serve.filter()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async { app::check(&config) })?;
        Ok(writeln!(out, "{}", found(&config))?)
    }
}

/// In a line.
fn found(config: &Config) -> String {
    let handlers = match &config.handlers {
        None => "no handlers are listed, so every name is a collection".into(),
        Some(handlers) => {
            let names: Vec<_> = handlers.iter().map(|listed| listed.name.as_str()).collect();
            format!(
                "{} ({})",
                count(names.len(), "handler", "handlers"),
                names.join(", ")
            )
        }
    };
    let topics = count(config.topics.len(), "rule for topics", "rules for topics");
    let kept = match config.store.engine {
        Engine::Memory => "memory".into(),
        Engine::Embedded => config.store.path.display().to_string(),
    };
    let (clients, admin) = (config.listen, config.admin.listen);
    format!(
        "the configuration can be used: {handlers}; {topics}; listens on {clients}, and for those who run it on {admin}; keeps everything in {kept}"
    )
}

fn count(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}
