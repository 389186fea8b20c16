//! What is wrong with a configuration, and where it stands.

use std::fmt::{self, Display, Formatter};

/// Everything that is wrong with a configuration, told at once: in the order of the file, then of the variables' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    at: At,
    what: String,
}

/// Where what is wrong was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    File {
        /// As it was named; empty for a text that is no file.
        name: String,
        spot: Spot,
    },
    Variable(String),
    /// It is about no value.
    Nowhere,
}

/// A place in a text, each from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Problem {
    pub(super) fn new(at: At, what: String) -> Self {
        Self { at, what }
    }

    /// Which key, and what would be right; without where it stands.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl Problems {
    pub(super) fn add(&mut self, at: At, what: String) {
        self.0.push(Problem::new(at, what));
    }
}

impl std::error::Error for Problems {}

/// Every problem is a line of its own that begins with its place, as tools find it.
impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::File { name, spot } => {
                if !name.is_empty() {
                    write!(f, "{name}:")?;
                }
                write!(f, "{}:{}: {}", spot.line, spot.column, self.what)
            }
            At::Variable(name) => write!(f, "{name}: {}", self.what),
            At::Nowhere => f.write_str(&self.what),
        }
    }
}
