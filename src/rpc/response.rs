//! From the broker's answers to a `BatchResponse`.

use crate::broker::Response;
use crate::types::{beginning, limits};
use crate::wire::{answer, proto};

/// `misplaced`: what packets claimed as their place and have none, by index and in order; their results say it again.
pub(super) fn response(
    response: Response,
    misplaced: &[(usize, u64)],
    client_id: &str,
    cursor: String,
) -> proto::BatchResponse {
    let results = response.answers.into_iter();
    let mut results: Vec<_> = results
        .map(|(packet, answer)| {
            // A name that is too long was refused, and would take the room of other answers.
            let req_id = beginning(&packet.req_id, limits::ID_BYTES);
            let handler = beginning(&packet.handler, limits::HANDLER_BYTES);
            answer::result(req_id, handler, packet.seq, answer)
        })
        .collect();
    for (index, seq) in misplaced {
        results[*index].seq = *seq;
    }
    proto::BatchResponse {
        results,
        client_id: client_id.to_owned(),
        cursor,
    }
}
