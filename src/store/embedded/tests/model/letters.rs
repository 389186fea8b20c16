//! Dead letters, said plainly.

use super::super::plan::PlannedLetter;
use super::{Model, Taken};

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Dead {
    pub(in super::super) name: u64,
    pub(in super::super) held: bool,
    pub(in super::super) client: Option<usize>,
    pub(in super::super) handler: usize,
    pub(in super::super) fingerprint: u64,
    pub(in super::super) req_id: String,
}

impl Model {
    pub(super) fn bury(&mut self, taken: Taken, held: bool) {
        self.letters.push(Dead {
            name: taken.name,
            held,
            client: taken.client,
            handler: taken.handler,
            fingerprint: taken.fingerprint,
            req_id: taken.req_id,
        });
        let kept = self.letters.iter().filter(|dead| !dead.held).count();
        if kept > self.ages.letters
            && let Some(oldest) = self.letters.iter().position(|dead| !dead.held)
        {
            self.letters.remove(oldest);
        }
    }

    pub(super) fn decide(&mut self, letter: &PlannedLetter) {
        match *letter {
            PlannedLetter::Hold(name) => {
                let is_held = self.letters.iter().any(|dead| dead.name == name);
                let open = self.open.iter().find(|taken| taken.name == name);
                if let Some(taken) = open.filter(|_| !is_held).cloned() {
                    self.bury(taken, true);
                }
            }
            PlannedLetter::Release(name) => {
                self.letters.retain(|dead| dead.name != name || !dead.held);
            }
            PlannedLetter::Discard(name) => {
                self.letters.retain(|dead| dead.name != name || dead.held);
            }
        }
    }

    /// Whether it was there and goes, as its packet is taken anew.
    pub(super) fn send_anew(&mut self, name: u64) -> bool {
        let its = |dead: &Dead| dead.name == name && !dead.held;
        let at = self.letters.iter().position(its);
        at.map(|at| self.letters.remove(at)).is_some()
    }
}
