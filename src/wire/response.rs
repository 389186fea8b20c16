//! From the broker's answers to a `BatchResponse`.

use super::{answer, proto};
use crate::broker::Response;

/// `misplaced`: what packets claimed as their place and have none, by index and in order; their results say it again.
pub(crate) fn response(
    response: Response,
    misplaced: &[(usize, u64)],
    client_id: &str,
    cursor: String,
) -> proto::BatchResponse {
    let results = response.answers.into_iter();
    let mut results: Vec<_> = results
        .map(|(packet, answer)| answer::result(&packet.req_id, &packet.handler, packet.seq, answer))
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
