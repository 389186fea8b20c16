//! From the bytes of what was taken before this start to packets, by the way that they came in.

use std::sync::Arc;
use std::time::SystemTime;

use super::core::Restored;
use crate::store::{OpenPacket, OpenRun, Place, TakenId};
use crate::types::Packet;
use crate::wire::packet::{self, Context};
use crate::wire::reader::Span;

/// In the order of the runs.
pub(super) fn restored(mut runs: Vec<OpenRun>) -> Vec<Restored> {
    runs.sort_by_key(|run| run.id);
    let now = SystemTime::now();
    runs.into_iter().map(|run| one(run, now)).collect()
}

fn one(run: OpenRun, now: SystemTime) -> Restored {
    let mut context = Context {
        has_client: run.origin.client.is_some(),
        index: 0,
        scratch: Vec::new(),
    };
    let packets = run.packets.into_iter().map(|kept| {
        let taken = TakenId {
            run: run.id,
            at: kept.at,
        };
        (taken, Arc::new(read(kept, &mut context)))
    });
    Restored {
        packets: packets.collect(),
        age: now.duration_since(run.taken_at).unwrap_or_default(),
        origin: run.origin,
    }
}

/// What the store kept beside the bytes is what it is known by.
fn read(kept: OpenPacket, context: &mut Context) -> Packet {
    let packet = packet::read(Span::whole(&kept.packet), context).packet;
    Packet {
        seq: match kept.place {
            Place::Seq(seq) => seq,
            Place::None | Place::ReqId(_) => 0,
        },
        fingerprint: kept.fingerprint,
        req_id: kept.req_id,
        ..packet
    }
}
