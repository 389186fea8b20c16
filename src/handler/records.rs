//! A collection of versioned records.

/// The `records` handler: one for all collections.
#[derive(Debug)]
pub struct Records;
