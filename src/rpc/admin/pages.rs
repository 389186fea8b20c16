//! What plain HTTP asks for: `/healthz`, `/readyz` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Admin;
use crate::layers::Reach;
use crate::metrics::CONTENT_TYPE;

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// For those who watch over processes, who have no token, and learn nothing else; why it does not serve only on loopback. The figures of `/metrics` are for those who
/// have it.
pub const OPEN_PAGES: &[&str] = &[HEALTHZ, READYZ];

pub(super) fn pages(admin: Admin) -> Router {
    Router::new()
        .route(HEALTHZ, get(healthz))
        .route(READYZ, get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// The process answers: all else is asked of [`readyz`].
async fn healthz() -> &'static str {
    "alive\n"
}

/// A packet of the gateway's own went through the broker, and a commit through the store, a few seconds ago.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    let why = match (&*admin.trouble.borrow(), admin.reach) {
        (None, _) => return (StatusCode::OK, "serving\n".into()),
        (Some(why), Reach::Loopback) => format!(": {why}"),
        // It names what is inside. The log has it.
        (Some(_), Reach::Anywhere) => String::new(),
    };
    let text = format!("not serving{why}\n");
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// For Prometheus.
async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let text = admin.metrics.render().await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}
