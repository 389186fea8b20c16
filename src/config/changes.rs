//! What is another in a new configuration, and whether a gateway that runs can go on by it.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use super::flat::{Setting, When, flat};
use super::written::path_of;
use super::{Config, HandlerConfig};

/// One key, and what it was and is. What nobody is told is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    old: Option<String>,
    new: Option<String>,
}

/// Why a new configuration is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It counts from the next start on.
    Needs(Change),
    /// A handler comes or goes: its packets, its place in the metrics and what is kept of it are arranged at the start.
    Comes(String),
    Goes(String),
}

/// Each key that is another, in order, if all of them can change while a gateway runs; else everything that cannot.
pub fn changes(old: &Config, new: &Config) -> Result<Vec<Change>, Vec<Refusal>> {
    let mut refusals = handlers_that_come_or_go(old, new);
    let (before, after) = (flat(old), flat(new));
    let mut keys = Vec::new();
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (before.get(key), after.get(key));
        if was == is || is_of_another_handler(key, &refusals) {
            continue;
        }
        let mut settings = [was, is].into_iter().flatten();
        let fixed = settings.any(|setting| setting.when == When::Started);
        let change = Change::of(key, was, is);
        match fixed {
            true => refusals.push(Refusal::Needs(change)),
            false => keys.push(change),
        }
    }
    if refusals.is_empty() {
        Ok(keys)
    } else {
        Err(refusals)
    }
}

fn handlers_that_come_or_go(old: &Config, new: &Config) -> Vec<Refusal> {
    let names = |config: &Config| -> BTreeSet<String> {
        let handlers = config.handlers.iter().flatten();
        let section = |handler: &HandlerConfig| path_of("handlers", handler.name.as_str());
        handlers.map(section).collect()
    };
    let (old, new) = (names(old), names(new));
    let come = new.difference(&old).cloned().map(Refusal::Comes);
    let go = old.difference(&new).cloned().map(Refusal::Goes);
    come.chain(go).collect()
}

/// One line for it is enough.
fn is_of_another_handler(key: &str, refusals: &[Refusal]) -> bool {
    refusals.iter().any(|refusal| match refusal {
        Refusal::Comes(section) | Refusal::Goes(section) => key
            .strip_prefix(section.as_str())
            .is_some_and(|rest| rest.starts_with('.')),
        Refusal::Needs(_) => false,
    })
}

impl Change {
    fn of(key: &str, old: Option<&Setting>, new: Option<&Setting>) -> Self {
        let told = |setting: &Setting| match setting.told {
            true => setting.text.clone(),
            false => "one that is not told".into(),
        };
        Self {
            key: key.to_owned(),
            old: old.map(told),
            new: new.map(told),
        }
    }

    /// As a file would say it.
    pub fn was(&self) -> &str {
        self.old.as_deref().unwrap_or(NOT_SET)
    }

    /// The same.
    pub fn is(&self) -> &str {
        self.new.as_deref().unwrap_or(NOT_SET)
    }
}

const NOT_SET: &str = "not set";

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs(change) => {
                let Change { key, .. } = change;
                let (old, new) = (change.was(), change.is());
                write!(f, "{key} needs a restart: it is {old}, and would be {new}")
            }
            Self::Comes(handler) => {
                write!(f, "{handler} needs a restart: it is not there yet")
            }
            Self::Goes(handler) => {
                write!(
                    f,
                    "{handler} needs a restart: it is there, and would not be"
                )
            }
        }
    }
}
