//! How far it is, on a terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::Mark;

/// Nothing where nobody looks.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    began: u64,
}

impl Progress {
    /// `bytes`: of all input, where that can be known.
    pub(super) fn new(quiet: bool, bytes: Option<u64>, from: Mark) -> Self {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(match quiet || !io::stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        });
        let template = match bytes {
            Some(_) => "{bar:30.cyan} {percent:>3}% {msg}, {eta} left",
            None => "{spinner} {msg}, {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("it is one"));
        // What an earlier call did says nothing about the time left.
        bar.reset_eta();
        bar.set_position(from.bytes);
        Self {
            bar,
            began: from.lines,
        }
    }

    pub(super) fn at(&self, mark: Mark) {
        let seconds = self.bar.elapsed().as_secs_f64();
        let rate = (mark.lines - self.began) as f64 / seconds.max(1e-3);
        self.bar.set_position(mark.bytes);
        self.bar
            .set_message(format!("{} lines, {rate:.0}/s", mark.lines));
    }

    /// While something else is written.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    pub(super) fn waits(&self, why: &str) {
        self.bar.set_message(why.to_owned());
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
