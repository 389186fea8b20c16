//! Everything in one directory, without any other service: the default.

#[allow(dead_code, unused_imports)]
mod disk;
#[allow(dead_code, unused_imports)]
mod log;
#[allow(dead_code, unused_imports)]
mod parts;
#[allow(dead_code, unused_imports)]
mod table;
