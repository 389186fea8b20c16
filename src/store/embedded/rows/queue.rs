//! The row of a queue, and of who holds results.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::key::{Key, QueueHash};
use crate::store::coding::{Reader, Writer};
use crate::types::{ClientKey, HandlerName};

/// One client's packets to one handler. Never lowered.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct QueueRow {
    pub(in super::super) client: Arc<ClientKey>,
    pub(in super::super) handler: HandlerName,
    /// The last place that was taken.
    pub(in super::super) reached: u64,
    /// Every place up to here is settled: its result is nobody's.
    pub(in super::super) settled: u64,
    /// Where the first row of its results may be.
    pub(in super::super) kept_from: u64,
    /// The last place of a result that was owed: there may be rows up to it.
    pub(in super::super) owed: u64,
    pub(in super::super) used: SystemTime,
}

/// Who holds results: a client, or a subject without one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct HolderRow {
    pub(in super::super) bytes: u64,
    /// The newest position of a result that the bounds removed before it was settled.
    pub(in super::super) lost: u64,
}

impl QueueRow {
    pub(in super::super) fn new(
        client: &ClientKey,
        handler: &HandlerName,
        now: SystemTime,
    ) -> Self {
        let copy = |name: &str| bytestring::ByteString::from(name);
        Self {
            client: Arc::new(ClientKey {
                tenant: copy(&client.tenant),
                subject: copy(&client.subject),
                client_id: copy(&client.client_id),
            }),
            handler: handler.clone(),
            reached: 0,
            settled: 0,
            kept_from: 0,
            owed: 0,
            used: now,
        }
    }

    pub(in super::super) fn write(&self, out: &mut Writer) {
        write_client(&self.client, out);
        out.str(self.handler.as_str());
        out.number(self.reached);
        out.number(self.settled);
        out.number(self.kept_from);
        out.number(self.owed);
        out.time(self.used);
    }

    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        Self {
            client: Arc::new(read_client(&mut from)),
            handler: read_handler(&mut from),
            reached: from.number(),
            settled: from.number(),
            kept_from: from.number(),
            owed: from.number(),
            used: from.time(),
        }
    }
}

/// Where results are, in the order in which their owner got them.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct OwnedRow {
    /// Of the row of results.
    pub(in super::super) key: Key,
    /// The oldest and the newest position in it; 0: a call carried all of them.
    pub(in super::super) positions: (u64, u64),
    pub(in super::super) time: SystemTime,
    pub(in super::super) bytes: u64,
    /// The queue and its last place there; a row without a place has none.
    pub(in super::super) last: Option<(QueueHash, u64)>,
}

impl OwnedRow {
    pub(in super::super) fn write(&self, out: &mut Writer) {
        out.bytes(self.key.as_bytes());
        out.number(self.positions.0);
        out.number(self.positions.1);
        out.time(self.time);
        out.number(self.bytes);
        out.byte(u8::from(self.last.is_some()));
        if let Some((queue, place)) = self.last {
            out.wide(queue.0);
            out.number(place);
        }
    }

    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        Self {
            key: Key::from_bytes(&from.bytes()),
            positions: (from.number(), from.number()),
            time: from.time(),
            bytes: from.number(),
            last: (from.byte() == 1).then(|| (QueueHash(from.wide()), from.number())),
        }
    }
}

impl HolderRow {
    pub(in super::super) fn write(&self, out: &mut Writer) {
        out.number(self.bytes);
        out.number(self.lost);
    }

    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        Self {
            bytes: from.number(),
            lost: from.number(),
        }
    }
}

pub(super) fn write_client(client: &ClientKey, out: &mut Writer) {
    out.str(&client.tenant);
    out.str(&client.subject);
    out.str(&client.client_id);
}

pub(super) fn read_client(from: &mut Reader) -> ClientKey {
    ClientKey {
        tenant: from.str(),
        subject: from.str(),
        client_id: from.str(),
    }
}

pub(super) fn read_handler(from: &mut Reader) -> HandlerName {
    let name = from.str();
    HandlerName::new(&name).expect("only names of handlers are written")
}
