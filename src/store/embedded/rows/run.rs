//! A run: what was taken of one request to one handler, as it came.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::queue::{read_handler, write_client};
use crate::store::coding::{Reader, Writer};
use crate::store::{Origin, Place, ReqIdScope};
use crate::types::{ClientKey, Principal};

/// A run, but for the bytes of its packets while it is only known.
#[derive(Debug)]
pub(in super::super) struct RunRow {
    pub(in super::super) origin: Arc<Origin>,
    pub(in super::super) taken_at: SystemTime,
    pub(in super::super) packets: Vec<RunPacket>,
}

/// One packet of a run.
#[derive(Debug)]
pub(in super::super) struct RunPacket {
    pub(in super::super) place: Place,
    pub(in super::super) fingerprint: u64,
    pub(in super::super) req_id: ByteString,
    /// As it was received.
    pub(in super::super) packet: Bytes,
}

impl RunRow {
    pub(in super::super) fn write(&self, out: &mut Writer) {
        let Origin {
            principal,
            client,
            handler,
        } = &*self.origin;
        out.str(&principal.subject);
        out.str(&principal.tenant);
        out.number(principal.roles.len() as u64);
        principal.roles.iter().for_each(|role| out.str(role));
        out.byte(u8::from(client.is_some()));
        if let Some(client) = client {
            write_client(client, out);
        }
        out.str(handler.as_str());
        out.time(self.taken_at);
        out.number(self.packets.len() as u64);
        for packet in &self.packets {
            match packet.place {
                Place::None => out.byte(0),
                Place::Seq(seq) => {
                    out.byte(1);
                    out.number(seq);
                }
                Place::ReqId(ReqIdScope::Client) => out.byte(2),
                Place::ReqId(ReqIdScope::Subject) => out.byte(3),
            }
            out.fixed(packet.fingerprint);
            out.str(&packet.req_id);
            out.bytes(&packet.packet);
        }
    }

    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        let principal = Principal {
            subject: from.str(),
            tenant: from.str(),
            roles: (0..from.number()).map(|_| from.str()).collect(),
        };
        let client = (from.byte() == 1).then(|| {
            Arc::new(ClientKey {
                tenant: from.str(),
                subject: from.str(),
                client_id: from.str(),
            })
        });
        let handler = read_handler(&mut from);
        let taken_at = from.time();
        let packets = (0..from.number()).map(|_| read_packet(&mut from)).collect();
        Self {
            origin: Arc::new(Origin {
                principal: Arc::new(principal),
                client,
                handler,
            }),
            taken_at,
            packets,
        }
    }
}

fn read_packet(from: &mut Reader) -> RunPacket {
    RunPacket {
        place: match from.byte() {
            0 => Place::None,
            1 => Place::Seq(from.number()),
            2 => Place::ReqId(ReqIdScope::Client),
            _ => Place::ReqId(ReqIdScope::Subject),
        },
        fingerprint: from.fixed(),
        req_id: from.str(),
        packet: from.bytes(),
    }
}
