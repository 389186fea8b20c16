//! The words that the tests speak: a gateway in this process or in its own, its clients, a browser by hand, and real input.

mod gateway;
mod notes;
mod process;
mod stream;
mod trace;
mod watch;
mod web;

pub use gateway::{Gateway, gateway};
pub use notes::{Notes, echo, text};
pub use process::Process;
pub use stream::{event, messages_until, next_message, watch};
pub use trace::Trace;
pub use watch::message;
pub use web::{Answer, Wire, frame, frames, post};
