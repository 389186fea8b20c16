//! Reads protobuf fields out of a request's buffer without copying: strings and content are slices of it.

use bytes::Bytes;
use bytestring::ByteString;

/// As deep as groups may nest in what is skipped.
const DEPTH: u32 = 100;

/// What one field is, by how it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(Span<'a>),
    /// Fixed numbers and groups: no field of a batch is one.
    Skipped,
}

/// A part of a request's buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    buffer: &'a Bytes,
    start: usize,
    end: usize,
}

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends in the middle of a field")]
    Truncated,
    #[error("a number takes more than 64 bits")]
    Varint,
    #[error("a field has the number 0, or one above 2^29 - 1")]
    Number,
    #[error("a field has an unknown wire type, or not its own")]
    WireType,
    #[error("groups do not match, or nest too deep")]
    Group,
    #[error("a string is not UTF-8")]
    Utf8,
}

/// The fields of one message, one after the other.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: Span<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: Span<'a>) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.rest.key()?;
        let value = match wire_type {
            0 => Value::Varint(self.rest.varint()?),
            2 => Value::Bytes(self.rest.delimited()?),
            other => {
                self.rest.skip(number, other, DEPTH)?;
                Value::Skipped
            }
        };
        Ok(Some((number, value)))
    }
}

impl<'a> Value<'a> {
    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed::WireType),
        }
    }

    pub(super) fn span(self) -> Result<Span<'a>, Malformed> {
        match self {
            Self::Bytes(span) => Ok(span),
            _ => Err(Malformed::WireType),
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, Malformed> {
        self.span().map(Span::to_bytes)
    }

    pub(super) fn string(self) -> Result<ByteString, Malformed> {
        ByteString::try_from(self.bytes()?).map_err(|_| Malformed::Utf8)
    }
}

impl<'a> Span<'a> {
    pub(super) fn whole(buffer: &'a Bytes) -> Self {
        Self {
            buffer,
            start: 0,
            end: buffer.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn as_slice(&self) -> &'a [u8] {
        &self.buffer[self.start..self.end]
    }

    /// Shares the request's buffer.
    pub(super) fn to_bytes(self) -> Bytes {
        self.buffer.slice(self.start..self.end)
    }

    fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Number)?;
        let wire_type = (key & 7) as u8;
        match key >> 3 {
            _ if wire_type > 5 => Err(Malformed::WireType),
            0 => Err(Malformed::Number),
            number => Ok((number, wire_type)),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let bytes = self.as_slice();
        if let Some(&byte @ 0..0x80) = bytes.first() {
            self.start += 1;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for (place, &byte) in bytes.iter().enumerate().take(10) {
            if place == 9 && byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.start += place + 1;
                return Ok(value);
            }
        }
        Err(Malformed::Truncated)
    }

    fn delimited(&mut self) -> Result<Self, Malformed> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<Self, Malformed> {
        if length > self.len() {
            return Err(Malformed::Truncated);
        }
        let start = self.start;
        self.start += length;
        Ok(Self {
            end: self.start,
            start,
            ..*self
        })
    }

    fn skip(&mut self, number: u32, wire_type: u8, depth: u32) -> Result<(), Malformed> {
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.delimited().map(drop),
            3 if depth == 0 => Err(Malformed::Group),
            3 => loop {
                match self.key()? {
                    (end, 4) if end == number => return Ok(()),
                    (_, 4) => return Err(Malformed::Group),
                    (inner, wire_type) => self.skip(inner, wire_type, depth - 1)?,
                }
            },
            4 => Err(Malformed::Group),
            _ => self.take(4).map(drop),
        }
    }
}
