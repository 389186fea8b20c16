//! A histogram of plain integers, for whoever owns it alone: counting costs a few instructions and looks nothing up.

use std::time::Duration;

/// Counts values by powers of two: bucket `n` has those above 2^(n-1) and up to 2^n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powers {
    /// The last one has everything larger.
    buckets: [u64; LEN],
    sum: u64,
}

/// Up to 2^27: 134 s in microseconds.
const LEN: usize = 29;

impl Default for Powers {
    fn default() -> Self {
        Self {
            buckets: [0; LEN],
            sum: 0,
        }
    }
}

impl Powers {
    pub fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    /// The same value so often.
    pub fn add_many(&mut self, value: u64, times: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        self.buckets[(bits as usize).min(LEN - 1)] += times;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// In microseconds.
    pub fn add_time(&mut self, time: Duration, times: u64) {
        self.add_many(micros(time), times);
    }

    pub fn merge(&mut self, other: &Self) {
        for (own, more) in self.buckets.iter_mut().zip(other.buckets) {
            *own += more;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values there are up to 2^`from`, then in steps of `step` powers up to 2^`to`, each without those before, and
    /// how many are larger.
    pub(super) fn shown(&self, from: usize, to: usize, step: usize) -> (Vec<(u64, u64)>, u64) {
        let mut next = 0;
        let mut shown = Vec::new();
        for bound in (from..=to).step_by(step) {
            let within: u64 = self.buckets[next..=bound].iter().sum();
            shown.push((1 << bound, within));
            next = bound + 1;
        }
        (shown, self.buckets[next..].iter().sum())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let mut powers = Powers::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 20, (1 << 20) + 1, u64::MAX] {
            powers.add(value);
        }
        let (shown, larger) = powers.shown(0, 20, 1);
        let counts: Vec<_> = shown.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts[..4], [2, 1, 2, 1], "0 and 1; 2; 3 and 4; 5");
        assert_eq!((shown[20], larger), ((1 << 20, 1), 2));
        assert_eq!(powers.count(), 9);
    }

    #[test]
    fn steps_leave_nothing_out() {
        let mut powers = Powers::default();
        (0..1000).for_each(|value| powers.add(value));
        let (shown, larger) = powers.shown(2, 8, 3);
        assert_eq!(shown, [(4, 5), (32, 28), (256, 224)]);
        assert_eq!(larger, 743);
        assert_eq!(powers.sum(), 999 * 500);
    }

    #[test]
    fn two_are_one() {
        let (mut one, mut other) = (Powers::default(), Powers::default());
        one.add_many(7, 3);
        other.add_time(Duration::from_micros(7), 2);
        one.merge(&other);
        let mut both = Powers::default();
        both.add_many(7, 5);
        assert_eq!(one, both);
    }
}
