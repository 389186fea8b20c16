use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::types::{Action, Form, Outcome, Reason, Source};

fn check(bytes: Vec<u8>) -> Result<Batch, Refusal> {
    RawBatch(Bytes::from(bytes)).check(&Arc::default(), None)
}

fn sent(batch: &proto::BatchRequest) -> Result<Batch, Refusal> {
    check(batch.encode_to_vec())
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
    let batch = check(Vec::new()).unwrap();
    assert!(batch.request.packets.is_empty());
    assert_eq!(batch.request.wait, limits::WAIT);
    assert_eq!(batch.request.ack, Ack::Applied);
}

#[test]
fn limits_hold_at_their_edge() {
    let packets = |count| check([0x0a, 0x00].repeat(count));
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
        check(vec![0; limits::REQUEST_BYTES + 1]),
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
        RawBatch(Bytes::new())
            .check(&Arc::default(), Some(left))
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
    let batch = check(bytes).unwrap();
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

fn name() -> impl Strategy<Value = String> {
    "[a-z.]{0,6}"
}

fn file() -> impl Strategy<Value = proto::File> {
    let source = prop_oneof![
        any::<Vec<u8>>().prop_map(|content| proto::file::Source::Content(content.into())),
        name().prop_map(proto::file::Source::UploadId),
    ];
    (
        name(),
        name(),
        any::<u64>(),
        any::<Vec<u8>>(),
        prop::option::of(source),
    )
        .prop_map(|(name, content_type, size, sha256, source)| proto::File {
            name,
            content_type,
            size,
            sha256: sha256.into(),
            source,
        })
}

fn packet() -> impl Strategy<Value = proto::Packet> {
    let content = (
        prop::collection::vec(any::<Vec<u8>>(), 0..3),
        prop::collection::vec(any::<String>(), 0..3),
    );
    let maps = (
        prop::collection::hash_map(name(), name(), 0..3),
        prop::collection::hash_map(name(), file(), 0..3),
    );
    let numbers = (
        -1i32..9,
        prop::option::of(any::<u64>()),
        any::<u32>(),
        any::<u64>(),
        any::<bool>(),
    );
    let ttl = prop::option::of((any::<i64>(), any::<i32>()));
    (
        (name(), name(), name(), name(), name()),
        content,
        maps,
        numbers,
        ttl,
    )
        .prop_map(
            |(
                (req_id, handler, key, method, page_token),
                (data, text),
                (headers, files),
                (action, if_version, page_size, seq, unordered),
                ttl,
            )| {
                proto::Packet {
                    req_id,
                    handler,
                    action,
                    data: data.into_iter().map(Bytes::from).collect(),
                    key,
                    headers,
                    text,
                    method,
                    if_version,
                    page_size,
                    page_token,
                    ttl: ttl.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }),
                    files,
                    seq,
                    unordered,
                }
            },
        )
}

/// The same message in pieces: each field of `parts` in turn, with an unknown field between. What repeats merges.
fn shuffled(parts: &[proto::Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part.encode_to_vec());
        bytes.extend([
            0xf8, 0x07, 0x01, 0xf3, 0x07, 0x08, 0x01, 0xf4, 0x07, 0xfd, 0x07, 1, 2, 3, 4,
        ]);
    }
    bytes
}

fn agrees(packet: &Packet, expected: &proto::Packet) {
    assert_eq!(packet.req_id, expected.req_id);
    assert_eq!(packet.handler, expected.handler);
    assert_eq!(packet.key, expected.key);
    assert_eq!(packet.if_version, expected.if_version);
    assert_eq!(packet.unordered, expected.unordered);
    assert_eq!(packet.action as i32 + 1, expected.action);
    if packet.refusal.is_some() {
        return;
    }
    let (form, items) = if expected.text.is_empty() {
        (Form::Bytes, expected.data.clone())
    } else {
        (
            Form::Text,
            expected.text.iter().cloned().map(Bytes::from).collect(),
        )
    };
    assert_eq!(packet.content.items.to_vec(), items);
    assert!(items.is_empty() || packet.content.form == form);
    assert_eq!(packet.method(), expected.method);
    assert_eq!(packet.page_size(), expected.page_size);
    assert_eq!(packet.page_token(), expected.page_token);
    let headers = packet
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    assert_eq!(
        headers.collect::<std::collections::HashMap<_, _>>(),
        expected.headers
    );
    assert_eq!(
        packet.ttl.map(|ttl| ttl.as_secs()),
        expected.ttl.map(|ttl| ttl.seconds as u64)
    );
    let files = packet.more.as_ref().map_or(&[][..], |more| &more.files);
    assert_eq!(files.len(), expected.files.len());
    for (field, file) in files {
        let expected = &expected.files[&**field];
        assert_eq!(
            (&*file.name, file.size, &file.sha256),
            (&*expected.name, expected.size, &expected.sha256)
        );
        match (&file.source, &expected.source) {
            (Some(Source::Content(content)), Some(proto::file::Source::Content(expected))) => {
                assert_eq!(content, expected)
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    /// On whatever prost can read, in whatever order and however often its fields come, it reads the same.
    #[test]
    fn it_reads_what_prost_reads(parts in prop::collection::vec(packet(), 1..4)) {
        let bytes = shuffled(&parts);
        let expected = proto::Packet::decode(&bytes[..]).expect("it was encoded");
        prop_assume!((1..=7).contains(&expected.action));
        let mut batch = vec![0x12, 1, b'c', 0x0a];
        prost::encoding::encode_varint(bytes.len() as u64, &mut batch);
        batch.extend(&bytes);
        let batch = check(batch).expect("a batch");
        let packet = &batch.request.packets[0];
        let told = batch.misplaced.first().map_or(packet.seq, |(_, seq)| *seq);
        prop_assert_eq!(told, expected.seq);
        agrees(packet, &expected);
    }

    /// Packets that no rule refuses, so that every field is compared.
    #[test]
    fn it_reads_all_of_a_good_packet(part in packet(), action in prop::sample::select(vec![1, 3, 4, 5]), texts: bool) {
        let mut part = proto::Packet { action, method: String::new(), page_size: part.page_size % 1001, unordered: false, ..part };
        if texts { part.data.clear() } else { part.text.clear() }
        part.ttl = part.ttl.map(|ttl| prost_types::Duration { seconds: ttl.seconds.rem_euclid(1 << 32), nanos: ttl.nanos.rem_euclid(1_000_000_000) });
        for file in part.files.values_mut() {
            file.sha256.clear();
            file.size = 0;
            file.source = Some(proto::file::Source::Content("x".into()));
        }
        let (packet, _) = judged(part.clone());
        prop_assert!(packet.refusal.is_none(), "{:?}", packet.refusal);
        agrees(&packet, &part);
        prop_assert_eq!(Action::ALL[action as usize - 1], packet.action);
    }

    #[test]
    fn garbage_never_panics_and_prost_agrees_on_the_frame(bytes: Vec<u8>) {
        let ours = check(bytes.clone());
        if proto::BatchRequest::decode(&bytes[..]).is_ok() {
            let refused = matches!(&ours, Err(Refusal::Invalid(message)) if message.contains("not a BatchRequest"));
            prop_assert!(!refused, "{ours:?}");
        }
    }

    #[test]
    fn a_flipped_or_cut_batch_never_panics(parts in prop::collection::vec(packet(), 0..3), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = proto::BatchRequest { packets: parts, client_id: "c".into(), wait: duration(1, 0), ..proto::BatchRequest::default() }.encode_to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = check(bytes);
    }
}
