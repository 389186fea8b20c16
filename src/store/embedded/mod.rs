//! Everything in one directory, without any other service: the default.

mod disk;
#[allow(dead_code)]
mod log;
#[allow(dead_code)]
mod parts;
#[allow(dead_code)]
mod table;
