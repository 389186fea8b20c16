//! The port of those who run a gateway: what it answers without its token, and with it.

use std::net::SocketAddr;

use tidegate::wire::admin::admin_client::AdminClient;
use tidegate::wire::proto::{DrainRequest, LanesRequest};
use tokio::process::Command;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{PATIENCE, stderr};
use crate::support::{ADMIN_TOKEN, Gateway, Notes, Wire, gateway};

/// With this token, in the form that gRPC has for it.
fn with<T>(token: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
    }
    request
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

async fn lanes(gateway: &Gateway, token: Option<&str>) -> Result<usize, Status> {
    let mut client = AdminClient::new(channel(gateway.admin()).await);
    let lanes = client.lanes(with(token, LanesRequest::default())).await?;
    Ok(lanes.into_inner().lanes.len())
}

#[tokio::test]
async fn only_a_question_for_health_is_answered_without_the_token() {
    let gateway = gateway().start().await;
    assert!(lanes(&gateway, Some(ADMIN_TOKEN)).await.is_ok());
    for wrong in [None, Some("another-token-of-others")] {
        let refused = lanes(&gateway, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("TIDEGATE_ADMIN__TOKEN"));
    }
    let mut admin = AdminClient::new(channel(gateway.admin()).await);
    let refused = admin.drain(DrainRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut health = HealthClient::new(channel(gateway.admin()).await);
    for service in ["", "tidegate.v1.Gateway", "tidegate.v1.Admin"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1);
    }
    let refused = health.watch(HealthCheckRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    // Clients have another port, where Admin is not.
    let mut there = AdminClient::new(gateway.channel().await);
    let request = with(Some(ADMIN_TOKEN), LanesRequest::default());
    let absent = there.lanes(request).await.unwrap_err();
    assert_eq!(absent.code(), Code::Unimplemented);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn reflection_needs_the_token_and_lets_grpcurl_call_admin() {
    let gateway = gateway().start().await;
    let address = gateway.admin().to_string();
    let token = format!("authorization: Bearer {ADMIN_TOKEN}");
    let grpcurl = async |arguments: &[&str]| {
        let output = Command::new("grpcurl")
            .arg("-plaintext")
            .args(arguments)
            .output();
        output.await.expect("make tools installs it")
    };
    let list = grpcurl(&["-H", &token, &address, "list"]).await;
    let listed = String::from_utf8(list.stdout).unwrap();
    assert!(listed.contains("tidegate.v1.Admin"), "{listed}");
    assert!(!listed.contains("tidegate.v1.Gateway"), "{listed}");
    let refused = grpcurl(&[&address, "list"]).await;
    assert!(!refused.status.success());
    let streams = grpcurl(&["-H", &token, &address, "tidegate.v1.Admin/Streams"]).await;
    assert!(streams.status.success(), "{}", stderr(&streams));
    gateway.stop().await.unwrap();
}

pub(super) async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> (u16, String) {
    let host = format!("host: {address}");
    let headers = match headers.iter().any(|line| line.starts_with("host:")) {
        true => headers.to_vec(),
        false => [&[host.as_str()], headers].concat(),
    };
    let request = format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
    let mut wire = Wire::open(address).await;
    wire.send(request.as_bytes()).await;
    let answer = timeout(PATIENCE, wire.answer()).await.unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn pages_say_that_it_lives_and_serves_and_what_it_does() {
    let notes = Notes::default();
    let gateway = gateway().handler("h", notes).start().await;
    let address = gateway.admin();
    assert_eq!(get(address, "/healthz", &[]).await, (200, "alive\n".into()));
    assert_eq!(
        get(address, "/readyz", &[]).await,
        (200, "serving\n".into())
    );
    for path in ["/metrics", "/", "/tidegate.v1.Admin/Lanes"] {
        let (status, text) = get(address, path, &[]).await;
        assert_eq!(status, 401, "{path}");
        assert!(text.contains("authorization: Bearer"), "{text}");
    }
    let token = format!("authorization: Bearer {ADMIN_TOKEN}");
    let (status, text) = get(address, "/metrics", &[&token]).await;
    assert_eq!(status, 200);
    assert!(text.contains("# TYPE tidegate_lanes gauge"), "{text}");
    // A page that has the gateway's name resolve to this machine gets nothing, whatever it knows.
    for foreign in ["host: gateway.example", "origin: https://example.com"] {
        for path in ["/healthz", "/metrics"] {
            assert_eq!(
                get(address, path, &[&token, foreign]).await.0,
                403,
                "{foreign}"
            );
        }
    }
    gateway.stop().await.unwrap();
}
