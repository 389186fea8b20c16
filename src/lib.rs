//! Tidegate: a gateway that merges the small operations of many clients into a few large batches per handler, gives every
//! one its own answer, and streams results and messages back. See ARCHITECTURE.md for the code map.

pub mod app;
pub mod config;

pub mod cli;
pub mod layers;
pub mod rpc;

pub mod wire;

pub mod broker;
pub mod events;

pub mod handler;
pub mod store;

pub mod metrics;
pub mod telemetry;
pub mod types;
