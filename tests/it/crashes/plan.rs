//! What several clients are to do to a collection, and what must come of every packet of it. Each client has keys of its
//! own, so all of it is known beforehand, however their calls meet.

use std::collections::HashMap;

use rand::Rng;
use tidegate_client::proto::{Packet, PacketResult, Reason};

use crate::support::Trace;

/// Few enough that each lives and dies many times.
const KEYS_OF_A_CLIENT: usize = 150;

pub struct Plan {
    pub scripts: Vec<Script>,
    pub histories: HashMap<String, History>,
}

/// What one client does. The place of a packet is its number here, from 1.
pub struct Script {
    pub client_id: String,
    pub steps: Vec<Step>,
}

pub struct Step {
    pub packet: Packet,
    expected: Result<u64, Reason>,
}

/// Every version of a record, from 1; `None` is a delete.
#[derive(Default)]
pub struct History(Vec<Option<String>>);

impl Plan {
    /// A packet of each patch, in turns.
    pub fn of(trace: &Trace, handler: &str, clients: usize, rng: &mut impl Rng) -> Self {
        let script = |number| Script {
            client_id: format!("writer-{number}"),
            steps: Vec::new(),
        };
        let mut plan = Self {
            scripts: (0..clients).map(script).collect(),
            histories: HashMap::new(),
        };
        for (number, patch) in trace.patches.iter().enumerate() {
            let client = number % clients;
            let key = format!("{client}.{}", rng.random_range(0..KEYS_OF_A_CLIENT));
            let history = plan.histories.entry(key.clone()).or_default();
            let steps = &mut plan.scripts[client].steps;
            let step = history.step(handler, &key, patch, rng);
            steps.push(step.placed(steps.len() + 1));
        }
        plan
    }

    /// How many changes there are to be seen.
    pub fn changes(&self) -> usize {
        self.histories.values().map(|history| history.0.len()).sum()
    }

    /// What is there in the end.
    pub fn records(&self) -> HashMap<&str, (u64, &str)> {
        let histories = self.histories.iter();
        let there = histories.filter_map(|(key, history)| Some((key.as_str(), history.present()?)));
        there.collect()
    }
}

impl Step {
    /// The one answer that is right, whenever it is told.
    pub fn assert_answered(&self, result: &PacketResult) {
        let packet = &self.packet;
        let version = result.records.first().map_or(0, |record| record.version);
        let right = match self.expected {
            Ok(expected) => result.reason() == Reason::Unspecified && version == expected,
            Err(expected) => result.reason() == expected,
        };
        assert!(right, "{packet:?} got {result:?}, not {:?}", self.expected);
        assert_eq!(result.seq, packet.seq);
    }

    fn placed(mut self, place: usize) -> Self {
        self.packet = self.packet.seq(place as u64).req_id(place.to_string());
        self
    }
}

impl History {
    /// Something to do to it as it is now: mostly what can be done.
    fn step(&mut self, handler: &str, key: &str, text: &str, rng: &mut impl Rng) -> Step {
        let version = self.0.len() as u64;
        let (create, update) = (Packet::create(handler), Packet::update(handler, key));
        let (create, update) = (create.key(key).text(text), update.text(text));
        let refused = |packet, reason| Step {
            packet,
            expected: Err(reason),
        };
        match (self.present(), rng.random_range(0..100)) {
            (None, 0..10) => refused(update, Reason::NotFound),
            (None, _) => self.changed(create, Some(text)),
            (Some(_), 0..5) => refused(create, Reason::AlreadyExists),
            (Some(_), 5..10) => refused(update.at_version(version + 1), Reason::VersionMismatch),
            (Some(_), 10..25) => self.changed(Packet::delete(handler, key), None),
            (Some(_), 25..60) => self.changed(update.at_version(version), Some(text)),
            (Some(_), _) => self.changed(update, Some(text)),
        }
    }

    fn changed(&mut self, packet: Packet, text: Option<&str>) -> Step {
        self.0.push(text.map(str::to_owned));
        Step {
            packet,
            expected: Ok(self.0.len() as u64),
        }
    }

    /// Its text in this version, and whether it has it at all.
    pub fn at(&self, version: u64) -> Option<Option<&str>> {
        let at = usize::try_from(version.checked_sub(1)?).ok()?;
        self.0.get(at).map(Option::as_deref)
    }

    fn present(&self) -> Option<(u64, &str)> {
        let text = self.0.last()?.as_deref()?;
        Some((self.0.len() as u64, text))
    }
}
