//! From what was written to what is true.

use std::net::SocketAddr;

use http::Uri;
use toml::{Table, Value};

use super::problem::At;
use super::remote::{remote, retry};
use super::section::Section;
use super::written::Sources;
use super::{
    AdminConfig, Config, Engine, HandlerConfig, HandlerKind, KeepConfig, LogFormat, Problems,
    TelemetryConfig, TopicConfig,
};
use crate::types::{BatchLimits, HandlerName, Ordering, Pattern, Retry, Token, limits};

pub(super) fn config(table: Table, sources: &Sources, problems: &mut Problems) -> Config {
    let mut config = Config::default();
    let mut root = Section::root(table, sources, problems);
    if let Some(section) = root.section("server") {
        server(section, &mut config);
    }
    if let Some(section) = root.section("admin") {
        admin(section, &mut config.admin);
    }
    if let Some(section) = root.section("log") {
        log(section, &mut config);
    }
    if let Some(section) = root.section("telemetry") {
        telemetry(section, &mut config.telemetry);
    }
    if let Some(section) = root.section("store") {
        store(section, &mut config);
    }
    if let Some(section) = root.section("handlers") {
        config.handlers = handlers(section);
    }
    if let Some(section) = root.section("topics") {
        config.topics = topics(section);
    }
    root.later(&["roles"]);
    root.finish();
    config
}

fn server(mut section: Section<'_>, config: &mut Config) {
    listen(&mut section, &mut config.listen);
    if let Some(drain) = section.duration("drain", "30s") {
        config.drain = drain;
    }
    section.finish();
}

fn admin(mut section: Section<'_>, admin: &mut AdminConfig) {
    listen(&mut section, &mut admin.listen);
    if let Some(token) = section.secret("token") {
        admin.token = Token::new(&token);
        if admin.token.is_none() {
            // It is not told, wrong as it is.
            let (least, most) = (limits::TOKEN_BYTES.start(), limits::TOKEN_BYTES.end());
            let right = format!(
                "cannot be one: {least} to {most} of A-Z a-z 0-9 - . _ ~ + / = would be right"
            );
            section.refuse("token", &right);
        }
    }
    section.finish();
}

fn listen(section: &mut Section<'_>, into: &mut SocketAddr) {
    let Some(listen) = section.string("listen") else {
        return;
    };
    match listen.parse() {
        Ok(listen) => *into = listen,
        Err(_) => section.refuse(
            "listen",
            &format!("is {listen:?}: an IP address and a port such as \"{into}\" would be right"),
        ),
    }
}

fn log(mut section: Section<'_>, config: &mut Config) {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = section.choice("format", &formats) {
        config.log = format;
    }
    section.finish();
}

fn telemetry(mut section: Section<'_>, telemetry: &mut TelemetryConfig) {
    match section.string("otlp") {
        Some(otlp) if is_endpoint(&otlp) => telemetry.otlp = Some(otlp),
        Some(otlp) => section.refuse(
            "otlp",
            &format!("is {otlp:?}: an address such as \"http://127.0.0.1:4317\" would be right"),
        ),
        None => {}
    }
    if let Some(ratio) = section.part("ratio") {
        telemetry.ratio = ratio;
    }
    section.finish();
}

/// What a variable of OpenTelemetry says, by its name.
pub(super) fn standard(
    endpoint: Option<(&str, String)>,
    problems: &mut Problems,
) -> Option<String> {
    let (name, endpoint) = endpoint?;
    if !is_endpoint(&endpoint) {
        let right = "an address such as \"http://127.0.0.1:4317\" would be right";
        let at = At::Variable(name.to_owned());
        problems.add(at, format!("is {endpoint:?}: {right}"));
        return None;
    }
    Some(endpoint)
}

/// Whether traces may go there.
fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let scheme = uri.scheme_str();
    uri.authority().is_some() && (scheme == Some("http") || scheme == Some("https"))
}

fn store(mut section: Section<'_>, config: &mut Config) {
    let store = &mut config.store;
    match section.string("engine").as_deref() {
        None => {}
        Some("memory") => store.engine = Engine::Memory,
        Some("embedded") => store.engine = Engine::Embedded,
        Some("jetstream") => section.refuse(
            "engine",
            "is \"jetstream\", which comes with a later version: \"embedded\" and \"memory\" are what there is",
        ),
        Some(engine) => {
            let engine = Value::String(engine.to_owned());
            section.wrong_word::<()>("engine", &engine, &["embedded", "memory"]);
        }
    }
    match section.string("path") {
        Some(path) if path.is_empty() => {
            section.refuse("path", "is empty: the path of a directory would be right");
        }
        Some(path) => store.path = path.into(),
        None => {}
    }
    if let Some(bytes) = section.bytes("messages") {
        store.messages = Some(bytes as u64);
    }
    if let Some(bytes) = section.bytes("results") {
        store.results = bytes as u64;
    }
    section.finish();
}

/// `None` where the section is empty: then nothing is listed.
fn handlers(section: Section<'_>) -> Option<Vec<HandlerConfig>> {
    let mut handlers = Vec::new();
    section.each("<name>", |name, section| {
        handlers.extend(handler(name, section))
    });
    (!handlers.is_empty()).then_some(handlers)
}

fn handler(name: &str, mut section: Section<'_>) -> Option<HandlerConfig> {
    const KINDS: [(&str, HandlerKind); 4] = [
        ("records", HandlerKind::Records),
        ("topics", HandlerKind::Topics),
        ("echo", HandlerKind::Echo),
        ("grpc", HandlerKind::Grpc),
    ];
    const ORDERINGS: [(&str, Ordering); 3] = [
        ("client", Ordering::Client),
        ("key", Ordering::Key),
        ("none", Ordering::None),
    ];
    let is_topics = name == "topics";
    let default = if is_topics {
        HandlerKind::Topics
    } else {
        HandlerKind::Records
    };
    let written = section.has("kind");
    let kind = match section.choice("kind", &KINDS) {
        Some(kind) => kind,
        // The mistake is told, and nothing else for its sake: as what goes with the other keys.
        None if written && section.has("addresses") => HandlerKind::Grpc,
        None if written => HandlerKind::Echo,
        None => default,
    };
    if is_topics && kind != HandlerKind::Topics {
        section.refuse(
            "kind",
            "is another than \"topics\": clients publish with the handler of this name, so give yours another name",
        );
    }
    let ordering = section.choice("ordering", &ORDERINGS).unwrap_or_default();
    let mixed_actions = section
        .boolean("mixed_actions")
        .unwrap_or_else(|| kind.mixes_actions());
    let isolate_tenants = section
        .choice("isolation", &[("none", false), ("tenant", true)])
        .unwrap_or(false);
    let durable = section
        .boolean("durable")
        .unwrap_or_else(|| kind.is_durable());
    if !durable && kind.is_stored() {
        section.refuse(
            "durable",
            "is false: what it does is in the store, so that only true would be right",
        );
    }
    let mut limits = BatchLimits::default();
    if let Some(section) = section.section("batch") {
        batch(section, &mut limits);
    }
    let remote = remote(&mut section, kind);
    let mut tried = Retry::default();
    if kind.is_stored() {
        for key in ["retry", "on_dead"] {
            section.refuse_if_there(key, "is for handlers that are called: leave it out");
        }
    } else {
        tried = retry(&mut section);
    }
    let checked = HandlerName::new(name);
    if checked.is_none() {
        section.refuse_all(&format!(
            "cannot be a handler's name: 1 to {} of A-Z a-z 0-9 _ - would be right",
            limits::HANDLER_BYTES
        ));
    }
    section.finish();
    Some(HandlerConfig {
        name: checked?,
        kind,
        ordering,
        mixed_actions,
        isolate_tenants,
        batch: limits,
        durable,
        retry: tried,
        remote,
    })
}

fn batch(mut section: Section<'_>, batch: &mut BatchLimits) {
    let default = *batch;
    batch.max_packets = section.count("max_packets").unwrap_or(default.max_packets);
    batch.max_bytes = section.bytes("max_bytes").unwrap_or(default.max_bytes);
    batch.window = section.duration("window", "50ms").unwrap_or(default.window);
    batch.calls = section.count("calls").unwrap_or(default.calls);
    section.finish();
}

fn topics(section: Section<'_>) -> Vec<TopicConfig> {
    let mut topics = Vec::new();
    section.each("\"pattern\"", |pattern, mut section| {
        let ephemeral = section.boolean("ephemeral").unwrap_or(false);
        let mut keep = KeepConfig::default();
        if let Some(mut section) = section.section("keep") {
            keep = KeepConfig {
                age: section.duration("age", "7d"),
                bytes: section.bytes("bytes").map(|bytes| bytes as u64),
                last: section.count("last").map(|last| last as u64),
            };
            section.finish();
        }
        if ephemeral && keep.is_set() {
            section.refuse("keep", "is of a topic that is not kept: leave out one of keep and ephemeral");
        }
        match Pattern::parse(pattern, "") {
            Ok(pattern) if ephemeral && pattern.is_reserved() => section.refuse(
                "ephemeral",
                "is for topics that clients publish on: those that start with `records.` or `@` are the gateway's, and are kept",
            ),
            Ok(pattern) => topics.push(TopicConfig {
                pattern,
                ephemeral,
                keep,
            }),
            Err(error) => section.refuse_all(&format!("is not a pattern: {error}")),
        }
        section.finish();
    });
    topics
}
