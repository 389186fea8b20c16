//! How many event streams a subject has open. The slot of a stream lasts as long as its body.

use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;
use http::{Request, Response};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

use super::gate::Rule;
use crate::types::{Principal, limits};

const EVENTS: &str = "/tidegate.v1.Gateway/Events";

/// Callers without a subject are not one person: together they have what many have.
const WITHOUT_SUBJECT: usize = 100 * limits::STREAMS_PER_SUBJECT;

/// The open streams by (tenant, subject). A lock and not a task, because it covers a look-up; subjects without streams are
/// not in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<HashMap<Owner, usize>>>);

type Owner = (ByteString, ByteString);

/// One open stream. Whoever holds it is counted.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    owner: Owner,
}

impl Rule for Slots {
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Box<Response<Body>>> {
        if request.uri().path() != EVENTS {
            return Ok(());
        }
        let principal = request.extensions().get::<Arc<Principal>>();
        let owner = principal.map(|who| (who.tenant.clone(), who.subject.clone()));
        let owner = owner.unwrap_or_default();
        let slot = self.take(owner.clone()).map_err(|message| {
            tracing::info!(method = "Events", subject = %owner.1, reason = "streams", "refused a call: {message}");
            Box::new(Status::resource_exhausted(message).into_http())
        })?;
        // The method takes it out and keeps it with the stream; an `Arc`, because what is in a request must be `Clone`.
        request.extensions_mut().insert(Arc::new(slot));
        Ok(())
    }
}

impl Slots {
    fn take(&self, owner: Owner) -> Result<Slot, String> {
        let limit = if owner.1.is_empty() {
            WITHOUT_SUBJECT
        } else {
            limits::STREAMS_PER_SUBJECT
        };
        let mut open = self.0.lock();
        let count = open.entry(owner.clone()).or_default();
        if *count >= limit {
            return Err(format!(
                "{limit} streams are open already, which is the most: one stream brings up to {} patterns",
                limits::PATTERNS
            ));
        }
        *count += 1;
        Ok(Slot {
            slots: self.clone(),
            owner,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock();
        let Some(count) = open.get_mut(&self.owner) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            open.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &'static str) -> Owner {
        (ByteString::new(), ByteString::from_static(subject))
    }

    #[test]
    fn a_subject_has_so_many_and_no_other_feels_it() {
        let slots = Slots::default();
        let mut open: Vec<_> = (0..limits::STREAMS_PER_SUBJECT)
            .map(|_| slots.take(owner("ann")).expect("a slot"))
            .collect();
        assert!(slots.take(owner("ann")).is_err());
        let other = slots.take(owner("bob")).expect("a slot of another");
        open.pop();
        let again = slots.take(owner("ann")).expect("the one given back");
        assert!(slots.take(owner("ann")).is_err());
        drop((open, other, again));
        assert!(slots.0.lock().is_empty());
    }
}
