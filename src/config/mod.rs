//! The configuration, in two forms: what was written (a TOML file, and the environment over it) and what is true (a
//! [`Config`], every value checked).

mod read;
mod section;
mod units;
mod written;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::types::{BatchLimits, HandlerName, Ordering, Pattern};
use written::Sources;

/// What is true.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients come in. Port 0: one that is free.
    pub listen: SocketAddr,
    /// Whether it may be reached from elsewhere although it does not know who calls.
    pub exposure: Exposure,
    pub store: StoreConfig,
    /// `None`: `topics` and `echo` exist, and every other name is a collection.
    pub handlers: Option<Vec<HandlerConfig>>,
    /// Topics that are told to those who listen now, and kept nowhere.
    pub ephemeral: Vec<Pattern>,
    /// How long a stop may take.
    pub drain: Duration,
    pub log: LogFormat,
}

/// Whether an address that others can reach is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    LoopbackOnly,
    /// `--insecure`.
    Anywhere,
}

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    Memory {
        /// How much of messages is kept.
        messages: usize,
    },
}

impl StoreConfig {
    /// The same without anything on disk.
    pub fn ephemeral(self) -> Self {
        match self {
            Self::Memory { messages } => Self::Memory { messages },
        }
    }
}

/// One `[handlers.…]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerConfig {
    pub name: HandlerName,
    pub kind: HandlerKind,
    pub ordering: Ordering,
    pub mixed_actions: bool,
    pub isolate_tenants: bool,
    pub batch: BatchLimits,
    pub durable: bool,
}

/// The kinds that a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerKind {
    Records,
    Topics,
    Echo,
}

impl HandlerKind {
    /// By default: what applies a whole commit at once has no reason to keep actions apart.
    pub fn mixes_actions(self) -> bool {
        matches!(self, Self::Records | Self::Topics)
    }

    /// By default: what is for trying out keeps nothing.
    pub fn is_durable(self) -> bool {
        matches!(self, Self::Records | Self::Topics)
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            exposure: Exposure::LoopbackOnly,
            store: StoreConfig::Memory {
                messages: 256 << 20,
            },
            handlers: None,
            ephemeral: Vec::new(),
            drain: Duration::from_secs(30),
            log: LogFormat::Text,
        }
    }
}

impl Config {
    /// The file, if there is one, and over it the variables `TIDEGATE_SECTION__KEY` of `environment`.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                Problems(vec![format!("{} cannot be read: {error}", path.display())])
            })?,
        };
        Self::checked(&text, Sources::of(file), environment)
    }

    /// The same from the text of a file.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        Self::checked(text, Sources::default(), environment)
    }

    fn checked(
        text: &str,
        mut sources: Sources,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let table = written::table(text, environment, &mut sources, &mut problems);
        let config = read::config(table, &sources, &mut problems);
        if problems.0.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }
}

/// Everything that is wrong with a configuration, told at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:\n  {}", .0.join("\n  "))]
pub struct Problems(pub Vec<String>);

#[cfg(test)]
mod tests;
