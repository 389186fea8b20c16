//! A row of results: of one queue and one frame, their places without a hole; or of packets without a place.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

use super::queue::{read_client, read_handler, write_client};
use crate::store::KeptResult;
use crate::store::coding::{Reader, Writer};
use crate::store::packed::{read_answer, write_answer};
use crate::types::{Answer, ClientKey, HandlerName};

/// What the results are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Scope {
    /// Places, the first of which is this one.
    Places(u64),
    /// Req_ids of a client.
    Client,
    /// Req_ids of a subject without a client.
    Subject,
}

/// A row that is being written.
#[derive(Debug)]
pub(in super::super) struct ResultsWriter {
    pub(in super::super) client: Arc<ClientKey>,
    pub(in super::super) handler: HandlerName,
    pub(in super::super) scope: Scope,
    /// Of its row in `Owned`, and above that of every row before.
    pub(in super::super) number: u64,
    pub(in super::super) time: SystemTime,
    pub(in super::super) count: u64,
    /// The oldest and the newest position in it; 0: a call carries all of them.
    pub(in super::super) positions: (u64, u64),
    entries: Writer,
}

impl ResultsWriter {
    pub(in super::super) fn new(
        client: Arc<ClientKey>,
        handler: HandlerName,
        scope: Scope,
        number: u64,
        time: SystemTime,
    ) -> Self {
        Self {
            client,
            handler,
            scope,
            number,
            time,
            count: 0,
            positions: (0, 0),
            entries: Writer::default(),
        }
    }

    /// `position`: 0 where a call carries it.
    pub(in super::super) fn push(
        &mut self,
        position: u64,
        fingerprint: u64,
        req_id: &str,
        answer: &Answer,
    ) {
        self.count += 1;
        if position > 0 {
            let oldest = if self.positions.0 == 0 {
                position
            } else {
                self.positions.0
            };
            self.positions = (oldest, position);
        }
        self.entries.number(position);
        self.entries.fixed(fingerprint);
        self.entries.str(req_id);
        let at = self.entries.0.len();
        self.entries.0.extend_from_slice(&[0; 4]);
        write_answer(answer, &mut self.entries);
        let len = (self.entries.0.len() - at - 4) as u32;
        self.entries.0[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// An entry that was pushed: the nth. For repeats that come before the row is written.
    pub(in super::super) fn entry(&self, index: u64) -> Option<ResultsEntry> {
        let bytes = Bytes::copy_from_slice(&self.entries.0);
        Entries(Reader(bytes)).nth(index as usize)
    }

    /// The next place, where it is one of places.
    pub(in super::super) fn next_place(&self) -> Option<u64> {
        match self.scope {
            Scope::Places(first) => first.checked_add(self.count),
            _ => None,
        }
    }

    pub(in super::super) fn write(&self, out: &mut Writer) {
        match self.scope {
            Scope::Places(first) => {
                out.byte(0);
                out.number(first);
            }
            Scope::Client => out.byte(1),
            Scope::Subject => out.byte(2),
        }
        write_client(&self.client, out);
        out.str(self.handler.as_str());
        out.number(self.number);
        out.time(self.time);
        out.number(self.count);
        out.0.extend_from_slice(&self.entries.0);
    }
}

/// A row that is read.
#[derive(Debug, Clone)]
pub(in super::super) struct ResultsRow {
    pub(in super::super) client: Arc<ClientKey>,
    pub(in super::super) handler: HandlerName,
    pub(in super::super) scope: Scope,
    pub(in super::super) number: u64,
    pub(in super::super) time: SystemTime,
    pub(in super::super) count: u64,
    entries: Bytes,
}

/// One result of a row.
#[derive(Debug, Clone)]
pub(in super::super) struct ResultsEntry {
    /// 0: a call carried it.
    pub(in super::super) position: u64,
    pub(in super::super) fingerprint: u64,
    pub(in super::super) req_id: ByteString,
    answer: Bytes,
}

impl ResultsRow {
    pub(in super::super) fn read(row: Bytes) -> Self {
        let mut from = Reader(row);
        let scope = match from.byte() {
            0 => Scope::Places(from.number()),
            1 => Scope::Client,
            _ => Scope::Subject,
        };
        Self {
            scope,
            client: Arc::new(read_client(&mut from)),
            handler: read_handler(&mut from),
            number: from.number(),
            time: from.time(),
            count: from.number(),
            entries: from.0,
        }
    }

    pub(in super::super) fn entries(&self) -> impl Iterator<Item = ResultsEntry> + use<> {
        Entries(Reader(self.entries.clone()))
    }

    pub(in super::super) fn first_place(&self) -> u64 {
        match self.scope {
            Scope::Places(first) => first,
            _ => 0,
        }
    }

    /// The last place, where it is one of places.
    pub(in super::super) fn last_place(&self) -> u64 {
        self.first_place().saturating_add(self.count - 1)
    }

    /// The place of its nth entry; 0: it has none.
    pub(in super::super) fn place(&self, index: usize) -> u64 {
        match self.scope {
            Scope::Places(first) => first.saturating_add(index as u64),
            _ => 0,
        }
    }

    pub(in super::super) fn result(&self, index: usize, entry: ResultsEntry) -> KeptResult {
        KeptResult {
            client: self.client.clone(),
            handler: self.handler.clone(),
            seq: self.place(index),
            awaited: entry.position == 0,
            answer: read_answer(&mut Reader(entry.answer)),
            req_id: entry.req_id,
        }
    }
}

impl ResultsEntry {
    pub(in super::super) fn answer(&self) -> Answer {
        read_answer(&mut Reader(self.answer.clone()))
    }

    pub(in super::super) fn size(&self) -> usize {
        self.req_id.len() + self.answer.len()
    }
}

struct Entries(Reader);

impl Iterator for Entries {
    type Item = ResultsEntry;

    fn next(&mut self) -> Option<ResultsEntry> {
        if self.0.is_empty() {
            return None;
        }
        let (position, fingerprint, req_id) = (self.0.number(), self.0.fixed(), self.0.str());
        let len = u32::from_le_bytes(self.0.array()) as usize;
        let answer = self.0.0.split_to(len);
        Some(ResultsEntry {
            position,
            fingerprint,
            req_id,
            answer,
        })
    }
}
