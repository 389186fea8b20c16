//! Consolidates the packets of all clients into few large batches, and gives every packet its own answer.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use crate::types::{Answer, ClientKey, Packet, Principal};

/// How long a caller waits; it changes nothing about how a packet is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Until every packet has its final outcome.
    Applied,
    /// Until every packet is taken and durable.
    Accepted,
}

/// One call of `Sync`, checked. Packets that the edge found wrong are in it, each with its refusal.
#[derive(Debug)]
pub struct Request {
    pub principal: Arc<Principal>,
    /// `None`: the call stands alone.
    pub client: Option<Arc<ClientKey>>,
    pub ack: Ack,
    /// How long the answer may take: less than the call's own deadline.
    pub wait: Duration,
    /// Applied before the packets.
    pub settled: Vec<SettledPart>,
    pub packets: Vec<Arc<Packet>>,
}

/// What the client is done with, in one of its queues.
#[derive(Debug, Clone)]
pub struct SettledPart {
    pub handler: ByteString,
    pub through: u64,
    pub req_ids: Vec<ByteString>,
}

/// One per packet, in the order of the request.
#[derive(Debug)]
pub struct Response {
    pub answers: Vec<(Arc<Packet>, Answer)>,
}

/// The gateway is stopping: nothing of the request was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Stopping;

/// Hands requests to the broker's task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Broker {}

impl Broker {
    /// Hands a request over and waits for its answer. Dropping the future drops a waiter, never a packet.
    pub async fn sync(&self, _request: Request) -> Result<Response, Stopping> {
        todo!()
    }
}
