//! Whether those who come to the port of those who run the gateway have its token.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tonic::Status;
use tonic::body::Body;

use super::gate::Rule;
use super::origin::is_grpc;
use crate::types::Token;

/// How the token is sent: the word counts in any case.
const SCHEME: &str = "bearer ";

/// Whoever watches over processes has no token, and learns only whether this one serves. By asking again and again: a `Watch`
/// would stay open for anybody.
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What is asked of every request, but of those to the open paths.
#[derive(Debug, Clone)]
pub struct NeedsToken {
    /// For each request the same, so it is shared.
    pub token: Arc<Token>,
    /// Where it is found, for who has not got it. `None`: that is not for everybody who comes here.
    pub found: Option<Arc<str>>,
    /// Pages that are for everyone.
    pub open: &'static [&'static str],
}

impl Rule for NeedsToken {
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Box<Response<Body>>> {
        let path = request.uri().path();
        if self.open.contains(&path) || path == HEALTH {
            return Ok(());
        }
        let Err(problem) = self.check(request.headers()) else {
            return Ok(());
        };
        let mut message = format!("{problem}: send the metadata `authorization: Bearer <token>`");
        if let Some(found) = &self.found {
            message += "; ";
            message += found;
        }
        tracing::info!(reason = "token", path, "refused a call: {problem}");
        if is_grpc(request) {
            return Err(Box::new(Status::unauthenticated(message).into_http()));
        }
        let mut response = Response::new(Body::new(message + "\n"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, text);
        let scheme = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
        Err(Box::new(response))
    }
}

impl NeedsToken {
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let mut said = headers.get_all(header::AUTHORIZATION).iter();
        let (first, second) = (said.next(), said.next());
        let Some(first) = first else {
            return Err("no token");
        };
        let bytes = first.as_bytes();
        let token = bytes.split_at_checked(SCHEME.len());
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()));
        match token {
            Some((_, token)) if second.is_none() && self.token.is(token) => Ok(()),
            _ => Err("not the token of this gateway"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn rule() -> NeedsToken {
        NeedsToken {
            token: Arc::new(Token::new(TOKEN).expect("a token")),
            found: Some("it is under the mat".into()),
            open: &["/healthz"],
        }
    }

    fn admits(path: &str, said: &[&str]) -> bool {
        let mut request = Request::builder().uri(path);
        for said in said {
            request = request.header("authorization", *said);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        rule().admit(&mut request).is_ok()
    }

    #[test]
    fn only_the_token_opens() {
        let admin = "/tidegate.v1.Admin/Lanes";
        let right = format!("Bearer {TOKEN}");
        assert!(admits(admin, &[&right]));
        assert!(admits(admin, &[&format!("bearer {TOKEN}")]));
        for wrong in [
            &[][..],
            &[""],
            &["Bearer "],
            &[TOKEN],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdeg"],
            &["Bearer 0123456789abcdef "],
            &["Basic 0123456789abcdef"],
            &[&right, "Bearer another"],
            &[&right, &right],
        ] {
            assert!(!admits(admin, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_open_is_named() {
        for path in ["/healthz", "/grpc.health.v1.Health/Check"] {
            assert!(admits(path, &[]), "{path}");
        }
        for path in [
            "/",
            "/healthz/",
            "/metrics",
            "/grpc.health.v1.Health/Watch",
            "/grpc.health.v1.Health/Check/",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/tidegate.v1.Admin/Drain",
        ] {
            assert!(!admits(path, &[]), "{path}");
        }
    }

    fn refusal(rule: &NeedsToken, kind: &str) -> Response<Body> {
        let request = Request::builder().uri("/").header("content-type", kind);
        let mut request = request.body(Body::empty()).expect("a request");
        *rule.admit(&mut request).expect_err("no token")
    }

    #[test]
    fn the_answer_says_where_it_is_found_where_that_is_for_everybody() {
        let silent = NeedsToken {
            found: None,
            ..rule()
        };
        for (rule, end) in [
            (rule(), "<token>`; it is under the mat"),
            (silent, "<token>`"),
        ] {
            let refused = refusal(&rule, "application/grpc");
            let status = Status::from_header_map(refused.headers()).expect("a status");
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
            assert!(status.message().ends_with(end), "{status}");
            assert_eq!(refusal(&rule, "text/html").status(), 401);
        }
    }
}
