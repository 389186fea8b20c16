//! From the broker's answers to a `BatchResponse`.

use crate::broker::Response;
use crate::types::{beginning, limits};
use crate::wire::{BatchAnswer, EncodedAnswer, FRAMING};

/// `misplaced`: what packets claimed as their place and have none, by index and in order; their results say it again.
pub(super) fn response(
    response: Response,
    misplaced: &[(usize, u64)],
    client_id: &str,
    cursor: String,
) -> EncodedAnswer {
    let sizes = response.answers.iter().map(|(packet, answer)| {
        FRAMING + packet.req_id.len() + packet.handler.len() + answer.size()
    });
    let mut out = BatchAnswer::with_capacity(sizes.sum::<usize>().min(limits::REQUEST_BYTES));
    let mut misplaced = misplaced.iter().peekable();
    for (index, (packet, answer)) in response.answers.into_iter().enumerate() {
        let seq = match misplaced.next_if(|(at, _)| *at == index) {
            Some((_, claimed)) => *claimed,
            None => packet.seq,
        };
        // A name that is too long was refused, and would take the room of other answers.
        let req_id = beginning(&packet.req_id, limits::ID_BYTES);
        let handler = beginning(&packet.handler, limits::HANDLER_BYTES);
        out.push(req_id, handler, seq, &answer);
    }
    out.finish(client_id, cursor)
}
