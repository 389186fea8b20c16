//! What is told of a packet while its answer is on its way to the disk.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use crate::store::clock::{Clock, Wall};
use crate::store::conformance::{ALL, answer, at, client, finished, seq, take, taken, unit};
use crate::store::embedded::disk::simulated::SimulatedDisk;
use crate::store::embedded::open::{Found, find};
use crate::store::embedded::state::State;
use crate::store::embedded::{Options, reader};
use crate::store::judge::Judging;
use crate::store::{Commit, Domain, Judged, KeptResult, Place, ReqIdScope, Term, Unit, Which};
use crate::types::{HandlerName, Outcome};

/// The writing thread's state, whose frames become durable when a test says so.
struct Desk {
    found: Found,
    state: State,
    number: u64,
}

impl Desk {
    fn new() -> Self {
        let options = Options::default();
        let disk = Arc::new(SimulatedDisk::new(1));
        let found = find(Path::new("simulated"), disk, &options).unwrap();
        let clock = Clock::start(Wall::OfCommits, None, Instant::now());
        let state = State::load(found.shared.clone(), options.keep, found.seed, clock).unwrap();
        Self {
            found,
            state,
            number: 0,
        }
    }

    fn judge(&mut self, fill: impl FnOnce(&mut Commit)) -> Vec<Judged> {
        let mut commit = Commit::new(Domain(7), Term(1), at(0));
        fill(&mut commit);
        let mut judging = Judging::new(commit);
        self.state.judge(&mut judging, usize::MAX).unwrap();
        judging.judged
    }

    /// Completes the frame. What it gives makes it durable.
    fn complete(&mut self) -> impl FnOnce(&mut Self) + use<> {
        self.number += 1;
        let (number, frame) = (self.number, self.state.complete(self.number).unwrap());
        move |desk: &mut Self| {
            let mut levels = desk.found.shared.levels.write();
            levels.active.apply(number, frame.payload);
            drop(levels);
            desk.state.is_durable(number);
        }
    }

    /// The outcomes that `Results` tells of the places and of the req_ids.
    fn told(&self) -> Vec<(String, Outcome)> {
        let names = ["once a", "once b", "never taken", "once c"].map(Into::into);
        let asked = [
            Which::Places {
                handler: HandlerName::new("todos").unwrap(),
                from: 0,
            },
            Which::ReqIds(names.to_vec()),
        ];
        let found = asked.iter().flat_map(|which| self.kept(which));
        found
            .map(|kept| (kept.req_id.to_string(), kept.answer.outcome))
            .collect()
    }

    fn kept(&self, which: &Which) -> Vec<KeptResult> {
        let client = client("c");
        let looked = self.state.look(&client, which);
        let (shared, seed) = (&self.found.shared, self.found.seed);
        let page = reader::kept(shared, seed, &client, which, looked, ALL).unwrap();
        page.items
    }
}

fn once(req_id: &str) -> Unit {
    take(Place::ReqId(ReqIdScope::Client), req_id)
}

fn said(open: &[&str], rest: &[&str]) -> Vec<(String, Outcome)> {
    let mut all: Vec<_> = open
        .iter()
        .map(|name| ((*name).to_owned(), Outcome::Accepted))
        .chain(
            rest.iter()
                .map(|name| ((*name).to_owned(), Outcome::Rejected)),
        )
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn what_is_finished_is_open_until_that_is_durable() {
    let mut desk = Desk::new();
    let told = |desk: &Desk| {
        let mut told = desk.told();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    };
    let judged = desk.judge(|commit| {
        commit.units = vec![
            take(Place::Seq(1), "a"),
            take(Place::Seq(2), "b"),
            once("once a"),
            once("once b"),
        ];
    });
    assert_eq!(told(&desk), [], "not even that they are taken");
    let taking = desk.complete();
    assert_eq!(told(&desk), []);
    taking(&mut desk);
    let all = ["a", "b", "once a", "once b"];
    assert_eq!(told(&desk), said(&all, &[]));

    let finish = |desk: &mut Desk, which: [usize; 2]| {
        desk.judge(|commit| {
            let finishes = which.map(|at| finished(taken(&judged[at]), "done"));
            commit.finishes = finishes.into();
        });
    };
    finish(&mut desk, [0, 2]);
    desk.judge(|commit| {
        commit.units = vec![
            Unit {
                req_id: "refused".into(),
                ..seq(3, answer("x"))
            },
            Unit {
                req_id: "never taken".into(),
                ..unit(Place::ReqId(ReqIdScope::Client), answer("x"))
            },
        ];
    });
    assert_eq!(told(&desk), said(&all, &[]), "in the frame being made");
    let first = desk.complete();
    assert_eq!(told(&desk), said(&all, &[]), "in a frame that is synced");
    finish(&mut desk, [1, 3]);
    assert_eq!(told(&desk), said(&all, &[]), "with the last of their run");
    let last = desk.complete();
    first(&mut desk);
    let final_by_now = ["a", "once a", "refused", "never taken"];
    assert_eq!(told(&desk), said(&["b", "once b"], &final_by_now));
    last(&mut desk);
    let all = ["a", "b", "once a", "once b", "refused", "never taken"];
    assert_eq!(told(&desk), said(&[], &all));
}
