use super::*;
use crate::types::OnDead;

const DEFAULTS: &str = include_str!("../../config/default.toml");

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::parse(text, environment.iter().map(owned))
}

fn handler(config: &Config) -> &HandlerConfig {
    &config.handlers.as_ref().expect("handlers")[0]
}

#[test]
fn the_default_file_says_the_defaults() {
    let (written, defaults) = (parse(DEFAULTS, &[]).unwrap(), Config::default());
    assert_eq!(format!("{written:?}"), format!("{defaults:?}"));
}

/// With every comment that is a key or a section taken in, it says what a handler and a topic have by default.
#[test]
fn what_the_default_file_has_in_comments_is_the_defaults_too() {
    let is_toml = |line: &str| {
        line.starts_with('[')
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' '))
    };
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_toml(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = DEFAULTS.lines().map(uncommented).collect();
    let written = parse(&text.join("\n"), &[]).unwrap();
    let least = "[handlers.orders]\nkind = \"grpc\"\naddresses = [\"http://127.0.0.1:7001\"]";
    let least = parse(least, &[]).unwrap();
    assert_eq!(handler(&written), handler(&least));
    assert!(written.topics.iter().all(|topic| !topic.ephemeral));
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
    let problems = parse(text, &[]).unwrap_err().0;
    for path in [
        "lisen is not known",
        "server.listen",
        "server.drain",
        "store.engine",
        "handlers.orders.kind",
        "handlers.orders.mixed_actions",
        "handlers.orders.batch.max_packets",
        "handlers.orders.batch.max_bytes",
        "handlers.orders.batch.windows is not known",
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
fn a_problem_says_where_its_value_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str, environment: &[(&str, &str)]| {
        let file = folder.path().join("gate.toml");
        std::fs::write(&file, text).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let problems = Config::load(Some(&file), environment.into_iter()).unwrap_err();
        problems.0.join("\n")
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
        "gate.toml: server.drain is 5: a time with its unit, such as \"30s\"",
        "TIDEGATE_FOO: foo is not known: server, ",
        "TIDEGATE_SERVER__LISTEN: server.listen is \"localhost\": an IP address",
        "TIDEGATE_HANDLERS__ORDERS__BATCH: handlers.orders.batch.calls is 0",
        "TIDEGATE_HANDLERS__BILLS__KIND: handlers.bills.kind is",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
    let told = load("[server]\nlisten = = 1", &[]);
    assert!(told.contains("gate.toml is not TOML"), "{told}");
    assert!(told.contains("line 2, column 10"), "{told}");
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
        let problems = parse(text, &[]).unwrap_err().0;
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
            "handlers.orders.on_dead is \"wait\": \"continue\" or \"stop\" would be right",
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
        let problems = parse(&format!("[handlers.orders]\n{written}"), &[])
            .unwrap_err()
            .0;
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
        let problems = parse(text, environment).unwrap_err().0;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("would be right"), "{problems:?}");
    }
}
