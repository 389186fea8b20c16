//! What every call passes on its way in. Each is a plain decision in its own file, and a thin service around it.

mod gate;
mod identity;
mod origin;
mod refusals;
mod slots;
mod token;
mod web;

use std::convert::Infallible;
use std::time::Duration;

use http::{HeaderName, Method, Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::util::MapResponse;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, CorsLayer};

use gate::Gate;
pub use origin::Reach;
pub(crate) use slots::Slot;
use slots::Slots;
pub use token::NeedsToken;
use web::ForWeb;

/// The layers around the services, from the innermost to the outermost.
pub fn around(
    routes: Routes,
    reach: Reach,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    // Counts streams by subject, so it comes after who that is.
    let service = Gate::new(Slots::default(), routes);
    // Rights are judged by the services: they find the caller in the request.
    let service = Gate::new(identity::Believed, service);
    // Sees the statuses that tonic gives before a method runs, as well as those of the gates.
    let service = MapResponse::new(service, refusals::translate as fn(_) -> _);
    // From here on inwards everything is plain gRPC: what is refused inside is told to a browser as its own kind of trailer.
    let web = GrpcWebLayer::new().layer(service.clone());
    // Before gRPC-Web, which knows no preflight; its headers go on every answer, or the page could not read it.
    let web = cors().layer(web);
    // What comes from no browser skips both: headers that nobody reads cost a tenth of a small call.
    let service = ForWeb::new(web, service);
    // First of all: a foreign page learns nothing, not even what it would be allowed.
    Gate::new(reach, service)
}

/// The layers around what those call who run the gateway. No page calls it, so there is no gRPC-Web.
pub fn around_admin(
    routes: Routes,
    reach: Reach,
    token: NeedsToken,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let service = MapResponse::new(routes, refusals::translate as fn(_) -> _);
    let service = Gate::new(token, service);
    // First of all, as on the port of clients.
    Gate::new(reach, service)
}

/// For pages of this machine; nobody else gets past [`Reach`].
fn cors() -> CorsLayer {
    const REQUEST: [&str; 9] = [
        "content-type",
        "x-grpc-web",
        "x-user-agent",
        "grpc-timeout",
        "grpc-encoding",
        "grpc-accept-encoding",
        "authorization",
        "traceparent",
        identity::SUBJECT,
    ];
    const RESPONSE: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| {
            origin::is_local_origin(origin)
        }))
        .allow_methods([Method::POST])
        .allow_headers(REQUEST.map(HeaderName::from_static))
        .expose_headers(RESPONSE.map(HeaderName::from_static))
        // As long as browsers keep it at most: each preflight is a round trip before a call.
        .max_age(Duration::from_secs(2 * 3600))
}
