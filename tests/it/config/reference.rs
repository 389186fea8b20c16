//! docs/configuration.md is what config/default.toml says, in other clothes: so there is one place to write it.

use std::fmt::Write as _;
use std::path::Path;

use tidegate::config::DEFAULT;

const FILE: &str = "docs/configuration.md";
const REFRESH: &str = "UPDATE_GENERATED=1 cargo test --test it config::reference";

/// What ends a line that has no default.
const EXAMPLE: &str = " # an example";

#[test]
fn the_reference_is_what_the_default_file_says() {
    let generated = reference(DEFAULT);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == generated,
        "{FILE} is not what config/default.toml says; refresh it: {REFRESH}"
    );
}

/// One line of the file, for who reads it.
enum Line<'a> {
    Section(&'a str),
    /// With what stands behind its sign.
    Key(&'a str, &'a str),
    Prose(&'a str),
    Gap,
}

fn line(line: &str) -> Line<'_> {
    let inner = line.strip_prefix("# ").unwrap_or(line);
    if let Some(section) = inner
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return Line::Section(section);
    }
    match inner.split_once(" =") {
        Some((key, value)) if !key.contains(' ') => Line::Key(key, value.trim_start()),
        _ if matches!(line, "" | "#") => Line::Gap,
        _ => Line::Prose(inner),
    }
}

/// Prose before a section that a gap parts from the section before it is the section's.
fn reference(file: &str) -> String {
    let mut out = String::from(
        "# Configuration\n\nGenerated from [`config/default.toml`](../config/default.toml), which `tidegate check --default` prints.\n",
    );
    let (mut section, mut prose) = (String::new(), Vec::new());
    let mut paragraphs: Vec<String> = Vec::new();
    for line in file.lines().map(line) {
        match line {
            Line::Prose(text) => prose.push(text),
            Line::Gap => paragraphs.extend(paragraph(&mut prose)),
            Line::Section(name) => {
                let about = match section.is_empty() {
                    // The file's own, before its first section.
                    true => {
                        tell(&mut out, &mut paragraphs);
                        None
                    }
                    false => paragraph(&mut prose),
                };
                paragraphs.extend(about);
                let _ = write!(out, "\n## `[{name}]`\n");
                tell(&mut out, &mut paragraphs);
                out += "\n| key | default | what it says |\n|---|---|---|\n";
                section = name.to_owned();
            }
            Line::Key(key, value) => {
                let about = paragraph(&mut prose)
                    .unwrap_or_default()
                    .replace('|', "\\|");
                let variable = variable(&section, key);
                let _ = writeln!(out, "| `{key}`{variable} | {} | {about} |", default(value));
            }
        }
    }
    out
}

fn paragraph(prose: &mut Vec<&str>) -> Option<String> {
    let text = prose.join(" ");
    prose.clear();
    (!text.is_empty()).then_some(text)
}

fn tell(out: &mut String, paragraphs: &mut Vec<String>) {
    for paragraph in paragraphs.drain(..) {
        let _ = write!(out, "\n{paragraph}\n");
    }
}

fn default(value: &str) -> String {
    match value.strip_suffix(EXAMPLE) {
        _ if value.is_empty() => "none".into(),
        Some(example) => format!("none; as in `{example}`"),
        None => format!("`{value}`"),
    }
}

/// A name with a dot cannot be a variable's.
fn variable(section: &str, key: &str) -> String {
    if section.contains('"') {
        return String::new();
    }
    let path = format!("{section}.{key}").replace('.', "__").to_uppercase();
    format!("<br>`TIDEGATE_{path}`")
}

#[test]
fn a_file_becomes_headings_and_tables() {
    let file = "# All of it.\n\n[a]\n# One | two.\n# More.\nkey = 1\n# b.c =\n\n# Of b.\n#\n# [b.\"x.>\"]\n# Other.\n# d = \"e\" # an example\n";
    let expected = "\n## `[a]`\n\n| key | default | what it says |\n|---|---|---|\n\
        | `key`<br>`TIDEGATE_A__KEY` | `1` | One \\| two. More. |\n\
        | `b.c`<br>`TIDEGATE_A__B__C` | none |  |\n\
        \n## `[b.\"x.>\"]`\n\nOf b.\n\n| key | default | what it says |\n|---|---|---|\n\
        | `d` | none; as in `\"e\"` | Other. |\n";
    let (head, tables) = reference(file)
        .split_once("\n## ")
        .map(|(a, b)| (a.to_owned(), format!("\n## {b}")))
        .unwrap();
    assert!(head.ends_with("\n\nAll of it.\n"), "{head}");
    assert_eq!(tables, expected);
}
