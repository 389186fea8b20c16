//! Order and once, as a model: clients as an SDK behaves, a network that does what networks do, and between them the real
//! state machine, the real handlers `topics` and `records`, a durable one that is called and does what handlers do, and the
//! real store in memory, all on a simulated clock, through restarts of the gateway.
//!
//! A seed gives a run, and the same seed the same run. What was applied is read from the store's tail by a checker that
//! knows nothing of the broker. The model can fail: without the rule of places most runs do.

mod check;
mod client;
mod figures;
mod jobs;
mod network;
mod store;
mod witness;
mod world;

use self::client::Pace;
use self::figures::Figures;
use self::store::Places;
use self::world::World;

/// Each is run with one and with three requests in flight.
const SEEDS: u64 = 2_000;
/// Of those, run without the rule.
const WITHOUT: u64 = 300;

#[test]
fn shows_2_4_order_and_once_under_loss_delay_repeats_refusals_and_rejections() {
    let mut with = Figures::default();
    let (mut runs, mut without) = (0, 0);
    for seed in 0..SEEDS {
        for pace in Pace::ALL {
            let report = World::new(seed, pace, Places::Judged).run();
            assert!(
                report.violations.is_empty(),
                "seed {seed}, {pace:?}: {:#?}\n{}",
                report.violations,
                report.log.join("\n")
            );
            with.add(&report.figures);
            runs += 1;
            if seed < WITHOUT {
                let report = World::new(seed, pace, Places::Ignored).run();
                without += u64::from(!report.violations.is_empty());
            }
        }
    }
    let unruly = WITHOUT * Pace::ALL.len() as u64;
    assert!(
        without * 10 > unruly * 9,
        "without the rule only {without} of {unruly} runs fail: the model shows nothing"
    );
    for (what, count) in with.all() {
        assert!(
            count > runs / 10,
            "{count} {what} in {runs} runs are too few"
        );
    }
    println!(
        "SHOWS 2.4 {runs} seeded runs with 1 and 3 requests in flight, {with}: 0 violations; without the rule of places \
         {without} of {unruly} runs have some"
    );
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in 0..50 {
        for pace in Pace::ALL {
            let run = || World::new(seed, pace, Places::Judged).run().log;
            let (first, second) = (run(), run());
            assert!(first.len() > 50, "seed {seed}: {first:#?}");
            let differs = first
                .iter()
                .zip(&second)
                .find(|(first, second)| first != second);
            assert_eq!(differs, None, "seed {seed}, {pace:?}");
            assert_eq!(first.len(), second.len(), "seed {seed}, {pace:?}");
        }
    }
}
