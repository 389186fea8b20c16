//! A dead letter, but for the bytes of its packet, which are a row of their own: so that those there are can be counted and
//! listed without them.

use std::sync::Arc;

use bytes::Bytes;

use super::run::{read_origin, read_place, write_origin, write_place};
use crate::store::coding::{Reader, Writer};
use crate::store::{Cause, DeadLetter, Death, LetterId, LetterState, TakenId};

#[derive(Debug)]
pub(in super::super) struct LetterRow {
    /// Without the bytes of its packet.
    pub(in super::super) letter: DeadLetter,
    pub(in super::super) packet_bytes: u64,
}

impl LetterRow {
    /// And the bytes of its packet.
    pub(in super::super) fn of(mut letter: DeadLetter) -> (Self, Bytes) {
        let packet = std::mem::take(&mut letter.death.packet);
        let packet_bytes = packet.len() as u64;
        let row = Self {
            letter,
            packet_bytes,
        };
        (row, packet)
    }

    pub(in super::super) fn with(mut self, packet: Bytes) -> DeadLetter {
        self.letter.death.packet = packet;
        self.letter
    }

    /// What it counts for, with its packet.
    pub(in super::super) fn weight(&self) -> u64 {
        self.letter.size() as u64 + self.packet_bytes
    }

    pub(in super::super) fn write(&self, out: &mut Writer) {
        let DeadLetter {
            taken,
            state,
            origin,
            place,
            fingerprint,
            req_id,
            taken_at,
            given_up_at,
            death,
            ..
        } = &self.letter;
        out.number(taken.run);
        out.number(u64::from(taken.at));
        out.byte(match state {
            LetterState::Final => 0,
            LetterState::Held => 1,
        });
        write_origin(origin, out);
        write_place(place, out);
        out.fixed(*fingerprint);
        out.str(req_id);
        out.time(*taken_at);
        out.time(*given_up_at);
        out.byte(match death.cause {
            Cause::Poison => 0,
            Cause::Spent => 1,
        });
        out.str(&death.message);
        out.number(u64::from(death.attempts));
        out.number(self.packet_bytes);
    }

    /// The row of this number.
    pub(in super::super) fn read(number: u64, from: &mut Reader) -> Self {
        let letter = DeadLetter {
            id: LetterId(number),
            taken: TakenId {
                run: from.number(),
                at: from.number() as u32,
            },
            state: match from.byte() {
                0 => LetterState::Final,
                _ => LetterState::Held,
            },
            origin: Arc::new(read_origin(from)),
            place: read_place(from),
            fingerprint: from.fixed(),
            req_id: from.str(),
            taken_at: from.time(),
            given_up_at: from.time(),
            death: Death {
                cause: match from.byte() {
                    0 => Cause::Poison,
                    _ => Cause::Spent,
                },
                message: from.str(),
                attempts: from.number() as u32,
                packet: Bytes::new(),
            },
        };
        Self {
            letter,
            packet_bytes: from.number(),
        }
    }
}
