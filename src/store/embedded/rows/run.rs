//! A run: what was taken of one request to one handler, as it came.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::queue::{read_client, read_handler, write_client};
use crate::store::coding::{Reader, Writer};
use crate::store::{LetterId, Origin, Place, ReqIdScope};
use crate::types::Principal;

/// A run, but for the bytes of its packets while it is only known.
#[derive(Debug)]
pub(in super::super) struct RunRow {
    pub(in super::super) origin: Arc<Origin>,
    pub(in super::super) taken_at: SystemTime,
    pub(in super::super) packets: Vec<RunPacket>,
}

/// One packet of a run.
#[derive(Debug, Clone)]
pub(in super::super) struct RunPacket {
    pub(in super::super) place: Place,
    pub(in super::super) fingerprint: u64,
    pub(in super::super) req_id: ByteString,
    /// As it was received; empty once it is finished and the row was written again.
    pub(in super::super) packet: Bytes,
}

impl RunRow {
    pub(in super::super) fn write(&self, out: &mut Writer) {
        write_origin(&self.origin, out);
        out.time(self.taken_at);
        out.number(self.packets.len() as u64);
        for packet in &self.packets {
            write_place(&packet.place, out);
            out.fixed(packet.fingerprint);
            out.str(&packet.req_id);
            out.bytes(&packet.packet);
        }
    }

    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        let origin = read_origin(&mut from);
        let taken_at = from.time();
        let packets = (0..from.number()).map(|_| read_packet(&mut from)).collect();
        Self {
            origin: Arc::new(origin),
            taken_at,
            packets,
        }
    }
}

pub(super) fn write_origin(origin: &Origin, out: &mut Writer) {
    let Origin {
        principal,
        client,
        handler,
    } = origin;
    out.str(&principal.subject);
    out.str(&principal.tenant);
    out.number(principal.roles.len() as u64);
    principal.roles.iter().for_each(|role| out.str(role));
    out.byte(u8::from(client.is_some()));
    if let Some(client) = client {
        write_client(client, out);
    }
    out.str(handler.as_str());
}

pub(super) fn read_origin(from: &mut Reader) -> Origin {
    let principal = Principal {
        subject: from.str(),
        tenant: from.str(),
        roles: (0..from.number()).map(|_| from.str()).collect(),
    };
    let client = (from.byte() == 1).then(|| Arc::new(read_client(from)));
    Origin {
        principal: Arc::new(principal),
        client,
        handler: read_handler(from),
    }
}

pub(super) fn write_place(place: &Place, out: &mut Writer) {
    match place {
        Place::None => out.byte(0),
        Place::Seq(seq) => {
            out.byte(1);
            out.number(*seq);
        }
        Place::ReqId(ReqIdScope::Client) => out.byte(2),
        Place::ReqId(ReqIdScope::Subject) => out.byte(3),
        Place::Letter(letter) => {
            out.byte(4);
            out.number(letter.0);
        }
    }
}

pub(super) fn read_place(from: &mut Reader) -> Place {
    match from.byte() {
        0 => Place::None,
        1 => Place::Seq(from.number()),
        2 => Place::ReqId(ReqIdScope::Client),
        3 => Place::ReqId(ReqIdScope::Subject),
        _ => Place::Letter(LetterId(from.number())),
    }
}

fn read_packet(from: &mut Reader) -> RunPacket {
    RunPacket {
        place: read_place(from),
        fingerprint: from.fixed(),
        req_id: from.str(),
        packet: from.bytes(),
    }
}
