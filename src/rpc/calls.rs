//! What is counted of calls that are refused as a whole.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::metrics::{Family, Kind, Source};

/// By method and reason, both of ours and few. A lock and not a task: held for a look-up, when a call is refused.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<BTreeMap<(&'static str, &'static str), u64>>>);

impl Refused {
    pub(super) fn count(&self, method: &'static str, reason: &'static str) {
        *self.0.lock().entry((method, reason)).or_default() += 1;
    }
}

impl Source for Refused {
    fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
        let mut refused = Family::new(
            "tidegate_refused_calls",
            Kind::Counter,
            "Calls that were refused as a whole, by method and reason.",
        );
        for ((method, reason), count) in &*self.0.lock() {
            refused.count(&[("method", method), ("reason", reason)], *count);
        }
        ready(vec![refused]).boxed()
    }
}
