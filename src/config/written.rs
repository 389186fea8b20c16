//! What was written: the file's table, with the environment put over it, and where each value came from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::Problems;

const PREFIX: &str = "TIDEGATE_";
const BETWEEN: &str = "__";

/// Variables with the prefix that are the command line's own.
const OTHERS: [&str; 3] = ["TIDEGATE_LOG", "TIDEGATE_GATEWAY", "TIDEGATE_SUBJECT"];

/// Where values came from, for who reads a problem.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Empty: there is no file.
    file: String,
    /// The variables by the path of what they set, or of a section that is there because of them.
    variables: BTreeMap<String, String>,
}

impl Sources {
    pub(super) fn of(file: Option<&Path>) -> Self {
        Self {
            file: file.map_or_else(String::new, |path| path.display().to_string()),
            variables: BTreeMap::new(),
        }
    }

    /// What stands before a problem with this path: the variable that set it or what it is in, else the file.
    pub(super) fn prefix(&self, path: &str) -> String {
        let inside = |set: &str| {
            path.strip_prefix(set)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let nearest = self
            .variables
            .iter()
            .filter(|(set, _)| inside(set))
            .max_by_key(|(set, _)| set.len());
        match nearest {
            Some((_, variable)) => format!("{variable}: "),
            None if self.file.is_empty() => String::new(),
            None => format!("{}: ", self.file),
        }
    }
}

pub(super) fn table(
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Table {
    let mut table = text.parse::<Table>().unwrap_or_else(|error| {
        // It has several lines, with the place and what stands there.
        let error = error.to_string().trim_end().replace('\n', "\n    ");
        let file = match sources.file.as_str() {
            "" => "the file",
            file => file,
        };
        problems.0.push(format!("{file} is not TOML: {error}"));
        Table::new()
    });
    // In order of their names, so that what is told does not depend on the process's environment block.
    let mut variables: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        if let Err(problem) = put(&mut table, &name, &value, sources) {
            problems.0.push(problem);
        }
    }
    table
}

/// The path of a key in its section, as it is told.
pub(super) fn path_of(section: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-<>".contains(&byte);
    let key = if key.bytes().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    match section {
        "" => key,
        section => format!("{section}.{key}"),
    }
}

fn put(table: &mut Table, name: &str, text: &str, sources: &mut Sources) -> Result<(), String> {
    let written = name[PREFIX.len()..].to_ascii_lowercase();
    let mut keys: Vec<&str> = written.split(BETWEEN).collect();
    let last = keys.pop().unwrap_or_default();
    let (mut table, mut path) = (table, String::new());
    for key in keys {
        let next = present(table, key);
        path = path_of(&path, &next);
        if !table.contains_key(&next) {
            sources.variables.insert(path.clone(), name.to_owned());
        }
        table = table
            .entry(next)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{name}: {path} is not a section"))?;
    }
    let last = present(table, last);
    sources
        .variables
        .insert(path_of(&path, &last), name.to_owned());
    table.insert(last, value(text));
    Ok(())
}

/// A variable's case says nothing: a key of the file that differs in nothing else is the one that is meant.
fn present(table: &Table, key: &str) -> String {
    let same = |present: &&String| present.eq_ignore_ascii_case(key);
    table
        .keys()
        .find(same)
        .cloned()
        .unwrap_or_else(|| key.to_owned())
}

/// A number, a boolean, a list or a table where it reads as one, else the text itself.
fn value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>();
    let parsed = parsed.ok().filter(|table| table.len() == 1);
    parsed
        .and_then(|mut table| table.remove("value"))
        .filter(|value| !matches!(value, Value::Datetime(_)))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
