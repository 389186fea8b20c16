//! Everything in one directory, without any other service: the default.

mod disk;
#[allow(dead_code, unused_imports)] // until the engine uses it
mod log;
