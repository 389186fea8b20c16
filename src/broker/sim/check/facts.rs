//! What is known of each packet, and how it must end.

use std::time::Duration;

use crate::broker::sim::packet::{Kind, Name, read_label};
use crate::broker::sim::plan::{Manner, Target};
use crate::types::Outcome;

/// What a packet has its order from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    None,
    Queue,
    Key(String),
}

#[derive(Debug)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) order: Order,
    /// How often it arrived.
    pub(super) copies: u32,
    pub(super) first_sent: Option<Duration>,
    /// Since when somebody knows that it is taken.
    pub(super) known_since: Option<Duration>,
    /// The final outcome that was told first.
    pub(super) end: Option<Outcome>,
    pub(super) applied: u32,
    /// How often its service's answer brought a message.
    pub(super) published: u32,
    /// What became of calls with it cannot be told from what becomes of poison.
    pub(super) confused: bool,
    /// It was given up for that.
    pub(super) taken_for_poison: bool,
}

#[derive(Debug)]
pub(super) struct QueueFacts {
    pub(super) target: Target,
    pub(super) manner: Manner,
    /// No packet of it may take longer, or be put off.
    pub(super) within: Option<Duration>,
    pub(super) packets: Vec<Fact>,
    /// So many from the first on were told to the client, which said so.
    pub(super) settled: usize,
    /// The last one that was applied.
    pub(super) last: Option<usize>,
}

impl Fact {
    pub(super) fn new(kind: Kind, order: Order) -> Self {
        Self {
            kind,
            order,
            copies: 0,
            first_sent: None,
            known_since: None,
            end: None,
            applied: 0,
            published: 0,
            confused: false,
            taken_for_poison: false,
        }
    }
}

impl QueueFacts {
    pub(super) fn new(
        target: Target,
        manner: Manner,
        within: Option<Duration>,
        packets: Vec<Fact>,
    ) -> Self {
        Self {
            target,
            manner,
            within,
            packets,
            settled: 0,
            last: None,
        }
    }

    fn expected_messages(&self, end: Outcome) -> u32 {
        u32::from(self.target.takes_first() && end == Outcome::Ok)
    }

    /// What is wrong with how one ended, and which promise that breaks.
    pub(super) fn ended(&self, index: usize) -> Option<(u32, String)> {
        let Fact {
            kind,
            end,
            applied,
            published,
            taken_for_poison,
            ..
        } = self.packets[index];
        if taken_for_poison {
            return None;
        }
        let expected: &[Outcome] = match kind {
            Kind::Fine => &[Outcome::Ok],
            Kind::Brief => &[Outcome::Ok, Outcome::Expired],
            _ => &[Outcome::Rejected],
        };
        // Who keeps nothing may not know, and who floods does not ask again.
        let may_stay_open = self.manner.is_flood() || !self.target.keeps() && kind != Kind::Fine;
        match end {
            None if may_stay_open => None,
            None => Some((7, "is stuck: nothing final was told of it".to_owned())),
            Some(end) if !expected.contains(&end) => {
                let promise = if kind.is_given_up() || end == Outcome::Rejected {
                    9
                } else {
                    1
                };
                Some((promise, format!("ended {end:?} and should be {expected:?}")))
            }
            Some(Outcome::Ok) if applied == 0 => Some((1, "is OK and lost".to_owned())),
            Some(end) if end != Outcome::Ok && applied > 0 && self.target.keeps() => {
                Some((1, format!("is {end:?} and was applied")))
            }
            Some(end) if published != self.expected_messages(end) => {
                Some((3, format!("is {end:?} and was published {published} times")))
            }
            Some(_) => None,
        }
    }
}

/// Whether this content is that of the packet.
pub(super) fn is_of(content: &[u8], name: Name) -> bool {
    read_label(content).is_some_and(|label| label.name == name && !label.impostor)
}
