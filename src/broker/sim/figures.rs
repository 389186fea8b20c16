//! What runs are counted by.

use std::fmt;

/// What was done in the runs, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) packets: u64,
    pub(super) applied: u64,
    pub(super) published: u64,
    pub(super) rejected: u64,
    pub(super) expired: u64,
    pub(super) requests: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) held: u64,
    pub(super) refused: u64,
    pub(super) ahead: u64,
    pub(super) in_doubt: u64,
    pub(super) forgotten: u64,
    pub(super) restarts: u64,
    pub(super) restored: u64,
    pub(super) dead: u64,
    pub(super) away: u64,
}

impl Figures {
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            packets,
            applied,
            published,
            rejected,
            expired,
            requests,
            lost,
            repeated,
            held,
            refused,
            ahead,
            in_doubt,
            forgotten,
            restarts,
            restored,
            dead,
            away,
        } = other;
        self.packets += packets;
        self.applied += applied;
        self.published += published;
        self.rejected += rejected;
        self.expired += expired;
        self.requests += requests;
        self.lost += lost;
        self.repeated += repeated;
        self.held += held;
        self.refused += refused;
        self.ahead += ahead;
        self.in_doubt += in_doubt;
        self.forgotten += forgotten;
        self.restarts += restarts;
        self.restored += restored;
        self.dead += dead;
        self.away += away;
    }

    pub(super) fn all(&self) -> [(&'static str, u64); 17] {
        [
            ("packets", self.packets),
            ("applied", self.applied),
            ("published with results", self.published),
            ("rejected", self.rejected),
            ("expired", self.expired),
            ("requests", self.requests),
            ("messages lost", self.lost),
            ("doubled", self.repeated),
            ("held until settled", self.held),
            ("refused by overload", self.refused),
            ("ahead of their turn", self.ahead),
            ("in doubt", self.in_doubt),
            ("forgotten", self.forgotten),
            ("restarts", self.restarts),
            ("taken and restored", self.restored),
            ("given up", self.dead),
            ("times the handler was away", self.away),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all().map(|(what, count)| format!("{count} {what}"));
        f.write_str(&all.join(", "))
    }
}
