//! Keeps an answer within what stock clients accept.

use std::sync::Arc;

use bytestring::ByteString;

use crate::handler::Registry;
use crate::types::{Answer, Content, Outcome, Packet, Reason, limits};

/// What an outcome takes at least, without names.
const LEAST: usize = 48;

/// What a message may take whatever else is in the answer: those that come instead of results are shorter.
const SHORT: usize = 80;

/// Replaces the results that no longer fit by what lets the client get them otherwise. Every packet's outcome has its room
/// before the first result has any. Gives where answers were replaced that are kept: streams have to bring them.
pub(crate) fn fit(answers: &mut [(Arc<Packet>, Answer)], registry: &Registry) -> Vec<usize> {
    let mut replaced = Vec::new();
    let least = answers
        .iter()
        .map(|(packet, _)| LEAST + SHORT + names(packet));
    let mut room = limits::ANSWER_BYTES.saturating_sub(least.sum());
    for (at, (packet, answer)) in answers.iter_mut().enumerate() {
        let more = answer.size().saturating_sub(LEAST + SHORT);
        if more <= room {
            room -= more;
        } else if !answer.outcome.is_final() || (answer.content.is_empty() && answer.body.is_none())
        {
            // It has no result to ask for again: what happened stays as it is, without its description.
            answer.message = ByteString::new();
            answer.content = Content::default();
            answer.body = None;
        } else {
            *answer = instead(packet, registry);
            if answer.outcome == Outcome::Accepted {
                replaced.push(at);
            }
        }
    }
    replaced
}

/// Results tell names up to their limit.
fn names(packet: &Packet) -> usize {
    packet.req_id.len().min(limits::ID_BYTES) + packet.handler.len().min(limits::HANDLER_BYTES)
}

fn instead(packet: &Packet, registry: &Registry) -> Answer {
    if packet.action.is_read() {
        return Answer::retry(
            Reason::ResponseTooLarge,
            "the answer is full: ask again in a smaller batch",
        );
    }
    let settings = registry.resolve(&packet.handler);
    let passing = settings.is_ok_and(|settings| !settings.is_durable());
    let (outcome, message) = if passing {
        (
            Outcome::InDoubt,
            "it was applied, but its result did not fit the answer",
        )
    } else {
        (
            Outcome::Accepted,
            "its result did not fit the answer: Events brings it, and sending it again in a smaller batch",
        )
    };
    Answer::with(outcome, Reason::ResponseTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::packet;
    use crate::handler::{BatchLimits, Drive, HandlerSettings, Kind, Ordering, Records, Unlisted};
    use crate::types::{Action, Content, HandlerName, Retry};

    fn registry() -> Registry {
        let collection = HandlerSettings {
            name: HandlerName::new("any").unwrap(),
            kind: Kind::Records,
            ordering: Ordering::Client,
            mixed_actions: true,
            isolate_tenants: false,
            batch: BatchLimits::default(),
            durable: true,
            retry: Retry::default(),
            drive: Drive::Planned(Arc::new(Records)),
        };
        Registry::new(Vec::new(), collection, Unlisted::AreCollections)
    }

    fn large() -> Answer {
        Answer {
            content: Content::bytes(vec![0; limits::RESULT_BYTES]),
            ..Answer::ok()
        }
    }

    #[test]
    fn what_was_not_taken_is_never_told_as_taken() {
        let read = Arc::new(packet(Action::Read, "k"));
        let write = Arc::new(packet(Action::Put, "k"));
        let long = "x".repeat(limits::RESULT_BYTES);
        let cases = [
            (&read, large(), Outcome::Ok, Reason::Unspecified),
            (&read, large(), Outcome::Ok, Reason::Unspecified),
            (&read, large(), Outcome::Ok, Reason::Unspecified),
            (
                &write,
                Answer::retry(Reason::Overloaded, &*long),
                Outcome::Retry,
                Reason::Overloaded,
            ),
            (
                &write,
                Answer::rejected(Reason::InvalidPacket, &*long),
                Outcome::Rejected,
                Reason::InvalidPacket,
            ),
            (&write, large(), Outcome::Accepted, Reason::ResponseTooLarge),
            (&read, large(), Outcome::Retry, Reason::ResponseTooLarge),
        ];
        let given = cases.iter();
        let mut answers: Vec<_> = given
            .map(|(packet, answer, ..)| ((*packet).clone(), answer.clone()))
            .collect();
        fit(&mut answers, &registry());
        for ((_, told), (_, _, outcome, reason)) in answers.iter().zip(cases) {
            assert_eq!((told.outcome, told.reason), (outcome, reason));
        }
    }

    #[test]
    fn every_outcome_has_its_room_before_the_first_result() {
        let named = Packet {
            req_id: "r".repeat(limits::ID_BYTES).into(),
            ..packet(Action::Put, "k")
        };
        let named = Arc::new(named);
        let mut answers = vec![(named.clone(), large()); 3];
        answers.resize(9_000, (named, Answer::ok()));
        fit(&mut answers, &registry());
        let told = |(packet, answer): &(Arc<Packet>, Answer)| answer.size() + names(packet);
        let bytes: usize = answers.iter().map(told).sum();
        assert!(bytes <= limits::ANSWER_BYTES, "{bytes} bytes");
        assert!(
            answers[3..]
                .iter()
                .all(|(_, answer)| *answer == Answer::ok())
        );
    }
}
