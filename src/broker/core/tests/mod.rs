//! The state machine by hand and at random, without a handler, a store or a clock.

mod anew;
mod bench;
mod bounds;
mod cases;
mod circuit;
mod clear;
mod clear_random;
mod failure;
mod failure_random;
mod letters;
mod meter;
mod overload;
mod owed;
mod random;
mod reload;
mod service;
mod taken;
