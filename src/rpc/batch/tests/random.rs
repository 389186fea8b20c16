//! On random bytes: what prost reads is read the same, and nothing panics.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::super::*;
use super::{duration, judged, read};
use crate::types::{Action, Form, Source};

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
    assert_eq!(**packet.method(), *expected.method);
    assert_eq!(packet.page_size(), expected.page_size);
    assert_eq!(packet.page_token(), expected.page_token);
    let headers = packet
        .headers()
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
        let batch = read(batch).expect("a batch");
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
        let ours = read(bytes.clone());
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
        let _ = read(bytes);
    }
}
