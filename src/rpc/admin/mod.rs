//! `tidegate.v1.Admin`: what those who run the gateway look at and do. Its port is a layer's business, and its token.

mod convert;
mod letters;
mod pages;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use letters::Do;
pub use pages::OPEN_PAGES;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};

use super::{Refusal, reflection};
use crate::broker::{Broker, Selection};
use crate::events::Hub;
use crate::handler::Registry;
use crate::layers::Reach;
use crate::metrics;
use crate::store::Store;
use crate::store::embedded::{BackupError, Backups};
use crate::types::{Action, HandlerName};
use crate::wire::admin::admin_server::{self, AdminServer, SERVICE_NAME};
use crate::wire::answer::duration;
use crate::wire::proto;

/// How long `Clear` waits for the disk.
const CLEARING: Duration = Duration::from_secs(60);

/// What the methods and pages call.
#[derive(Debug, Clone)]
pub struct Admin {
    pub broker: Broker,
    pub hub: Hub,
    pub store: Arc<dyn Store>,
    /// Copies what is kept. `None` where that is memory.
    pub backups: Option<Backups>,
    pub registry: Arc<Registry>,
    pub metrics: Arc<metrics::Registry>,
    /// Why the gateway does not serve; `None` while it does.
    pub trouble: watch::Receiver<Option<String>>,
    /// From where those come who ask whether it serves: only to those of this machine it says why not.
    pub reach: Reach,
    /// Once it is cancelled, the gateway stops as it does on SIGTERM.
    pub stop: CancellationToken,
    /// How long that may take.
    pub drain: Duration,
}

/// Everything on the port of those who run the gateway: Admin, health, reflection, and pages for what speaks plain HTTP.
pub fn admin_routes(admin: Admin, health: HealthServer<impl Health>) -> Routes {
    let pages = pages::pages(admin.clone());
    let mut routes = Routes::new(AdminServer::new(admin)).add_service(health);
    routes = routes.add_service(
        reflection(SERVICE_NAME)
            .build_v1()
            .expect("our own descriptors can be read"),
    );
    routes = routes.add_service(
        reflection(SERVICE_NAME)
            .build_v1alpha()
            .expect("our own descriptors can be read"),
    );
    routes.into_axum_router().merge(pages).into()
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn lanes(
        &self,
        request: Request<proto::LanesRequest>,
    ) -> Result<Response<proto::LanesResponse>, Status> {
        let selection = self.selection(&request.get_ref().handler, 0, "")?;
        let lanes = self.broker.lanes(selection).await;
        let lanes = lanes.map_err(Refusal::Stopping)?;
        Ok(Response::new(proto::LanesResponse {
            lanes: lanes.into_iter().map(convert::lane).collect(),
        }))
    }

    async fn flush(
        &self,
        request: Request<proto::FlushRequest>,
    ) -> Result<Response<proto::FlushResponse>, Status> {
        let asked = request.into_inner();
        let selection = self.selection(&asked.handler, asked.action, &asked.method)?;
        let flushed = self.broker.flush(selection.clone()).await;
        let flushed = flushed.map_err(Refusal::Stopping)?;
        let (lanes, packets) = (flushed.lanes, flushed.packets);
        tracing::info!(?selection, lanes, packets, "a person flushed lanes");
        Ok(Response::new(proto::FlushResponse {
            lanes: flushed.lanes,
            packets: flushed.packets,
        }))
    }

    async fn clear(
        &self,
        request: Request<proto::ClearRequest>,
    ) -> Result<Response<proto::ClearResponse>, Status> {
        let asked = request.into_inner();
        if asked.handler.is_empty() {
            let text = "handler is empty: what is cleared is cleared by handler, so name one";
            return Err(Refusal::Invalid(text.into()).into());
        }
        let selection = self.selection(&asked.handler, asked.action, &asked.method)?;
        let clearing = self.broker.clear(selection.clone());
        let Ok(cleared) = timeout(CLEARING, clearing).await else {
            let text = format!(
                "the store has not taken all of it after {CLEARING:?}: it goes on until it has"
            );
            return Err(Refusal::Unavailable(text).into());
        };
        let cleared = cleared.map_err(Refusal::Stopping)?;
        let (packets, in_flight) = (cleared.cleared.packets, cleared.in_flight.packets);
        tracing::warn!(?selection, packets, in_flight, "a person cleared lanes");
        Ok(Response::new(proto::ClearResponse {
            cleared: Some(convert::amount(cleared.cleared)),
            in_flight: Some(convert::amount(cleared.in_flight)),
        }))
    }

    async fn dead_letters(
        &self,
        request: Request<proto::DeadLettersRequest>,
    ) -> Result<Response<proto::DeadLettersResponse>, Status> {
        Ok(Response::new(self.listed(request.into_inner()).await?))
    }

    async fn retry_dead_letters(
        &self,
        request: Request<proto::RetryDeadLettersRequest>,
    ) -> Result<Response<proto::RetryDeadLettersResponse>, Status> {
        let asked = request.into_inner();
        let decided = self.decided(Do::Retry, asked.ids, &asked.handler).await?;
        Ok(Response::new(proto::RetryDeadLettersResponse {
            retried: decided.done,
            left: decided.left,
            reasons: decided.reasons,
        }))
    }

    async fn discard_dead_letters(
        &self,
        request: Request<proto::DiscardDeadLettersRequest>,
    ) -> Result<Response<proto::DiscardDeadLettersResponse>, Status> {
        let asked = request.into_inner();
        let decided = self.decided(Do::Discard, asked.ids, &asked.handler).await?;
        Ok(Response::new(proto::DiscardDeadLettersResponse {
            discarded: decided.done,
            left: decided.left,
            reasons: decided.reasons,
        }))
    }

    async fn streams(
        &self,
        request: Request<proto::StreamsRequest>,
    ) -> Result<Response<proto::StreamsResponse>, Status> {
        let asked = request.into_inner();
        let limit = convert::page_size(asked.page_size)?;
        let after = convert::number(&asked.page_token)?;
        let view = self.hub.look_at(&*self.store, after, limit + 1);
        Ok(Response::new(convert::streams(view, limit)))
    }

    async fn backup(
        &self,
        request: Request<proto::BackupRequest>,
    ) -> Result<Response<proto::BackupResponse>, Status> {
        let directory = request.into_inner().directory;
        let Some(backups) = &self.backups else {
            let text =
                "everything is kept in memory and ends with the gateway: there is nothing to copy";
            return Err(Refusal::Unfit(text.into()).into());
        };
        let made = backups.make(Path::new(&directory)).await;
        let copied = made.map_err(|error| {
            tracing::warn!(directory, %error, "a person asked for a backup, and there is none");
            match error {
                BackupError::Place(text) => Refusal::Invalid(format!("directory {text}")),
                BackupError::Busy => Refusal::Unfit(error.to_string()),
                BackupError::Failed(_) => Refusal::Unavailable(error.to_string()),
            }
        })?;
        let (bytes, took) = (copied.bytes, copied.took);
        tracing::info!(directory, bytes, ?took, "a person had a backup made");
        Ok(Response::new(proto::BackupResponse {
            bytes,
            files: copied.files,
            took: Some(duration(took)),
        }))
    }

    async fn drain(
        &self,
        _request: Request<proto::DrainRequest>,
    ) -> Result<Response<proto::DrainResponse>, Status> {
        tracing::info!("a person asked the gateway to stop");
        // The connection lives until what is answered has gone.
        self.stop.cancel();
        Ok(Response::new(proto::DrainResponse {
            limit: Some(duration(self.drain)),
        }))
    }
}

impl Admin {
    /// Empty is any.
    fn selection(&self, handler: &str, action: i32, method: &str) -> Result<Selection, Refusal> {
        let action = convert::action(action)?;
        if !method.is_empty() && action != Some(Action::Call) {
            return Err(Refusal::Invalid(
                "method is of ACTION_CALL: say that as the action".into(),
            ));
        }
        Ok(Selection {
            handler: self.handler(handler)?,
            action,
            method: (!method.is_empty()).then(|| method.into()),
        })
    }

    fn handler(&self, name: &str) -> Result<Option<HandlerName>, Refusal> {
        if name.is_empty() {
            return Ok(None);
        }
        match self.registry.resolve(name) {
            Ok(settings) => Ok(Some(settings.name.clone())),
            Err(message) => Err(Refusal::Missing(message)),
        }
    }
}
