//! Results that a call was to carry and did not: streams bring them.

use std::time::Duration;

use super::bench::{Bench, called, durable, packet, planned};
use crate::broker::Settings;
use crate::broker::core::{Completed, Done};
use crate::types::{Action, Answer, Outcome, Reason};

#[test]
fn what_a_call_was_to_carry_and_did_not_is_owed_to_streams() {
    for handler in [durable("h"), planned("h")] {
        let takes = handler.durable && handler.drive.is_called();
        let mut bench = Bench::new(vec![handler]);
        let call = bench.offer("a", vec![packet("h", "1").seq(1), packet("h", "2")]);
        if takes {
            bench.run_take();
            bench.run_ok();
        }
        let run = bench.run();
        bench.core.hang_up(call);
        let done = match takes {
            true => Done::Finished(vec![true; 2]),
            false => Done::Answered(vec![Answer::ok(); 2]),
        };
        bench.complete_with(run.batch, done);
        let run = bench.run();
        let owed: Vec<_> = run
            .owed
            .iter()
            .map(|owed| (owed.seq, &*owed.req_id))
            .collect();
        assert_eq!((owed, run.items.len()), (vec![(1, "1"), (0, "2")], 0));
        let none = match takes {
            true => Done::Took(Vec::new()),
            false => Done::Answered(Vec::new()),
        };
        let failed = Completed {
            owed: run.owed,
            ..none.into()
        };
        bench.core.complete(bench.now, run.batch, failed);
        bench.poll();
        assert!(bench.runs.is_empty(), "the store is given a while");
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.run().owed.len(), 2);
    }
}

#[test]
fn a_response_that_nobody_heard_is_owed_and_so_is_a_result_that_did_not_fit() {
    let mut bench = Bench::new(vec![planned("h"), called("passing")]);
    let packets = vec![
        packet("h", "1").seq(1),
        packet("h", "2").action(Action::Read),
        packet("passing", "3"),
    ];
    bench.offer("a", packets);
    while !bench.runs.is_empty() {
        bench.run_ok();
    }
    let (_, response) = bench.answers.remove(0);
    bench.core.undelivered(&response);
    bench.poll();
    assert_eq!(bench.run().owed.len(), 1, "only what is kept");
    let large = Answer {
        content: crate::types::Content::bytes(vec![0; 4 << 20]),
        ..Answer::ok()
    };
    let call = bench.offer("a", vec![packet("h", "4").seq(2)]);
    let run = bench.run();
    bench.complete(run.batch, vec![large]);
    let answer = &bench.answers_to(call)[0];
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Accepted, Reason::ResponseTooLarge));
    bench.poll();
    let owed = &bench.run().owed;
    assert_eq!((owed.len(), owed[0].seq), (1, 2));
}

#[test]
fn what_is_owed_is_bounded() {
    let settings = Settings {
        lane_packets: 4,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![planned("h")], settings);
    for seq in 1..=7 {
        bench.offer("a", vec![packet("h", "1").seq(seq)]);
        bench.run_ok();
    }
    for (_, response) in std::mem::take(&mut bench.answers) {
        bench.core.undelivered(&response);
    }
    bench.poll();
    assert_eq!(bench.run().owed.len(), 4);
}

#[test]
fn what_is_told_as_in_doubt_and_may_be_kept_is_owed_to_streams() {
    let mut bench = Bench::new(vec![planned("h")]);
    let call = bench.offer("a", vec![packet("h", "1").seq(1)]);
    let run = bench.run();
    let doubt = Answer::with(Outcome::InDoubt, Reason::StoreUnavailable, "");
    bench.complete(run.batch, vec![doubt]);
    assert_eq!(bench.answers_to(call)[0].outcome, Outcome::InDoubt);
    bench.poll();
    let owed = &bench.run().owed;
    assert_eq!((owed.len(), owed[0].seq), (1, 1));
}
