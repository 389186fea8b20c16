//! The floor: the same service with the same messages, and nothing behind it. Stock tonic and prost, as anyone's service.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::fan_out::BATCHES_IN_FLIGHT;
use crate::wire::proto::{
    BatchRequest, BatchResponse, Connected, Event, EventsRequest, InfoRequest, InfoResponse,
    Message, Outcome, Packet, PacketResult, ResultsRequest, ResultsResponse, event,
};

/// The service as tonic generates it, without the gateway's own codec.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
mod service {
    include!(concat!(env!("OUT_DIR"), "/bare/tidegate.v1.rs"));
}

pub(super) use service::gateway_server::GatewayServer;

/// Answers every packet with its content, and passes what is sent to `topics` on to every stream.
#[derive(Debug, Default)]
pub(super) struct Floor {
    /// A lock and not a task: it is held to look at each stream once a call, and for nothing in the other scenarios.
    streams: Mutex<Vec<mpsc::Sender<Arc<[Event]>>>>,
}

#[tonic::async_trait]
impl service::gateway_server::Gateway for Floor {
    type EventsStream = Feed;

    async fn sync(
        &self,
        request: Request<BatchRequest>,
    ) -> Result<Response<BatchResponse>, Status> {
        let BatchRequest {
            packets, client_id, ..
        } = request.into_inner();
        if packets
            .first()
            .is_some_and(|packet| packet.handler == "topics")
        {
            self.publish(&packets);
        }
        Ok(Response::new(BatchResponse {
            results: packets.into_iter().map(echo).collect(),
            client_id,
            cursor: CURSOR.to_owned(),
        }))
    }

    async fn events(&self, _: Request<EventsRequest>) -> Result<Response<Feed>, Status> {
        let (sender, batches) = mpsc::channel(2 * BATCHES_IN_FLIGHT);
        self.streams.lock().push(sender);
        Ok(Response::new(Feed {
            batches,
            batch: [connected()].into(),
            sent: 0,
        }))
    }

    async fn results(
        &self,
        _: Request<ResultsRequest>,
    ) -> Result<Response<ResultsResponse>, Status> {
        Err(Status::unimplemented("the floor keeps nothing"))
    }

    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse::default()))
    }
}

impl Floor {
    /// A stream that is gone, or further behind than its publisher allows, is dropped.
    fn publish(&self, packets: &[Packet]) {
        let batch: Arc<[Event]> = packets.iter().flat_map(messages).collect();
        let mut streams = self.streams.lock();
        streams.retain(|stream| stream.try_send(batch.clone()).is_ok());
    }
}

/// One stream: builds and encodes each event for itself.
#[derive(Debug)]
pub(super) struct Feed {
    batches: mpsc::Receiver<Arc<[Event]>>,
    batch: Arc<[Event]>,
    /// Of `batch`.
    sent: usize,
}

impl Stream for Feed {
    type Item = Result<Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.batch.get(self.sent).cloned() {
                self.sent += 1;
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(batch) = ready!(self.batches.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            self.batch = batch;
            self.sent = 0;
        }
    }
}

/// As long as the gateway's, so that both send as many bytes.
const CURSOR: &str = "AQEAAAAAAAAAAAAAAAAAAA";

fn echo(packet: Packet) -> PacketResult {
    PacketResult {
        req_id: packet.req_id,
        outcome: Outcome::Ok.into(),
        data: packet.data,
        text: packet.text,
        handler: packet.handler,
        seq: packet.seq,
        ..PacketResult::default()
    }
}

fn connected() -> Event {
    Event {
        cursor: CURSOR.to_owned(),
        event: Some(event::Event::Connected(Connected::default())),
    }
}

fn messages(packet: &Packet) -> impl Iterator<Item = Event> {
    let time = prost_types::Timestamp::from(SystemTime::now());
    packet.data.iter().enumerate().map(move |(place, data)| {
        let message = Message {
            topic: packet.key.clone(),
            data: data.clone(),
            id: format!("{place:020}"),
            time: Some(time),
            ..Message::default()
        };
        Event {
            cursor: CURSOR.to_owned(),
            event: Some(event::Event::Message(message)),
        }
    })
}
