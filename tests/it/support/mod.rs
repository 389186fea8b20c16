//! The words that the tests speak: a gateway in this process, its clients, and a browser by hand.

mod gateway;
mod notes;
mod stream;
mod web;

pub use gateway::{Gateway, gateway};
pub use notes::{Notes, echo, text};
pub use stream::{event, messages_until, next_message, watch};
pub use web::{Answer, Wire, frame, frames, post};
