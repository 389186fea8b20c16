//! Which address the next call goes to.

/// What is known of every address, by its place in the configuration.
#[derive(Debug)]
pub(super) struct Balance {
    peers: Vec<State>,
    /// Whose turn it is among equals.
    turn: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    calls: usize,
    /// It did not answer, and has not since.
    out: bool,
}

impl Balance {
    pub(super) fn new(peers: usize) -> Self {
        Self {
            peers: vec![State::default(); peers],
            turn: 0,
        }
    }

    /// A call begins: at the one with the least calls of those that work, else at the one whose turn it is.
    pub(super) fn begin(&mut self) -> usize {
        let count = self.peers.len();
        let from = self.turn;
        let in_turn = (0..count).map(|step| (from + step) % count);
        let working = in_turn.filter(|&at| !self.peers[at].out);
        let least = working.min_by_key(|&at| self.peers[at].calls);
        let at = least.unwrap_or(from % count);
        self.turn = (at + 1) % count;
        self.peers[at].calls += 1;
        at
    }

    pub(super) fn end(&mut self, at: usize) {
        self.peers[at].calls -= 1;
    }

    /// True: it was not out before.
    pub(super) fn is_out(&mut self, at: usize) -> bool {
        !std::mem::replace(&mut self.peers[at].out, true)
    }

    /// True: it was out before.
    pub(super) fn is_back(&mut self, at: usize) -> bool {
        std::mem::take(&mut self.peers[at].out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_one_that_works_is_next_and_equals_take_turns() {
        let mut balance = Balance::new(3);
        let began = [(); 6].map(|()| balance.begin());
        assert_eq!(began, [0, 1, 2, 0, 1, 2]);
        balance.end(1);
        assert_eq!(balance.begin(), 1, "the others have two calls");
        assert!(balance.is_out(1));
        assert!(!balance.is_out(1), "it was already");
        balance.end(1);
        balance.end(1);
        let began = [(); 4].map(|()| balance.begin());
        assert!(!began.contains(&1), "{began:?}");
        assert!(balance.is_back(1));
        assert!(!balance.is_back(1));
        assert_eq!(balance.begin(), 1);
    }

    #[test]
    fn where_none_works_they_are_tried_in_turn() {
        let mut balance = Balance::new(2);
        assert!(balance.is_out(0) && balance.is_out(1));
        let began = [(); 4].map(|()| balance.begin());
        assert_eq!(began, [0, 1, 0, 1]);
    }
}
