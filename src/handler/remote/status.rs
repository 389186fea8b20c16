//! What a failed call says: whose failure it is, and about what.

use std::error::Error;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::handler::{CallError, Failure};
use crate::types::beginning;

/// Of what a handler says about its failure, for a log.
const MESSAGE_BYTES: usize = 512;

/// Whether the other side said so. What came to grief on the way has a cause on this side.
pub(super) fn is_of_peer(status: &Status) -> bool {
    status.source().is_none()
}

/// The table of `handler.proto`. A status that is not in it is new, and as little known as UNKNOWN.
pub(super) fn of_peer(status: &Status) -> CallError {
    let failure = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => {
            Failure::Passing
        }
        Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied | Code::NotFound => {
            Failure::Handler
        }
        _ => Failure::Items,
    };
    let said = beginning(status.message(), MESSAGE_BYTES);
    CallError {
        failure,
        reached: true,
        message: format!("{:?}: {said}", status.code()),
    }
}

/// The connection failed under the call, or did not come about.
pub(super) fn of_connection(status: &Status, address: &str) -> CallError {
    let has = |is: fn(&(dyn Error + 'static)) -> bool| chain(status).any(is);
    let reached = !has(|error| error.is::<ConnectError>());
    let message = if has(|error| error.is::<TimeoutExpired>()) {
        format!("no answer from {address} in time")
    } else if reached {
        format!("the connection to {address} was lost: {}", causes(status))
    } else {
        format!("{address} cannot be reached: {}", causes(status))
    };
    CallError {
        failure: Failure::Passing,
        reached,
        message,
    }
}

/// The last cause, which says most.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    beginning(&last.to_string(), MESSAGE_BYTES).to_owned()
}

fn chain(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_says_what_the_contract_says() {
        use Failure::{Handler, Items, Passing};
        let table = [
            (Code::Unavailable, Passing),
            (Code::DeadlineExceeded, Passing),
            (Code::Aborted, Passing),
            (Code::Cancelled, Passing),
            (Code::InvalidArgument, Items),
            (Code::FailedPrecondition, Items),
            (Code::OutOfRange, Items),
            (Code::ResourceExhausted, Items),
            (Code::Internal, Items),
            (Code::Unknown, Items),
            (Code::DataLoss, Items),
            (Code::AlreadyExists, Items),
            (Code::Unimplemented, Handler),
            (Code::Unauthenticated, Handler),
            (Code::PermissionDenied, Handler),
            (Code::NotFound, Handler),
        ];
        for (code, failure) in table {
            let status = Status::new(code, "why");
            assert!(is_of_peer(&status));
            let error = of_peer(&status);
            assert_eq!((error.failure, error.reached), (failure, true), "{code:?}");
        }
    }

    #[test]
    fn what_fails_on_the_way_is_no_items_fault() {
        let broken = std::io::Error::other("broken pipe");
        let status = Status::from_error(Box::new(broken));
        assert!(!is_of_peer(&status));
        let error = of_connection(&status, "here");
        assert_eq!((error.failure, error.reached), (Failure::Passing, true));
        assert!(error.message.contains("broken pipe"), "{error}");
        let refused = std::io::Error::other("connection refused");
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        let error = of_connection(&status, "here");
        assert_eq!((error.failure, error.reached), (Failure::Passing, false));
        assert!(error.message.contains("here cannot be reached"), "{error}");
    }
}
