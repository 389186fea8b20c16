//! Immutable files of messages.
