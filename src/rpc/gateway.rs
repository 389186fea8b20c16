//! `tidegate.v1.Gateway`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};

use super::batch;
use super::info::info;
use super::response::response;
use super::results;
use super::stream::{EventStream, stream};
use super::subscription::subscription;
use super::{Refusal, Refused};
use crate::broker::{self, Broker, Stopping};
use crate::events::Hub;
use crate::handler::Registry;
use crate::layers::Slot;
use crate::store::Store;
use crate::telemetry::{CallSpan, Traces};
use crate::types::{Answer, ClientKey, Outcome, Principal, Reason, TRACEPARENT, beginning, limits};
use crate::wire::service::gateway_server;
use crate::wire::{EncodedAnswer, RawBatch, proto, wait_within};

/// What the methods call.
#[derive(Debug)]
pub struct Gateway {
    pub broker: Broker,
    pub hub: Hub,
    pub store: Arc<dyn Store>,
    pub registry: Arc<Registry>,
    /// The name of this process, for people.
    pub node: String,
    /// What makes the spans of calls.
    pub traces: Traces,
    /// Calls that were refused as a whole.
    pub refused: Refused,
    /// Once it is cancelled, new calls are `UNAVAILABLE`.
    pub stopping: CancellationToken,
}

#[tonic::async_trait]
impl gateway_server::Gateway for Gateway {
    async fn sync(&self, request: Request<RawBatch>) -> Result<Response<EncodedAnswer>, Status> {
        let principal = principal(request.extensions());
        let answer = self.batch(&request, &principal).await;
        answer.map(Response::new).map_err(|refusal| {
            let client = batch::client_id(request.get_ref());
            self.told("Sync", &principal, &client, refusal)
        })
    }

    type EventsStream = EventStream;

    async fn events(
        &self,
        mut request: Request<proto::EventsRequest>,
    ) -> Result<Response<EventStream>, Status> {
        let principal = principal(request.extensions());
        let slot = request.extensions_mut().remove::<Arc<Slot>>();
        let peer = request.remote_addr();
        let request = request.into_inner();
        let client = request.client_id.clone();
        let stream = self.open(request, slot, &principal, peer).await;
        stream
            .map(Response::new)
            .map_err(|refusal| self.told("Events", &principal, &client, refusal))
    }

    async fn results(
        &self,
        request: Request<proto::ResultsRequest>,
    ) -> Result<Response<proto::ResultsResponse>, Status> {
        let principal = principal(request.extensions());
        let request = request.into_inner();
        let client = request.client_id.clone();
        let kept = self.kept(request, &principal).await;
        kept.map(Response::new)
            .map_err(|refusal| self.told("Results", &principal, &client, refusal))
    }

    async fn info(
        &self,
        request: Request<proto::InfoRequest>,
    ) -> Result<Response<proto::InfoResponse>, Status> {
        let principal = principal(request.extensions());
        Ok(Response::new(info(&self.registry, &principal, &self.node)))
    }
}

impl Gateway {
    async fn batch(
        &self,
        request: &Request<RawBatch>,
        principal: &Arc<Principal>,
    ) -> Result<EncodedAnswer, Refusal> {
        let parent = request.metadata().get(TRACEPARENT);
        let parent = parent.and_then(|parent| parent.to_str().ok());
        let (mut span, trace) = self.traces.call(parent);
        let answer = self.traced_batch(request, principal, trace, &mut span);
        let answer = answer.await;
        if let (Some(span), Err(refusal)) = (&mut span, &answer) {
            span.refused(refusal.name());
        }
        answer
    }

    async fn traced_batch(
        &self,
        request: &Request<RawBatch>,
        principal: &Arc<Principal>,
        trace: Option<String>,
        span: &mut Option<CallSpan>,
    ) -> Result<EncodedAnswer, Refusal> {
        self.check_running()?;
        // Before anything of the call is done: whoever subscribes from here misses nothing that the answer does not show.
        let cursor = self.hub.cursor(&*self.store);
        let deadline = wait_within(request.metadata().as_ref());
        let batch = batch::check(request.get_ref(), principal, deadline, trace)?;
        if let Some(span) = span {
            span.packets(batch.request.packets.len());
        }
        let client = batch.request.client.clone();
        let answers = self.broker.sync(batch.request).await?;
        tell_refused(&answers, principal, client.as_deref());
        let client_id = client.as_ref().map_or("", |client| &client.client_id);
        Ok(response(answers, &batch.misplaced, client_id, cursor))
    }

    async fn kept(
        &self,
        request: proto::ResultsRequest,
        principal: &Principal,
    ) -> Result<proto::ResultsResponse, Refusal> {
        self.check_running()?;
        let asked = results::Asked::check(request, principal)?;
        results::found(&*self.store, &asked).await
    }

    async fn open(
        &self,
        request: proto::EventsRequest,
        slot: Option<Arc<Slot>>,
        principal: &Arc<Principal>,
        peer: Option<SocketAddr>,
    ) -> Result<EventStream, Refusal> {
        self.check_running()?;
        let subscription = subscription(request, principal, peer)?;
        if let Some(client) = &subscription.client {
            self.broker.recall(client).await;
        }
        let session = self.hub.open(self.store.clone(), subscription)?;
        Ok(stream(session, slot))
    }

    /// One line per refused request, never its content. `client`: its client_id as far as it could be read, which may be any
    /// text.
    fn told(
        &self,
        method: &'static str,
        principal: &Principal,
        client: &str,
        refusal: Refusal,
    ) -> Status {
        let (subject, reason) = (&principal.subject, refusal.name());
        let client = beginning(client, limits::ID_BYTES);
        tracing::info!(method, %subject, client, reason, "refused a call: {refusal}");
        self.refused.count(method, reason);
        refusal.into()
    }

    fn check_running(&self) -> Result<(), Stopping> {
        if self.stopping.is_cancelled() {
            return Err(Stopping);
        }
        Ok(())
    }
}

fn principal(extensions: &Extensions) -> Arc<Principal> {
    extensions
        .get::<Arc<Principal>>()
        .cloned()
        .unwrap_or_default()
}

/// One line for a request with refused packets, never their content. Where each is refused for what its collection or its
/// application says, that is how clients work, and a line for those who look closely.
fn tell_refused(answers: &broker::Response, principal: &Principal, client: Option<&ClientKey>) {
    let refused = |(_, answer): &&(_, Answer)| {
        matches!(answer.outcome, Outcome::Rejected | Outcome::Retry) && !answer.replayed
    };
    let all = || answers.answers.iter().filter(refused);
    let first = all().find(|(_, answer)| !is_everyday(answer.reason));
    let Some((packet, answer)) = first.or_else(|| all().next()) else {
        return;
    };
    let client = client.map_or("", |client| &client.client_id);
    let more = all().count() - 1;
    let (subject, req_id, seq) = (&principal.subject, &packet.req_id, packet.seq);
    let reason = answer.reason;
    match first {
        Some(_) => {
            tracing::info!(method = "Sync", %subject, client, %req_id, seq, ?reason, more, "refused a packet");
        }
        None => {
            tracing::debug!(method = "Sync", %subject, client, %req_id, seq, ?reason, more, "refused a packet");
        }
    }
}

/// An answer about what is there, or of the application: nothing is wrong.
fn is_everyday(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::VersionMismatch | Reason::NotFound | Reason::AlreadyExists | Reason::Application
    )
}
