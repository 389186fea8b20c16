//! What the pages name is there: docs/guarantees.md its tests, and every page the files that it links to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::readme::in_repository;

const GUARANTEES: &str = "docs/guarantees.md";
const PROMISES: usize = 10;

#[test]
fn every_promise_has_tests_and_they_are_there() {
    let page = read(GUARANTEES);
    let readme = read("README.md");
    let there = tests_in(&["src", "tests", "clients/rust"]);
    let promises = promises(&page);
    assert_eq!(promises.len(), PROMISES, "{GUARANTEES}: {promises:#?}");
    for (index, (title, tests)) in promises.iter().enumerate() {
        let number = format!("{}. ", index + 1);
        assert!(
            title.starts_with(&number),
            "{GUARANTEES}: {title} is not {number}"
        );
        assert!(
            readme.contains(&format!("**{title}.** ")),
            "README.md has no paragraph {title}"
        );
        assert!(tests.len() >= 3, "{GUARANTEES}: {title} has only {tests:?}");
        let missing: Vec<_> = tests.iter().filter(|test| !there.contains(*test)).collect();
        assert!(
            missing.is_empty(),
            "{GUARANTEES}: {title}: no such tests: {missing:?}"
        );
    }
}

#[test]
fn links_lead_to_files_and_to_headings() {
    let mut pages = vec![
        PathBuf::from("README.md"),
        "ARCHITECTURE.md".into(),
        "CHANGELOG.md".into(),
    ];
    let docs = fs::read_dir(in_repository("docs")).unwrap();
    let names = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    pages.extend(names.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let mut seen = 0;
    for page in pages {
        let text = read(&page);
        for link in links(&text) {
            seen += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            assert!(
                in_repository(&target).exists(),
                "{}: no {link}",
                page.display()
            );
            assert!(
                heading.is_empty() || headings(&read(&target)).contains(heading),
                "{}: no heading {link}",
                page.display()
            );
        }
    }
    assert!(seen > 50, "only {seen} links were looked at");
}

#[test]
fn what_is_named_is_read_from_its_page() {
    let page = "# All\n## 1. One\nWith `what_is_no_test`.\n\nTests: `a_b`, in `x.rs`;\n`c_d`.\n\n`e_f`\n## 2. Two\nTests: `g_h`\n";
    let read = promises(page);
    let two = [
        ("1. One".into(), vec!["a_b".into(), "c_d".into()]),
        ("2. Two".into(), vec!["g_h".into()]),
    ];
    assert_eq!(read, two);
    assert_eq!(
        links("[a](b.md) and [c](https://d) [e](f.md#g-h)").collect::<Vec<_>>(),
        ["b.md", "f.md#g-h"]
    );
    assert!(headings("## What *it* does, now: `x`\n").contains("what-it-does-now-x"));
    let source = "#[test]\n#[should_panic]\nfn a_b() {}\n\nfn c_d() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn e_f() {}\n";
    assert_eq!(tests_of(source).collect::<Vec<_>>(), ["a_b", "e_f"]);
}

/// The headings of the second level, each with the names of tests in the paragraphs that begin with `Tests:`.
fn promises(page: &str) -> Vec<(String, Vec<String>)> {
    let sections = page.split("\n## ").skip(1);
    let sections =
        sections.filter(|section| section.starts_with(|first: char| first.is_ascii_digit()));
    let promise = |section: &str| {
        let title = section.lines().next().unwrap_or_default().to_owned();
        let paragraphs = section.split("\n\n").flat_map(|paragraph| {
            let at = paragraph.find("Tests: ")?;
            Some(&paragraph[at..])
        });
        let spans = paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
        let names = spans.filter(|span| !span.contains(['.', '/']));
        (title, names.map(str::to_owned).collect())
    };
    sections.map(promise).collect()
}

/// The names of all functions that are tests.
fn tests_in(folders: &[&str]) -> BTreeSet<String> {
    let mut open: Vec<PathBuf> = folders.iter().map(in_repository).collect();
    let mut names = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            names.extend(tests_of(&source).map(str::to_owned));
        }
    }
    names
}

fn tests_of(source: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    source.lines().filter_map(move |line| {
        let line = line.trim_start();
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            return None;
        }
        let line = line.strip_prefix("async ").unwrap_or(line);
        let name = line.strip_prefix("fn ").filter(|_| is_test);
        is_test = false;
        name?.split('(').next()
    })
}

/// Of other pages here and their headings.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// As links name them.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#'));
    let slug = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
        title
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    titles.map(slug).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = in_repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
