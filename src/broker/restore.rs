//! From the bytes of what was taken before this start to packets, by the way that they came in.

use std::sync::Arc;
use std::time::SystemTime;

use super::core::{Restored, RestoredPacket};
use crate::store::{DeadLetter, OpenPacket, OpenRun, Place, TakenId};
use crate::types::Packet;
use crate::wire::packet::{self, Context};
use crate::wire::reader::Span;

/// In the order of the runs.
pub(super) fn restored(mut runs: Vec<OpenRun>, now: SystemTime) -> Vec<Restored> {
    runs.sort_by_key(|run| run.id);
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
        let letter = match kept.place {
            Place::Letter(letter) => Some(letter),
            _ => None,
        };
        let held = kept.held;
        let packet = packet::read_taken(Span::whole(&kept.packet), &mut context);
        let packet = Arc::new(known_by(kept, packet));
        RestoredPacket {
            taken,
            packet,
            letter,
            held,
        }
    });
    Restored {
        packets: packets.collect(),
        age: now.duration_since(run.taken_at).unwrap_or_default(),
        origin: run.origin,
    }
}

/// What the store kept beside the bytes is what it is known by.
fn known_by(kept: OpenPacket, packet: Packet) -> Packet {
    Packet {
        seq: match kept.place {
            Place::Seq(seq) => seq,
            Place::None | Place::ReqId(_) | Place::Letter(_) => 0,
        },
        ttl: match kept.place {
            // Its time was that of the first sending.
            Place::Letter(_) => None,
            _ => packet.ttl,
        },
        fingerprint: kept.fingerprint,
        req_id: kept.req_id,
        ..packet
    }
}

/// The packet of a dead letter, as it is sent anew: a new one, which may be refused.
pub(super) fn packet_of(letter: &DeadLetter) -> Packet {
    let mut context = Context {
        has_client: letter.origin.client.is_some(),
        index: 0,
        scratch: Vec::new(),
    };
    let kept = OpenPacket {
        at: letter.taken.at,
        place: Place::Letter(letter.id),
        fingerprint: letter.fingerprint,
        req_id: letter.req_id.clone(),
        packet: letter.death.packet.clone(),
        held: false,
    };
    let packet = packet::read(Span::whole(&kept.packet), &mut context).packet;
    known_by(kept, packet)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, ready};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::broker::{self, Settings};
    use crate::handler::{
        Batch, BatchLimits, CallError, Drive, Handled, Handler, HandlerSettings, ItemId, Kind,
        Ordering, Records, Registry, Unlisted,
    };
    use crate::store::memory::{Keep, Memory};
    use crate::store::{Entry, Origin, Tail};
    use crate::types::{Action, Answer, ClientKey, HandlerName, Principal, Retry};

    /// Tells what it is called with.
    #[derive(Debug)]
    struct Noted(UnboundedSender<ItemId>);

    impl Handler for Noted {
        fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
            let ids: Vec<_> = batch.items.iter().map(|item| item.id).collect();
            ids.iter().for_each(|id| self.0.send(*id).unwrap());
            let answer = Answer::ok();
            let handled = ids.into_iter().map(|id| Handled::new(id, answer.clone()));
            ready(Ok(handled.collect())).boxed()
        }

        fn actions(&self) -> &[Action] {
            &Action::ALL
        }
    }

    #[derive(Debug)]
    struct NoTail;

    impl Tail for NoTail {
        fn committed(&self, _: &[Entry]) {}
    }

    fn handler(name: &str, kind: Kind, drive: Drive) -> HandlerSettings {
        HandlerSettings {
            name: HandlerName::new(name).unwrap(),
            kind,
            ordering: Ordering::Client,
            mixed_actions: true,
            isolate_tenants: false,
            batch: BatchLimits::default(),
            durable: true,
            retry: Retry::default(),
            drive,
        }
    }

    fn run(id: u64, seq: u64) -> OpenRun {
        let client = ClientKey {
            tenant: "".into(),
            subject: "ann".into(),
            client_id: "c".into(),
        };
        let origin = Origin {
            principal: Arc::new(Principal::default()),
            client: Some(Arc::new(client)),
            handler: HandlerName::new("jobs").unwrap(),
        };
        OpenRun {
            id,
            origin: Arc::new(origin),
            taken_at: SystemTime::now(),
            packets: vec![OpenPacket {
                at: 0,
                place: Place::Seq(seq),
                fingerprint: 1,
                req_id: format!("r{seq}").into(),
                // ACTION_CREATE, and nothing else.
                packet: Bytes::from_static(&[24, 1]),
                held: false,
            }],
        }
    }

    #[test]
    fn what_was_taken_is_not_refused_when_it_is_read_again() {
        let mut kept = run(3, 1);
        // Without an action, which is refused at the edge.
        kept.packets[0].packet = Bytes::from_static(&[34, 2, b'h', b'i']);
        let restored = restored(vec![kept], SystemTime::now());
        let packet = &restored[0].packets[0].packet;
        assert!(packet.refusal.is_none(), "{:?}", packet.refusal);
        assert_eq!(packet.content.items[0], "hi", "nothing of it is missing");
    }

    #[tokio::test]
    async fn what_was_taken_first_is_called_first_in_whatever_order_the_store_tells_it() {
        let (noted, mut called) = unbounded_channel();
        let jobs = Drive::Called(Arc::new(Noted(noted)));
        let jobs = handler("jobs", Kind::Custom, jobs);
        let rest = handler("rest", Kind::Records, Drive::Planned(Arc::new(Records)));
        let registry = Registry::new(vec![jobs], rest, Unlisted::AreUnknown);
        let store = Memory::new(Keep::default(), Arc::new(NoTail));
        let (broker, mut worker) =
            broker::build(Arc::new(registry), Arc::new(store), Settings::default());
        worker.restore(vec![run(7, 2), run(9, 3), run(3, 1)]);
        let running = tokio::spawn(worker.run());
        for run in [3, 7, 9] {
            let expected = ItemId::of_taken(TakenId { run, at: 0 });
            assert_eq!(called.recv().await, Some(expected));
        }
        drop(broker);
        running.await.unwrap();
    }
}
