//! How what is kept is written: numbers by seven bits a byte, everything else with its length.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::types::{Form, Record};

/// Writes at the end of a buffer.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// As a copy of just its size: a buffer that is shrunk leaves a hole beside it, where nothing of its like fits, and that
    /// was a quarter of what a small message held.
    pub(super) fn done(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Eight bytes, the lowest first.
    pub(super) fn fixed(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Sixteen bytes, the lowest first.
    pub(super) fn wide(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Nanoseconds since 1970; what is before that becomes 1970.
    pub(super) fn time(&mut self, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.fixed(since.as_nanos() as u64);
    }

    pub(super) fn pairs(&mut self, pairs: &[(ByteString, ByteString)]) {
        self.number(pairs.len() as u64);
        for (name, value) in pairs {
            self.str(name);
            self.str(value);
        }
    }

    pub(super) fn form(&mut self, form: Option<Form>) {
        self.0.push(match form {
            None => 0,
            Some(Form::Bytes) => 1,
            Some(Form::Text) => 2,
        });
    }

    pub(super) fn record(&mut self, record: &Record) {
        self.str(&record.key);
        self.number(record.version);
        self.time(record.created_at);
        self.time(record.updated_at);
        self.str(&record.updated_by);
        self.0.push(u8::from(record.deleted));
        self.form(record.content.as_ref().map(|(form, _)| *form));
        if let Some((_, bytes)) = &record.content {
            self.bytes(bytes);
        }
    }
}

/// Reads what a [`Writer`] wrote, sharing its buffer. What comes from a disk has been verified before: nothing else can be in
/// it.
#[derive(Debug, Clone)]
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[..N]);
        self.0.advance(N);
        array
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(super) fn fixed(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(super) fn wide(&mut self) -> u128 {
        u128::from_le_bytes(self.array())
    }

    pub(super) fn number(&mut self) -> u64 {
        let (number, taken) = number(&self.0);
        self.0.advance(taken);
        number
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        let len = self.number() as usize;
        self.0.split_to(len)
    }

    pub(super) fn skip(&mut self) {
        let len = self.number() as usize;
        self.0.advance(len);
    }

    pub(super) fn str(&mut self) -> ByteString {
        ByteString::try_from(self.bytes()).expect("text was packed as text")
    }

    pub(super) fn time(&mut self) -> SystemTime {
        time(self.array())
    }

    pub(super) fn pairs(&mut self) -> Vec<(ByteString, ByteString)> {
        (0..self.number())
            .map(|_| (self.str(), self.str()))
            .collect()
    }

    pub(super) fn form(&mut self) -> Option<Form> {
        match self.byte() {
            0 => None,
            1 => Some(Form::Bytes),
            _ => Some(Form::Text),
        }
    }

    pub(super) fn record(&mut self) -> Record {
        Record {
            key: self.str(),
            version: self.number(),
            created_at: self.time(),
            updated_at: self.time(),
            updated_by: self.str(),
            deleted: self.byte() == 1,
            content: self.form().map(|form| (form, self.bytes())),
        }
    }
}

pub(super) fn time(nanos: [u8; 8]) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::from_le_bytes(nanos))
}

/// A number and how many bytes it took.
pub(super) fn number(bytes: &[u8]) -> (u64, usize) {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return (number, at + 1);
        }
    }
    (number, bytes.len())
}

/// The text in front, and what follows it.
pub(super) fn front(bytes: &[u8]) -> (&str, &[u8]) {
    let (len, taken) = number(bytes);
    let (text, rest) = bytes[taken..].split_at(len as usize);
    let text = std::str::from_utf8(text).expect("text was packed as text");
    (text, rest)
}
