//! `Results`: what is kept for those without a stream.

use std::sync::Arc;

use bytestring::ByteString;
use prost::Message as _;

use super::{Refusal, batch};
use crate::store::{Error, KeptResult, PageOf, ScanLimit, Store, Which};
use crate::types::{ClientKey, HandlerName, Principal, beginning, limits};
use crate::wire::answer::result;
use crate::wire::proto;

/// What a result takes beside its own bytes: its tag and its length.
const FRAMING: usize = 8;

/// A call of `Results`, checked.
#[derive(Debug)]
pub(super) struct Asked {
    client: Arc<ClientKey>,
    which: Vec<Which>,
}

impl Asked {
    pub(super) fn check(
        request: proto::ResultsRequest,
        principal: &Principal,
    ) -> Result<Self, Refusal> {
        let client = batch::client(&request.client_id.into(), principal)?;
        let client = client.ok_or_else(|| {
            Refusal::Invalid("results are kept for a client: give its client_id".into())
        })?;
        let count = request.req_ids.len();
        if count > limits::REQUEST_SETTLED_IDS {
            return Err(Refusal::TooMuch(format!(
                "the request has {count} req_ids: at most {} are taken",
                limits::REQUEST_SETTLED_IDS
            )));
        }
        let mut which = Vec::new();
        if count > 0 {
            let req_ids = request.req_ids.into_iter().map(ByteString::from);
            which.push(Which::ReqIds(req_ids.collect()));
        }
        if !request.handler.is_empty() {
            let handler = HandlerName::new(&request.handler).ok_or_else(|| {
                Refusal::Invalid(format!(
                    "{:?} cannot be a handler: 1 to {} of A-Z a-z 0-9 _ - are a name",
                    beginning(&request.handler, limits::HANDLER_BYTES),
                    limits::HANDLER_BYTES
                ))
            })?;
            let from = request.from_seq;
            which.push(Which::Places { handler, from });
        } else if request.from_seq != 0 {
            return Err(Refusal::Invalid(
                "from_seq is a place in the queue to a handler: name the handler".into(),
            ));
        }
        Ok(Self { client, which })
    }
}

/// As many as fit an answer.
pub(super) async fn found(
    store: &dyn Store,
    asked: &Asked,
) -> Result<proto::ResultsResponse, Refusal> {
    let mut results = Vec::new();
    let mut room = limits::ANSWER_BYTES;
    for which in &asked.which {
        let limit = ScanLimit {
            items: limits::REQUEST_PACKETS,
            bytes: room,
        };
        let page = store.kept(&asked.client, which, limit).await;
        let PageOf { items, more } = page.map_err(|error| unread(&error))?;
        for kept in items {
            let kept = told(kept);
            let bytes = kept.encoded_len() + FRAMING;
            if bytes > room {
                return Ok(proto::ResultsResponse { results });
            }
            room -= bytes;
            results.push(kept);
        }
        if more {
            break;
        }
    }
    Ok(proto::ResultsResponse { results })
}

fn told(kept: KeptResult) -> proto::PacketResult {
    result(&kept.req_id, kept.handler.as_str(), kept.seq, kept.answer)
}

fn unread(error: &Error) -> Refusal {
    Refusal::Unavailable(format!("the results cannot be read now: {error}"))
}
