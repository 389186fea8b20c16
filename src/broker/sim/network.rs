//! What becomes of a message on its way.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use smallvec::SmallVec;

const MS: Duration = Duration::from_millis(1);

/// Between clients and the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// It loses, delays, doubles and holds.
    Lossy,
    /// Everything arrives, soon.
    Reliable,
}

/// What the network does to one message.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// When each of its copies arrives, from now. None: it is lost.
    pub(super) arrivals: SmallVec<[Duration; 2]>,
    /// One more copy is held until everything in it was settled.
    pub(super) held: bool,
}

impl Network {
    /// Draws it.
    pub(super) fn fate(self, rng: &mut StdRng) -> Fate {
        let mut fate = Fate::default();
        if self == Self::Reliable {
            fate.arrivals.push(MS * rng.random_range(0..3));
            return fate;
        }
        if !rng.random_ratio(1, 8) {
            fate.arrivals.push(delay(rng));
        }
        if rng.random_ratio(1, 6) {
            fate.arrivals.push(delay(rng));
        }
        fate.held = rng.random_ratio(1, 6);
        fate
    }
}

/// Mostly short; sometimes so long that the sender has given up and sent again.
pub(super) fn delay(rng: &mut StdRng) -> Duration {
    let most = if rng.random_ratio(1, 10) { 900 } else { 25 };
    MS * rng.random_range(0..most)
}
