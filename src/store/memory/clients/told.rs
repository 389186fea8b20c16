//! What readers get of it: kept results, still packed, and what is open.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::once::Named;
use super::{Client, Clients, KeptIn, Queue};
use crate::store::packed::PackedAnswer;
use crate::store::{KeptResult, Which};
use crate::types::{Answer, ClientKey, HandlerName};

/// A kept result, still packed.
#[derive(Debug)]
pub(in super::super) struct PackedResult<'a> {
    client: Arc<ClientKey>,
    handler: &'a HandlerName,
    seq: u64,
    answer: Said<'a>,
    awaited: bool,
}

/// What can be told of a packet.
#[derive(Debug)]
enum Said<'a> {
    Kept(&'a PackedAnswer),
    /// It is taken, and was sent under this req_id.
    Open(&'a ByteString),
}

impl PackedResult<'_> {
    pub(in super::super) fn size(&self) -> usize {
        match self.answer {
            Said::Kept(answer) => answer.len(),
            Said::Open(req_id) => req_id.len(),
        }
    }

    pub(in super::super) fn unpack(&self) -> KeptResult {
        KeptResult {
            client: self.client.clone(),
            handler: self.handler.clone(),
            seq: self.seq,
            req_id: match self.answer {
                Said::Kept(answer) => answer.req_id(),
                Said::Open(req_id) => req_id.clone(),
            },
            answer: match self.answer {
                Said::Kept(answer) => answer.answer(),
                Said::Open(_) => Answer::accepted(),
            },
            awaited: self.awaited,
        }
    }
}

impl Clients {
    /// The results of a client that no call carried, after a position.
    pub(in super::super) fn unsent<'a>(
        &'a self,
        client: &ClientKey,
        from: u64,
    ) -> impl Iterator<Item = (u64, PackedResult<'a>)> + 'a {
        let row = self.by_key.get(client).map(|slot| &self.rows[*slot]);
        row.into_iter().flat_map(move |row| {
            let after = row.unsent.range(from.saturating_add(1)..);
            after.map(move |(position, kept_in)| (*position, self.look_up(row, kept_in)))
        })
    }

    /// The newest result of a client that the bounds removed before a stream could bring it; 0: none.
    pub(in super::super) fn lost(&self, client: &ClientKey) -> u64 {
        let row = self.by_key.get(client).map(|slot| &self.rows[*slot]);
        row.map_or(self.lost, |row| row.lost)
    }

    /// The kept results of a client, whoever carried them: all that are asked for, in order.
    pub(in super::super) fn kept<'a>(
        &'a self,
        client: &'a Arc<ClientKey>,
        which: &'a Which,
    ) -> Box<dyn Iterator<Item = PackedResult<'a>> + 'a> {
        let row = self.by_key.get(client).map(|slot| &self.rows[*slot]);
        match which {
            Which::Places { handler, from } => {
                let queue = row.and_then(|row| Some((row, &row.queues[row.find(handler).ok()?])));
                let results = queue.into_iter().flat_map(move |(row, queue)| {
                    let places = queue.from(*from);
                    places.map(move |(seq, answer, awaited)| PackedResult {
                        client: row.key.clone(),
                        handler: &queue.handler,
                        seq,
                        answer,
                        awaited,
                    })
                });
                Box::new(results)
            }
            Which::ReqIds(req_ids) => Box::new(req_ids.iter().filter_map(move |req_id| {
                let hash = self.once.hash(Named::OfClient(client, req_id));
                let open = |handler| (handler, Said::Open(req_id), None);
                let (handler, answer, unsent) = match self.once.answer(hash) {
                    Some((handler, answer, unsent)) => (handler, Said::Kept(answer), unsent),
                    None => self.once.open(hash).map(open)?,
                };
                Some(PackedResult {
                    client: row.map_or_else(|| client.clone(), |row| row.key.clone()),
                    handler,
                    seq: 0,
                    answer,
                    awaited: unsent.is_none(),
                })
            })),
        }
    }

    fn look_up<'a>(&'a self, row: &'a Client, kept_in: &KeptIn) -> PackedResult<'a> {
        let (handler, seq, answer) = match kept_in {
            KeptIn::Queue(handler, seq) => {
                let queue = row.find(handler).ok().map(|at| &row.queues[at]);
                let kept = queue.and_then(|queue| Some((&queue.handler, queue.kept.get(seq)?)));
                let (handler, kept) = kept.expect("an answer leaves `unsent` when it is dropped");
                (handler, *seq, &kept.answer)
            }
            KeptIn::Once(hash) => {
                let once = self.once.answer(*hash);
                let once = once.expect("an answer leaves `unsent` when it is dropped");
                (once.0, 0, once.1)
            }
        };
        PackedResult {
            client: row.key.clone(),
            handler,
            seq,
            answer: Said::Kept(answer),
            awaited: false,
        }
    }
}

impl Queue {
    /// The places from this one on of which something can be told: each with that, and whether a call carried it.
    fn from(&self, from: u64) -> impl Iterator<Item = (u64, Said<'_>, bool)> {
        let mut kept = self.kept.range(from..).peekable();
        let mut open = self.open.range(from..).peekable();
        std::iter::from_fn(move || {
            let next = open.peek().map(|(seq, _)| **seq);
            if let Some((&seq, kept)) =
                kept.next_if(|(seq, _)| next.is_none_or(|open| **seq < open))
            {
                return Some((seq, Said::Kept(&kept.answer), kept.position == 0));
            }
            let (&seq, open) = open.next()?;
            Some((seq, Said::Open(&open.req_id), false))
        })
    }
}
