//! The store's own time, by which everything that is kept ages.
//!
//! The wall clock is asked at a start, and never again: from then on time goes as fast as the monotonic clock says. So a wall
//! clock that jumps in a process that runs, in whatever direction, ages nothing, and what is stamped before and after a
//! jump has ages that are true. At a start it is believed where it is ahead of the time that was reached before, by up to
//! [`CLOSED`]: that long the store was closed. What it says beyond that, or behind, counts as nothing.
//!
//! What users see of a time (of a message, of a record) is the wall clock's, as the commit brings it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A store that was closed for longer is rarer than a clock that is wrong.
const CLOSED: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How far the time of a commit may be from the store's own before that is told.
const APART: Duration = Duration::from_secs(60 * 60);

/// Where a start has its time from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wall {
    /// What the wall clock says.
    Says(SystemTime),
    /// Simulated time: what a commit says is what time it is.
    #[cfg(test)]
    OfCommits,
}

/// What time it is. Does not go back.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    started: Instant,
    from: SystemTime,
    /// That the wall clock is somewhere else was told.
    told: bool,
    #[cfg(test)]
    wall: Wall,
}

impl Wall {
    pub(super) fn now() -> Self {
        Self::Says(SystemTime::now())
    }

    fn at_start(self) -> SystemTime {
        match self {
            Self::Says(now) => now,
            #[cfg(test)]
            Self::OfCommits => SystemTime::UNIX_EPOCH,
        }
    }
}

impl Clock {
    /// `reached`: the time that an earlier start has reached; none for a store that is new.
    pub(super) fn start(wall: Wall, reached: Option<SystemTime>, started: Instant) -> Self {
        let now = wall.at_start();
        let mut clock = Self {
            started,
            from: now,
            told: false,
            #[cfg(test)]
            wall,
        };
        if let Some(reached) = reached {
            let closed = now.duration_since(reached).unwrap_or_default();
            if closed > CLOSED {
                clock.from = reached;
                clock.tell(now, reached);
            } else {
                clock.from = reached + closed;
            }
        }
        clock
    }

    /// `commit`: what a commit says that it is.
    pub(super) fn now(&mut self, commit: SystemTime, at: Instant) -> SystemTime {
        #[cfg(test)]
        if matches!(self.wall, Wall::OfCommits) {
            return commit;
        }
        let now = self.from + at.duration_since(self.started);
        let apart = commit.duration_since(now);
        let apart = apart.unwrap_or_else(|behind| behind.duration());
        if apart < APART {
            self.told = false;
        } else if !self.told {
            self.tell(commit, now);
        }
        now
    }

    /// Once, until they agree again.
    fn tell(&mut self, wall: SystemTime, now: SystemTime) {
        self.told = true;
        tracing::warn!(
            wall = %shown(wall),
            believed = %shown(now),
            "the wall clock is not where the time that has passed would have it: nothing that is kept gets older by that, and the \
             next start believes it where it is ahead by less than a year"
        );
    }
}

fn shown(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    format!("{} s after 1970", since.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn today() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    #[test]
    fn while_it_runs_time_goes_as_fast_as_it_passes() {
        let start = Instant::now();
        let mut clock = Clock::start(Wall::Says(today()), None, start);
        for (passed, says) in [
            (DAY, today() + DAY),
            (2 * DAY, today() + 30_000 * DAY),
            (3 * DAY, today() - 100 * DAY),
            (4 * DAY, today()),
        ] {
            assert_eq!(clock.now(says, start + passed), today() + passed);
        }
    }

    #[test]
    fn what_passed_while_it_was_closed_counts_if_it_can_be_believed() {
        let start = Instant::now();
        for (ahead, believed) in [
            (10 * DAY, 10 * DAY),
            (366 * DAY, 366 * DAY),
            (400 * DAY, Duration::ZERO),
        ] {
            let wall = Wall::Says(today() + ahead);
            let mut clock = Clock::start(wall, Some(today()), start);
            assert_eq!(clock.now(today(), start), today() + believed, "{ahead:?}");
        }
    }

    #[test]
    fn a_wall_clock_that_went_back_holds_nothing_up() {
        let start = Instant::now();
        let wall = Wall::Says(today() - 300 * DAY);
        let mut clock = Clock::start(wall, Some(today()), start);
        assert_eq!(clock.now(today() - 299 * DAY, start + DAY), today() + DAY);
    }

    #[test]
    fn a_jump_is_told_once() {
        let start = Instant::now();
        let mut clock = Clock::start(Wall::Says(today()), None, start);
        let mut told = |says| {
            clock.now(says, start);
            clock.told
        };
        assert!(!told(today() + DAY / 48));
        assert!(told(today() + DAY) && told(today() + DAY));
        assert!(!told(today()), "and the next one again");
    }
}
