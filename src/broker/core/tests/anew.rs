//! Dead letters that are sent anew.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, called, ids, packet};
use super::letters::{no, origin, outcome, strict};
use crate::broker::Settings;
use crate::broker::core::{Anew, RunKind};
use crate::store::LetterId;
use crate::types::{Answer, OnDead, Outcome, Reason};

const SECOND: Duration = Duration::from_secs(1);

fn anew(letter: u64, client: &str, handler: &str) -> Anew {
    Anew {
        letter: LetterId(letter),
        origin: origin(client, handler),
        packet: Arc::new(packet(handler, format!("letter {letter}")).0),
    }
}

#[test]
fn what_is_sent_anew_is_a_new_packet_at_the_end_of_its_chain() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    let before = bench.offer(
        "a",
        vec![packet("h", "a1").seq(1), packet("h", "a2").seq(2)],
    );
    bench.run_take();
    let first = bench.run();
    let letters = vec![anew(5, "a", "h"), anew(6, "b", "h")];
    let call = bench.core.send_anew(bench.now, letters, SECOND);
    // Sent anew once more before it is taken, and with the same name as a packet of its client.
    let again = bench
        .core
        .send_anew(bench.now, vec![anew(5, "a", "h")], SECOND);
    bench.poll();
    let take = bench.run();
    assert_eq!(take.kind, RunKind::Take);
    let named: Vec<_> = take.items.iter().map(|item| item.letter).collect();
    assert_eq!(named, [Some(LetterId(5)), Some(LetterId(6))]);
    bench.take(take);
    for (call, count) in [(call, 2), (again, 1)] {
        let told = bench.answers_to(call);
        assert_eq!(told.len(), count);
        assert!(
            told.iter()
                .all(|answer| answer.outcome == Outcome::Accepted)
        );
    }
    bench.advance(SECOND / 10);
    let other = bench.run();
    assert_eq!(ids(&other), ["letter 6"], "behind nobody");
    bench.complete(other.batch, vec![Answer::ok()]);
    assert!(!bench.run_finish()[0].awaited);
    let late = bench
        .core
        .send_anew(bench.now, vec![anew(5, "a", "h")], SECOND);
    bench.poll();
    assert_eq!(bench.answers_to(late)[0].outcome, Outcome::Accepted);
    bench.complete(first.batch, vec![Answer::ok(); 2]);
    bench.run_finish();
    assert_eq!(bench.answers_to(before)[1].outcome, Outcome::Ok);
    assert_eq!(bench.run_ok(), ["letter 5"]);
    bench.run_finish();
    let finished: Vec<_> = bench.finished.iter().map(|one| one.letter.0).collect();
    assert_eq!(finished, [6, 5]);
    assert!(bench.core.is_idle());
}

#[test]
fn what_is_sent_anew_is_behind_what_its_client_has_on_the_way() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    let one = |seq: u64| vec![packet("h", format!("a{seq}")).seq(seq)];
    bench.offer("a", one(1));
    bench.offer("a", one(2));
    // a1 is being taken, and a2 waits for that.
    let letters = vec![anew(5, "a", "h"), anew(6, "b", "h")];
    bench.core.send_anew(bench.now, letters, SECOND);
    bench.poll();
    bench.offer("a", one(3));
    assert_eq!(bench.run_take(), ["a1"]);
    assert_eq!(bench.run_take(), ["letter 6"], "behind nobody");
    assert_eq!(bench.run_take(), ["a2", "letter 5", "a3"]);
    let first = bench.run();
    assert_eq!(ids(&first), ["a1"]);
    bench.advance(SECOND / 10);
    assert_eq!(bench.run_ok(), ["letter 6"]);
    bench.run_finish();
    bench.complete(first.batch, vec![no()]);
    bench.run_finish();
    assert_eq!(bench.run_ok(), ["a2", "letter 5", "a3"], "in one order");
}

#[test]
fn what_would_be_refused_now_is_not_sent_anew() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    let mut wrong = anew(5, "a", "h");
    let refusal = Answer::rejected(Reason::InvalidPacket, "as it is known now");
    let draft = packet("h", "letter 5").refused(refusal);
    wrong.packet = Arc::new(draft.0);
    let call = bench.core.send_anew(bench.now, vec![wrong], SECOND);
    bench.poll();
    let answer = &bench.answers_to(call)[0];
    let told = (answer.outcome, answer.reason);
    assert_eq!(told, (Outcome::Rejected, Reason::InvalidPacket));
    assert!(bench.runs.is_empty() && bench.core.is_idle());
}

#[test]
fn what_cannot_be_sent_anew_says_why() {
    let settings = Settings {
        lane_packets: 1,
        ..Settings::default()
    };
    let handlers = vec![strict("h", OnDead::Continue), called("passing")];
    let mut bench = Bench::with(handlers, settings);
    let letters = vec![
        anew(1, "a", "gone"),
        anew(2, "a", "passing"),
        anew(3, "a", "h"),
        anew(4, "b", "h"),
    ];
    let call = bench.core.send_anew(bench.now, letters, SECOND);
    bench.poll();
    bench.run_take();
    let told = bench.answers_to(call);
    let told: Vec<_> = told
        .iter()
        .map(|answer| (answer.outcome, answer.reason))
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Rejected, Reason::UnknownHandler),
            (Outcome::Rejected, Reason::UnsupportedAction),
            (Outcome::Accepted, Reason::Unspecified),
            (Outcome::Retry, Reason::Overloaded),
        ]
    );
    assert_eq!(bench.run_ok(), ["letter 3"]);
}

#[test]
fn what_is_sent_anew_and_fails_again_is_a_dead_letter_again() {
    let mut bench = Bench::new(vec![strict("h", OnDead::Continue)]);
    bench
        .core
        .send_anew(bench.now, vec![anew(5, "a", "h")], SECOND);
    bench.poll();
    bench.run_take();
    let run = bench.run();
    assert_eq!(ids(&run), ["letter 5"]);
    bench.answers.clear();
    // A packet of the client with the same req_id is another one.
    let same = bench.offer("a", vec![packet("h", "letter 5")]);
    bench.run_take();
    bench.complete(run.batch, vec![no()]);
    let finishes = bench.run_finish();
    assert_eq!(outcome(&finishes[0]), Some(Outcome::Rejected));
    assert!(finishes[0].death.is_some() && !finishes[0].awaited);
    assert_eq!(bench.run_ok(), ["letter 5"]);
    assert!(bench.run_finish()[0].awaited);
    assert_eq!(bench.answers_to(same)[0].outcome, Outcome::Ok);
    assert!(bench.core.is_idle());
}
