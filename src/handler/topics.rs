//! Publishes messages, and lists their history.

use crate::types::Pattern;

/// What holds for the topics that match a pattern. The first rule that matches holds.
#[derive(Debug, Clone, Default)]
pub struct TopicRules {
    /// Topics that are told to those who listen now, and kept nowhere.
    pub ephemeral: Vec<Pattern>,
}

/// The `topics` handler.
#[derive(Debug)]
pub struct Topics {
    pub rules: TopicRules,
}
