//! What packets carry of their call's trace, and that what is kept of them is taken again when it is read back.

use super::*;
use crate::types::TRACEPARENT;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a field of headers takes for its tags and lengths, with a name and a value that are short.
const FRAMING: usize = 6;

/// A packet of these bytes in a call that is traced, beside what came of the call's buffer.
fn traced(packet: &[u8]) -> (Arc<Packet>, Bytes) {
    // A field of a batch, by hand: what prost encodes repeats no name.
    let mut batch = vec![0x0a];
    prost::encode_length_delimiter(packet.len(), &mut batch).unwrap();
    batch.extend_from_slice(packet);
    let raw = RawBatch(Bytes::from(batch));
    let mut batch = check(&raw, &Arc::default(), None, Some(TRACE.into())).unwrap();
    (batch.request.packets.remove(0), raw.0)
}

/// A packet with so many headers of one name, each with a value of so many bytes.
fn repeating(name: &str, count: usize, value: usize) -> Vec<u8> {
    let header = proto::Packet {
        headers: [(name.to_owned(), "v".repeat(value))].into(),
        ..proto::Packet::default()
    };
    let mut packet = create("a").encode_to_vec();
    for _ in 0..count {
        header.encode(&mut packet).unwrap();
    }
    packet
}

/// Why what is kept of it would be refused when it is read back; and the trace that it has then.
fn read_back(packet: &Packet) -> (Option<String>, Option<String>) {
    let mut context = Context {
        has_client: false,
        index: 0,
        scratch: Vec::new(),
    };
    let kept = packet.kept();
    let again = packet::read(Span::whole(&kept), &mut context).packet;
    assert_eq!(again.fingerprint, packet.fingerprint);
    assert_eq!(again.size, packet.size);
    let refused = again.refusal.as_ref().map(|said| said.message.to_string());
    (refused, again.traceparent().map(str::to_owned))
}

#[test]
fn a_packet_carries_its_calls_trace_unless_it_has_one_of_its_own() {
    let (packet, buffer) = traced(&create("a").encode_to_vec());
    assert_eq!(packet.traceparent(), Some(TRACE));
    assert_eq!(packet.headers().count(), 1);
    assert_eq!(read_back(&packet), (None, Some(TRACE.into())));
    assert_eq!(
        packet.size,
        packet.raw.len() + TRACEPARENT.len() + TRACE.len() + FRAMING
    );
    let shared = buffer.as_ptr_range().contains(&packet.raw.as_ptr());
    assert!(shared, "its bytes are copied before it is taken");
    let (packet, _) = traced(&repeating(TRACEPARENT, 1, 3));
    assert_eq!(packet.traceparent(), Some("vvv"));
    assert_eq!(packet.kept(), packet.raw);
}

#[test]
fn what_is_taken_with_its_calls_trace_is_never_refused_when_it_is_read_back() {
    let trace = TRACEPARENT.len() + TRACE.len();
    let long = |count: usize| limits::PACKET_HEADER_BYTES / count - 1;
    let content = |bytes: usize| {
        let mut packet = create("a");
        packet.text = vec!["x".repeat(bytes)];
        packet
    };
    let rest = content(900_000).encoded_len() - 900_000;
    let largest = limits::PACKET_BYTES - rest - trace - FRAMING;
    for (what, bytes, carries) in [
        ("a header to spare", repeating("n", 63, 1), true),
        ("no header to spare", repeating("n", 64, 1), false),
        (
            "bytes of headers to spare",
            repeating("n", 8, long(8) - trace / 8 - 1),
            true,
        ),
        (
            "no bytes of headers to spare",
            repeating("n", 8, long(8) - trace / 8),
            false,
        ),
        ("bytes to spare", content(largest).encode_to_vec(), true),
        (
            "no bytes to spare",
            content(largest + 1).encode_to_vec(),
            false,
        ),
    ] {
        let (packet, _) = traced(&bytes);
        assert!(packet.refusal.is_none(), "{what}: {:?}", packet.refusal);
        assert_eq!(packet.traceparent().is_some(), carries, "{what}");
        let expected = carries.then(|| TRACE.to_owned());
        assert_eq!(read_back(&packet), (None, expected), "{what}");
    }
}
