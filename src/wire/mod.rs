//! The wire: generated code, conversions from and to it, and statuses.

/// The messages of the contract, generated from `proto/`.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/messages/tidegate.v1.rs"));
}

/// The service traits of the contract.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod service {
    include!(concat!(env!("OUT_DIR"), "/services/tidegate.v1.rs"));
}

/// What calls a `Handler`, and the trait that one in Rust implements.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod handler {
    include!(concat!(env!("OUT_DIR"), "/handler/tidegate.v1.rs"));
}

/// `Admin`: its service, and who calls it.
#[allow(missing_debug_implementations, unreachable_pub, clippy::all)]
pub mod admin {
    include!(concat!(env!("OUT_DIR"), "/admin/tidegate.v1.rs"));
}

/// What reflection answers from.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tidegate.v1.bin"));

pub(crate) mod answer;
pub(crate) mod check;
mod codec;
mod deadline;
#[cfg(test)]
pub(crate) mod encoded;
pub(crate) mod event;
mod fingerprint;
pub(crate) mod handling;
mod message;
pub(crate) mod packet;
pub(crate) mod reader;

pub(crate) use answer::{BatchAnswer, FRAMING};
pub use codec::{Codec, EncodedAnswer, EncodedEvent, RawBatch};
pub(crate) use deadline::wait_within;
