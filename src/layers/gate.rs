//! The one thin service around the decisions: a request goes on, or is answered here.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A decision about a request: synchronous, and the same for the same request and state.
pub(super) trait Rule {
    /// May add to the request. The error is its answer.
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Box<Response<Body>>>;
}

/// A rule in front of a service.
#[derive(Debug, Clone)]
pub(super) struct Gate<R, S> {
    rule: R,
    inner: S,
}

impl<R, S> Gate<R, S> {
    pub(super) fn new(rule: R, inner: S) -> Self {
        Self { rule, inner }
    }
}

impl<R, S> Service<Request<Body>> for Gate<R, S>
where
    R: Rule,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.rule.admit(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(answer) => Either::Right(ready(Ok(*answer))),
        }
    }
}
