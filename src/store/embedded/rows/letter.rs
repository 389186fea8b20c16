//! A dead letter, but for the bytes of its packet, which are a row of their own: so that those there are can be counted and
//! listed without them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::run::{read_origin, read_place, write_origin, write_place};
use crate::store::coding::{Reader, Writer};
use crate::store::judge::Burial;
use crate::store::{Cause, DeadLetter, Death, LetterId, LetterState, Origin, Place, TakenId};

/// What a dead letter takes beside what it is made of.
const FRAMING: u64 = 256;

#[derive(Debug)]
pub(in super::super) struct LetterRow {
    pub(in super::super) taken: TakenId,
    pub(in super::super) state: LetterState,
    pub(in super::super) origin: Arc<Origin>,
    place: Place,
    fingerprint: u64,
    req_id: ByteString,
    taken_at: SystemTime,
    given_up_at: SystemTime,
    cause: Cause,
    message: ByteString,
    attempts: u32,
    pub(in super::super) packet_bytes: u64,
}

impl LetterRow {
    /// And the bytes of its packet.
    pub(in super::super) fn of(burial: Burial) -> (Self, Bytes) {
        let Burial { packet, death, .. } = burial;
        let row = Self {
            taken: burial.taken,
            state: burial.state,
            origin: packet.origin,
            place: packet.place,
            fingerprint: packet.fingerprint,
            req_id: packet.req_id,
            taken_at: packet.taken_at,
            given_up_at: burial.given_up_at,
            cause: death.cause,
            message: death.message,
            attempts: death.attempts,
            packet_bytes: death.packet.len() as u64,
        };
        (row, death.packet)
    }

    pub(in super::super) fn letter(self, id: LetterId, packet: Bytes) -> DeadLetter {
        DeadLetter {
            id,
            taken: self.taken,
            state: self.state,
            origin: self.origin,
            place: self.place,
            fingerprint: self.fingerprint,
            req_id: self.req_id,
            taken_at: self.taken_at,
            given_up_at: self.given_up_at,
            death: Death {
                cause: self.cause,
                message: self.message,
                attempts: self.attempts,
                packet,
            },
        }
    }

    /// What it counts for, with its packet.
    pub(in super::super) fn weight(&self) -> u64 {
        FRAMING + self.packet_bytes + (self.req_id.len() + self.message.len()) as u64
    }

    pub(in super::super) fn write(&self, out: &mut Writer) {
        out.number(self.taken.run);
        out.number(u64::from(self.taken.at));
        out.byte(match self.state {
            LetterState::Final => 0,
            LetterState::Held => 1,
        });
        write_origin(&self.origin, out);
        write_place(&self.place, out);
        out.fixed(self.fingerprint);
        out.str(&self.req_id);
        out.time(self.taken_at);
        out.time(self.given_up_at);
        out.byte(match self.cause {
            Cause::Poison => 0,
            Cause::Spent => 1,
        });
        out.str(&self.message);
        out.number(u64::from(self.attempts));
        out.number(self.packet_bytes);
    }

    pub(in super::super) fn read(from: &mut Reader) -> Self {
        Self {
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
            cause: match from.byte() {
                0 => Cause::Poison,
                _ => Cause::Spent,
            },
            message: from.str(),
            attempts: from.number() as u32,
            packet_bytes: from.number(),
        }
    }
}
