use super::flat::flat;
use super::*;
use crate::store::embedded::MessageBounds;
use crate::types::OnDead;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::parse(text, environment.iter().map(owned))
}

/// What is wrong, without where it stands.
fn wrong(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let problems = parse(text, environment).unwrap_err().0;
    problems
        .iter()
        .map(|problem| problem.what().to_owned())
        .collect()
}

fn handler(config: &Config) -> &HandlerConfig {
    &config.handlers.as_ref().expect("handlers")[0]
}

#[test]
fn the_default_file_says_the_defaults() {
    let (written, defaults) = (parse(DEFAULT, &[]).unwrap(), Config::default());
    assert_eq!(format!("{written:?}"), format!("{defaults:?}"));
}

/// A key behind a `#`: its line without it. One without a value has no default.
fn commented(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let is_key = |(key, _): (&str, &str)| !key.contains(' ');
    let is_key = line.split_once(" =").is_some_and(is_key);
    (line.starts_with('[') || is_key).then_some(line)
}

const EXAMPLE: &str = "# an example";

/// With every comment that is a key or a section taken in, it says what a handler and a topic have by default, and every key
/// is there.
#[test]
fn what_the_default_file_has_in_comments_is_the_defaults_too() {
    let has_value = |line: &&str| !line.trim_end().ends_with('=');
    let uncommented = |line: &'static str| match commented(line) {
        Some(line) if has_value(&line) => line,
        _ => line,
    };
    let text: Vec<&str> = DEFAULT.lines().map(uncommented).collect();
    let written = parse(&text.join("\n"), &[]).unwrap();
    let examples = text.iter().filter(|line| line.ends_with(EXAMPLE));
    assert_eq!(
        examples.count(),
        3,
        "a handler's kind and address, and otlp"
    );

    let least = "[handlers.orders]\nkind = \"grpc\"\naddresses = [\"http://127.0.0.1:7001\"]";
    let least = parse(least, &[]).unwrap();
    assert_eq!(handler(&written), handler(&least));
    let bounds = MessageBounds::default();
    assert_eq!(written.store.messages, Some(bounds.bytes));
    let keep = KeepConfig {
        age: Some(bounds.age),
        bytes: Some(bounds.bytes),
        last: bounds.last,
    };
    let [topic] = &written.topics[..] else {
        panic!("there is one example of a topic");
    };
    assert_eq!((topic.ephemeral, topic.keep), (false, keep));

    // What has no default is written without a value.
    let mut full = written;
    full.admin.token = Some(Token::new("a-token-for-the-tests").unwrap());
    full.topics[0].keep.last = Some(1);
    let orders = &mut full.handlers.as_mut().unwrap()[0];
    orders.remote.as_mut().unwrap().ca = Some(Vec::new());
    let mut section = "";
    let mut there = Vec::new();
    for line in DEFAULT.lines() {
        let line = commented(line).unwrap_or(line);
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((key, _)) = line.split_once(" =") {
            there.push(format!("{section}.{key}"));
        }
    }
    there.retain(|key| !key.contains('#'));
    there.sort();
    let all: Vec<String> = flat(&full).into_keys().collect();
    assert_eq!(there, all);
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"
        lisen = 1
        [server]
        listen = "here"
        drain = 5
        [store]
        engine = "jetstream"
        [handlers.orders]
        kind = "grcp"
        mixed_actions = "yes"
        batch = { max_packets = 0, max_bytes = "1", windows = "1ms" }
        [handlers."a b"]
        [topics."a..b"]
        ephemeral = true
    "#;
    let problems = wrong(text, &[]);
    for path in [
        "lisen is not known: server, ",
        "server.listen",
        "server.drain",
        "store.engine",
        "handlers.orders.kind",
        "handlers.orders.mixed_actions",
        "handlers.orders.batch.max_packets",
        "handlers.orders.batch.max_bytes",
        "handlers.orders.batch.windows is not known: window would be right",
        "handlers.\"a b\"",
        "topics.\"a..b\"",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(path)),
            "{path} is not in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 11, "{problems:#?}");
}

#[test]
fn the_environment_counts_more_than_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n[handlers.Orders]\nkind = \"echo\"";
    let environment = [
        ("TIDEGATE_SERVER__LISTEN", "127.0.0.1:2"),
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "topics"),
        ("TIDEGATE_HANDLERS__ORDERS__BATCH__CALLS", "7"),
        ("TIDEGATE_HANDLERS__ORDERS__MIXED_ACTIONS", "false"),
        ("TIDEGATE_LOG", "debug"),
        ("OTHER__KEY", "1"),
    ];
    let config = parse(file, &environment).unwrap();
    assert_eq!(config.listen.port(), 2);
    let orders = handler(&config);
    assert_eq!(
        (orders.name.as_str(), orders.kind),
        ("Orders", HandlerKind::Topics)
    );
    assert_eq!((orders.batch.calls, orders.mixed_actions), (7, false));
    let wrong = parse("", &[("TIDEGATE_SERVER__LISEN", "x")]).unwrap_err();
    assert!(
        wrong.to_string().contains("server.lisen is not known"),
        "{wrong}"
    );
}

#[test]
fn what_is_the_gateways_own_cannot_be_taken() {
    for (text, path) in [
        ("[handlers.topics]\nkind = \"echo\"", "handlers.topics.kind"),
        (
            "[topics.\"records.>\"]\nephemeral = true",
            "topics.\"records.>\".ephemeral",
        ),
        (
            "[topics.\"@user.*\"]\nephemeral = true",
            "topics.\"@user.*\".ephemeral",
        ),
    ] {
        let problems = wrong(text, &[]);
        assert!(problems[0].starts_with(path), "{problems:?}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    let plain = parse("[handlers.topics]\n[topics.\">\"]\nephemeral = true", &[]).unwrap();
    assert_eq!(handler(&plain).kind, HandlerKind::Topics);
    assert_eq!(plain.topics.len(), 1);
}

#[test]
fn an_empty_list_of_handlers_lists_none() {
    assert!(parse("[handlers]", &[]).unwrap().handlers.is_none());
    assert!(parse("[handlers.orders]", &[]).unwrap().handlers.is_some());
}

#[test]
fn a_remote_handler_has_addresses_and_is_durable() {
    let text = r#"
        [handlers.orders]
        kind = "grpc"
        addresses = ["http://127.0.0.1:7001", "https://orders.example"]
        call_timeout = "1m"
        publish = ["orders.>", "@user.*"]
        retry = { attempts = 3, max = "1s" }
        on_dead = "continue"
    "#;
    let config = parse(text, &[]).unwrap();
    let orders = handler(&config);
    assert_eq!(
        (orders.kind, orders.durable, orders.mixed_actions),
        (HandlerKind::Grpc, true, false)
    );
    let remote = orders.remote.as_ref().unwrap();
    assert_eq!(
        remote.addresses,
        ["http://127.0.0.1:7001", "https://orders.example"]
    );
    assert_eq!(
        (remote.call_timeout, &remote.ca),
        (Duration::from_secs(60), &None)
    );
    let publish: Vec<_> = remote.publish.iter().map(Pattern::as_str).collect();
    assert_eq!(publish, ["orders.>", "@user.*"]);
    let expected = Retry {
        attempts: 3,
        max: Duration::from_secs(1),
        ..Retry::default()
    };
    assert_eq!(orders.retry, expected);
    let text = text.replace("continue", "stop");
    let stopping = handler(&parse(&text, &[]).unwrap()).retry;
    assert_eq!(stopping.on_dead, OnDead::Stop);
    let list = [
        ("TIDEGATE_HANDLERS__A__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__A__ADDRESSES", "[\"http://a:1\"]"),
    ];
    assert_eq!(
        handler(&parse("", &list).unwrap())
            .remote
            .as_ref()
            .unwrap()
            .addresses,
        ["http://a:1"]
    );
}

#[test]
fn what_a_remote_handler_cannot_have_is_told_with_what_would_be_right() {
    const AT: &str = "kind = \"grpc\"\naddresses = [\"http://a:1\"]\n";
    let no_pem = tempfile::NamedTempFile::new().unwrap();
    let no_pem = format!("{AT}ca = {:?}", no_pem.path());
    let with = |rest: &str| format!("{AT}{rest}");
    let addresses = |list: &str| format!("kind = \"grpc\"\naddresses = {list}");
    for (written, told) in [
        (
            "kind = \"grpc\"".into(),
            "handlers.orders.addresses is missing: addresses such as [\"http://127.0.0.1:7001\"]",
        ),
        (addresses("[]"), "handlers.orders.addresses is empty: "),
        (
            addresses("\"http://a:1\""),
            "handlers.orders.addresses is \"http://a:1\": addresses such as",
        ),
        (
            addresses("[1]"),
            "handlers.orders.addresses is a list: addresses such as",
        ),
        (
            addresses("[\"a:1\"]"),
            "handlers.orders.addresses has \"a:1\", which says neither http:// nor https://",
        ),
        (
            addresses("[\"http://\"]"),
            "handlers.orders.addresses has \"http://\", which is no URI",
        ),
        (
            addresses("[\"http://u@a:1\"]"),
            "handlers.orders.addresses has \"http://u@a:1\", which has a user",
        ),
        (
            addresses("[\"http://a:1/b\"]"),
            "handlers.orders.addresses has \"http://a:1/b\", which has a path",
        ),
        (
            with("call_timeout = \"0s\""),
            "handlers.orders.call_timeout is 0: ",
        ),
        (
            with("ca = \"nowhere.pem\""),
            "handlers.orders.ca is \"nowhere.pem\", which cannot be read",
        ),
        (no_pem, "handlers.orders.ca is "),
        (
            with("publish = \"orders.>\""),
            "handlers.orders.publish is \"orders.>\": patterns such as",
        ),
        (
            with("publish = [\"a..b\"]"),
            "handlers.orders.publish has \"a..b\", which is not a pattern: ",
        ),
        (
            with("publish = [\"@me\"]"),
            "handlers.orders.publish has \"@me\", which is not a pattern: ",
        ),
        (
            with("publish = [\"records.>\"]"),
            "handlers.orders.publish has \"records.>\", which is the gateway's",
        ),
        (
            with("publish = [\"@*.ann\"]"),
            "handlers.orders.publish has \"@*.ann\", which is",
        ),
        (
            with("retry = { attempts = 0 }"),
            "handlers.orders.retry.attempts is 0",
        ),
        (
            with("retry = { initial = \"1m\" }"),
            "handlers.orders.retry.max is less than initial",
        ),
        (
            with("on_dead = \"wait\""),
            "handlers.orders.on_dead is \"wait\": one of continue, stop would be right",
        ),
        (
            "kind = \"echo\"\naddresses = [\"http://a:1\"]".into(),
            "handlers.orders.addresses is for handlers of kind \"grpc\"",
        ),
        (
            "retry = { attempts = 1 }".into(),
            "handlers.orders.retry is for handlers that are called",
        ),
    ] {
        let problems = wrong(&format!("[handlers.orders]\n{written}"), &[]);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with(told),
            "{told} is not in {problems:#?}"
        );
    }
}

#[test]
fn where_traces_go_is_said_by_the_file_or_by_the_standard_variables() {
    let otlp =
        |text: &str, environment: &[(&str, &str)]| parse(text, environment).unwrap().telemetry.otlp;
    let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317");
    let file = "[telemetry]\notlp = \"http://file:4317\"\nratio = 0.25";
    assert_eq!(otlp("", &[]), None);
    assert_eq!(otlp("", &[standard]), Some(standard.1.into()));
    assert_eq!(otlp("", &[standard, traces]), Some(traces.1.into()));
    assert_eq!(otlp(file, &[standard]), Some("http://file:4317".into()));
    assert_eq!(otlp("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
    assert_eq!(parse(file, &[]).unwrap().telemetry.ratio, 0.25);
    for (text, environment) in [
        ("[telemetry]\notlp = \"collector\"", &[][..]),
        ("[telemetry]\nratio = 1.5", &[]),
        ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]),
    ] {
        let problems = wrong(text, environment);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("would be right"), "{problems:?}");
    }
}

#[test]
fn every_key_is_a_variable_too() {
    let variables = [
        ("TIDEGATE_STORE__PATH", "1"),
        ("TIDEGATE_ADMIN__TOKEN", "1_000_000_000_000_000"),
        ("TIDEGATE_TELEMETRY__RATIO", "0.5"),
        ("TIDEGATE_HANDLERS__ORDERS__KIND", "grpc"),
        ("TIDEGATE_HANDLERS__ORDERS__ADDRESSES", "[\"http://a:1\"]"),
        (
            "TIDEGATE_HANDLERS__ORDERS__RETRY",
            "{ attempts = 3, max = \"1s\" }",
        ),
        ("TIDEGATE_HANDLERS__ORDERS__RETRY__BUDGET", "7s"),
        ("TIDEGATE_HANDLERS__ORDERS__BATCH__MAX_PACKETS", "8"),
        (
            "TIDEGATE_TOPICS",
            "{ \"chat.>\" = { keep = { last = 9 } } }",
        ),
    ];
    // The file's rules are those of the variable, and its batch goes on.
    let file = "[handlers.orders]\nbatch.calls = 2\n[topics.\"a\"]\nephemeral = 7";
    let config = parse(file, &variables).unwrap();
    assert_eq!(config.store.path, Path::new("1"));
    let token = config.admin.token.as_ref().unwrap();
    assert_eq!(
        (token.as_str(), config.telemetry.ratio),
        (variables[1].1, 0.5)
    );
    let orders = handler(&config);
    assert_eq!((orders.batch.max_packets, orders.batch.calls), (8, 2));
    let tried = (orders.retry.attempts, orders.retry.budget, orders.retry.max);
    assert_eq!(tried, (3, Duration::from_secs(7), Duration::from_secs(1)));
    let [topic] = &config.topics[..] else {
        panic!("the variable's alone");
    };
    assert_eq!(
        (topic.pattern.as_str(), topic.keep.last),
        ("chat.>", Some(9))
    );

    let told = |variable| parse("", &[variable]).unwrap_err().0[0].to_string();
    for (variable, expected) in [
        (
            ("TIDEGATE_SERVER__LISEN", "x"),
            "TIDEGATE_SERVER__LISEN: server.lisen is not known: listen would be right",
        ),
        (
            ("TIDEGATE_TOPICS", "{ \"a..b\" = {} }"),
            "TIDEGATE_TOPICS: topics.\"a..b\" is not a pattern",
        ),
        (
            ("TIDEGATE_ADMIN__TOKEN", "[1]"),
            "TIDEGATE_ADMIN__TOKEN: admin.token is no text",
        ),
        (
            ("TIDEGATE_ADMIN__TOKEN", "short"),
            "TIDEGATE_ADMIN__TOKEN: admin.token cannot be one",
        ),
        (("TIDEGATE_", "x"), "TIDEGATE_: \"\" is not known"),
    ] {
        let told = told(variable);
        assert!(told.starts_with(expected), "{told} is not {expected}…");
    }
}

mod places;
mod reloading;
