//! What was written: the file's table, with the environment put over it, and where each value stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Problems;
use super::problem::{At, Spot};

const PREFIX: &str = "TIDEGATE_";
const BETWEEN: &str = "__";

/// Variables with the prefix that are the command line's own.
const OTHERS: [&str; 3] = ["TIDEGATE_LOG", "TIDEGATE_GATEWAY", "TIDEGATE_SUBJECT"];

/// Where values came from, for who reads a problem; each by its path.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// As it was named; empty: there is none.
    file: String,
    /// Keys and their values in the file.
    spots: BTreeMap<String, Spots>,
    /// Those that set something, or a section that is there because of them.
    variables: BTreeMap<String, Variable>,
    /// Lines of the file that are not TOML.
    broken: BTreeSet<usize>,
    /// One of them is a section's: nobody knows what belongs where.
    scattered: bool,
}

#[derive(Debug, Clone, Copy)]
struct Spots {
    key: Spot,
    value: Spot,
}

#[derive(Debug, Clone)]
struct Variable {
    name: String,
    /// What it says, where it sets this very path.
    text: Option<String>,
}

/// Which part of what was written is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Key,
    Value,
}

impl Sources {
    pub(super) fn of(file: Option<&Path>) -> Self {
        Self {
            file: file.map_or_else(String::new, |path| path.display().to_string()),
            ..Self::default()
        }
    }

    /// Where this path was written, or what it is in: a key that is missing is missing in its section.
    pub(super) fn at(&self, path: &str, part: Part) -> At {
        let variable = nearest(&self.variables, path);
        let spots = nearest(&self.spots, path);
        match (variable, spots) {
            (Some((set, variable)), spots) if spots.is_none_or(|(at, _)| at.len() <= set.len()) => {
                At::Variable(variable.name.clone())
            }
            (_, Some((at, spots))) => At::File {
                name: self.file.clone(),
                spot: match part {
                    Part::Value if at == path => spots.value,
                    _ => spots.key,
                },
            },
            (_, None) => At::Nowhere,
        }
    }

    /// What a variable says of this very path, as it is: it has no quotes that would tell a text from a number.
    pub(super) fn variable_text(&self, path: &str) -> Option<&str> {
        self.variables.get(path)?.text.as_deref()
    }

    /// Whether something of the file could not be read: then what is missing may be there.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether what is at this path is no TOML, which is told already: what was made of it nobody wrote.
    pub(super) fn is_broken_at(&self, path: &str) -> bool {
        let spots = self.spots.get(path);
        spots.is_some_and(|spots| {
            let lines = [spots.key.line, spots.value.line];
            lines.iter().any(|line| self.broken.contains(line))
        })
    }

    fn in_file(&self, spot: Spot) -> At {
        let name = self.file.clone();
        At::File { name, spot }
    }

    /// What was at this path and below it in the file does not count any more.
    fn replaced(&mut self, path: &str) {
        self.spots.retain(|known, _| !is_inside(known, path));
    }
}

/// The longest path of these that this one is, or is in.
fn nearest<'a, T>(known: &'a BTreeMap<String, T>, path: &str) -> Option<(&'a str, &'a T)> {
    let around = known.iter().filter(|(outer, _)| is_inside(path, outer));
    let nearest = around.max_by_key(|(outer, _)| outer.len());
    nearest.map(|(outer, found)| (outer.as_str(), found))
}

fn is_inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

pub(super) fn table(
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Table {
    let mut table = of_file(text, sources, problems);
    if sources.scattered {
        return Table::new();
    }
    // In order of their names, so that what is told does not depend on the process's environment block.
    let mut variables: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        if let Err(problem) = put(&mut table, &name, &value, sources) {
            problems.add(At::Variable(name), problem);
        }
    }
    table
}

/// What is not TOML is told, once a line, and the rest is read nevertheless, as far as its sections are known.
fn of_file(text: &str, sources: &mut Sources, problems: &mut Problems) -> Table {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let spot = lines.spot(error.span().map_or(0, |span| span.start));
        if sources.broken.insert(spot.line) {
            let mut what = format!("not TOML: {}", error.message());
            if lines.line(spot).trim_start().starts_with('[') {
                sources.scattered = true;
                what += "; what the sections have is judged once this is right";
            }
            problems.add(sources.in_file(spot), what);
        }
    }
    table_of(table.get_ref(), "", &lines, sources)
}

fn table_of(from: &DeTable<'_>, path: &str, lines: &Lines<'_>, sources: &mut Sources) -> Table {
    let mut table = Table::new();
    for (key, value) in from {
        let path = path_of(path, key.get_ref());
        let spots = Spots {
            key: lines.spot(key.span().start),
            value: lines.spot(value.span().start),
        };
        let value = value_of(value.get_ref(), &path, lines, sources);
        sources.spots.insert(path, spots);
        table.insert(key.get_ref().to_string(), value);
    }
    table
}

fn value_of(from: &DeValue<'_>, path: &str, lines: &Lines<'_>, sources: &mut Sources) -> Value {
    match from {
        DeValue::String(text) => Value::String(text.to_string()),
        // What is no number of ours is told as it was written.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Value::String(number.to_string()), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                let path = format!("{path}[{at}]");
                let spot = lines.spot(item.span().start);
                list.push(value_of(item.get_ref(), &path, lines, sources));
                let spots = Spots {
                    key: spot,
                    value: spot,
                };
                sources.spots.insert(path, spots);
            }
            Value::Array(list)
        }
        DeValue::Table(table) => Value::Table(table_of(table, path, lines, sources)),
    }
}

/// The path of a key in its section, as it is told.
pub(super) fn path_of(section: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-<>".contains(&byte);
    let key = if !key.is_empty() && key.bytes().all(bare) {
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
            let variable = Variable {
                name: name.to_owned(),
                text: None,
            };
            sources.variables.insert(path.clone(), variable);
        }
        table = table
            .entry(next)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{path} is not a section"))?;
    }
    let last = present(table, last);
    path = path_of(&path, &last);
    sources.replaced(&path);
    let variable = Variable {
        name: name.to_owned(),
        text: Some(text.to_owned()),
    };
    sources.variables.insert(path, variable);
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

/// A text, and where its lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Self { text, starts }
    }

    fn line(&self, spot: Spot) -> &'a str {
        let rest = &self.text[self.starts[spot.line - 1]..];
        rest.lines().next().unwrap_or_default()
    }

    fn spot(&self, offset: usize) -> Spot {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|&start| start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset);
        Spot {
            line,
            column: before.map_or(1, |before| before.chars().count() + 1),
        }
    }
}
