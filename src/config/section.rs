//! A section that is read key by key: what has the wrong type or is left over becomes a problem, and reading goes on.

use std::time::Duration;

use toml::{Table, Value};

use super::nearest::nearest;
use super::written::{Part, Sources, path_of};
use super::{Problems, units};

/// A table and where it stands.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    /// The keys that were asked for, to be named where an unknown one stands.
    known: Vec<&'static str>,
    sources: &'a Sources,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// The whole of what was written.
    pub(super) fn root(table: Table, sources: &'a Sources, problems: &'a mut Problems) -> Self {
        Self {
            path: String::new(),
            table,
            known: Vec::new(),
            sources,
            problems,
        }
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<String> {
        match self.text(key)? {
            Ok(text) => Some(text),
            Err(other) => self.wrong(key, &other, "text in quotes"),
        }
    }

    /// A text that is not told, whatever it is.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<String> {
        match self.text(key)? {
            Ok(text) => Some(text),
            Err(_) => {
                self.refuse(key, "is no text: text in quotes would be right");
                None
            }
        }
    }

    /// A variable has no quotes: what reads as a number there is a text where a text belongs.
    fn text(&mut self, key: &'static str) -> Option<Result<String, Value>> {
        let value = self.take(key)?;
        let said = self.sources.variable_text(&self.path_of(key));
        Some(match (value, said) {
            (Value::String(text), _) => Ok(text),
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), Some(said)) => {
                Ok(said.to_owned())
            }
            (other, _) => Err(other),
        })
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(value) => Some(value),
            other => self.wrong(key, &other, "true or false"),
        }
    }

    /// A part of a whole: 0 to 1.
    pub(super) fn part(&mut self, key: &'static str) -> Option<f64> {
        let value = self.take(key)?;
        let whole = value.as_integer().map(|number| number as f64);
        match value.as_float().or(whole) {
            Some(part) if (0.0..=1.0).contains(&part) => Some(part),
            _ => self.wrong(key, &value, "a number from 0 to 1 such as 0.1"),
        }
    }

    /// A count of at least one.
    pub(super) fn count(&mut self, key: &'static str) -> Option<usize> {
        let value = self.take(key)?;
        let count = value
            .as_integer()
            .and_then(|count| usize::try_from(count).ok());
        match count {
            Some(count) if count > 0 => Some(count),
            _ => self.wrong(key, &value, "a whole number from 1 on"),
        }
    }

    /// A list of texts; `right`: what would be right.
    pub(super) fn texts(&mut self, key: &'static str, right: &str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let text = |item: &Value| item.as_str().map(str::to_owned);
        let texts = value.as_array();
        let texts = texts.and_then(|items| items.iter().map(text).collect());
        texts.or_else(|| self.wrong(key, &value, right))
    }

    /// Whether the key is written, and not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn bytes(&mut self, key: &'static str) -> Option<usize> {
        let value = self.take(key)?;
        match value.as_str().and_then(units::bytes) {
            Some(bytes) if bytes > 0 => Some(bytes),
            _ => self.wrong(key, &value, "a size with its unit, such as \"1MiB\""),
        }
    }

    /// `example`: one that would be right.
    pub(super) fn duration(&mut self, key: &'static str, example: &str) -> Option<Duration> {
        let value = self.take(key)?;
        match value
            .as_str()
            .and_then(|text| humantime::parse_duration(text).ok())
        {
            Some(duration) => Some(duration),
            None => self.wrong(
                key,
                &value,
                &format!("a time with its unit, such as {example:?}"),
            ),
        }
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = self.take(key)?;
        let chosen = choices
            .iter()
            .find(|(word, _)| value.as_str() == Some(word));
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        chosen
            .map(|(_, choice)| *choice)
            .or_else(|| self.wrong_word(key, &value, &words))
    }

    /// None of these words.
    pub(super) fn wrong_word<T>(&mut self, key: &str, value: &Value, words: &[&str]) -> Option<T> {
        let meant = value.as_str().and_then(|text| nearest(text, words));
        let right = match meant {
            Some(word) => format!("{word:?}"),
            None => format!("one of {}", words.join(", ")),
        };
        self.wrong(key, value, &right)
    }

    /// A section below this one; `None` where it is not written.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'_>> {
        match self.take(key)? {
            Value::Table(table) => {
                let path = self.path_of(key);
                Some(self.below(path, table))
            }
            other => self.wrong(key, &other, "a section"),
        }
    }

    /// Every section below this one, by name; `name` is for who reads the problem.
    pub(super) fn each(mut self, name: &str, mut read: impl FnMut(&str, Section<'_>)) {
        for (key, value) in std::mem::take(&mut self.table) {
            let path = self.path_of(&key);
            match value {
                Value::Table(table) => read(&key, self.below(path, table)),
                other => {
                    let right = format!("[{}]", self.path_of(name));
                    let what = format!("is {}: {right} would be right", shown(&other));
                    self.problem(&path, Part::Value, &what);
                }
            }
        }
    }

    /// A key that the contract has and this version does not.
    pub(super) fn later(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.table.remove(*key).is_some() {
                let path = self.path_of(key);
                self.problem(&path, Part::Key, "comes with a later version: leave it out");
            }
        }
    }

    /// A key that makes no sense beside the others.
    pub(super) fn refuse_if_there(&mut self, key: &'static str, problem: &str) {
        if self.take(key).is_some() {
            self.refuse(key, problem);
        }
    }

    /// What is left over is not known.
    pub(super) fn finish(mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            let what = match nearest(key, &self.known) {
                Some(meant) => format!("is not known: {meant} would be right"),
                None => format!("is not known: {} are", self.known.join(", ")),
            };
            self.problem(&self.path_of(key), Part::Key, &what);
        }
    }

    pub(super) fn refuse(&mut self, key: &str, problem: &str) {
        self.problem(&self.path_of(key), Part::Value, problem);
    }

    /// One item of a list is wrong; told of the list.
    pub(super) fn refuse_item(&mut self, key: &str, at: usize, problem: &str) {
        let list = self.path_of(key);
        let item = format!("{list}[{at}]");
        self.tell(&item, Part::Value, format!("{list} {problem}"));
    }

    /// A key has to be there. In a file that cannot be read to its end it may be.
    pub(super) fn missing(&mut self, key: &str, right: &str) {
        if !self.sources.is_broken() {
            self.refuse(key, &format!("is missing: {right} would be right"));
        }
    }

    /// The section as a whole is wrong.
    pub(super) fn refuse_all(&mut self, problem: &str) {
        let path = self.path.clone();
        self.problem(&path, Part::Key, problem);
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    fn wrong<T>(&mut self, key: &str, value: &Value, right: &str) -> Option<T> {
        let what = format!("is {}: {right} would be right", shown(value));
        self.refuse(key, &what);
        None
    }

    fn below(&mut self, path: String, table: Table) -> Section<'_> {
        Section {
            path,
            table,
            known: Vec::new(),
            sources: self.sources,
            problems: self.problems,
        }
    }

    fn path_of(&self, key: &str) -> String {
        path_of(&self.path, key)
    }

    fn problem(&mut self, path: &str, part: Part, problem: &str) {
        self.tell(path, part, format!("{path} {problem}"));
    }

    fn tell(&mut self, path: &str, part: Part, what: String) {
        if !self.sources.is_broken_at(path) {
            self.problems.add(self.sources.at(path, part), what);
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a section".into(),
        Value::Array(_) => "a list".into(),
        other => other.to_string(),
    }
}
