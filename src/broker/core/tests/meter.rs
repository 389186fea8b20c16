//! What is counted: of lanes that are there, and of those that are gone.

use std::time::Duration;

use super::bench::{Bench, called, packet};
use crate::broker::core::Why;

const MS: Duration = Duration::from_millis(1);

#[test]
fn packets_are_counted_with_how_long_they_waited_and_stay_counted_when_their_lane_is_gone() {
    let mut bench = Bench::new(vec![called("h")]);
    bench.offer("a", vec![packet("h", "1"), packet("h", "2")]);
    // They wait for the call.
    bench.advance(4 * MS);
    bench.offer("b", vec![packet("h", "3")]);
    bench.advance(2 * MS);
    bench.offer("c", vec![packet("h", "4")]);
    let before = bench.snapshot();
    let lane = &before.lanes[0];
    assert_eq!((lane.packets, lane.in_flight, lane.calls), (4, 2, 1));
    // Since the first came that is in flight.
    assert_eq!(lane.oldest, Some(6 * MS));
    bench.run_ok();
    bench.run_ok();
    let meter = bench.snapshot().lanes[0].meter.clone();
    assert_eq!((meter.fill.count(), meter.fill.sum()), (2, 4));
    assert_eq!(meter.waited.count(), 4);
    assert_eq!(meter.left[Why::Idle as usize], 2);
    assert_eq!(meter.took.count(), 2);

    bench.advance(Duration::from_secs(61));
    bench.poll();
    bench.advance(Duration::from_secs(61));
    bench.poll();
    let after = bench.snapshot();
    assert!(after.lanes.is_empty());
    let (handler, _, gone) = &after.gone[0];
    assert_eq!(handler.as_str(), "h");
    assert_eq!((gone.fill.sum(), gone.waited.count()), (4, 4));
}
