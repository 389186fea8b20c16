//! What a person sees of the lanes, and what they name when they flush or clear some.

use std::time::Duration;

use bytestring::ByteString;

use super::core::Class;
use crate::types::{Action, HandlerName, Packet};

/// One lane as it is at a moment.
#[derive(Debug, Clone)]
pub struct LaneView {
    pub handler: HandlerName,
    /// Set where tenants are kept apart.
    pub tenant: Option<ByteString>,
    pub class: Class,
    /// What stands in it and is not in flight.
    pub waiting: Amount,
    pub in_flight: Amount,
    /// What counts for its bounds: what is to come here once it is taken, too.
    pub held: Amount,
    /// How long the oldest of what stands in it has been here.
    pub oldest: Option<Duration>,
    pub counts: Counts,
    pub calls_in_flight: usize,
    /// Of a call; `None` until one is back.
    pub latency: Option<Duration>,
    /// How long what is here will take, about.
    pub backlog: Duration,
    pub searches: usize,
    pub circuit: CircuitView,
}

/// Packets, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub packets: u64,
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// What is left without these, which are among it.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            packets: self.packets - other.packets,
            bytes: self.bytes - other.bytes,
        }
    }
}

/// What has gone through a lane since it is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Each is a call of its handler, or a commit.
    pub batches: u64,
    /// In those batches.
    pub packets: u64,
    /// Why they left.
    pub idle: u64,
    pub whole: u64,
    pub latency: u64,
    pub window: u64,
    pub flush: u64,
    pub drain: u64,
    pub search: u64,
    /// Calls that failed as a whole.
    pub failed: u64,
}

/// Whether a handler's calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitView {
    Closed,
    /// None is, for so long.
    Open(Duration),
    /// One at a time.
    Probing,
}

/// Some packets, or lanes. What is not said is any.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub handler: Option<HandlerName>,
    pub action: Option<Action>,
    /// Of CALL.
    pub method: Option<ByteString>,
}

impl Selection {
    pub(super) fn has_lane(&self, handler: &HandlerName, class: &Class) -> bool {
        if self.handler.as_ref().is_some_and(|named| named != handler) {
            return false;
        }
        match class {
            // It has packets of several.
            Class::Mixed | Class::Reads | Class::Intake => true,
            Class::Action(action) => self.has_action(*action, ""),
            Class::Method(method) => self.has_action(Action::Call, method),
        }
    }

    pub(super) fn has_packet(&self, handler: &HandlerName, packet: &Packet) -> bool {
        let named = self.handler.as_ref().is_none_or(|named| named == handler);
        named && self.has_action(packet.action, packet.method())
    }

    fn has_action(&self, action: Action, method: &str) -> bool {
        self.action.is_none_or(|named| named == action)
            && self.method.as_ref().is_none_or(|named| *named == *method)
    }
}

/// What was ready in lanes that were flushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    pub lanes: u32,
    pub packets: u64,
}

/// What was cleared, and what was asked for and is in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    pub cleared: Amount,
    pub in_flight: Amount,
}
