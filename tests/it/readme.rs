//! What README.md prints is what happens: its grpcurl calls, run as they stand, give the output that stands below them.
//!
//! A fenced `sh` block brings calls, and the `json` block after it what the last of them answers. That may be shortened:
//! fields may be missing, `…` stands for any text, and a stream's values may have others between them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Deserializer, Value};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::Process;

/// The address on every page.
pub(super) const PRINTED: &str = "127.0.0.1:50051";
/// More than any call needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn shows_2_1_the_readmes_calls_by_reflection() {
    let readme = std::fs::read_to_string(in_repository("README.md")).unwrap();
    let calls = calls(&readme);
    let gateway = Process::start().await;
    for call in &calls {
        println!("{}", call.line);
        let output = run(call, &gateway).await;
        assert!(
            !output.contains("\"data\""),
            "content came back as base64: {output}"
        );
    }
    let readable = |method: &str| {
        let answers = calls.iter().filter(|call| call.line.contains(method));
        answers.flat_map(|call| &call.expected).any(says_buy_milk)
    };
    for part in ["ACTION_READ", "ACTION_LIST", "Gateway/Events"] {
        assert!(
            readable(part),
            "README.md has no {part} that brings `buy milk`"
        );
    }
    let mismatch = calls.iter().flat_map(|call| &call.expected).any(|answer| {
        let result = &answer["results"][0];
        result["reason"] == "REASON_VERSION_MISMATCH" && result["records"][0]["version"].is_string()
    });
    assert!(
        mismatch,
        "README.md has no mismatch with its present record"
    );
    println!(
        "SHOWS 2.1 the README's {} grpcurl calls by reflection, as printed: `buy milk` reads in READ, LIST and Events",
        calls.len()
    );
}

#[test]
fn other_output_is_not_taken_for_the_printed_one() {
    let printed = r#"{"results":[{"outcome":"OUTCOME_OK","records":[{"key":"…","version":"1"}]}]}"#;
    let printed: Value = serde_json::from_str(printed).unwrap();
    let got = |text: &str| matches(&printed, &serde_json::from_str(text).unwrap());

    let longer = r#"{"results":[{"outcome":"OUTCOME_OK","records":[{"key":"a","version":"1"}]}],"cursor":"x"}"#;
    assert!(got(longer));
    assert!(!got(&longer.replace("OUTCOME_OK", "OUTCOME_RETRY")));
    assert!(!got(&longer.replace(r#","version":"1""#, "")));
    assert!(!got(&longer.replace(r#"{"key":"a","version":"1"}"#, "")));

    let values = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| Value::from(*text))
            .collect::<Vec<_>>()
    };
    assert!(contains(&values(&["a", "x", "b"]), &values(&["a", "b"])));
    assert!(!contains(&values(&["b", "a"]), &values(&["a", "b"])));
    assert!(matches(
        &Value::from("at …, once"),
        &Value::from("at 12:00, once")
    ));
    assert!(!matches(
        &Value::from("at …, once"),
        &Value::from("at 12:00, twice")
    ));
}

#[test]
fn calls_are_read_from_their_blocks() {
    let text = "```sh\nmake run\n```\n```sh\ngrpcurl a\ngrpcurl b\n```\nso:\n```json\n1\n2\n```\n```sh\ngrpcurl c\n```\n";
    let calls = calls(text);
    let lines: Vec<_> = calls.iter().map(|call| call.line.as_str()).collect();
    assert_eq!(lines, ["grpcurl a", "grpcurl b", "grpcurl c"]);
    assert_eq!(calls[0].expected, [0; 0]);
    assert_eq!(calls[1].expected, [1, 2]);
    assert_eq!(calls[2].expected, [0; 0]);
}

/// A call as it is printed, and the values of its output that are printed.
#[derive(Debug)]
pub(super) struct Call {
    line: String,
    expected: Vec<Value>,
}

impl Call {
    /// Where the line has `…` for a cursor, this one stands.
    pub(super) fn with_cursor(self, cursor: &str) -> Self {
        let given = format!(r#""cursor":"{cursor}""#);
        let line = self.line.replace(r#""cursor":"…""#, &given);
        Self { line, ..self }
    }
}

pub(super) fn calls(readme: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "sh" => {
                let typed = block.iter().filter(|line| line.starts_with("grpcurl "));
                calls.extend(typed.map(|line| Call {
                    line: (*line).to_owned(),
                    expected: Vec::new(),
                }));
            }
            "json" => {
                let call = calls.last_mut().expect("a json block follows its call");
                assert!(call.expected.is_empty(), "two outputs for {}", call.line);
                call.expected = values(&block.join("\n"));
                assert!(
                    !call.expected.is_empty(),
                    "the output of {} cannot be read",
                    call.line
                );
            }
            _ => {}
        }
    }
    calls
}

/// Runs a call until it has printed what was expected (a stream has no other end), and gives everything it printed.
pub(super) async fn run(call: &Call, gateway: &Process) -> String {
    let line = call.line.replace(PRINTED, gateway.address());
    assert_ne!(
        line, call.line,
        "the call goes to another address than {PRINTED}"
    );
    let streams = line.ends_with("/Events");
    let mut process = Command::new("sh")
        .args(["-c", &format!("exec {line}")])
        .env("PATH", path_with_tools())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("there is a shell");
    let mut stdout = process.stdout.take().expect("it is piped");
    let mut output = String::new();
    let reading = async {
        let mut chunk = Vec::with_capacity(64 << 10);
        while stdout.read_buf(&mut chunk).await.unwrap() > 0 {
            output = String::from_utf8_lossy(&chunk).into_owned();
            if streams && contains(&values(&output), &call.expected) {
                return;
            }
        }
        let status = process.wait().await.unwrap();
        assert!(
            status.success(),
            "{line}: {status}; is grpcurl there? `make tools` installs it"
        );
    };
    let in_time = timeout(PATIENCE, reading).await.is_ok();
    assert!(
        contains(&values(&output), &call.expected),
        "{line}\nprinted (in time: {in_time}):\n{output}\nthe page has:\n{:#?}",
        call.expected
    );
    output
}

/// The last cursor of an output.
pub(super) fn last_cursor(output: &str) -> Option<String> {
    let values = values(output);
    let mut cursors = values.iter().rev().map(|value| value["cursor"].as_str());
    cursors.find_map(|cursor| Some(cursor?.to_owned()))
}

/// The JSON values that are there in full.
fn values(text: &str) -> Vec<Value> {
    let values = Deserializer::from_str(text).into_iter::<Value>();
    values.map_while(Result::ok).collect()
}

/// Whether the expected values come in this order, with others between them or not.
fn contains(values: &[Value], expected: &[Value]) -> bool {
    let mut rest = values.iter();
    expected
        .iter()
        .all(|want| rest.any(|value| matches(want, value)))
}

/// Whether a value is the printed one, but for fields that are not printed and text that `…` stands for.
fn matches(printed: &Value, value: &Value) -> bool {
    match (printed, value) {
        (Value::Object(printed), Value::Object(value)) => printed
            .iter()
            .all(|(name, printed)| value.get(name).is_some_and(|value| matches(printed, value))),
        (Value::Array(printed), Value::Array(value)) => {
            let pairs = printed.iter().zip(value);
            printed.len() == value.len()
                && pairs
                    .into_iter()
                    .all(|(printed, value)| matches(printed, value))
        }
        (Value::String(printed), Value::String(value)) => match printed.split_once('…') {
            Some((start, end)) => value
                .strip_prefix(start)
                .is_some_and(|rest| rest.ends_with(end)),
            None => printed == value,
        },
        _ => printed == value,
    }
}

fn says_buy_milk(answer: &Value) -> bool {
    answer.to_string().contains("buy milk")
}

pub(super) fn path_with_tools() -> std::ffi::OsString {
    let mut path = in_repository("target/tools/bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

pub(super) fn in_repository(path: impl AsRef<Path>) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
