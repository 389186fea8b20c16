//! One binary for all integration tests.

// All of it is tests, helpers too; clippy.toml's exception reaches `#[test]` functions only.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_debug_implementations
)]

mod admin;
mod backup;
mod bad_input;
mod bench_table;
mod clean_clone;
mod config;
mod consolidation;
mod contract;
mod crashes;
mod docs;
mod events;
mod full_disk;
mod generated;
mod go_handler;
mod guide;
mod log_lines;
mod metrics;
mod mutants;
mod named_cases;
mod nginx;
mod packaging;
mod page;
mod printed;
mod protocol;
mod python_handler;
mod readme;
mod remote;
mod rust_handler;
mod send;
mod slow;
mod soak;
mod start_up;
mod stop;
mod store_command;
mod support;
mod taken;
mod telemetry;
mod tidy;
mod traces;
mod typescript_handler;
mod unheard;
mod web;
