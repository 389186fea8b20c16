//! Runs the vectors that every language shares.

use serde::Deserialize;

use super::{Pattern, Topic, encode_token, record_key};

const VECTORS: &str = include_str!("../../../tests/conformance/topics.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    matches: Vec<Match>,
    covers: Vec<Covers>,
    invalid_patterns: Vec<Invalid>,
    invalid_topics: Vec<Invalid>,
    invalid_keys: Vec<Invalid>,
    tokens: Vec<Token>,
    records: Vec<RecordTopic>,
    me: Vec<Me>,
    reserved: Vec<Reserved>,
    private: Vec<Private>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    pattern: String,
    topic: String,
    matches: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Covers {
    wide: String,
    narrow: String,
    covers: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    #[serde(default)]
    text: String,
    /// Repeats `text` so often, for what is too long.
    #[serde(default)]
    times: Option<usize>,
    #[serde(default)]
    subject: String,
    /// A word that the message has, so that a case fails for its own reason.
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    raw: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordTopic {
    handler: String,
    key: String,
    topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Me {
    subject: String,
    written: String,
    becomes: String,
    #[serde(default)]
    key: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserved {
    topic: String,
    reserved: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Private {
    pattern: String,
    subject: String,
    private: bool,
}

fn vectors() -> Vectors {
    serde_saphyr::from_str(VECTORS).unwrap()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text, "").unwrap()
}

#[test]
fn patterns_match() {
    for case in vectors().matches {
        let (parsed, topic) = (
            pattern(&case.pattern),
            Topic::parse(&case.topic, "").unwrap(),
        );
        let said = format!("{} on {}", case.pattern, case.topic);
        assert_eq!(parsed.matches(&topic), case.matches, "{said}");
        let exact = parsed.exact() == Some(&topic);
        assert_eq!(exact, case.pattern == case.topic, "{said}");
    }
}

#[test]
fn patterns_cover() {
    for case in vectors().covers {
        let covers = pattern(&case.wide).covers(&pattern(&case.narrow));
        assert_eq!(covers, case.covers, "{} over {}", case.wide, case.narrow);
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    type Parse = fn(&str, &str) -> Option<String>;
    let vectors = vectors();
    let kinds: [(Vec<Invalid>, Parse); 3] = [
        (vectors.invalid_patterns, |text, subject| {
            Pattern::parse(text, subject).err().map(|error| error.0)
        }),
        (vectors.invalid_topics, |text, subject| {
            Topic::parse(text, subject).err().map(|error| error.0)
        }),
        (vectors.invalid_keys, |text, subject| {
            record_key(text, subject).err().map(|error| error.0)
        }),
    ];
    for (cases, parse) in kinds {
        assert!(!cases.is_empty());
        for case in cases {
            let text = case.text.repeat(case.times.unwrap_or(1));
            let message = parse(&text, &case.subject);
            let told = message
                .as_ref()
                .is_some_and(|said| said.contains(&case.why));
            assert!(told, "{text:?}: {message:?} should say {:?}", case.why);
        }
    }
}

#[test]
fn tokens_are_encoded() {
    for case in vectors().tokens {
        assert_eq!(encode_token(&case.raw), case.token);
    }
    for case in vectors().records {
        assert_eq!(
            Topic::of_record(&case.handler, &case.key).as_str(),
            case.topic
        );
    }
}

#[test]
fn me_is_a_literal() {
    for case in vectors().me {
        let made = if case.key {
            record_key(&case.written, &case.subject).unwrap().into()
        } else {
            let parsed = Pattern::parse(&case.written, &case.subject).unwrap();
            parsed.as_str().to_owned()
        };
        assert_eq!(made, case.becomes, "{} for {}", case.written, case.subject);
    }
}

#[test]
fn own_names_are_guarded() {
    for case in vectors().reserved {
        let topic = Topic::parse(&case.topic, "").unwrap();
        assert_eq!(topic.is_reserved(), case.reserved, "{}", case.topic);
    }
    for case in vectors().private {
        let private = Pattern::parse(&case.pattern, &case.subject)
            .unwrap()
            .is_private_to_another(&case.subject);
        let said = format!("{} for {:?}", case.pattern, case.subject);
        assert_eq!(private, case.private, "{said}");
    }
}

/// The matcher that runs per event has shapes to be fast; the plain one says what is right.
#[test]
fn shapes_agree_with_the_plain_matcher() {
    let tokens = ["a", "b", "ab", "@x", "*", ">"];
    let mut names = vec![String::new()];
    for _ in 0..3 {
        let longer = |name: &String| {
            tokens.map(|token| {
                [name.as_str(), token]
                    .join(".")
                    .trim_matches('.')
                    .to_owned()
            })
        };
        let more: Vec<_> = names.iter().flat_map(longer).collect();
        names.extend(more);
    }
    let topics: Vec<_> = names
        .iter()
        .filter_map(|n| Topic::parse(n, "").ok())
        .collect();
    let patterns = names.iter().filter_map(|n| Pattern::parse(n, "").ok());
    let mut compared = 0;
    for pattern in patterns {
        for topic in &topics {
            let plain = plainly(pattern.as_str(), topic.as_str());
            assert_eq!(pattern.matches(topic), plain, "{pattern:?} on {topic:?}");
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
}

fn plainly(pattern: &str, topic: &str) -> bool {
    let pattern: Vec<_> = pattern.split('.').collect();
    let topic: Vec<_> = topic.split('.').collect();
    let tail = pattern.last() == Some(&">");
    let fixed = pattern.len() - usize::from(tail);
    let long_enough = if tail {
        topic.len() > fixed
    } else {
        topic.len() == fixed
    };
    let wild_first = pattern[0] == "*" || pattern[0] == ">";
    long_enough
        && !(wild_first && topic[0].starts_with('@'))
        && (0..fixed).all(|at| pattern[at] == "*" || pattern[at] == topic[at])
}
