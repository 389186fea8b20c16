//! Answers with its content: for trying out and measuring.

/// The `echo` handler.
#[derive(Debug)]
pub struct Echo;
