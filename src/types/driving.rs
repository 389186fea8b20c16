//! How a handler is driven: plain choices, which a configuration makes.

use std::time::Duration;

/// What is applied in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ordering {
    /// One client's packets to the handler.
    #[default]
    Client,
    /// The packets of one key, across clients. An empty key is no chain.
    Key,
    None,
}

/// The bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub max_packets: usize,
    pub max_bytes: usize,
    /// How long a batch may wait for more, from when its first packet was ready. 0: it never waits while a call is free.
    pub window: Duration,
    /// Calls in flight at most, per lane.
    pub calls: usize,
}

/// How long an item of a handler that is called is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Given up when both so many attempts of its own and the budget are over.
    pub attempts: u32,
    /// Counted from the first failure of its own.
    pub budget: Duration,
    /// The pause before another attempt is drawn from nothing to this, doubled with each failure.
    pub initial: Duration,
    /// What the pause is drawn from at most.
    pub max: Duration,
    /// What becomes of one that is given up, and of its chain.
    pub on_dead: OnDead,
}

/// What becomes of a packet that is given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDead {
    /// It is rejected and kept as a dead letter; its chain goes on.
    #[default]
    Continue,
    /// It stays open, and its chain waits, until a person has it tried again or rejected.
    Stop,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 10,
            budget: Duration::from_secs(120),
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            on_dead: OnDead::Continue,
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            max_packets: 500,
            max_bytes: 1 << 20,
            window: Duration::ZERO,
            calls: 4,
        }
    }
}
