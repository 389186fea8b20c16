//! Names that become label values. Each is a series in whoever scrapes, for good; so there are so many, and all others are one.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// What all others are called: no name of ours.
const OTHERS: &str = "*";

/// The names that have series of their own. One that has keeps them, so that no counter goes back.
#[derive(Debug)]
pub struct Names {
    /// A lock and not a task: held for a look-up, when somebody scrapes.
    known: Mutex<BTreeSet<String>>,
    /// Beside those that are known from the beginning.
    room: usize,
}

impl Names {
    /// `listed` have series whatever their number; of others the first `more` that come.
    pub fn new(listed: impl IntoIterator<Item = String>, more: usize) -> Self {
        let known: BTreeSet<_> = listed.into_iter().collect();
        Self {
            room: known.len() + more,
            known: Mutex::new(known),
        }
    }

    /// As what it is counted.
    pub fn of<'a>(&self, name: &'a str) -> &'a str {
        let mut known = self.known.lock();
        if known.contains(name) {
            return name;
        }
        if known.len() >= self.room {
            return OTHERS;
        }
        known.insert(name.to_owned());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_names_and_then_one_for_all_others() {
        let names = Names::new(["listed".to_owned()], 2);
        assert_eq!(names.of("a"), "a");
        assert_eq!(names.of("b"), "b");
        assert_eq!(names.of("c"), "*");
        assert_eq!((names.of("a"), names.of("listed")), ("a", "listed"));
    }
}
