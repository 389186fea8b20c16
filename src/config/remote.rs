//! What a handler of kind `grpc` says besides what every handler does.

use std::time::Duration;

use http::Uri;

use super::section::Section;
use super::{HandlerKind, RemoteConfig};
use crate::types::{OnDead, Pattern, Retry};

/// What the keys stand for that are not written.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

const KEYS: [&str; 4] = ["addresses", "call_timeout", "ca", "publish"];
const ADDRESSES: &str = "addresses such as [\"http://127.0.0.1:7001\"]";

/// `None`: it is of another kind, or what was written cannot be.
pub(super) fn remote(section: &mut Section<'_>, kind: HandlerKind) -> Option<RemoteConfig> {
    if kind != HandlerKind::Grpc {
        for key in KEYS {
            section.refuse_if_there(key, "is for handlers of kind \"grpc\": leave it out");
        }
        return None;
    }
    let addresses = addresses(section);
    let call_timeout = section.duration("call_timeout", "5s");
    if call_timeout == Some(Duration::ZERO) {
        section.refuse("call_timeout", "is 0: a time such as \"5s\" would be right");
    }
    let ca = section
        .string("ca")
        .and_then(|path| certificates(section, &path));
    let publish = publish(section);
    Some(RemoteConfig {
        addresses: addresses?,
        call_timeout: call_timeout.unwrap_or(CALL_TIMEOUT),
        ca,
        publish,
    })
}

/// How long a called handler's packets are tried.
pub(super) fn retry(section: &mut Section<'_>) -> Retry {
    let mut retry = Retry::default();
    let choices = [("continue", OnDead::Continue), ("stop", OnDead::Stop)];
    retry.on_dead = section.choice("on_dead", &choices).unwrap_or_default();
    let Some(mut section) = section.section("retry") else {
        return retry;
    };
    if let Some(attempts) = section.count("attempts") {
        retry.attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    }
    for (key, example, value) in [
        ("budget", "120s", &mut retry.budget),
        ("initial", "100ms", &mut retry.initial),
        ("max", "30s", &mut retry.max),
    ] {
        *value = section.duration(key, example).unwrap_or(*value);
    }
    if retry.initial.is_zero() {
        section.refuse("initial", "is 0: a time such as \"100ms\" would be right");
    }
    if retry.initial > retry.max {
        section.refuse(
            "max",
            "is less than initial: the same or more would be right",
        );
    }
    section.finish();
    retry
}

fn addresses(section: &mut Section<'_>) -> Option<Vec<String>> {
    if !section.has("addresses") {
        section.missing("addresses", ADDRESSES);
    }
    let addresses = section.texts("addresses", ADDRESSES)?;
    if addresses.is_empty() {
        section.refuse(
            "addresses",
            &format!("is empty: {ADDRESSES} would be right"),
        );
    }
    for (at, address) in addresses.iter().enumerate() {
        if let Err(wrong) = check(address) {
            section.refuse_item("addresses", at, &format!("has {address:?}, {wrong}"));
        }
    }
    Some(addresses)
}

fn check(address: &str) -> Result<(), &'static str> {
    let uri: Uri = address
        .parse()
        .map_err(|_| "which is no URI: one such as \"http://127.0.0.1:7001\" would be right")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("which says neither http:// nor https://: one of them would be right");
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("which has a user: the host and its port alone would be right");
    }
    // Where it is a path the service would be looked for below it.
    if uri.path_and_query().is_some_and(|rest| rest != "/") {
        return Err("which has a path: the host and its port alone would be right");
    }
    Ok(())
}

/// What is written and could never be published on is a mistake.
fn publish(section: &mut Section<'_>) -> Vec<Pattern> {
    const RIGHT: &str = "patterns such as [\"orders.>\", \"@user.*\"]";
    let mut patterns = Vec::new();
    let written = section.texts("publish", RIGHT).unwrap_or_default();
    for (at, text) in written.into_iter().enumerate() {
        let wrong = match Pattern::parse(&text, "") {
            Ok(pattern) if pattern.is_reserved() && !text.starts_with("@user.") => {
                "which is the gateway's: of those only inboxes can be published on, as in \"@user.*\"".into()
            }
            Ok(pattern) => {
                patterns.push(pattern);
                continue;
            }
            Err(error) => format!("which is not a pattern: {error}"),
        };
        section.refuse_item("publish", at, &format!("has {text:?}, {wrong}"));
    }
    patterns
}

fn certificates(section: &mut Section<'_>, path: &str) -> Option<Vec<u8>> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    match std::fs::read(path) {
        Ok(pem) if pem.windows(BEGIN.len()).any(|part| part == BEGIN) => return Some(pem),
        Ok(_) => section.refuse(
            "ca",
            &format!("is {path:?}, which has no certificate: a file of PEM would be right"),
        ),
        Err(error) => section.refuse("ca", &format!("is {path:?}, which cannot be read: {error}")),
    }
    None
}
