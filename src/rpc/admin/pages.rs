//! What plain HTTP asks for: `/healthz`, `/readyz` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Admin;
use crate::metrics::CONTENT_TYPE;

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// For those who watch over processes, who have no token, and learn nothing else. The figures of `/metrics` are for those who
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
    match &*admin.trouble.borrow() {
        None => (StatusCode::OK, "serving\n".into()),
        Some(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not serving: {why}\n"),
        ),
    }
}

/// For Prometheus.
async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let text = admin.metrics.render().await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
}
