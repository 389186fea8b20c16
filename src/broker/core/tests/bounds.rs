//! What clients can make grow, and how places order what is there.

use std::time::Duration;

use super::bench::{Bench, called, durable, packet, planned};
use crate::broker::Settings;
use crate::broker::core::share::PACKET_COST;
use crate::broker::core::{Done, RunKind};
use crate::handler::{BatchLimits, HandlerSettings, Ordering};
use crate::types::{Answer, Content, Outcome, Reason};

const MS: Duration = Duration::from_millis(1);

/// One call in flight at most, so that what comes later waits.
fn one_call(mut settings: HandlerSettings) -> HandlerSettings {
    settings.batch.calls = 1;
    settings
}

#[test]
fn clients_that_invent_methods_make_no_lanes_without_end() {
    let settings = Settings {
        lanes: 4,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![called("h")], settings);
    for number in 0..20 {
        let name = format!("m{number}");
        let call = bench.offer("a", vec![packet("h", "1").method(&name)]);
        bench.run_ok();
        assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Ok, "{name}");
        assert!(bench.core.lanes.len() <= 4, "idle ones make room");
    }
    let methods = (0..6).map(|number| packet("h", "").method(&format!("busy{number}")));
    let call = bench.offer("a", methods.map(|packet| packet.unordered()).collect());
    while !bench.runs.is_empty() {
        bench.run_ok();
    }
    let answers = bench.answers_to(call);
    let refused = |answer: &&Answer| answer.reason == Reason::Overloaded;
    assert_eq!(answers.iter().filter(refused).count(), 2);
}

#[test]
fn a_lane_whose_only_packet_was_refused_goes() {
    let settings = Settings {
        bytes: 10,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![called("h")], settings);
    let call = bench.offer("a", vec![packet("h", "1")]);
    assert_eq!(bench.answers_to(call)[0].reason, Reason::Overloaded);
    bench.advance(Duration::from_secs(61));
    assert_eq!(bench.core.lanes.len(), 0);
}

#[test]
fn a_place_means_nothing_to_another_client_of_the_key() {
    let by_key = HandlerSettings {
        ordering: Ordering::Key,
        ..one_call(called("h"))
    };
    let mut bench = Bench::new(vec![by_key]);
    bench.offer("z", vec![packet("h", "first").key("k")]);
    bench.offer("a", vec![packet("h", "a5").key("k").seq(5)]);
    bench.offer("b", vec![packet("h", "b1").key("k").seq(1)]);
    bench.offer("a", vec![packet("h", "a4").key("k").seq(4)]);
    assert_eq!(bench.run_ok(), ["first"]);
    assert_eq!(bench.run_ok(), ["a4", "a5", "b1"]);
}

#[test]
fn a_place_goes_before_later_ones_whatever_stands_between() {
    let mut bench = Bench::new(vec![one_call(called("h"))]);
    bench.offer("a", vec![packet("h", "first")]);
    bench.offer("a", vec![packet("h", "5").seq(5), packet("h", "free")]);
    bench.offer("a", vec![packet("h", "4").seq(4)]);
    assert_eq!(bench.run_ok(), ["first"]);
    assert_eq!(bench.run_ok(), ["4", "5", "free"]);
}

#[test]
fn an_earlier_place_that_comes_later_does_not_extend_the_window() {
    let batch = BatchLimits {
        window: 50 * MS,
        ..BatchLimits::default()
    };
    let windowed = HandlerSettings {
        batch,
        ..called("h")
    };
    let mut bench = Bench::new(vec![windowed]);
    bench.offer("a", vec![packet("h", "2").seq(2)]);
    bench.advance(40 * MS);
    bench.offer("a", vec![packet("h", "1").seq(1)]);
    bench.advance(10 * MS);
    assert_eq!(bench.run_ok(), ["1", "2"]);
}

#[test]
fn answers_that_wait_for_the_disk_are_bounded() {
    let of_lanes = Settings {
        lane_bytes: 10_000,
        ..Settings::default()
    };
    let of_all = Settings {
        bytes: 10_000,
        ..Settings::default()
    };
    for (settings, others_wait) in [(of_lanes, false), (of_all, true)] {
        let handler = |name| {
            let mut handler = one_call(durable(name));
            handler.batch.max_packets = 1;
            handler
        };
        let mut bench = Bench::with(vec![handler("h"), handler("g")], settings);
        for (name, client) in [("h", "a"), ("h", "b"), ("g", "c"), ("g", "d")] {
            bench.offer(client, vec![packet(name, client).seq(1)]);
        }
        let mut calls = Vec::new();
        while let Some(run) = (!bench.runs.is_empty()).then(|| bench.run()) {
            match run.kind {
                RunKind::Take => drop(bench.take(run)),
                _ => calls.push(run.batch),
            }
        }
        let large = Answer {
            content: Content::bytes(vec![0; 20_000]),
            ..Answer::ok()
        };
        bench.complete(calls[0], vec![large]);
        let finish = bench.run();
        assert_eq!(finish.kind, RunKind::Finish);
        bench.complete_with(finish.batch, Done::Finished(vec![false]));
        assert!(bench.runs.is_empty(), "b's answer would come on top");
        bench.complete(calls[1], vec![Answer::ok()]);
        bench.run_finish();
        if !others_wait {
            assert_eq!(bench.run_ok(), ["d"], "another handler's go on");
            bench.run_finish();
        }
        assert!(bench.runs.is_empty());
        bench.advance(Duration::from_secs(1));
        assert_eq!(bench.run_finish().len(), 1, "the store takes it again");
        let rest: &[&str] = if others_wait { &["b", "d"] } else { &["b"] };
        for id in rest {
            assert_eq!(bench.run_ok(), [*id]);
        }
        while !bench.runs.is_empty() {
            bench.run_finish();
        }
        let left = bench.core.sizes();
        assert_eq!((left.bytes, left.answers), (0, 0));
    }
}

#[test]
fn what_is_settled_while_the_store_is_slow_is_bounded() {
    let settings = Settings {
        lane_packets: 10,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![one_call(planned("h"))], settings);
    bench.offer("a", vec![packet("h", "1")]);
    for _ in 0..5 {
        bench.offer_settled("a", "h", &["x", "y", "z"]);
    }
    bench.run_ok();
    let settles = bench.run().settles;
    let ids: usize = settles.iter().map(|settle| settle.req_ids.len()).sum();
    assert_eq!(ids, 10);
}

#[test]
fn all_lanes_together_hold_so_many_bytes_and_no_more() {
    let settings = Settings {
        bytes: 2 * (100 + PACKET_COST) + 50,
        ..Settings::default()
    };
    let mut bench = Bench::with(vec![called("g"), called("h")], settings);
    bench.offer("a", vec![packet("g", "1")]);
    bench.offer("a", vec![packet("h", "2")]);
    let call = bench.offer("b", vec![packet("h", "3")]);
    assert_eq!(bench.answers_to(call)[0].reason, Reason::Overloaded);
    bench.run_ok();
    let call = bench.offer("b", vec![packet("h", "3")]);
    while !bench.runs.is_empty() {
        bench.run_ok();
    }
    assert_eq!(bench.answers_to(call)[0].outcome, Outcome::Ok);
}

/// A client can have as many lanes of a handler as it invents methods.
#[test]
fn handlers_that_hang_leave_room_for_others_however_many_they_are() {
    const MIB: usize = 1 << 20;
    let settings = Settings {
        bytes: 64 * MIB,
        lane_bytes: 8 * MIB,
        ..Settings::default()
    };
    let names = ["a", "b", "c", "d"];
    let mut bench = Bench::with(names.map(called).into(), settings);
    for name in names {
        for method in 0..20 {
            let method = method.to_string();
            let large = || packet(name, "").method(&method).size(MIB).unordered();
            bench.offer("p", (0..10).map(|_| large()).collect());
            // Nothing of it is ever answered by its handler.
            bench.advance(Duration::from_secs(10));
        }
    }
    let held = names.map(|name| {
        let lanes = bench.core.lanes.iter();
        let its_own = lanes.filter(|lane| lane.settings.name.as_str() == name);
        its_own.map(|lane| lane.bytes / MIB).sum::<usize>()
    });
    assert!(held.iter().all(|held| *held > 0), "{held:?}");
    assert!(held[0] <= 32, "one handler holds half at most: {held:?}");
}

#[test]
fn tenants_share_a_batch_only_where_they_may() {
    for (isolate_tenants, together) in [(false, 3), (true, 1)] {
        let handler = HandlerSettings {
            isolate_tenants,
            ..one_call(called("h"))
        };
        let mut bench = Bench::new(vec![handler]);
        for tenant in ["red", "blue"] {
            bench.offer_of(tenant, "first", vec![packet("h", "")]);
        }
        for tenant in ["red", "blue"] {
            bench.offer_of(tenant, "second", vec![packet("h", "")]);
        }
        let mut largest = 0;
        while !bench.runs.is_empty() {
            largest = largest.max(bench.run_ok().len());
        }
        assert_eq!(largest, together, "isolate_tenants = {isolate_tenants}");
    }
}

#[test]
fn a_tenant_gets_no_more_by_having_more_subjects() {
    let mut handler = one_call(called("h"));
    handler.batch.max_packets = 64;
    let mut bench = Bench::new(vec![handler]);
    bench.offer_of("red", "first", vec![packet("h", "")]);
    for subject in 0..9 {
        let packets = (0..64).map(|_| packet("h", "")).collect();
        bench.offer_of("red", &format!("s{subject}"), packets);
    }
    let packets = (0..64).map(|_| packet("h", "")).collect();
    bench.offer_of("blue", "only", packets);
    bench.run_ok();
    let batch = bench.run();
    let of = |tenant: &str| {
        let items = batch.items.iter();
        items
            .filter(|item| item.origin.principal.tenant == *tenant)
            .count()
    };
    assert_eq!((of("red"), of("blue")), (32, 32));
}
