//! Everything in one directory, without any other service: the default.

mod disk;
