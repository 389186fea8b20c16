//! Which names the gateway answers to, and which pages may call it.
//!
//! A gateway on a developer's loopback is in reach of every page that their browser shows: by a call across origins, and by a
//! name of the page's own that resolves to 127.0.0.1. So without identity `Host` and `Origin` must be this machine's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use tonic::Status;
use tonic::body::Body;

use super::gate::Rule;

/// From where the gateway can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It listens on loopback: only this machine's names are its own.
    Loopback,
    /// It listens elsewhere, as it was told to: its name is anything. Pages must still be this machine's.
    Anywhere,
}

impl Rule for Reach {
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Box<Response<Body>>> {
        let Err(message) = self.check(request) else {
            return Ok(());
        };
        tracing::info!(reason = "origin", "refused a call: {message}");
        if is_grpc(request) {
            return Err(Box::new(Status::permission_denied(message).into_http()));
        }
        let mut response = Response::new(Body::new(message + "\n"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        Err(Box::new(response))
    }
}

impl Reach {
    fn check<B>(self, request: &Request<B>) -> Result<(), String> {
        for origin in request.headers().get_all(header::ORIGIN) {
            if !is_local_origin(origin) {
                return Err(format!(
                    "the page at {origin:?} may not call this gateway: pages of this machine may"
                ));
            }
        }
        if self == Self::Anywhere {
            return Ok(());
        }
        let mut named = false;
        if let Some(authority) = request.uri().authority() {
            named = true;
            if !is_local(authority.host()) {
                return Err(not_ours(authority.as_str()));
            }
        }
        for host in request.headers().get_all(header::HOST) {
            named = true;
            let authority = Authority::try_from(host.as_bytes()).ok();
            if !authority.is_some_and(|authority| is_local(authority.host())) {
                return Err(not_ours(&String::from_utf8_lossy(host.as_bytes())));
            }
        }
        if named {
            Ok(())
        } else {
            Err("the call names no host: 127.0.0.1 or localhost would be right".into())
        }
    }
}

/// The origin of a page that this machine serves.
pub(super) fn is_local_origin(origin: &HeaderValue) -> bool {
    let uri = Uri::try_from(origin.as_bytes()).ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(is_local)
    })
}

/// 127.0.0.0/8, [::1], localhost and the names below it, which resolve to nothing else.
fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = address {
        return address
            .parse()
            .is_ok_and(|address: Ipv6Addr| IpAddr::V6(address).to_canonical().is_loopback());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn not_ours(host: &str) -> String {
    format!(
        "{host:?} is not a name of this gateway: 127.0.0.1 and localhost are, until it knows who calls"
    )
}

pub(super) fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| {
        let value = value.as_bytes();
        value == b"application/grpc" || value.starts_with(b"application/grpc+")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reach::Loopback.check(&request.body(()).expect("a request"))
    }

    #[test]
    fn names_of_this_machine_are_taken() {
        for host in [
            "localhost",
            "LOCALHOST:50051",
            "app.localhost:1",
            "localhost.",
            "127.0.0.1:50051",
            "127.9.9.9",
            "[::1]:50051",
            "[::ffff:127.0.0.1]:50051",
        ] {
            assert_eq!(check("/", &[("host", host)]), Ok(()), "{host}");
            assert_eq!(check(&format!("http://{host}/x"), &[]), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "[2001:db8::1]",
            "notlocalhost",
            "user@example.com",
            "128.0.0.1",
            "0.0.0.0",
        ] {
            assert!(check("/", &[("host", host)]).is_err(), "{host}");
            assert!(check(&format!("http://{host}/x"), &[]).is_err(), "{host}");
        }
        assert!(check("/", &[("host", "localhost"), ("host", "example.com")]).is_err());
        assert!(check("http://localhost/", &[("host", "example.com")]).is_err());
        assert!(check("/", &[]).is_err());
        assert!(check("/", &[("host", "")]).is_err());
    }

    #[test]
    fn pages_of_this_machine_may_call_and_others_not() {
        let origin = |origin| check("/", &[("host", "localhost"), ("origin", origin)]);
        for ours in [
            "http://localhost:3000",
            "https://app.localhost",
            "http://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert_eq!(origin(ours), Ok(()), "{ours}");
        }
        for foreign in [
            "https://example.com",
            "null",
            "",
            "http://localhost.example.com",
            "file://",
            "ftp://localhost",
        ] {
            assert!(origin(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn elsewhere_any_name_is_taken_but_not_any_page() {
        let request = |origin| {
            let request = Request::builder().uri("/").header("host", "gateway:50051");
            request
                .header("origin", origin)
                .body(())
                .expect("a request")
        };
        assert_eq!(
            Reach::Anywhere.check(&request("http://localhost:3000")),
            Ok(())
        );
        assert!(
            Reach::Anywhere
                .check(&request("https://example.com"))
                .is_err()
        );
    }
}
