//! Whether the gateway serves, as it is told: to those who ask over gRPC, and with the reason to `/readyz`.

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as Service, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

/// The names under which it is told: the empty one stands for the process as a whole.
pub(super) const NAMES: [&str; 3] = [
    "",
    crate::wire::service::gateway_server::SERVICE_NAME,
    crate::wire::admin::admin_server::SERVICE_NAME,
];

/// Set by the canary, and by the stop. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) reporter: HealthReporter,
    /// Why it does not serve.
    trouble: watch::Sender<Option<String>>,
}

impl Health {
    pub(super) async fn serving() -> Self {
        let (reporter, trouble) = (HealthReporter::new(), watch::Sender::new(None));
        let health = Self { reporter, trouble };
        health.set(None).await;
        health
    }

    /// `None`: it serves.
    pub(super) async fn set(&self, trouble: Option<String>) {
        let status = match trouble {
            None => ServingStatus::Serving,
            Some(_) => ServingStatus::NotServing,
        };
        self.trouble.send_replace(trouble);
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    pub(super) fn service(&self) -> HealthServer<impl Service + use<>> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}
