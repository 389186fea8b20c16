//! What is the same for all packets of a request, found once; and what a packet's handler says of its order.

use std::sync::Arc;

use bytestring::ByteString;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::ReqIdKey;
use super::arena::Id;
use super::job::RequestNo;
use super::lane::{Class, Holder, Lane};
use super::queue::Queue;
use crate::broker::Ack;
use crate::handler::{Drive, HandlerSettings, Ordering};
use crate::store::{Origin, ReqIdScope};
use crate::types::{Action, Answer, ClientKey, Packet, Principal, Reason};

/// What is the same for all packets of a request.
pub(super) struct Arrival {
    pub(super) now: Instant,
    pub(super) request: RequestNo,
    pub(super) ack: Ack,
    pub(super) principal: Arc<Principal>,
    pub(super) client: Option<Arc<ClientKey>>,
    /// One for each handler that it names.
    pub(super) parts: Vec<Part>,
}

/// A request's packets to one handler.
pub(super) struct Part {
    pub(super) name: ByteString,
    pub(super) settings: Arc<HandlerSettings>,
    pub(super) origin: Arc<Origin>,
    pub(super) queue: Id<Queue>,
    pub(super) lanes: SmallVec<[LanePart; 1]>,
    /// Whether a packet of it writes: then the handler is there, if it was only a name before.
    pub(super) established: bool,
    /// A packet of the queue was not taken: nothing later of it is, in this request.
    pub(super) ended: bool,
    /// The same for keys, where chains are of keys.
    pub(super) ended_keys: Vec<ByteString>,
}

/// A request's packets in one lane.
pub(super) struct LanePart {
    pub(super) class: Class,
    pub(super) lane: Id<Lane>,
    /// Set once it holds one there.
    pub(super) holder: Option<Id<Holder>>,
}

/// Which chain a packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Queue,
    Key,
    Free,
}

/// Which chain a packet belongs to until it is taken: what its queue takes has the order of its places.
pub(super) fn order_of_intake(settings: &HandlerSettings, packet: &Packet) -> Order {
    if packet.unordered || settings.ordering == Ordering::None && packet.seq == 0 {
        return Order::Free;
    }
    Order::Queue
}

/// Which chain a packet belongs to when it is applied.
pub(super) fn order(settings: &HandlerSettings, packet: &Packet) -> Order {
    if packet.unordered {
        return Order::Free;
    }
    match (&settings.drive, settings.ordering) {
        // Taken and applied in one commit: the queue's order is that of the commits, and so is that of each key.
        (Drive::Planned(_), _) => order_of_intake(settings, packet),
        (_, Ordering::Client) => Order::Queue,
        (_, Ordering::Key) if !packet.key.is_empty() => Order::Key,
        (_, Ordering::Key | Ordering::None) => Order::Free,
    }
}

impl Part {
    pub(super) fn has_ended(&self, order: Order, packet: &Packet) -> bool {
        match order {
            Order::Queue => self.ended,
            Order::Key => self.ended_keys.contains(&packet.key),
            Order::Free => false,
        }
    }

    pub(super) fn end(&mut self, order: Order, packet: &Packet) {
        match order {
            Order::Queue => self.ended = true,
            Order::Key => self.ended_keys.push(packet.key.clone()),
            Order::Free => {}
        }
    }
}

pub(super) fn unsupported(settings: &HandlerSettings, packet: &Packet) -> Option<Answer> {
    let actions = settings.drive.actions();
    if !actions.contains(&packet.action) {
        let names: Vec<_> = actions.iter().map(|action| action.name()).collect();
        return Some(Answer::rejected(
            Reason::UnsupportedAction,
            format!(
                "{} does not know {}; it knows {}",
                settings.name,
                packet.action.name(),
                names.join(", ")
            ),
        ));
    }
    let methods = settings.drive.methods();
    let known = |method: &str| methods.is_empty() || methods.iter().any(|name| name == method);
    if packet.action == Action::Call && !known(packet.method()) {
        return Some(Answer::rejected(
            Reason::UnsupportedAction,
            format!(
                "{} has no method {:?}; it has {}",
                settings.name,
                packet.method(),
                methods.join(", ")
            ),
        ));
    }
    None
}

/// What makes a repeat of a packet without a place known: its req_id within the client, else within the subject. With
/// neither it only correlates.
pub(super) fn req_id_key(origin: &Origin, packet: &Packet) -> Option<ReqIdKey> {
    if packet.req_id.is_empty() || packet.seq != 0 {
        return None;
    }
    if let Some(client) = &origin.client {
        return Some((client.clone(), ReqIdScope::Client, packet.req_id.clone()));
    }
    if origin.principal.subject.is_empty() {
        return None;
    }
    let subject = Arc::new(ClientKey {
        tenant: origin.principal.tenant.clone(),
        subject: origin.principal.subject.clone(),
        client_id: ByteString::new(),
    });
    Some((subject, ReqIdScope::Subject, packet.req_id.clone()))
}
