//! One metric with all its series, as it was when it was asked for.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Powers;

/// Names and values, in the order of the family.
type Labels = Vec<(&'static str, String)>;

/// A metric.
#[derive(Debug, Clone)]
pub struct Family {
    /// As it is scraped, but for the `_total` of a counter.
    pub name: &'static str,
    /// What is counted, and in which unit.
    pub help: &'static str,
    pub kind: Kind,
    series: BTreeMap<Labels, Value>,
}

/// What its numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up only, from 0 at the start.
    Counter,
    Gauge,
    /// Of numbers, up to 2^14.
    Numbers,
    /// Of microseconds, shown as seconds: from 64 µs to 67 s.
    Times,
}

#[derive(Debug, Clone)]
enum Value {
    Count(u64),
    Level(f64),
    Spread(Box<Powers>),
}

impl Family {
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            series: BTreeMap::new(),
        }
    }

    /// Of a counter. Where there is such a series, it is the sum of both.
    pub fn count(&mut self, labels: &[(&'static str, &str)], count: u64) {
        let value = self.series.entry(owned(labels)).or_insert(Value::Count(0));
        if let Value::Count(before) = value {
            *before += count;
        }
    }

    /// Of a gauge: the same.
    pub fn level(&mut self, labels: &[(&'static str, &str)], level: f64) {
        let value = self
            .series
            .entry(owned(labels))
            .or_insert(Value::Level(0.0));
        if let Value::Level(before) = value {
            *before += level;
        }
    }

    /// Of a gauge: the larger one.
    pub fn highest(&mut self, labels: &[(&'static str, &str)], level: f64) {
        let value = self
            .series
            .entry(owned(labels))
            .or_insert(Value::Level(level));
        if let Value::Level(before) = value {
            *before = before.max(level);
        }
    }

    /// Of a histogram: both together.
    pub fn spread(&mut self, labels: &[(&'static str, &str)], powers: &Powers) {
        let empty = || Value::Spread(Box::default());
        let value = self.series.entry(owned(labels)).or_insert_with(empty);
        if let Value::Spread(before) = value {
            before.merge(powers);
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Numbers | Kind::Times => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &self.series {
            if labels.is_empty() {
                self.encode_one(&mut metric, value)?;
            } else {
                self.encode_one(&mut metric.encode_family(labels)?, value)?;
            }
        }
        Ok(())
    }

    fn encode_one(&self, metric: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
        match value {
            Value::Count(count) => metric.encode_counter::<NoLabelSet, _, u64>(count, None),
            Value::Level(level) => metric.encode_gauge(level),
            Value::Spread(powers) => {
                let (shown, unit) = match self.kind {
                    Kind::Times => (powers.shown(6, 26, 2), 1e6),
                    _ => (powers.shown(0, 14, 1), 1.0),
                };
                let (within, larger) = shown;
                let within = within.into_iter();
                let mut buckets: Vec<_> = within
                    .map(|(bound, count)| (bound as f64 / unit, count))
                    .collect();
                buckets.push((f64::INFINITY, larger));
                let sum = powers.sum() as f64 / unit;
                metric.encode_histogram::<NoLabelSet>(sum, powers.count(), &buckets, None)
            }
        }
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    let labels = labels.iter();
    labels
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}
