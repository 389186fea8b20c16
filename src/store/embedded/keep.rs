//! How long what is kept is kept.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::parts::PartInfo;
use crate::store::coding::{Reader, Writer};
use crate::store::{Filter, Loss, LossCause};
use crate::types::{Pattern, limits};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// All bounds on what is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Of messages that no rule below is about.
    pub messages: MessageBounds,
    /// The first rule that matches a topic counts.
    pub topics: Vec<TopicRule>,
    pub result_bytes: u64,
    pub result_age: Duration,
    /// Queues, and how long one that is not used is known.
    pub places: u64,
    pub place_age: Duration,
    /// Packets without a place.
    pub once: usize,
    pub once_bytes: u64,
    pub once_age: Duration,
    pub deletion_age: Duration,
    /// Dead letters whose packets are finished.
    pub letters: usize,
    pub letter_bytes: u64,
}

/// How long messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageBounds {
    pub age: Duration,
    pub bytes: u64,
    /// The newest so many of each topic. What goes for it is no loss: whoever asks for the last ones has them.
    pub last: Option<u64>,
}

/// Other bounds for the topics of a pattern.
#[derive(Debug, Clone)]
pub struct TopicRule {
    pub pattern: Pattern,
    pub keep: MessageBounds,
}

impl Default for Keep {
    fn default() -> Self {
        let inboxes = TopicRule {
            pattern: Pattern::parse("@user.>", "").expect("a pattern"),
            keep: MessageBounds {
                age: 30 * DAY,
                ..MessageBounds::default()
            },
        };
        Self {
            messages: MessageBounds::default(),
            topics: vec![inboxes],
            result_bytes: 1 << 30,
            result_age: 7 * DAY,
            places: 10_000_000,
            place_age: 90 * DAY,
            once: 1_000_000,
            once_bytes: 256 << 20,
            once_age: DAY,
            deletion_age: 7 * DAY,
            letters: limits::DEAD_LETTERS,
            letter_bytes: 1 << 30,
        }
    }
}

impl Default for MessageBounds {
    fn default() -> Self {
        Self {
            age: 7 * DAY,
            bytes: 10 << 30,
            last: None,
        }
    }
}

impl Keep {
    /// The class of a topic: what is kept alike is in the same parts. Its name is the rule's pattern.
    pub(super) fn class(&self, topic: &str) -> &str {
        let mut rules = self.topics.iter();
        let rule = rules.find(|rule| rule.pattern.matches_name(topic));
        rule.map_or("", |rule| rule.pattern.as_str())
    }

    /// The bounds of a class; those of the rest, if its rule is not there any more.
    pub(super) fn bounds(&self, class: &str) -> MessageBounds {
        let mut rules = self.topics.iter();
        let rule = rules.find(|rule| rule.pattern.as_str() == class);
        rule.map_or(self.messages, |rule| rule.keep)
    }
}

/// How long messages are kept, for the thread that removes them, and for who says otherwise while the store is open.
#[derive(Debug, Clone)]
pub struct Keeping(Arc<RwLock<Arc<Keep>>>);

impl Keeping {
    pub(super) fn new(keep: Keep) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(keep))))
    }

    /// From the next look at what need not be kept on; at the next start what that one says counts.
    pub fn set(&self, messages: MessageBounds, topics: Vec<TopicRule>) {
        let mut keep = self.0.write();
        let other = Keep {
            messages,
            topics,
            ..(**keep).clone()
        };
        *keep = Arc::new(other);
    }

    /// What holds now.
    pub fn get(&self) -> Arc<Keep> {
        self.0.read().clone()
    }
}

/// What is not there any more: for each class the newest position that was removed, and what was damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Floors {
    removed: Vec<(String, u64)>,
    /// First and last position of what cannot be read.
    damaged: Vec<(u64, u64)>,
}

/// How many damaged stretches are told apart; neighbours become one beyond that.
const STRETCHES: usize = 1_000;

impl Floors {
    pub(super) fn remove(&mut self, part: &PartInfo) {
        let floor = self
            .removed
            .iter_mut()
            .find(|(class, _)| *class == part.class);
        match floor {
            Some((_, floor)) => *floor = part.last.max(*floor),
            None => self.removed.push((part.class.clone(), part.last)),
        }
    }

    /// False: it was known.
    pub(super) fn damage(&mut self, first: u64, last: u64) -> bool {
        let known = |(from, to): &(u64, u64)| *from <= first && last <= *to;
        if self.damaged.iter().any(known) {
            return false;
        }
        self.damaged.push((first, last));
        self.damaged.sort_unstable();
        self.damaged.dedup_by(|next, before| {
            let touches = next.0 <= before.1.saturating_add(1);
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        while self.damaged.len() > STRETCHES {
            let (_, last) = self.damaged.remove(1);
            self.damaged[0].1 = last;
        }
        true
    }

    /// What a reader that goes on after `from`, and has looked up to `through`, may have missed.
    pub(super) fn loss(&self, filter: &Filter, from: u64, through: u64) -> Vec<Loss> {
        let damaged = |(first, last): &(u64, u64)| *last > from && *first <= through;
        let cause = if self.damaged.iter().any(damaged) {
            Some(LossCause::Damage)
        } else {
            None
        };
        let patterns = filter.patterns.iter();
        let lost = patterns.filter_map(|pattern| {
            let removed =
                |(class, floor): &(String, u64)| *floor > from && may_meet(pattern.as_str(), class);
            let removed = self.removed.iter().any(removed);
            let cause = cause.or_else(|| removed.then_some(LossCause::Retention))?;
            Some(Loss {
                pattern: pattern.as_str().into(),
                cause,
                missed: 0,
            })
        });
        lost.collect()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.removed.len() as u64);
        for (class, floor) in &self.removed {
            out.str(class);
            out.number(*floor);
        }
        out.number(self.damaged.len() as u64);
        for (first, last) in &self.damaged {
            out.number(*first);
            out.number(*last);
        }
        out.0
    }

    pub(super) fn read(row: bytes::Bytes) -> Self {
        let mut from = Reader(row);
        let removed = (0..from.number()).map(|_| (from.str().to_string(), from.number()));
        let removed = removed.collect();
        let damaged = (0..from.number()).map(|_| (from.number(), from.number()));
        Self {
            removed,
            damaged: damaged.collect(),
        }
    }
}

/// Whether a topic can match both: told too often rather than not at all. The empty class is everything.
fn may_meet(pattern: &str, class: &str) -> bool {
    if class.is_empty() {
        return true;
    }
    let (mut one, mut other) = (pattern.split('.'), class.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_a_topic_can_match_both() {
        for (one, other, meet) in [
            ("a.b", "a.b", true),
            ("a.*", "*.b", true),
            (">", "a.>", true),
            ("a.>", "a.b.c", true),
            ("a", "a.>", false),
            ("b.>", "a.>", false),
            ("x", "", true),
        ] {
            assert_eq!(may_meet(one, other), meet, "{one} and {other}");
        }
    }

    #[test]
    fn damage_that_touches_is_one_stretch() {
        let mut floors = Floors::default();
        assert!(floors.damage(5, 7) && floors.damage(1, 2) && floors.damage(8, 9));
        assert!(!floors.damage(6, 9), "it is known");
        assert_eq!(floors.damaged, [(1, 2), (5, 9)]);
        assert_eq!(Floors::read(floors.to_bytes().into()), floors);
    }
}
