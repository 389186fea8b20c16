//! Parts what browsers send from plain gRPC.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, Request, Response, Version};
use tonic::body::Body;
use tower::Service;

/// One service for browsers and their kind, another for plain gRPC.
#[derive(Debug, Clone)]
pub(super) struct ForWeb<W, P> {
    web: W,
    plain: P,
}

impl<W, P> ForWeb<W, P> {
    pub(super) fn new(web: W, plain: P) -> Self {
        Self { web, plain }
    }
}

impl<W, P> Service<Request<Body>> for ForWeb<W, P>
where
    W: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    P: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<W::Future, P::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.web.poll_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        self.plain.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_plain(request.version(), request.headers()) {
            Either::Right(self.plain.call(request))
        } else {
            Either::Left(self.web.call(request))
        }
    }
}

/// gRPC over HTTP/2 that no page sent. Everything else gets the answer that a browser understands.
fn is_plain(version: Version, headers: &HeaderMap) -> bool {
    let grpc = |kind: &[u8]| kind == b"application/grpc" || kind.starts_with(b"application/grpc+");
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    version == Version::HTTP_2 && kind.is_some_and(grpc) && !headers.contains_key(ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_grpc_over_http2_without_a_page_is_plain() {
        let grpc = headers(&[("content-type", "application/grpc")]);
        assert!(is_plain(Version::HTTP_2, &grpc));
        assert!(!is_plain(Version::HTTP_11, &grpc));
        let proto = headers(&[("content-type", "application/grpc+proto")]);
        assert!(is_plain(Version::HTTP_2, &proto));
        let web = headers(&[("content-type", "application/grpc-web+proto")]);
        assert!(!is_plain(Version::HTTP_2, &web));
        let page = [
            ("content-type", "application/grpc"),
            ("origin", "http://localhost"),
        ];
        assert!(!is_plain(Version::HTTP_2, &headers(&page)));
        assert!(!is_plain(Version::HTTP_2, &HeaderMap::new()));
    }
}
