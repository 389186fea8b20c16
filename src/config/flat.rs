//! A configuration as a list of its keys: to tell two of them apart.

use std::collections::BTreeMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::written::path_of;
use super::{
    AdminConfig, Config, Engine, Exposure, HandlerConfig, HandlerKind, KeepConfig, LogFormat,
    RemoteConfig, StoreConfig, TelemetryConfig, TopicConfig,
};
use crate::types::{BatchLimits, OnDead, Ordering, Pattern, Retry};

/// What is set, by the path of its key. What is not set is not in it.
pub(super) type Flat = BTreeMap<String, Setting>;

/// One key of a configuration, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As a file would say it.
    pub(super) text: String,
    /// Whether anybody is told what it is.
    pub(super) told: bool,
    pub(super) when: When,
}

/// When another value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// While the gateway runs.
    Reloaded,
    /// From its next start on.
    Started,
}

/// Every field is named, so that none is forgotten.
pub(super) fn flat(config: &Config) -> Flat {
    let Config {
        listen,
        exposure,
        admin,
        store,
        handlers,
        topics,
        drain,
        log,
        telemetry,
    } = config;
    let mut out = Out(Flat::new());
    out.fixed("server.listen", quoted(&listen.to_string()));
    out.fixed("server.drain", time(*drain));
    if *exposure == Exposure::Anywhere {
        out.fixed("--insecure", "given".into());
    }
    out.fixed("log.format", quoted(format_name(*log)));
    let AdminConfig { listen, token } = admin;
    out.fixed("admin.listen", quoted(&listen.to_string()));
    if let Some(token) = token {
        out.set("admin.token", token.as_str().into(), When::Started, false);
    }
    let TelemetryConfig { otlp, ratio } = telemetry;
    if let Some(otlp) = otlp {
        // A password may stand in it.
        out.set("telemetry.otlp", quoted(otlp), When::Started, false);
    }
    out.fixed("telemetry.ratio", format!("{ratio:?}"));
    out.store(store);
    for handler in handlers.iter().flatten() {
        out.handler(handler);
    }
    for topic in topics {
        out.topic(topic);
    }
    out.0
}

struct Out(Flat);

impl Out {
    fn set(&mut self, path: &str, text: String, when: When, told: bool) {
        let setting = Setting { text, told, when };
        self.0.insert(path.to_owned(), setting);
    }

    fn fixed(&mut self, path: &str, text: String) {
        self.set(path, text, When::Started, true);
    }

    fn free(&mut self, path: &str, text: String) {
        self.set(path, text, When::Reloaded, true);
    }

    fn store(&mut self, store: &StoreConfig) {
        let StoreConfig {
            engine,
            path,
            messages,
            results,
        } = store;
        self.fixed("store.engine", quoted(engine_name(*engine)));
        self.fixed("store.path", quoted(&path.display().to_string()));
        self.fixed("store.results", size(*results));
        if let Some(messages) = messages {
            // What is in memory has its bound from the start.
            match engine {
                Engine::Embedded => self.free("store.messages", size(*messages)),
                Engine::Memory => self.fixed("store.messages", size(*messages)),
            }
        }
    }

    fn handler(&mut self, handler: &HandlerConfig) {
        let HandlerConfig {
            name,
            kind,
            ordering,
            mixed_actions,
            isolate_tenants,
            batch,
            durable,
            retry,
            remote,
        } = handler;
        let section = path_of("handlers", name.as_str());
        let at = |key: &str| format!("{section}.{key}");
        self.fixed(&at("kind"), quoted(kind_name(*kind)));
        self.fixed(&at("ordering"), quoted(ordering_name(*ordering)));
        self.fixed(&at("mixed_actions"), mixed_actions.to_string());
        let isolation = if *isolate_tenants { "tenant" } else { "none" };
        self.fixed(&at("isolation"), quoted(isolation));
        self.fixed(&at("durable"), durable.to_string());
        let BatchLimits {
            max_packets,
            max_bytes,
            window,
            calls,
        } = batch;
        self.free(&at("batch.max_packets"), max_packets.to_string());
        self.free(&at("batch.max_bytes"), size(*max_bytes as u64));
        self.free(&at("batch.window"), time(*window));
        self.free(&at("batch.calls"), calls.to_string());
        if !kind.is_stored() {
            let Retry {
                attempts,
                budget,
                initial,
                max,
                on_dead,
            } = retry;
            self.free(&at("retry.attempts"), attempts.to_string());
            self.free(&at("retry.budget"), time(*budget));
            self.free(&at("retry.initial"), time(*initial));
            self.free(&at("retry.max"), time(*max));
            self.free(&at("on_dead"), quoted(on_dead_name(*on_dead)));
        }
        let Some(remote) = remote else { return };
        let RemoteConfig {
            addresses,
            call_timeout,
            ca,
            publish,
        } = remote;
        self.free(&at("addresses"), format!("{addresses:?}"));
        self.free(&at("call_timeout"), time(*call_timeout));
        if let Some(pem) = ca {
            let text = format!("{} bytes ({:016x})", pem.len(), xxh3_64(pem));
            self.free(&at("ca"), text);
        }
        let publish: Vec<_> = publish.iter().map(Pattern::as_str).collect();
        self.free(&at("publish"), format!("{publish:?}"));
    }

    fn topic(&mut self, topic: &TopicConfig) {
        let TopicConfig {
            pattern,
            ephemeral,
            keep,
        } = topic;
        let section = path_of("topics", pattern.as_str());
        self.free(&format!("{section}.ephemeral"), ephemeral.to_string());
        let KeepConfig { age, bytes, last } = keep;
        let keep = [
            ("age", age.map(time)),
            ("bytes", bytes.map(size)),
            ("last", last.map(|last| last.to_string())),
        ];
        for (key, text) in keep {
            if let Some(text) = text {
                self.free(&format!("{section}.keep.{key}"), text);
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn time(time: Duration) -> String {
    quoted(&humantime::format_duration(time).to_string())
}

/// In the largest unit that it is a whole number of.
fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = |(_, bits): &(&str, u32)| bytes > 0 && bytes.is_multiple_of(1 << bits);
    let (unit, bits) = units.into_iter().find(whole).unwrap_or(("B", 0));
    quoted(&format!("{}{unit}", bytes >> bits))
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Memory => "memory",
        Engine::Embedded => "embedded",
    }
}

fn format_name(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

fn kind_name(kind: HandlerKind) -> &'static str {
    match kind {
        HandlerKind::Records => "records",
        HandlerKind::Topics => "topics",
        HandlerKind::Echo => "echo",
        HandlerKind::Grpc => "grpc",
    }
}

fn ordering_name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Client => "client",
        Ordering::Key => "key",
        Ordering::None => "none",
    }
}

fn on_dead_name(on_dead: OnDead) -> &'static str {
    match on_dead {
        OnDead::Continue => "continue",
        OnDead::Stop => "stop",
    }
}
