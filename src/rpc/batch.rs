//! From the bytes of a `BatchRequest` to a checked request of the broker.
//!
//! The limits are counted on the bytes before anything is built from them: 4 MiB of `0A 00` is two million empty packets. A
//! packet costs one allocation; its strings and its content are slices of the request's buffer.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::Refusal;
use crate::broker::{Ack, Request, SettledPart};
use crate::types::{Carried, ClientKey, Packet, Principal, limits};
use crate::wire::check::{self, WireDuration};
use crate::wire::packet::{self, Context};
use crate::wire::reader::{Fields, Malformed, Span};
use crate::wire::{RawBatch, proto};

/// A call of `Sync`, checked.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) request: Request,
    /// By index in the request, the `seq`s of packets that have no place: their results say them again.
    pub(super) misplaced: Vec<(usize, u64)>,
}

/// `deadline`: what is left of the call's own time, if it has a limit. `trace`: what packets carry that have none of their own.
pub(super) fn check(
    raw: &RawBatch,
    principal: &Arc<Principal>,
    deadline: Option<Duration>,
    trace: Option<String>,
) -> Result<Batch, Refusal> {
    if raw.0.len() > limits::REQUEST_BYTES {
        return Err(Refusal::TooMuch(format!(
            "the request has {} bytes: at most {} are taken",
            raw.0.len(),
            limits::REQUEST_BYTES
        )));
    }
    let message = Span::whole(&raw.0);
    let outline = Outline::of(message).map_err(unreadable)?;
    outline.check()?;
    let client = client(&outline.client_id, principal)?;
    let ack = ack(outline.ack, client.is_some())?;
    let wait = wait(outline.wait)?;
    if client.is_none() && outline.settled > 0 {
        return Err(Refusal::Invalid(
            "settled is about a client's queues: give the call its client_id".into(),
        ));
    }
    let settled = settled(message, outline.settled).map_err(unreadable)?;
    let (packets, misplaced) = packets(
        message,
        outline.packets,
        client.is_some(),
        trace.map(packet::carried),
    );
    let request = Request {
        principal: principal.clone(),
        client,
        ack,
        wait: deadline.map_or(wait, |left| wait.min(left)),
        settled,
        packets,
        size: raw.0.len(),
    };
    Ok(Batch { request, misplaced })
}

/// What is counted and read in one pass, before anything is built.
#[derive(Debug, Default)]
struct Outline {
    packets: usize,
    settled: usize,
    settled_ids: usize,
    client_id: ByteString,
    ack: i32,
    wait: Option<WireDuration>,
}

impl Outline {
    fn of(message: Span<'_>) -> Result<Self, Malformed> {
        let mut outline = Self::default();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    value.span()?;
                    outline.packets += 1;
                }
                2 => outline.client_id = value.string()?,
                3 => outline.ack = value.varint()? as i32,
                4 => {
                    outline.settled += 1;
                    outline.settled_ids += req_ids(value.span()?)?;
                }
                5 => outline.wait.get_or_insert_default().merge(value.span()?)?,
                _ => {}
            }
        }
        Ok(outline)
    }

    fn check(&self) -> Result<(), Refusal> {
        let bounds = [
            ("packets", self.packets, limits::REQUEST_PACKETS),
            ("settled", self.settled, limits::REQUEST_SETTLED),
            (
                "req_ids in settled",
                self.settled_ids,
                limits::REQUEST_SETTLED_IDS,
            ),
        ];
        for (what, count, limit) in bounds {
            if count > limit {
                return Err(Refusal::TooMuch(format!(
                    "the request has {count} {what}: at most {limit} are taken"
                )));
            }
        }
        Ok(())
    }
}

/// The `client_id` of a call that is refused, as far as it can be read: for logs.
pub(super) fn client_id(raw: &RawBatch) -> ByteString {
    let mut fields = Fields::of(Span::whole(&raw.0));
    let mut found = ByteString::new();
    while let Ok(Some((number, value))) = fields.next() {
        if number == 2 {
            found = value.string().unwrap_or_default();
        }
    }
    found
}

/// The queue's owner that a `client_id` names; `None`: the call stands alone.
pub(super) fn client(
    client_id: &ByteString,
    principal: &Principal,
) -> Result<Option<Arc<ClientKey>>, Refusal> {
    if client_id.is_empty() {
        return Ok(None);
    }
    check::id(client_id).map_err(|error| Refusal::Invalid(format!("client_id {error}")))?;
    // Copied: a queue outlives the request, and a slice would keep all of its buffer.
    Ok(Some(Arc::new(ClientKey {
        tenant: principal.tenant.clone(),
        subject: principal.subject.clone(),
        client_id: ByteString::from(&**client_id),
    })))
}

fn ack(number: i32, has_client: bool) -> Result<Ack, Refusal> {
    match proto::Ack::try_from(number) {
        Ok(proto::Ack::Unspecified | proto::Ack::Applied) => Ok(Ack::Applied),
        Ok(proto::Ack::Accepted) if has_client => Ok(Ack::Accepted),
        Ok(proto::Ack::Accepted) => Err(Refusal::Invalid(
            "ACK_ACCEPTED needs a client_id: without one nobody could be told the rest".into(),
        )),
        Err(_) => Err(Refusal::Invalid(format!(
            "ack {number} is not known here: 0 to 2 are"
        ))),
    }
}

fn wait(wait: Option<WireDuration>) -> Result<Duration, Refusal> {
    let Some(wait) = wait else {
        return Ok(limits::WAIT);
    };
    match wait.checked() {
        Ok(wait) if wait <= limits::WAIT_MAX => Ok(wait),
        Ok(wait) => Err(Refusal::Invalid(format!(
            "wait is {wait:?}: at most {:?} are taken",
            limits::WAIT_MAX
        ))),
        Err(error) => Err(Refusal::Invalid(format!("wait {error}"))),
    }
}

fn settled(message: Span<'_>, count: usize) -> Result<Vec<SettledPart>, Malformed> {
    let mut parts = Vec::with_capacity(count);
    if count == 0 {
        return Ok(parts);
    }
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        if number == 4 {
            parts.push(settled_part(value.span()?)?);
        }
    }
    Ok(parts)
}

fn settled_part(message: Span<'_>) -> Result<SettledPart, Malformed> {
    let mut part = SettledPart {
        handler: ByteString::new(),
        through: 0,
        req_ids: Vec::new(),
    };
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => part.handler = value.string()?,
            2 => part.through = value.varint()?,
            3 => part.req_ids.push(value.string()?),
            _ => {}
        }
    }
    Ok(part)
}

fn req_ids(settled: Span<'_>) -> Result<usize, Malformed> {
    let mut count = 0;
    let mut fields = Fields::of(settled);
    while let Some((number, _)) = fields.next()? {
        count += usize::from(number == 3);
    }
    Ok(count)
}

fn packets(
    message: Span<'_>,
    count: usize,
    has_client: bool,
    trace: Option<Arc<Carried>>,
) -> (Vec<Arc<Packet>>, Vec<(usize, u64)>) {
    let mut packets = Vec::with_capacity(count);
    let mut misplaced = Vec::new();
    let mut context = Context {
        has_client,
        index: 0,
        scratch: Vec::new(),
    };
    let mut fields = Fields::of(message);
    // The outline has read all of it before.
    while let Ok(Some((number, value))) = fields.next() {
        let (1, Ok(bytes)) = (number, value.span()) else {
            continue;
        };
        let mut read = packet::read(bytes, &mut context);
        if let Some(trace) = &trace {
            packet::carry(&mut read, trace);
        }
        misplaced.extend(read.misplaced.map(|seq| (context.index, seq)));
        packets.push(Arc::new(read.packet));
        context.index += 1;
    }
    (packets, misplaced)
}

fn unreadable(error: Malformed) -> Refusal {
    Refusal::Invalid(format!("the request is not a BatchRequest: {error}"))
}

#[cfg(test)]
mod tests;
