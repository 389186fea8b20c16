//! What was written: the file's table, with the environment put over it.

use toml::{Table, Value};

use super::Problems;

const PREFIX: &str = "TIDEGATE_";

/// Variables without `__` name no key; the command line has its own, such as `TIDEGATE_LOG`.
const BETWEEN: &str = "__";

pub(super) fn table(
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    problems: &mut Problems,
) -> Table {
    let mut table = text.parse::<Table>().unwrap_or_else(|error| {
        problems.0.push(format!("the file is not TOML: {error}"));
        Table::new()
    });
    // In order of their names, so that what is told does not depend on the process's environment block.
    let mut variables: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && name.contains(BETWEEN))
        .collect();
    variables.sort();
    for (name, value) in variables {
        if let Err(problem) = put(&mut table, &name, &value) {
            problems.0.push(problem);
        }
    }
    table
}

fn put(table: &mut Table, name: &str, text: &str) -> Result<(), String> {
    let path = name[PREFIX.len()..].to_ascii_lowercase();
    let mut keys: Vec<&str> = path.split(BETWEEN).collect();
    let last = keys.pop().unwrap_or_default();
    let mut table = table;
    for key in keys {
        let next = present(table, key);
        let next = table
            .entry(next)
            .or_insert_with(|| Value::Table(Table::new()));
        table = next
            .as_table_mut()
            .ok_or_else(|| format!("{name}: {key} is not a section"))?;
    }
    table.insert(present(table, last), value(text));
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
