//! What there is to see of a gateway that runs, in the text that Prometheus reads.
//!
//! Whoever does the work counts it in plain integers of its own, and is asked when somebody scrapes: nothing is looked up,
//! locked or allocated for a metric while packets go through. The registry is `app`'s, which hands it down: there is no
//! global one, so that tests and several gateways in one process have their own.

mod family;
mod names;
mod powers;
mod process;

use std::fmt;

use futures_util::future::BoxFuture;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry;

pub use family::{Family, Kind};
pub use names::Names;
pub use powers::Powers;
pub use process::Process;

/// Of what [`Registry::render`] gives: OpenMetrics, which Prometheus asks for first.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Knows figures.
pub trait Source: fmt::Debug + Send + Sync {
    /// As they are now. Always the same families, whatever happened so far.
    fn figures(&self) -> BoxFuture<'_, Vec<Family>>;
}

/// All sources of one gateway.
#[derive(Debug, Default)]
pub struct Registry {
    sources: Vec<Box<dyn Source>>,
}

impl Registry {
    pub fn add(&mut self, source: impl Source + 'static) {
        self.sources.push(Box::new(source));
    }

    /// Everything there is, in the order in which the sources came.
    pub async fn figures(&self) -> Vec<Family> {
        let mut all = Vec::new();
        for source in &self.sources {
            all.extend(source.figures().await);
        }
        all
    }

    /// The same as text, of the type [`CONTENT_TYPE`].
    pub async fn render(&self) -> String {
        let mut registry = registry::Registry::default();
        registry.register_collector(Box::new(Scrape(self.figures().await)));
        let mut out = String::new();
        // A string takes everything.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

/// What is told once.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = self.0.iter();
        families.try_for_each(|family| family.encode(&mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::ready;

    use super::*;

    #[derive(Debug)]
    struct Some;

    impl Source for Some {
        fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
            let mut calls = Family::new("calls", Kind::Counter, "Calls that were made.");
            calls.count(&[("handler", "a\"b")], 2);
            calls.count(&[("handler", "a\"b")], 3);
            let mut age = Family::new("age_seconds", Kind::Gauge, "How old it is, in seconds.");
            age.highest(&[], 1.5);
            age.highest(&[], 0.5);
            let mut sizes = Family::new("sizes", Kind::Numbers, "How large they are.");
            let mut powers = Powers::default();
            powers.add(3);
            powers.add(1 << 20);
            sizes.spread(&[], &powers);
            let none = Family::new("none", Kind::Counter, "Nothing yet.");
            ready(vec![calls, age, sizes, none]).boxed()
        }
    }

    #[tokio::test]
    async fn the_text_is_what_prometheus_reads() {
        let mut registry = Registry::default();
        registry.add(Some);
        let text = registry.render().await;
        for expected in [
            "# HELP calls Calls that were made.\n# TYPE calls counter\ncalls_total{handler=\"a\\\"b\"} 5\n",
            "# TYPE age_seconds gauge\nage_seconds 1.5\n",
            "# TYPE sizes histogram\nsizes_sum 1048579.0\nsizes_count 2\nsizes_bucket{le=\"1.0\"} 0\n",
            "sizes_bucket{le=\"4.0\"} 1\n",
            "sizes_bucket{le=\"16384.0\"} 1\nsizes_bucket{le=\"+Inf\"} 2\n",
            "# TYPE none counter\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
