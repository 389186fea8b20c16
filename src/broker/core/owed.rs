//! Results that a call was to carry and did not: the store makes them the streams'.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::Core;
use super::arena::Id;
use super::lane::{Class, Lane, LaneKey};
use crate::broker::Response;
use crate::store::{Owed, QueueKey};
use crate::types::{Answer, ClientKey, Outcome, Packet, Reason};

/// The pause after the store did not take what is owed.
const PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// Nobody heard this response.
    pub(crate) fn undelivered(&mut self, response: &Response) {
        for (packet, answer) in &response.answers {
            if is_kept(answer) {
                self.owe(response.client.as_ref(), packet);
            }
        }
    }

    /// Goes to the store with the next commit of the handler, soon. What is not kept after all is owed to nobody: the store
    /// knows.
    pub(super) fn owe(&mut self, client: Option<&Arc<ClientKey>>, packet: &Packet) {
        let named = packet.seq != 0 || !packet.req_id.is_empty();
        let Some(client) = client.filter(|_| named && !packet.action.is_read()) else {
            return;
        };
        let Ok(settings) = self.registry.resolve(&packet.handler) else {
            return;
        };
        let Some(class) = Class::of_commits(&settings) else {
            return;
        };
        let key = LaneKey::of(&settings, &client.tenant, class);
        let Some(lane) = self.lane(key, &settings) else {
            return;
        };
        // A bound like that of the packets: beyond it the client gets it by sending the packet again.
        if self.lanes[lane].owed.len() < self.settings.lane_packets {
            self.lanes[lane].owed.push(Owed {
                queue: QueueKey {
                    client: client.clone(),
                    handler: settings.name.clone(),
                },
                seq: packet.seq,
                // A copy: it may wait longer than the request, whose buffer it shares.
                req_id: ByteString::from(&*packet.req_id),
            });
        }
    }

    pub(super) fn owe_later(&mut self, lane: Id<Lane>, owed: Vec<Owed>, now: Instant) {
        let bound = self.settings.lane_packets;
        let lane_of = &mut self.lanes[lane];
        let room = bound.saturating_sub(lane_of.owed.len());
        lane_of.owed.extend(owed.into_iter().take(room));
        lane_of.owed_from = Some(now + PAUSE);
        self.notice(lane);
    }
}

/// Whether it may be kept: what says only that another one is, or was, is not.
pub(super) fn is_kept(answer: &Answer) -> bool {
    let told = answer.outcome.is_final() && answer.outcome != Outcome::Forgotten;
    told && answer.reason != Reason::ReqIdReused
}
