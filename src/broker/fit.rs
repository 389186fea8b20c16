//! Keeps an answer within what stock clients accept.

use std::sync::Arc;

use crate::handler::Registry;
use crate::types::{Answer, Outcome, Packet, Reason, limits};

/// Replaces the results that no longer fit by what lets the client get them otherwise.
pub(crate) fn fit(answers: &mut [(Arc<Packet>, Answer)], registry: &Registry) {
    let mut room = limits::ANSWER_BYTES;
    for (packet, answer) in answers {
        let names = packet.req_id.len() + packet.handler.len() + 16;
        let size = answer.size() + names;
        if size <= room {
            room -= size;
            continue;
        }
        *answer = instead(packet, registry);
        room = room.saturating_sub(answer.size() + names);
    }
}

fn instead(packet: &Packet, registry: &Registry) -> Answer {
    if packet.action.is_read() {
        return Answer::retry(
            Reason::ResponseTooLarge,
            "the answer is full: ask again in a smaller batch",
        );
    }
    let settings = registry.resolve(&packet.handler);
    let called = settings.is_ok_and(|settings| settings.drive.is_called());
    let (outcome, message) = if called {
        (
            Outcome::InDoubt,
            "it was applied, but its result did not fit the answer",
        )
    } else {
        (
            Outcome::Accepted,
            "its result did not fit the answer: send it again in a smaller batch",
        )
    };
    Answer::with(outcome, Reason::ResponseTooLarge, message)
}
