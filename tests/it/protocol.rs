//! docs/protocol.md is as it is printed: its calls bring its answers, also curl's, and its tables are the contract's.
//!
//! In a call, `…` stands for the cursor that was told last. What follows curl's is a `text` block, read as if it were one
//! line; there `…` stands for anything.

use std::collections::HashMap;
use std::fs;

use prost_types::FileDescriptorProto;
use tokio::process::Command;

use crate::contract::{compile, proto_files};
use crate::readme::{PRINTED, calls, in_repository, last_cursor, path_with_tools, run};
use crate::support::Process;

const PAGE: &str = "docs/protocol.md";

#[tokio::test]
async fn the_protocol_by_example_is_as_it_is_printed() {
    let page = fs::read_to_string(in_repository(PAGE)).unwrap();
    let data = tempfile::tempdir().unwrap();
    let gateway = Process::with(data.path())
        .config(config(&page))
        .start()
        .await;
    let mut cursor = String::new();
    let calls = calls(&page);
    assert!(calls.len() > 15, "{PAGE} has {} calls", calls.len());
    for call in calls {
        let output = run(&call.with_cursor(&cursor), &gateway).await;
        cursor = last_cursor(&output).unwrap_or(cursor);
    }
    let curls = curls(&page);
    assert!(curls.len() >= 2, "{PAGE} has {} of curl's", curls.len());
    for (line, printed) in curls {
        let typed = line.replace(PRINTED, gateway.address());
        let mut shell = Command::new("sh");
        shell.args(["-c", &typed]).env("PATH", path_with_tools());
        let output = shell.kill_on_drop(true).output().await.unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(
            reads_as(&output, &printed),
            "{typed}\nprinted:\n{output}\n{PAGE} has:\n{printed}"
        );
    }
    assert!(gateway.stop().await.success());
}

/// What the gateway of the page is configured by.
fn config(page: &str) -> &str {
    let (_, config) = page.split_once("```toml\n").unwrap();
    config.split_once("```").unwrap().0
}

/// Lines of `sh` blocks that have curl, with the `text` block below.
fn curls(page: &str) -> Vec<(String, String)> {
    let mut curls: Vec<(String, String)> = Vec::new();
    // Every second piece is a block.
    for block in page.split("```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').unwrap();
        let is_curl = |line: &&str| line.contains("| curl ");
        match (language, block.lines().find(is_curl)) {
            ("sh", Some(line)) => curls.push((line.to_owned(), String::new())),
            ("text", _) => {
                if let Some((_, printed)) = curls.last_mut().filter(|curl| curl.1.is_empty()) {
                    *printed = block.to_owned();
                }
            }
            _ => {}
        }
    }
    curls
}

/// Whether the output has the printed pieces, in their order, whatever the lines are.
fn reads_as(output: &str, printed: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (output, printed) = (words(output), words(printed));
    let Some((first, rest)) = printed.split_once('…') else {
        return output == printed;
    };
    let (between, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    let output = output.strip_prefix(first);
    let Some(mut output) = output.and_then(|output| output.strip_suffix(last)) else {
        return false;
    };
    for piece in between.split('…') {
        let Some(at) = output.find(piece) else {
            return false;
        };
        output = &output[at + piece.len()..];
    }
    true
}

#[test]
fn other_bytes_are_not_taken_for_the_printed_ones() {
    assert!(reads_as(" 00 01\n 02 03\n", "00 01 02\n03"));
    assert!(reads_as("00 05 0a 0b", "00 … 0b"));
    assert!(reads_as("00 05 0a 0b 0c", "… 05 … 0b …"));
    assert!(!reads_as("00 05 0a 0b", "00 … 0c"));
    assert!(!reads_as("01 05 0b", "00 … 0b"));
    assert!(!reads_as("00 05 0b 0c", "00 … 0b"));
    assert!(!reads_as("00 01 0b 02 0a 03 0c", "00 … 0a … 0b … 0c"));
    assert!(!reads_as("00 01", "00"));
}

#[test]
fn the_tables_of_outcomes_and_statuses_are_the_contracts() {
    let page = fs::read_to_string(in_repository(PAGE)).unwrap();
    let proto = in_repository("proto");
    let files = compile(&proto, &proto_files(&proto));
    let file = |name: &str| {
        let found = files.iter().find(|file| file.name().ends_with(name));
        found.expect("it is in proto/")
    };
    assert_eq!(
        table(&page, "| outcome |"),
        outcomes(file("packet.proto")),
        "{PAGE} beside the comments of Outcome"
    );
    let comments = comments(file("gateway.proto"));
    let gateway = &comments[&vec![6, 0]];
    assert_eq!(
        table(&page, "| status |"),
        table(gateway, "| status"),
        "{PAGE} beside the comment of Gateway"
    );
}

/// Each with what it says and what a client does.
fn outcomes(file: &FileDescriptorProto) -> Vec<Vec<String>> {
    let enums = &file.enum_type;
    let at = enums
        .iter()
        .position(|found| found.name() == "Outcome")
        .unwrap();
    let comments = comments(file);
    let row = |(index, value): (usize, &prost_types::EnumValueDescriptorProto)| {
        let place = |index: usize| i32::try_from(index).unwrap();
        let comment = comments[&vec![5, place(at), 2, place(index)]].trim();
        let (says, does) = comment.split_once("The client: ").unwrap_or((comment, ""));
        let name = value.name().trim_start_matches("OUTCOME_");
        [name, says, does].map(one_line).to_vec()
    };
    enums[at].value.iter().enumerate().map(row).collect()
}

/// Leading comments by path.
fn comments(file: &FileDescriptorProto) -> HashMap<Vec<i32>, String> {
    let locations = &file.source_code_info.as_ref().expect("asked for").location;
    let comment = |location: &prost_types::source_code_info::Location| {
        (
            location.path.clone(),
            location.leading_comments().to_owned(),
        )
    };
    locations.iter().map(comment).collect()
}

/// The rows of a table below its head. One without a first cell goes on with what is above it.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim_start);
    let rows = lines.skip_while(|line| !line.starts_with(head)).skip(2);
    let mut table: Vec<Vec<String>> = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells = row.trim().trim_matches('|').split('|').map(one_line);
        match table.last_mut() {
            Some(above) if row[1..].trim_start().starts_with('|') => {
                for (above, more) in above.iter_mut().zip(cells) {
                    *above = one_line(&format!("{above} {more}"));
                }
            }
            _ => table.push(cells.collect()),
        }
    }
    table
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
