//! What of a configuration can change while a gateway runs.

use super::super::*;
use super::parse;

const FILE: &str = r#"
[admin]
token = "the-first-token-of-all"
[handlers.bills]
[handlers.orders]
kind = "grpc"
addresses = ["http://a:1"]
publish = ["orders.>"]
[topics."chat.>"]
keep.age = "1d"
"#;

/// Between this file and one in which this stands for that.
fn between(that: &str, this: &str) -> Result<Vec<Change>, Vec<String>> {
    assert!(that.is_empty() || FILE.contains(that), "{that}");
    let other = match that {
        "" => format!("{this}\n{FILE}"),
        _ => FILE.replace(that, this),
    };
    let (old, new) = (parse(FILE, &[]).unwrap(), parse(&other, &[]).unwrap());
    changes(&old, &new).map_err(|refusals| refusals.iter().map(ToString::to_string).collect())
}

fn told(changes: &[Change]) -> Vec<String> {
    let told = |change: &Change| format!("{}: {} -> {}", change.key, change.was(), change.is());
    changes.iter().map(told).collect()
}

#[test]
fn the_same_changes_nothing() {
    assert_eq!(between("", "").unwrap(), []);
}

#[test]
fn how_a_handler_is_called_and_what_is_kept_can_change() {
    for (that, this, expected) in [
        (
            "[topics",
            "batch = { max_packets = 2, window = \"5ms\" }\nretry.max = \"1m\"\non_dead = \"stop\"\n[topics",
            &[
                "handlers.orders.batch.max_packets: 500 -> 2",
                "handlers.orders.batch.window: \"0s\" -> \"5ms\"",
                "handlers.orders.on_dead: \"continue\" -> \"stop\"",
                "handlers.orders.retry.max: \"30s\" -> \"1m\"",
            ][..],
        ),
        (
            "publish = [\"orders.>\"]",
            "publish = []\ncall_timeout = \"1s\"",
            &[
                "handlers.orders.call_timeout: \"5s\" -> \"1s\"",
                "handlers.orders.publish: [\"orders.>\"] -> []",
            ],
        ),
        (
            "http://a:1",
            "http://b:1",
            &["handlers.orders.addresses: [\"http://a:1\"] -> [\"http://b:1\"]"],
        ),
        (
            "keep.age = \"1d\"",
            "ephemeral = true\n[topics.a]\nkeep.bytes = \"2MiB\"",
            &[
                "topics.\"chat.>\".ephemeral: false -> true",
                "topics.\"chat.>\".keep.age: \"1day\" -> not set",
                "topics.a.ephemeral: not set -> false",
                "topics.a.keep.bytes: not set -> \"2MiB\"",
            ],
        ),
        (
            "",
            "[store]\nmessages = \"1GiB\"",
            &["store.messages: not set -> \"1GiB\""],
        ),
    ] {
        assert_eq!(told(&between(that, this).unwrap()), expected, "{this}");
    }
}

#[test]
fn what_needs_a_restart_is_told_with_all_else_that_does() {
    for (that, this, expected) in [
        (
            "",
            "[server]\nlisten = \"127.0.0.1:1\"\ndrain = \"1s\"",
            &[
                "server.drain needs",
                "server.listen needs a restart: it is \"127.0.0.1:50051\", and would be \"127.0.0.1:1\"",
            ][..],
        ),
        (
            "",
            "[log]\nformat = \"json\"",
            &["log.format needs a restart: it is \"text\""],
        ),
        (
            "",
            "[store]\nresults = \"2GiB\"\npath = \"b\"",
            &["store.path needs", "store.results needs"],
        ),
        ("", "[telemetry]\nratio = 0.5", &["telemetry.ratio needs"]),
        (
            "",
            "[handlers.more]",
            &["handlers.more needs a restart: it is not there yet"],
        ),
        (
            "[handlers.bills]",
            "",
            &["handlers.bills needs a restart: it is there, and would not be"],
        ),
        (
            "[handlers.bills]",
            "[handlers.bills]\nkind = \"echo\"",
            &[
                "handlers.bills.durable needs",
                "handlers.bills.kind needs",
                "handlers.bills.mixed_actions needs",
            ],
        ),
        // What could change beside it changes nothing either.
        (
            "publish = [\"orders.>\"]",
            "isolation = \"tenant\"\nbatch.calls = 1",
            &["handlers.orders.isolation needs a restart: it is \"none\""],
        ),
        (
            "the-first-token-of-all",
            "another-token-than-the-first",
            &[
                "admin.token needs a restart: it is one that is not told, and would be one that is not told",
            ],
        ),
    ] {
        let told = between(that, this).unwrap_err();
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told} is not {expected}…");
        }
        assert!(
            !told.iter().any(|line| line.contains("-token-")),
            "{told:?}"
        );
    }
}

#[test]
fn what_is_in_memory_has_its_bound_from_the_start() {
    let memory = |messages: &str| {
        let text = format!("[store]\nengine = \"memory\"\nmessages = {messages:?}");
        parse(&text, &[]).unwrap()
    };
    let refused = changes(&memory("1MiB"), &memory("2MiB")).unwrap_err();
    assert_eq!(
        refused[0].to_string(),
        "store.messages needs a restart: it is \"1MiB\", and would be \"2MiB\""
    );
}

#[test]
fn where_traces_go_may_have_a_password_and_is_not_told() {
    let to = |whose: &str| format!("[telemetry]\notlp = \"http://{whose}@127.0.0.1:4317\"\n");
    let read = |text: &str| parse(text, &[]).unwrap();
    let (old, new) = (read(&to("ann:sesame")), read(&to("ann:open")));
    let refusals = changes(&old, &new).unwrap_err();
    let told = refusals[0].to_string();
    assert!(told.starts_with("telemetry.otlp needs a restart"), "{told}");
    assert!(!told.contains("sesame") && !told.contains("open"), "{told}");
}
