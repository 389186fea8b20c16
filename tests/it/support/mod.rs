//! The words that the tests speak: a gateway in this process, its clients, and a browser by hand.

mod gateway;
mod web;

pub use gateway::{Gateway, gateway};
pub use web::{Answer, Wire, frame, frames, post};
