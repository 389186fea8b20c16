//! Each kind of violation is found.

use super::*;
use crate::types::Content;

const MS: Duration = Duration::from_millis(1);

/// Two packets of one queue, and the same two of another one.
fn checker(target: Target, manner: Manner, within: Option<Duration>) -> Checker {
    let mut checker = Checker {
        queues: Vec::new(),
        keys: BTreeMap::new(),
        bounds: Settings {
            lane_packets: 10,
            ..Settings::default()
        },
        restored: (0, 0),
        violations: Vec::new(),
    };
    for _ in 0..2 {
        let packet = Packet {
            key: "k".into(),
            ..crate::broker::sim::packet::sample()
        };
        let packets = [(&packet, Kind::Fine), (&packet, Kind::Fine)];
        checker.queue(target, manner, within, packets.into_iter());
    }
    checker
}

fn sizes() -> Sizes {
    Sizes {
        packets: 0,
        bytes: 0,
        answers: 0,
        calls: 0,
        lanes: 1,
        lane_packets: 0,
        lane_bytes: 0,
        things: 0,
    }
}

/// What is wrong in the end, if all but what `does` does was right.
fn found(target: Target, does: impl FnOnce(&mut Checker)) -> Vec<u32> {
    let mut checker = checker(target, Manner::Placed(1), None);
    does(&mut checker);
    for name in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        if checker.queues[name.0].packets[name.1].end.is_none() {
            checker.told(9 * MS, name, &Answer::ok());
        }
        if checker.queues[name.0].packets[name.1].applied == 0 {
            checker.applied(name, false);
        }
        checker.published(name);
    }
    let violations = checker.end(sizes(), 0);
    violations
        .into_iter()
        .map(|violation| violation.promise)
        .collect()
}

fn named(text: &str) -> Answer {
    Answer {
        content: Content::text(text),
        ..Answer::ok()
    }
}

#[test]
fn each_kind_of_violation_is_found() {
    let none: [u32; 0] = [];
    let rejected = Answer::rejected(Reason::Application, "");
    let given_up = Answer::rejected(Reason::HandlerFailed, "");
    let jobs = |does: &dyn Fn(&mut Checker)| found(Target::Jobs, does);
    assert_eq!(jobs(&|_| ()), none);
    assert_eq!(
        jobs(&|checker| {
            checker.told(MS, (0, 0), &named("0:0"));
            checker.settled(0, 1);
            checker.told(MS, (0, 0), &Answer::forgotten());
        }),
        none
    );
    assert_eq!(
        jobs(&|checker| checker.told(MS, (0, 0), &named("0:1"))),
        [1]
    );
    assert_eq!(jobs(&|checker| checker.told(MS, (0, 0), &rejected)), [9]);
    assert_eq!(
        jobs(&|checker| {
            checker.told(MS, (0, 0), &Answer::ok());
            checker.told(MS, (0, 0), &rejected);
        }),
        [1]
    );
    assert_eq!(jobs(&|checker| checker.applied((0, 1), false)), [2]);
    assert_eq!(
        jobs(&|checker| {
            checker.applied((0, 0), false);
            checker.applied((0, 0), false);
        }),
        [3]
    );
    assert_eq!(jobs(&|checker| checker.applied((7, 0), false)), [3]);
    assert_eq!(jobs(&|checker| checker.applied((0, 0), true)), [3]);
    assert_eq!(
        jobs(&|checker| checker.told(MS, (0, 0), &Answer::forgotten())),
        [3]
    );
    assert_eq!(
        jobs(&|checker| checker.told_impostor((0, 0), &Answer::ok())),
        [3]
    );
    assert_eq!(jobs(&|checker| checker.told(MS, (0, 0), &given_up))[0], 9);
    let confused = jobs(&|checker| {
        checker.confused((0, 0));
        checker.told(MS, (0, 0), &given_up);
    });
    assert_eq!(confused, none, "it cannot be told from poison");
    let large = Sizes {
        lane_packets: 11,
        ..sizes()
    };
    assert_eq!(jobs(&|checker| checker.holds(large)), [7]);
}

#[test]
fn what_is_left_or_late_is_found() {
    let mut lost = checker(Target::Jobs, Manner::Placed(1), None);
    lost.told(MS, (0, 0), &Answer::ok());
    let promises: Vec<_> = lost.end(sizes(), 0).iter().map(|one| one.promise).collect();
    assert_eq!(promises, [1, 7, 7, 7], "one is lost, and three are stuck");
    let mut slow = checker(Target::Jobs, Manner::Placed(1), Some(5 * MS));
    let arrived = Arrived {
        at: MS,
        by: 10 * MS,
    };
    let answer = Answer::ok();
    slow.answered(7 * MS, arrived, 0, &[(true, 0, &answer)], 1);
    slow.answered(11 * MS, arrived, 0, &[], 1);
    slow.answered(2 * MS, arrived, 0, &[(true, 0, &Answer::accepted())], 1);
    let promises: Vec<_> = slow.violations.iter().map(|one| one.promise).collect();
    assert_eq!(promises, [6, 1, 7, 6, 6]);
    let left = Sizes {
        packets: 1,
        ..sizes()
    };
    let done = checker(Target::Jobs, Manner::Alone, None).end(left, 1);
    assert_eq!(done.iter().filter(|one| one.promise == 7).count(), 6);
}

#[test]
fn a_key_has_one_order_across_clients() {
    let both = |first: Name, second: Name| {
        found(Target::Keyed, |checker| {
            checker.sent(MS, 0, &[0]);
            checker.told(2 * MS, (0, 0), &Answer::accepted());
            checker.sent(3 * MS, 1, &[0]);
            checker.applied(first, false);
            checker.applied(second, false);
        })
    };
    assert_eq!(both((0, 0), (1, 0)), [] as [u32; 0]);
    assert_eq!(both((1, 0), (0, 0)), [2]);
}
