//! How long those are told to wait who cannot come in now, and that it pays to wait so long.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::bench::{Bench, called, durable, packet};
use super::service::{batch_of, fail, wait};
use crate::broker::Settings;
use crate::broker::core::{BatchId, CallId};
use crate::handler::Failure;
use crate::types::{Answer, Reason};

const MS: Duration = Duration::from_millis(1);

/// What this says is drawn from half of the estimate to half more than it.
const JITTER: [f64; 2] = [0.5, 1.5];

/// A refused packet's answer.
fn refused(bench: &mut Bench, size: usize) -> Duration {
    let call = bench.offer("late", vec![packet("h", "late").size(size)]);
    let answer = bench.answers_to(call).remove(0);
    assert_eq!(answer.reason, Reason::Overloaded);
    answer.retry_after.expect("it says when")
}

fn assert_about(told: Duration, expected: Duration) {
    let [least, most] = JITTER.map(|part| expected.mul_f64(part));
    assert!(
        least <= told && told <= most,
        "{told:?} instead of about {expected:?}"
    );
}

/// A lane of a hundred packets of a hundred bytes, full, with one call in flight.
fn full_lane(max_packets: usize, max_bytes: usize) -> Bench {
    let settings = Settings {
        lane_packets: 100,
        ..Settings::default()
    };
    let mut handler = called("h");
    handler.batch.calls = 1;
    handler.batch.max_packets = max_packets;
    handler.batch.max_bytes = max_bytes;
    let mut bench = Bench::with(vec![handler], settings);
    bench.offer("first", vec![packet("h", "first")]);
    bench.advance(400 * MS);
    bench.run_ok();
    for subject in 0..100 {
        let subject = subject.to_string();
        bench.offer(&subject, vec![packet("h", "full")]);
    }
    bench
}

#[test]
fn the_time_to_wait_is_what_the_lane_needs_for_what_it_holds() {
    // Ten more batches of about 400 ms.
    for (max_packets, max_bytes) in [(10, 1 << 20), (500, 1_000)] {
        let mut bench = full_lane(max_packets, max_bytes);
        assert_about(refused(&mut bench, 100), 11 * 400 * MS);
    }
}

#[test]
fn a_call_that_takes_longer_than_others_did_makes_the_time_to_wait_longer() {
    let mut bench = full_lane(50, 1 << 20);
    assert_about(refused(&mut bench, 100), 3 * 400 * MS);
    bench.advance(3_000 * MS);
    assert_about(refused(&mut bench, 100), 3 * 3_000 * MS);
}

#[test]
fn while_one_call_is_tried_the_time_to_wait_follows_from_how_often_that_failed() {
    let mut bench = Bench::new(vec![durable("h")]);
    batch_of(&mut bench, 1);
    fail(&mut bench, Failure::Handler);
    for _ in 0..5 {
        wait(&mut bench);
        fail(&mut bench, Failure::Handler);
    }
    wait(&mut bench);
    // It is in flight, and nobody knows for how long.
    bench.advance(100 * MS);
    bench.answers.clear();
    let call = bench.offer("new", vec![packet("h", "new")]);
    let answer = bench.answers_to(call).remove(0);
    assert_eq!(answer.reason, Reason::HandlerUnavailable);
    assert_about(answer.retry_after.unwrap(), 3_200 * MS);
}

/// Far more than the lane holds comes at once, from people who come back when they are told to.
#[test]
fn who_waits_as_told_gets_through() {
    const SUBJECTS: usize = 400;
    const EACH: usize = 100;
    for latency in [20 * MS, 1_000 * MS] {
        let mut bench = Bench::new(vec![called("h")]);
        let start = bench.now;
        // Who comes when, with how many packets, and for which time.
        let mut due: BTreeMap<(Instant, usize), (usize, usize)> = BTreeMap::new();
        due.extend((0..SUBJECTS).map(|subject| ((start, subject), (EACH, 1))));
        let mut running: Vec<(Instant, BatchId, usize)> = Vec::new();
        let mut waiting: BTreeMap<usize, (CallId, usize)> = BTreeMap::new();
        let (mut done, mut sent, mut most) = (0, 0, 0);
        while done < SUBJECTS * EACH {
            let next = due.first_key_value().map(|((due, _), _)| *due);
            let back = running.iter().map(|(back, ..)| *back).min();
            let next = [next, back, bench.core.next_deadline()];
            let next = next.into_iter().flatten().min().expect("it goes on");
            bench.advance(next.saturating_duration_since(bench.now));
            while let Some(at) = running.iter().position(|(back, ..)| *back <= bench.now) {
                let (_, batch, items) = running.swap_remove(at);
                bench.complete(batch, vec![Answer::ok(); items]);
            }
            while let Some(entry) = due.first_entry()
                && entry.key().0 <= bench.now
            {
                let ((_, subject), (packets, tries)) = entry.remove_entry();
                let packets = (0..packets).map(|_| packet("h", "")).collect();
                let call = bench.offer_of("", &subject.to_string(), packets);
                waiting.insert(subject, (call, tries));
                (sent, most) = (sent + 1, most.max(tries));
            }
            for run in bench.runs.drain(..) {
                running.push((bench.now + latency, run.batch, run.items.len()));
            }
            for (call, response) in std::mem::take(&mut bench.answers) {
                let subject = waiting.iter().find(|(_, waits)| waits.0 == call);
                let (&subject, &(_, tries)) = subject.unwrap();
                waiting.remove(&subject);
                let answers = response.answers.iter().map(|(_, answer)| answer);
                let open = answers.filter(|answer| !answer.outcome.is_final());
                let told: Vec<_> = open.map(|answer| answer.retry_after).collect();
                done += response.answers.len() - told.len();
                // Who stands behind a refused one is told nothing of its own, nor is who waited as long as a call may.
                if let Some(&longest) = told.iter().max() {
                    let pause = longest.unwrap_or_default();
                    due.insert((bench.now + pause, subject), (told.len(), tries + 1));
                }
            }
        }
        let took = bench.now - start;
        let least = latency * (SUBJECTS * EACH / 2_000) as u32;
        println!(
            "calls of {latency:?}: {took:?} instead of {least:?}, {:.1} requests each and at most {most}",
            sent as f64 / SUBJECTS as f64
        );
        assert!(took < least * 2, "{took:?} instead of {least:?}");
        assert!(
            sent < SUBJECTS * 8 && most < 20,
            "{sent} requests, {most} of one"
        );
    }
}
