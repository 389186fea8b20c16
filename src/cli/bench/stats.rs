//! What the figures of several rounds come to.

use serde::Serialize;

use super::Scenario;

/// All rounds of one scenario.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: Scenario,
    /// One figure a round; the two of a round stand at the same place.
    pub(super) floor: Vec<f64>,
    pub(super) gateway: Vec<f64>,
}

/// What a row comes to. A ratio is that of the two turns of one round, which were beside each other in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) floor: f64,
    pub(super) gateway: f64,
    /// The median of the ratios.
    pub(super) ratio: f64,
    pub(super) ratio_min: f64,
    pub(super) ratio_max: f64,
}

impl Row {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            floor: Vec::new(),
            gateway: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, floor: f64, gateway: f64) {
        self.floor.push(floor);
        self.gateway.push(gateway);
    }

    pub(super) fn ratios(&self) -> Vec<f64> {
        let rounds = self.floor.iter().zip(&self.gateway);
        rounds.map(|(floor, gateway)| gateway / floor).collect()
    }

    /// `None` before the first round.
    pub(super) fn summary(&self) -> Option<Summary> {
        let ratios = self.ratios();
        Some(Summary {
            floor: median(&self.floor)?,
            gateway: median(&self.gateway)?,
            ratio: median(&ratios)?,
            ratio_min: ratios.iter().copied().reduce(f64::min)?,
            ratio_max: ratios.iter().copied().reduce(f64::max)?,
        })
    }
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        Some(upper)
    } else {
        Some((sorted[middle - 1] + upper) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 5.0]), Some(4.5));
    }

    #[test]
    fn a_ratio_compares_the_turns_of_one_round() {
        let mut row = Row::new(Scenario::OnePerCall);
        assert_eq!(row.summary(), None);
        // The machine slows down by half in between: no round sees it, the ratio of the medians would.
        row.add(100.0, 80.0);
        row.add(50.0, 45.0);
        row.add(40.0, 28.0);
        let expected = Summary {
            floor: 50.0,
            gateway: 45.0,
            ratio: 0.8,
            ratio_min: 0.7,
            ratio_max: 0.9,
        };
        assert_eq!(row.summary(), Some(expected));
    }
}
