//! What plain HTTP asks for: `/healthz`, `/readyz` and `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::Admin;

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// For those who watch over processes, who have no token, and learn nothing else. The figures of `/metrics` are for those who
/// have it.
pub const OPEN_PAGES: &[&str] = &[HEALTHZ, READYZ];

pub(super) fn pages(admin: Admin) -> Router {
    Router::new()
        .route(HEALTHZ, get(healthz))
        .route(READYZ, get(readyz))
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
