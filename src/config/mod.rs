//! The configuration, in two forms: what was written (a TOML file, and the environment over it) and what is true (a
//! [`Config`], every value checked).

mod changes;
mod flat;
mod nearest;
mod place;
mod problem;
mod read;
mod remote;
mod section;
mod units;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::types::{BatchLimits, HandlerName, Ordering, Pattern, Retry, Token};
pub use changes::{Change, Refusal, changes};
pub use place::{Findings, Found, Left, Place};
use problem::At;
pub use problem::{Problem, Problems};
use written::Sources;

/// Every key with its default and what it means, as a file of its own.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// What is true.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients come in. Port 0: one that is free.
    pub listen: SocketAddr,
    /// Whether it may be reached from elsewhere although it does not know who calls.
    pub exposure: Exposure,
    pub admin: AdminConfig,
    pub store: StoreConfig,
    /// `None`: `topics` and `echo` exist, and every other name is a collection.
    pub handlers: Option<Vec<HandlerConfig>>,
    /// Every `[topics."…"]`, in order of the patterns.
    pub topics: Vec<TopicConfig>,
    /// How long a stop may take.
    pub drain: Duration,
    pub log: LogFormat,
    pub telemetry: TelemetryConfig,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryConfig {
    /// OTLP over gRPC, with http or https. `None`: there are none.
    pub otlp: Option<String>,
    /// Of traces that begin here, which part is sampled: 0 to 1.
    pub ratio: f64,
}

/// Whether an address that others can reach is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    LoopbackOnly,
    /// `--insecure`.
    Anywhere,
}

/// Who runs the gateway comes in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Port 0: one that is free.
    pub listen: SocketAddr,
    /// `None`: another one is made at each start.
    pub token: Option<Token>,
}

/// Where everything is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub engine: Engine,
    /// The directory of the embedded engine.
    pub path: PathBuf,
    /// How much of messages is kept. `None`: as the engine has it.
    pub messages: Option<u64>,
    /// How much of results is kept for repeats.
    pub results: u64,
}

/// What keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Memory,
    Embedded,
}

/// One `[topics."…"]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub pattern: Pattern,
    /// Told to those who listen now, and kept nowhere.
    pub ephemeral: bool,
    /// Each bound that is not there is the store's.
    pub keep: KeepConfig,
}

/// How long messages are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepConfig {
    pub age: Option<Duration>,
    pub bytes: Option<u64>,
    /// The newest so many of each topic.
    pub last: Option<u64>,
}

impl KeepConfig {
    /// Whether it says anything.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
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
    pub retry: Retry,
    /// Of kind `grpc`.
    pub remote: Option<RemoteConfig>,
}

/// Where a handler's service is, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// At least one, each with http or https.
    pub addresses: Vec<String>,
    pub call_timeout: Duration,
    /// What the file of certificates has that alone are trusted. `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    /// What its results may publish.
    pub publish: Vec<Pattern>,
}

/// The kinds that a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerKind {
    Records,
    Topics,
    Echo,
    Grpc,
}

impl HandlerKind {
    /// By default: what applies a whole commit at once has no reason to keep actions apart.
    pub fn mixes_actions(self) -> bool {
        matches!(self, Self::Records | Self::Topics)
    }

    /// By default: what is for trying out keeps nothing.
    pub fn is_durable(self) -> bool {
        self != Self::Echo
    }

    /// Whether what it does is in the store itself, and cannot be otherwise.
    pub fn is_stored(self) -> bool {
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
            admin: AdminConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 50052)),
                token: None,
            },
            store: StoreConfig {
                engine: Engine::Embedded,
                path: PathBuf::from("tidegate-data"),
                messages: None,
                results: 1 << 30,
            },
            handlers: None,
            topics: Vec::new(),
            drain: Duration::from_secs(30),
            log: LogFormat::Text,
            telemetry: TelemetryConfig {
                otlp: None,
                ratio: 1.0,
            },
        }
    }
}

/// What OpenTelemetry calls the variable that says where traces go; the first that is set counts.
const OTLP: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

impl Config {
    /// The file, if there is one, and over it the variables `TIDEGATE_SECTION__KEY` of `environment`.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                let what = format!("{} cannot be read: {error}", path.display());
                Problems(vec![Problem::new(At::Nowhere, what)])
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
        let environment: Vec<_> = environment.collect();
        let variable = |name: &str| {
            let mut all = environment.iter();
            let found = all.find(|(known, value)| known == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let endpoint = OTLP.iter().find_map(|name| Some((*name, variable(name)?)));
        let table = written::table(text, environment.into_iter(), &mut sources, &mut problems);
        let mut config = read::config(table, &sources, &mut problems);
        if config.telemetry.otlp.is_none() {
            config.telemetry.otlp = read::standard(endpoint, &mut problems);
        }
        if problems.0.is_empty() {
            return Ok(config);
        }
        problems.0.sort();
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
