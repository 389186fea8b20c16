//! The Rust client of the Tidegate gateway.
//!
//! ```no_run
//! use tidegate_client::{Client, proto::{EventsRequest, Packet}};
//!
//! # async fn example() -> Result<(), tidegate_client::Error> {
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//!
//! let answer = client.sync(Packet::create("todos").text("buy milk")).await?;
//! let mut events = client.events(EventsRequest::on(["records.todos.>"]).from_cursor(answer.cursor)).await?;
//! while let Some(event) = events.next().await {
//!     println!("{:?}", event?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It is thin: what it is asked to send, it sends once. It keeps no queue and repeats nothing, so an
//! [open](proto::Outcome::is_final) outcome is its caller's to act on.
//!
//! The feature `handler` is for the other side, a service that the gateway calls: `proto::handler_server::Handler` is what it
//! implements, and an item of a batch has words for its answer.
//!
//! The feature `tls` is for gateways at `https://` addresses, as behind a proxy that ends TLS; [`Builder::ca`] names an
//! authority of your own.
//!
//! # Connections
//!
//! A stream that nobody reads fills its HTTP/2 window, and what lies there also counts against the window of its whole
//! connection: with the windows that are usual, three unread streams stall every call beside them. So calls and streams never
//! share a connection here, and a connection for streams has a window as large as those of all its streams together: however
//! many are unread, the others flow. [`Windows`] says what that costs.

#![warn(missing_docs)]

mod builder;
mod client;
mod error;
mod events;
#[cfg(feature = "handler")]
mod handler;
mod request;

pub use builder::{Builder, Windows};
pub use client::Client;
pub use error::Error;
pub use events::EventStream;
pub use tonic::Code;

/// The messages of the contract, and the bare client under [`Client`]: generated from `proto/` and committed. With the feature
/// `handler` also those of `Handler`, and the trait that a service implements which the gateway calls.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all
)]
pub mod proto {
    include!("gen/tidegate.v1.rs");
    #[cfg(feature = "handler")]
    include!("gen/tidegate.v1.handler.rs");
}
