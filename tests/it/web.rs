//! gRPC-Web by hand over HTTP/1.1, and who may call.

use tidegate_client::proto;
use tidegate_client::proto::event::Event as Kind;

use crate::support::{Answer, Wire, frame, frames, gateway, post};

const ORIGIN: &str = "origin: http://localhost:3000";

fn milk() -> Vec<u8> {
    let packet = proto::Packet {
        handler: "echo".into(),
        action: proto::Action::Create.into(),
        text: vec!["buy milk".into()],
        ..proto::Packet::default()
    };
    frame(&proto::BatchRequest {
        packets: vec![packet],
        ..proto::BatchRequest::default()
    })
}

fn echoed(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.grpc_status()),
        (200, 0),
        "{answer:?}"
    );
    let response: proto::BatchResponse = answer.message();
    assert_eq!(response.results[0].text, ["buy milk"]);
}

#[tokio::test]
async fn shows_2_8_grpc_web_by_hand_split_at_every_byte() {
    let gateway = gateway().start().await;
    let request = post(gateway.address(), "Sync", &[ORIGIN], &milk());
    let mut wire = Wire::open(gateway.address()).await;
    for at in 0..=request.len() {
        wire.send_split(&request, at).await;
        let answer = wire.answer().await;
        echoed(&answer);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("http://localhost:3000")
        );
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(
            exposed.contains("grpc-status") && exposed.contains("grpc-message"),
            "{exposed}"
        );
    }
    drop(wire);
    gateway.stop().await.unwrap();
    println!(
        "SHOWS 2.8 {} splits of one unary call over one HTTP/1.1 connection",
        request.len() + 1
    );
}

#[tokio::test]
async fn shows_2_8_grpc_web_streams_by_hand() {
    let gateway = gateway().start().await;
    let request = frame(&proto::EventsRequest {
        topics: vec!["chat.>".into()],
        ..proto::EventsRequest::default()
    });
    let mut stream = Wire::open(gateway.address()).await;
    stream
        .send_split(&post(gateway.address(), "Events", &[ORIGIN], &request), 150)
        .await;
    assert_eq!(stream.head().await.status, 200);
    assert!(matches!(next(&mut stream).await, Kind::Connected(_)));

    let publication = proto::Packet {
        handler: "topics".into(),
        action: proto::Action::Create.into(),
        key: "chat.kitchen".into(),
        text: vec!["hello".into()],
        ..proto::Packet::default()
    };
    let publication = proto::BatchRequest {
        packets: vec![publication],
        ..proto::BatchRequest::default()
    };
    let mut publisher = Wire::open(gateway.address()).await;
    publisher
        .send(&post(gateway.address(), "Sync", &[], &frame(&publication)))
        .await;
    assert_eq!(publisher.answer().await.grpc_status(), 0);
    match next(&mut stream).await {
        Kind::Message(message) => {
            assert_eq!((&*message.topic, &*message.text), ("chat.kitchen", "hello"))
        }
        other => panic!("{other:?}"),
    }
    drop((stream, publisher));
    gateway.stop().await.unwrap();
}

/// The next event of a stream whose frames come in chunks.
async fn next(stream: &mut Wire) -> Kind {
    let mut body = Vec::new();
    loop {
        body.extend(stream.chunk().await);
        let (frames, rest) = frames(&body);
        if let (Some((0, message)), 0) = (frames.first(), rest) {
            let event: proto::Event = prost::Message::decode(&message[..]).unwrap();
            return event.event.unwrap();
        }
    }
}

#[tokio::test]
async fn shows_2_8_a_preflight_is_answered_for_pages_of_this_machine_only() {
    let gateway = gateway().start().await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /tidegate.v1.Gateway/Sync HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\n\
             access-control-request-headers: content-type,x-grpc-web,tidegate-subject,grpc-timeout\r\n\r\n",
            gateway.address()
        )
    };
    let mut wire = Wire::open(gateway.address()).await;
    wire.send(preflight("http://localhost:3000").as_bytes())
        .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    let allowed = answer.header("access-control-allow-headers").unwrap();
    for header in [
        "content-type",
        "x-grpc-web",
        "x-user-agent",
        "tidegate-subject",
        "grpc-timeout",
    ] {
        assert!(allowed.contains(header), "{header} is not in {allowed}");
    }
    wire.send(preflight("https://example.com").as_bytes()).await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (403, None)
    );
}

#[tokio::test]
async fn a_foreign_page_or_name_is_refused_over_http() {
    let gateway = gateway().start().await;
    let mut wire = Wire::open(gateway.address()).await;
    wire.send(&post(
        gateway.address(),
        "Sync",
        &["origin: https://example.com"],
        &milk(),
    ))
    .await;
    assert_eq!(wire.answer().await.status, 403);

    let own = format!("host: {}", gateway.address());
    let request = String::from_utf8(post(gateway.address(), "Sync", &[], b"")).unwrap();
    let rebound = request.replace(&own, "host: example.com:50051");
    let mut wire = Wire::open(gateway.address()).await;
    wire.send(rebound.as_bytes()).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 403);
    assert!(String::from_utf8_lossy(&answer.body).contains("example.com"));
}

#[tokio::test]
async fn a_foreign_name_is_refused_over_grpc() {
    let gateway = gateway().start().await;
    let endpoint = tonic::transport::Channel::from_shared(gateway.uri()).unwrap();
    let endpoint = endpoint.origin("http://example.com".parse().unwrap());
    let channel = endpoint.connect().await.unwrap();
    let mut client = proto::gateway_client::GatewayClient::new(channel);
    let status = client.info(proto::InfoRequest {}).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
}
