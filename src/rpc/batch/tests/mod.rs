use bytes::Bytes;
use prost::Message;

use super::*;
use crate::types::{Outcome, Reason};

mod random;
mod trace;

fn read(bytes: Vec<u8>) -> Result<Batch, Refusal> {
    check(&RawBatch(Bytes::from(bytes)), &Arc::default(), None, None)
}

fn sent(batch: &proto::BatchRequest) -> Result<Batch, Refusal> {
    read(batch.encode_to_vec())
}

fn create(req_id: &str) -> proto::Packet {
    proto::Packet {
        req_id: req_id.into(),
        handler: "todos".into(),
        action: proto::Action::Create.into(),
        text: vec!["buy milk".into()],
        ..proto::Packet::default()
    }
}

/// One packet as it is judged in a call with a client_id.
fn judged(packet: proto::Packet) -> (Arc<Packet>, Vec<(usize, u64)>) {
    let batch = proto::BatchRequest {
        packets: vec![packet],
        client_id: "c".into(),
        ..proto::BatchRequest::default()
    };
    let mut batch = sent(&batch).unwrap();
    (batch.request.packets.remove(0), batch.misplaced)
}

/// Why it is refused; empty: it is not.
fn refused(packet: proto::Packet) -> String {
    let (packet, _) = judged(packet);
    packet.refusal.as_ref().map_or_else(String::new, |answer| {
        assert_eq!(
            (answer.outcome, answer.reason),
            (Outcome::Rejected, Reason::InvalidPacket)
        );
        answer.message.to_string()
    })
}

fn duration(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

#[test]
fn nothing_is_an_empty_request() {
    let batch = read(Vec::new()).unwrap();
    assert!(batch.request.packets.is_empty());
    assert_eq!(batch.request.wait, limits::WAIT);
    assert_eq!(batch.request.ack, Ack::Applied);
}

#[test]
fn limits_hold_at_their_edge() {
    let packets = |count| read([0x0a, 0x00].repeat(count));
    assert_eq!(
        packets(limits::REQUEST_PACKETS)
            .unwrap()
            .request
            .packets
            .len(),
        limits::REQUEST_PACKETS
    );
    assert!(matches!(
        packets(limits::REQUEST_PACKETS + 1),
        Err(Refusal::TooMuch(_))
    ));
    assert!(matches!(
        packets(limits::REQUEST_BYTES / 2),
        Err(Refusal::TooMuch(_))
    ));
    assert!(matches!(
        read(vec![0; limits::REQUEST_BYTES + 1]),
        Err(Refusal::TooMuch(_))
    ));

    let settled = |parts, ids| {
        sent(&proto::BatchRequest {
            client_id: "c".into(),
            settled: vec![
                proto::Settled {
                    req_ids: vec!["r".into(); ids],
                    ..proto::Settled::default()
                };
                parts
            ],
            ..proto::BatchRequest::default()
        })
    };
    assert_eq!(settled(1000, 10).unwrap().request.settled.len(), 1000);
    assert!(matches!(settled(1001, 0), Err(Refusal::TooMuch(_))));
    assert!(matches!(settled(1, 10_001), Err(Refusal::TooMuch(_))));
}

#[test]
fn a_call_that_is_wrong_as_a_whole_says_what_would_be_right() {
    let base = proto::BatchRequest::default;
    let cases = [
        (
            proto::BatchRequest {
                client_id: "c".repeat(129),
                ..base()
            },
            "client_id has 129 bytes",
        ),
        (
            proto::BatchRequest {
                client_id: "é".into(),
                ..base()
            },
            "printable ASCII",
        ),
        (
            proto::BatchRequest { ack: 2, ..base() },
            "needs a client_id",
        ),
        (proto::BatchRequest { ack: 9, ..base() }, "ack 9"),
        (
            proto::BatchRequest {
                wait: duration(-1, 0),
                ..base()
            },
            "wait is -1 s",
        ),
        (
            proto::BatchRequest {
                wait: duration(60, 1),
                ..base()
            },
            "at most 60s",
        ),
        (
            proto::BatchRequest {
                settled: vec![proto::Settled::default()],
                ..base()
            },
            "give the call its client_id",
        ),
    ];
    for (batch, expected) in cases {
        match sent(&batch) {
            Err(Refusal::Invalid(message)) => assert!(message.contains(expected), "{message}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(
        sent(&proto::BatchRequest {
            wait: duration(60, 0),
            ..base()
        })
        .unwrap()
        .request
        .wait,
        limits::WAIT_MAX
    );
}

#[test]
fn the_calls_deadline_shortens_the_wait_and_never_lengthens_it() {
    let wait = |left| {
        check(&RawBatch(Bytes::new()), &Arc::default(), Some(left), None)
            .unwrap()
            .request
            .wait
    };
    assert_eq!(wait(Duration::from_secs(3)), Duration::from_secs(3));
    assert_eq!(wait(Duration::from_secs(30)), limits::WAIT);
}

#[test]
fn what_a_packet_breaks_is_said_with_its_index_and_field() {
    let header = |name: &str, value: String| [(name.to_owned(), value)].into();
    let headers = |count: usize| (0..count).map(|i| (i.to_string(), String::new())).collect();
    let file = |file: proto::File| [("photo".to_owned(), file)].into();
    let call = |method: String| proto::Packet {
        action: 7,
        method,
        ..create("a")
    };
    let cases = [
        (
            proto::Packet {
                req_id: "r".repeat(129),
                ..create("a")
            },
            "req_id has 129 bytes",
        ),
        (
            proto::Packet {
                req_id: "a\n".into(),
                ..create("a")
            },
            "req_id has the byte 0x0a",
        ),
        (
            proto::Packet {
                action: 0,
                ..create("a")
            },
            "no action",
        ),
        (
            proto::Packet {
                action: 8,
                ..create("a")
            },
            "action 8",
        ),
        (
            proto::Packet {
                data: vec!["x".into()],
                ..create("a")
            },
            "both data and text",
        ),
        (
            proto::Packet {
                text: vec![String::new(); 1001],
                ..create("a")
            },
            "1001 items",
        ),
        (
            proto::Packet {
                text: vec!["x".repeat(1_000_000)],
                ..create("a")
            },
            "at most 1000000",
        ),
        (
            proto::Packet {
                headers: headers(65),
                ..create("a")
            },
            "65 headers",
        ),
        (
            proto::Packet {
                headers: header("a", "x".repeat(16 << 10)),
                ..create("a")
            },
            "headers of 16385 bytes",
        ),
        (
            proto::Packet {
                key: "k".repeat(513),
                ..create("a")
            },
            "key has 513 bytes",
        ),
        (
            proto::Packet {
                method: "m".into(),
                ..create("a")
            },
            "only CALL",
        ),
        (call(String::new()), "CALL without method"),
        (call("m".repeat(65)), "65 characters"),
        (
            proto::Packet {
                page_size: 1001,
                ..create("a")
            },
            "page_size is 1001",
        ),
        (
            proto::Packet {
                ttl: duration(0, -1),
                ..create("a")
            },
            "ttl is 0 s and -1 ns",
        ),
        (
            proto::Packet {
                ttl: duration(i64::MAX, 0),
                ..create("a")
            },
            "ttl is",
        ),
        (
            proto::Packet {
                files: file(proto::File::default()),
                ..create("a")
            },
            "no source",
        ),
        (
            proto::Packet {
                files: file(proto::File {
                    sha256: vec![1; 31].into(),
                    ..proto::File::default()
                }),
                ..create("a")
            },
            "31 bytes",
        ),
    ];
    for (packet, expected) in cases {
        let message = refused(packet);
        assert!(
            message.starts_with("packets[0] ") && message.contains(expected),
            "{expected}: {message}"
        );
    }
}

#[test]
fn what_is_at_a_limit_is_taken() {
    let call = proto::Packet {
        action: 7,
        method: "é".repeat(64),
        ..create("a")
    };
    let headers = (0..64).map(|i| (i.to_string(), String::new())).collect();
    for packet in [
        create(&"~".repeat(128)),
        proto::Packet {
            text: vec![String::new(); 1000],
            ..create("a")
        },
        proto::Packet {
            key: "k".repeat(512),
            headers,
            page_size: 1000,
            ttl: duration(0, 0),
            ..create("a")
        },
        call,
    ] {
        assert_eq!(refused(packet), "");
    }
    let mut largest = create("");
    largest.text[0] =
        "x".repeat(limits::PACKET_BYTES - largest.encoded_len() + "buy milk".len() - 2);
    assert_eq!(largest.encoded_len(), limits::PACKET_BYTES);
    assert_eq!(refused(largest.clone()), "");
    largest.text[0].push('x');
    assert_ne!(refused(largest), "");
}

#[test]
fn a_bad_packet_is_refused_alone_and_keeps_its_place() {
    let mut packets = vec![create("a"), create("b"), create("c")];
    for (place, packet) in packets.iter_mut().enumerate() {
        packet.seq = place as u64 + 1;
    }
    packets[1].key = "k".repeat(513);
    let batch = proto::BatchRequest {
        packets,
        client_id: "c".into(),
        ..proto::BatchRequest::default()
    };
    let batch = sent(&batch).unwrap();
    let refused: Vec<bool> = batch
        .request
        .packets
        .iter()
        .map(|packet| packet.refusal.is_some())
        .collect();
    assert_eq!(refused, [false, true, false]);
    assert_eq!(batch.request.packets[1].seq, 2);
    assert!(batch.misplaced.is_empty());
}

#[test]
fn a_packet_that_has_no_place_is_told_its_seq_and_judged_without() {
    let seq = |packet| proto::Packet { seq: 5, ..packet };
    let read = proto::Packet {
        action: 2,
        text: Vec::new(),
        ..create("a")
    };
    let unordered = proto::Packet {
        unordered: true,
        ..create("a")
    };
    for packet in [seq(read), seq(unordered)] {
        let (packet, misplaced) = judged(packet);
        assert!(packet.refusal.is_some());
        assert_eq!((packet.seq, misplaced), (0, vec![(0, 5)]));
    }
    let alone = proto::BatchRequest {
        packets: vec![seq(create("a"))],
        ..proto::BatchRequest::default()
    };
    assert_eq!(sent(&alone).unwrap().misplaced, [(0, 5)]);
}

#[test]
fn text_that_is_not_text_and_bytes_that_are_no_packet_harm_nobody_else() {
    let good = proto::BatchRequest {
        packets: vec![create("a")],
        ..proto::BatchRequest::default()
    }
    .encode_to_vec();
    let not_text = [0x0a, 7, 0x3a, 1, 0xff, 0x70, 3, 0x18, 1];
    let cut = [0x0a, 2, 0x3a, 9];
    let bytes = [&good[..], &not_text, &cut, &good[..]].concat();
    let batch = read(bytes).unwrap();
    let messages: Vec<String> = batch
        .request
        .packets
        .iter()
        .map(|packet| {
            packet
                .refusal
                .as_ref()
                .map_or_else(String::new, |answer| answer.message.to_string())
        })
        .collect();
    assert_eq!(messages[0], "");
    assert!(
        messages[1].contains("packets[1] text[0] is not UTF-8"),
        "{messages:?}"
    );
    assert!(
        messages[2].contains("packets[2] cannot be read"),
        "{messages:?}"
    );
    assert_eq!(messages[3], "");
    // Its seq came behind what was wrong, and was read.
    assert_eq!(batch.misplaced, [(1, 3)]);
}

#[test]
fn what_counts_changes_the_fingerprint_and_headers_do_not() {
    let print = |packet| judged(packet).0.fingerprint;
    let base = print(create("a"));
    let file = proto::File {
        source: Some(proto::file::Source::Content("x".into())),
        ..proto::File::default()
    };
    let others = [
        create("b"),
        proto::Packet {
            handler: "todo".into(),
            ..create("a")
        },
        proto::Packet {
            action: 5,
            ..create("a")
        },
        proto::Packet {
            key: "k".into(),
            ..create("a")
        },
        proto::Packet {
            text: vec!["buy".into(), " milk".into()],
            ..create("a")
        },
        proto::Packet {
            text: Vec::new(),
            data: vec!["buy milk".into()],
            ..create("a")
        },
        proto::Packet {
            if_version: Some(0),
            ..create("a")
        },
        proto::Packet {
            files: [("f".into(), file)].into(),
            ..create("a")
        },
    ];
    for other in others {
        assert_ne!(print(other.clone()), base, "{other:?}");
    }
    let headers = [("traceparent".into(), "00-1".into())].into();
    assert_eq!(
        print(proto::Packet {
            headers,
            ..create("a")
        }),
        base
    );
}
