//! How messages get onto the wire and off it: with prost, but for those that the hot path handles as bytes.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A `BatchRequest` as it came, to be checked before anything is built from it.
#[derive(Debug)]
pub struct RawBatch(pub Bytes);

/// A `BatchResponse`, encoded result by result.
#[derive(Debug)]
pub struct EncodedAnswer(pub Bytes);

/// An `Event` that was encoded once for every stream that it goes to.
#[derive(Debug, Clone)]
pub struct EncodedEvent(pub Bytes);

/// What comes off the wire.
pub trait Decode: Sized {
    fn decode(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

/// What goes onto the wire.
pub trait Encode {
    fn encode(self, buffer: &mut EncodeBuf<'_>);
}

/// What any request but a batch takes at most: 128 patterns and a cursor are far below. It bounds what is built from bytes
/// that are nothing but empty fields.
const SMALL_REQUEST: usize = 512 << 10;

impl<M: prost::Message + Default> Decode for M {
    fn decode(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        if buffer.remaining() > SMALL_REQUEST {
            let (found, limit) = (buffer.remaining(), SMALL_REQUEST);
            return Err(Status::resource_exhausted(format!(
                "the request has {found} bytes: at most {limit} are taken"
            )));
        }
        M::decode(buffer).map_err(|error| {
            Status::invalid_argument(format!("the request cannot be read: {error}"))
        })
    }
}

impl Decode for RawBatch {
    fn decode(buffer: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Ok(Self(buffer.copy_to_bytes(buffer.remaining())))
    }
}

impl<M: prost::Message> Encode for M {
    fn encode(self, buffer: &mut EncodeBuf<'_>) {
        self.encode_raw(buffer);
    }
}

impl Encode for EncodedAnswer {
    fn encode(self, buffer: &mut EncodeBuf<'_>) {
        buffer.put(self.0);
    }
}

impl Encode for EncodedEvent {
    fn encode(self, buffer: &mut EncodeBuf<'_>) {
        buffer.put(self.0);
    }
}

/// What a buffer for messages starts with.
const BUFFER: usize = 8 << 10;

/// After how many bytes of a stream's messages a chunk of them goes out. With the last of them it fits a buffer of 16 KiB, as
/// a rule, and a frame as most peers take it. tonic's own 32 KiB take one of 64, at every stream that is sent to.
const CHUNK: usize = 15 << 10;

/// The codec of all methods.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Encode + Send + 'static,
    U: Decode + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<T: Encode, U> Encoder for Codec<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, CHUNK)
    }
}

impl<T, U: Decode> Decoder for Codec<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some)
    }
}
