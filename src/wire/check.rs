//! Rules that several messages of the contract share.

use std::time::Duration;

use super::reader::{Fields, Malformed, Span};
use crate::types::limits;

/// The longest time that a `google.protobuf.Duration` can say: 10 000 years.
const LONGEST: u64 = 315_576_000_000;

/// `req_id`, `client_id` and subjects: at most 128 printable ASCII characters. The error says what would be right.
pub(crate) fn id(id: &str) -> Result<(), String> {
    if id.len() > limits::ID_BYTES {
        return Err(format!(
            "has {} bytes: at most {} are taken",
            id.len(),
            limits::ID_BYTES
        ));
    }
    match id.bytes().find(|byte| !(b' '..=b'~').contains(byte)) {
        None => Ok(()),
        Some(byte) => Err(format!(
            "has the byte 0x{byte:02x}: only printable ASCII is taken"
        )),
    }
}

/// A `google.protobuf.Duration` as it is on the wire; a repeated one merges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WireDuration {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

impl WireDuration {
    pub(super) fn merge(&mut self, message: Span<'_>) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.seconds = value.varint()? as i64,
                2 => self.nanos = value.varint()? as i32,
                _ => {}
            }
        }
        Ok(())
    }

    /// The error says what would be right.
    pub(crate) fn checked(self) -> Result<Duration, String> {
        let nanos = u32::try_from(self.nanos)
            .ok()
            .filter(|nanos| *nanos < 1_000_000_000);
        let seconds = u64::try_from(self.seconds)
            .ok()
            .filter(|seconds| *seconds <= LONGEST);
        match (seconds, nanos) {
            (Some(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
            _ => Err(format!(
                "is {} s and {} ns: it must not be negative, longer than {LONGEST} s, or have nanos beyond a second",
                self.seconds, self.nanos
            )),
        }
    }
}
