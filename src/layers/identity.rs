//! Who is calling. Without identity a caller is believed: on loopback it is their own machine.

use std::sync::Arc;

use bytestring::ByteString;
use http::{HeaderMap, Request, Response};
use tonic::Status;
use tonic::body::Body;

use super::gate::Rule;
use crate::types::Principal;
use crate::wire::check_id;

/// The metadata that names the caller.
pub(super) const SUBJECT: &str = "tidegate-subject";

/// Puts an `Arc<Principal>` into every request.
#[derive(Debug, Clone)]
pub(super) struct Believed;

impl Rule for Believed {
    fn admit(&self, request: &mut Request<Body>) -> Result<(), Box<Response<Body>>> {
        let principal = principal(request.headers()).map_err(|message| {
            tracing::info!(reason = "subject", "refused a call: {message}");
            Box::new(Status::invalid_argument(message).into_http())
        })?;
        request.extensions_mut().insert(Arc::new(principal));
        Ok(())
    }
}

fn principal(headers: &HeaderMap) -> Result<Principal, String> {
    let mut subjects = headers.get_all(SUBJECT).iter();
    let Some(subject) = subjects.next() else {
        return Ok(Principal::default());
    };
    if subjects.next().is_some() {
        return Err(format!(
            "{SUBJECT} is there twice: one call has one subject"
        ));
    }
    let subject = subject
        .to_str()
        .map_err(|_| format!("{SUBJECT} has a byte that is not printable ASCII"))?;
    check_id(subject).map_err(|error| format!("{SUBJECT} {error}"))?;
    Ok(Principal {
        subject: ByteString::from(subject),
        ..Principal::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(values: &[&[u8]]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = http::HeaderValue::from_bytes(value).expect("a header value");
            headers.append(SUBJECT, value);
        }
        principal(&headers).map(|principal| principal.subject.to_string())
    }

    #[test]
    fn a_subject_is_believed_if_it_can_be_one() {
        assert_eq!(subject(&[]), Ok(String::new()));
        assert_eq!(subject(&[b"ann@example.com"]), Ok("ann@example.com".into()));
        assert_eq!(subject(&[&[b'a'; 128]]), Ok("a".repeat(128)));
        assert!(
            subject(&[&[b'a'; 129]])
                .unwrap_err()
                .contains("at most 128")
        );
        assert!(subject(&["é".as_bytes()]).is_err());
        assert!(subject(&[b"ann", b"bob"]).unwrap_err().contains("twice"));
    }
}
