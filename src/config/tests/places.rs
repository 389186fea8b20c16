//! Where what is wrong stands, and what is no TOML.

use super::super::*;
use super::{parse, wrong};

/// Where each of five mistakes stands, of as many kinds.
#[test]
fn a_problem_stands_where_its_value_or_its_key_does() {
    let text = "\
[server]
lisen = 1
  drain   =   5
[handlers.orders]
kind = \"grpc\"
addresses = [
    \"http://a:1\", \"ü\", \"http://a:1/b\",
]
batch = { max_packets = 0, max_bytes = \"many\" }
[topics]
\"a..b\" = { keep.age = 7 }
";
    let problems = parse(text, &[]).unwrap_err().0;
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "2:1: server.lisen is not known: listen would be right",
        "3:15: server.drain is 5: a time",
        "7:19: handlers.orders.addresses has \"ü\", which ",
        "7:24: handlers.orders.addresses has \"http://a:1/b\", which has a path",
        "9:25: handlers.orders.batch.max_packets is 0",
        "9:40: handlers.orders.batch.max_bytes is \"many\"",
        "11:1: topics.\"a..b\" is not a pattern",
        "11:23: topics.\"a..b\".keep.age is 7",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}…");
    }
}

#[test]
fn what_is_missing_is_missing_in_its_section() {
    let text = "[server]\n[handlers.orders]\nkind = \"grpc\"";
    let told = parse(text, &[]).unwrap_err().0[0].to_string();
    assert!(
        told.starts_with("2:11: handlers.orders.addresses is missing"),
        "{told}"
    );
}

#[test]
fn what_is_no_toml_is_told_with_the_rest() {
    for (text, expected) in [
        // One line of several is wrong, and the others are judged.
        (
            "[server]\nlisten = = 1\ndrain = 5\n[store]\npath = data\nengine = \"memry\"",
            &[
                "2:10: not TOML",
                "3:9: server.drain",
                "5:8: not TOML",
                "6:10: store.engine is \"memry\": \"memory\" would",
            ][..],
        ),
        // Nothing is said to be missing that may be in what could not be read.
        (
            "[handlers.orders]\nkind = \"grpc\"\naddresses = [\"http://a:1\"",
            &["3:26: not TOML"],
        ),
        ("[server]\nlisten = \"a", &["2:12: not TOML"]),
        // Whose `drain` it is nobody knows.
        (
            "[server\ndrain = 5\n[log]\nformat = \"txt\"",
            &["1:8: not TOML: unclosed table, expected `]`; what"],
        ),
        (
            "[server]\ndrain = 5\ndrain = 6",
            &["2:9: server.drain is 5", "3:1: not TOML: duplicate key"],
        ),
        ("{\"server\": 1}", &["1:1: not TOML"]),
    ] {
        let problems = parse(text, &[]).unwrap_err().0;
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told} is not {expected}…");
        }
    }
}

#[test]
fn a_mistyped_kind_is_one_mistake() {
    for text in [
        "kind = \"grcp\"\naddresses = [\"http://a:1\"]\npublish = [\"a\"]\nretry.attempts = 1",
        "kind = \"ehco\"\nretry.attempts = 1\ndurable = false",
    ] {
        let told = wrong(&format!("[handlers.orders]\n{text}"), &[]);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].ends_with("would be right"), "{told:?}");
    }
}

#[test]
fn a_problem_says_where_its_value_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str, environment: &[(&str, &str)]| {
        let file = folder.path().join("gate.toml");
        std::fs::write(&file, text).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let problems = Config::load(Some(&file), environment.into_iter()).unwrap_err();
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        told.join("\n")
    };
    let told = load(
        "[server]\nlisten = \"here\"\ndrain = 5",
        &[
            ("TIDEGATE_FOO", "1"),
            ("TIDEGATE_SERVER__LISTEN", "localhost"),
            ("TIDEGATE_HANDLERS__ORDERS__BATCH", "{ calls = 0 }"),
            ("TIDEGATE_HANDLERS__BILLS__KIND", "none"),
        ],
    );
    for part in [
        "gate.toml:3:9: server.drain is 5: a time with its unit, such as \"30s\"",
        "TIDEGATE_FOO: foo is not known: server, ",
        "TIDEGATE_SERVER__LISTEN: server.listen is \"localhost\": an IP address",
        "TIDEGATE_HANDLERS__ORDERS__BATCH: handlers.orders.batch.calls is 0",
        "TIDEGATE_HANDLERS__BILLS__KIND: handlers.bills.kind is",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
    let told = load("[server]\nlisten = = 1", &[]);
    assert!(told.contains("gate.toml:2:10: not TOML"), "{told}");
}
