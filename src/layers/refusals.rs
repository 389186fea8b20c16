//! tonic refuses some calls itself, before a method runs, with statuses that tell a caller the wrong thing to do: a request
//! that is too large is OUT_OF_RANGE to it, and one that was cut is its own fault (INTERNAL). Here they become the contract's.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::types::limits;

pub(super) fn translate(response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    match translated(&status) {
        Some(status) => status.into_http(),
        None => response,
    }
}

/// tonic's own are known by their words: the methods' own statuses are theirs to choose.
fn translated(status: &Status) -> Option<Status> {
    let text = status.message();
    let status = match status.code() {
        Code::OutOfRange if text.contains("message length too large") => {
            let limit = limits::REQUEST_BYTES;
            Status::resource_exhausted(format!(
                "the request has more than {limit} bytes: send it in parts"
            ))
        }
        Code::Internal if text.contains("Unexpected EOF") => {
            Status::invalid_argument("the request was cut: its frame has fewer bytes than it says")
        }
        Code::Internal if text.contains("Missing request message") => Status::invalid_argument(
            "the request has no message: a frame of a flag, a length and the message would be right",
        ),
        Code::Internal if text.contains("compression flag") || text.contains("compressed-flag") => {
            Status::invalid_argument(
                "the request's frame is not one: its first byte must be 0, as compression is not taken",
            )
        }
        _ => return None,
    };
    tracing::info!(reason = "frame", "refused a call: {}", status.message());
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: Status) -> Code {
        let response = translate(status.into_http());
        let status = Status::from_header_map(response.headers());
        status.expect("a status").code()
    }

    #[test]
    fn only_tonics_own_are_translated() {
        let too_large =
            "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes";
        assert_eq!(
            code(Status::out_of_range(too_large)),
            Code::ResourceExhausted
        );
        assert_eq!(
            code(Status::internal("Unexpected EOF decoding stream.")),
            Code::InvalidArgument
        );
        assert_eq!(
            code(Status::out_of_range("the offset is 5")),
            Code::OutOfRange
        );
        assert_eq!(code(Status::internal("a bug")), Code::Internal);
    }
}
