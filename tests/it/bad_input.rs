//! Calls that are wrong as a whole, and ports that are not there: each gets its status or a clear message.

use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use tidegate::app::{App, BuildError};
use tidegate::config::Config;
use tidegate::handler::{Batch, CallError, Handled, Handler};
use tidegate::types::Action;
use tidegate_client::proto::{self, BatchRequest, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request, Status};

use crate::support::{Wire, gateway, post};

async fn events(gateway: &crate::support::Gateway, request: proto::EventsRequest) -> Status {
    gateway.bare().await.events(request).await.unwrap_err()
}

#[tokio::test]
async fn truncated_and_garbage_frames_over_http_1() {
    let gateway = gateway().start().await;
    let cases: [(&[u8], i32); 6] = [
        // No frame at all, a frame cut in its head, and one cut in its message.
        (b"", 3),
        (&[0, 0, 0], 3),
        (&[0, 0, 0, 0, 9, 1], 3),
        // A flag that is none, and a length beyond every limit.
        (&[7, 0, 0, 0, 0], 3),
        (&[0, 0xff, 0xff, 0xff, 0xff], 8),
        // A frame around what is no message.
        (&[0, 0, 0, 0, 2, 0x0a, 0x09], 3),
    ];
    for (body, expected) in cases {
        let mut wire = Wire::open(gateway.address()).await;
        wire.send(&post(gateway.address(), "Sync", &[], body)).await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.grpc_status()),
            (200, expected),
            "{body:?}: {answer:?}"
        );
    }
    // What is no HTTP, and a request that is never finished, end their own connection only.
    let mut garbage = Wire::open(gateway.address()).await;
    garbage.send(b"\x00\x01\x02 not http\r\n\r\n").await;
    let mut cut = Wire::open(gateway.address()).await;
    cut.send(&post(gateway.address(), "Sync", &[], &[0; 100])[..120])
        .await;
    cut.shut().await;
    gateway
        .bare()
        .await
        .info(proto::InfoRequest {})
        .await
        .unwrap();
}

#[tokio::test]
async fn garbage_and_too_much_over_http_2() {
    let gateway = gateway().start().await;
    for (message, expected) in [
        (vec![0x0a, 0x09], Code::InvalidArgument),
        (vec![0xff; 64], Code::InvalidArgument),
        // 4 MiB of empty packets are counted, not built; one byte more is not read.
        ([0x0a, 0x00].repeat(2 << 20), Code::ResourceExhausted),
        (vec![0; (4 << 20) + 1], Code::ResourceExhausted),
    ] {
        let status = raw(&gateway, "/tidegate.v1.Gateway/Sync", message)
            .await
            .unwrap_err();
        assert_eq!(status.code(), expected, "{status:?}");
        assert!(!status.message().is_empty());
    }
    let patterns = raw(
        &gateway,
        "/tidegate.v1.Gateway/Events",
        [0x12, 0x00].repeat(1 << 20),
    )
    .await;
    assert_eq!(patterns.unwrap_err().code(), Code::ResourceExhausted);
}

/// Sends these bytes as the message.
async fn raw(
    gateway: &crate::support::Gateway,
    path: &'static str,
    message: Vec<u8>,
) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(gateway.channel().await);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(message), path, Raw)
        .await
        .map(|_| ())
}

/// Bytes as they are.
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(
        &mut self,
        item: Vec<u8>,
        buffer: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, Status> {
        let rest = bytes::Buf::remaining(buffer);
        bytes::Buf::advance(buffer, rest);
        Ok(Some(()))
    }
}

#[tokio::test]
async fn a_name_that_is_not_configured_is_refused_and_what_stands_beside_it_is_done() {
    let gateway = gateway()
        .config("[handlers.orders]\nkind = \"records\"")
        .start()
        .await;
    let client = gateway.client().await;
    let packets = ["orders", "todos", "echo", "topics"].map(|name| Packet::list(name, "a"));
    let answer = client.sync(BatchRequest::of(packets)).await.unwrap();
    let unknown = proto::Reason::UnknownHandler as i32;
    let reasons = answer.results.iter().map(|result| result.reason == unknown);
    assert_eq!(reasons.collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(answer.results[0].outcome, proto::Outcome::Ok as i32);
}

/// Takes what it is given and never answers.
#[derive(Debug)]
struct Silent;

impl Handler for Silent {
    fn handle(&self, _: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        Box::pin(std::future::pending())
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

#[tokio::test]
async fn a_call_is_answered_before_its_own_deadline() {
    // What the handler has never ends, so the stop is not waited for.
    let gateway = gateway().handler("silent", Silent).start().await;
    let mut request = Request::new(BatchRequest::of([
        Packet::create("silent").text("lost"),
        Packet::create("echo").text("heard"),
    ]));
    request.set_timeout(std::time::Duration::from_millis(500));
    let answer = gateway
        .bare()
        .await
        .sync(request)
        .await
        .unwrap()
        .into_inner();
    let outcomes: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.outcome())
        .collect();
    assert_eq!(outcomes, [proto::Outcome::InDoubt, proto::Outcome::Ok]);
}

#[tokio::test]
async fn a_stream_that_cannot_be_says_why() {
    let gateway = gateway().start().await;
    let on = |topic: &str| proto::EventsRequest {
        topics: vec![topic.into()],
        ..proto::EventsRequest::default()
    };
    let cases = [
        (
            proto::EventsRequest::default(),
            Code::InvalidArgument,
            "nothing",
        ),
        (on("a..b"), Code::InvalidArgument, "topics[0]"),
        (on("@user.bob"), Code::PermissionDenied, "topics[0]"),
        (on("@system"), Code::PermissionDenied, "topics[0]"),
        (
            proto::EventsRequest {
                topics: vec!["a".into(); 129],
                ..on("a")
            },
            Code::ResourceExhausted,
            "129",
        ),
        (
            proto::EventsRequest {
                cursor: "not a cursor".into(),
                ..on("a")
            },
            Code::InvalidArgument,
            "cursor",
        ),
        (
            proto::EventsRequest {
                cursor: "c".repeat(513),
                ..on("a")
            },
            Code::InvalidArgument,
            "513",
        ),
        (
            proto::EventsRequest {
                client_id: "c".repeat(129),
                ..on("a")
            },
            Code::InvalidArgument,
            "client_id",
        ),
        (
            proto::EventsRequest {
                start: 3,
                last: 1,
                ..on("a")
            },
            Code::InvalidArgument,
            "start and last",
        ),
    ];
    for (request, code, word) in cases {
        let status = events(&gateway, request).await;
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(word), "{word}: {status:?}");
    }
}

#[tokio::test]
async fn a_subject_has_so_many_streams_and_gets_them_back() {
    let gateway = gateway().start().await;
    let mut client = gateway.bare().await;
    let ask = || {
        let mut request = Request::new(proto::EventsRequest {
            topics: vec!["@me".into()],
            ..proto::EventsRequest::default()
        });
        request
            .metadata_mut()
            .insert("tidegate-subject", "ann".parse().unwrap());
        request
    };
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(client.events(ask()).await.unwrap().into_inner());
    }
    let status = client.events(ask()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    streams.pop();
    // The gateway learns that a stream is gone when its reset arrives, which is before any later call on the connection.
    client.events(ask()).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_and_an_exposed_one_are_told_before_anything_runs() {
    let gateway = gateway().start().await;
    let listen = |listen| {
        let mut config = Config {
            listen,
            ..Config::default()
        };
        config.admin.listen.set_port(0);
        config
    };
    let taken = App::build(listen(gateway.address()), Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(taken, BuildError::Listen(..)));
    assert!(
        taken.to_string().contains("another process has this port"),
        "{taken}"
    );
    let exposed = App::build(listen(([0, 0, 0, 0], 0).into()), Vec::new())
        .await
        .unwrap_err();
    assert!(exposed.to_string().contains("--insecure"), "{exposed}");
}

#[tokio::test]
async fn a_gateway_that_stops_lets_go_of_its_port() {
    let gateway = gateway().start().await;
    let address = gateway.address();
    let mut client = gateway.bare().await;
    let request = proto::EventsRequest {
        topics: vec!["a".into()],
        ..proto::EventsRequest::default()
    };
    let mut stream = client.events(request).await.unwrap().into_inner();
    let told = tokio::spawn(async move {
        let mut last = None;
        while let Some(event) = stream.message().await.unwrap() {
            last = event.event;
        }
        last
    });
    drop(client);
    gateway.stop().await.unwrap();
    assert!(matches!(
        told.await.unwrap(),
        Some(proto::event::Event::GoAway(_))
    ));
    drop(std::net::TcpListener::bind(address).unwrap());
}

#[tokio::test]
async fn names_that_are_too_long_do_not_crowd_out_the_answers() {
    let gateway = gateway().start().await;
    let long = |fill: char| fill.to_string().repeat(990_000 / fill.len_utf8());
    let named = |handler: String, req_id: String| Packet {
        handler,
        req_id,
        action: proto::Action::Create.into(),
        ..Packet::default()
    };
    let packets = vec![
        named(long('h'), String::new()),
        named("todos".into(), long('r')),
        named(long('\u{1}'), String::new()),
        named(long('ü'), String::new()),
    ];
    let request = BatchRequest {
        packets,
        ..BatchRequest::default()
    };
    let answer = gateway.bare().await.sync(request).await.unwrap();
    let results = answer.into_inner().results;
    use proto::Reason::{InvalidPacket, UnknownHandler};
    let reasons: Vec<_> = results.iter().map(proto::PacketResult::reason).collect();
    assert_eq!(
        reasons,
        [
            UnknownHandler,
            InvalidPacket,
            UnknownHandler,
            UnknownHandler
        ]
    );
}

#[tokio::test]
async fn large_results_leave_room_for_every_other_outcome() {
    let gateway = gateway().start().await;
    let mut client = gateway.bare().await;
    let put = Packet {
        handler: "docs".into(),
        action: proto::Action::Put.into(),
        key: "k".into(),
        data: vec![vec![7; 999_000].into()],
        ..Packet::default()
    };
    let one = BatchRequest {
        packets: vec![put],
        ..BatchRequest::default()
    };
    client.sync(one).await.unwrap();
    let read = Packet {
        handler: "docs".into(),
        action: proto::Action::Read.into(),
        key: "k".into(),
        ..Packet::default()
    };
    let mut packets = vec![read; 3];
    // Two actions: a lane takes half of its bound from one subject.
    for action in [proto::Action::Create, proto::Action::Update] {
        let named = |at| Packet {
            handler: "echo".into(),
            action: action.into(),
            req_id: format!("{at:0128}"),
            ..Packet::default()
        };
        packets.extend((0..4_900).map(named));
    }
    let request = BatchRequest {
        packets,
        ..BatchRequest::default()
    };
    let answer = client.sync(request).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 9_803);
    let ok = |result: &proto::PacketResult| result.outcome() == proto::Outcome::Ok;
    assert!(answer.results[3..].iter().all(ok));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_hold_up_a_stop() {
    let gateway = gateway().start().await;
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    // The preface of HTTP/2 and an empty SETTINGS frame, and then silence.
    peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // The gateway's own SETTINGS: it knows of the connection now.
    peer.read_exact(&mut [0; 9]).await.unwrap();
    gateway
        .stop()
        .await
        .expect("well before the 30 s of a drain");
}

#[test]
fn wrong_usage_ends_with_64_and_says_what_would_be_right() {
    for (arguments, said) in [
        (
            &["--listen", "localhost:50062"][..],
            "an IP address and a port would be right, as 127.0.0.1:50051",
        ),
        (&["serve", "--listen", "50062"], "as 127.0.0.1:50051"),
        (&["--liste"], "--listen"),
        (
            &["--config", "none.toml", "serve"],
            "none.toml cannot be read",
        ),
        (&["--insecure", "bench"], "before `bench`"),
    ] {
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
}
