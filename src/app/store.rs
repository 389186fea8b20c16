//! The store that a configuration asks for.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, Engine, TopicConfig};
use crate::store::embedded::{
    Backups, Embedded, Keep, Keeping, MessageBounds, OpenError, Options, TopicRule,
};
use crate::store::memory::{self, Memory};
use crate::store::{Store, Tail};

/// What is in memory before it moves, at most and at least: a part of what is kept of messages, as whole parts are removed.
const CHECKPOINT: (u64, u64) = (4 << 20, 64 << 20);

/// A store that is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// Where its engine has some that can change.
    pub(super) messages: Option<MessageRules>,
    /// Where it can be copied.
    pub(super) backups: Option<Backups>,
}

/// Says for how long messages are kept.
#[derive(Debug)]
pub(super) struct MessageRules(pub(super) Keeping);

impl MessageRules {
    pub(super) fn set(&self, config: &Config) {
        let keep = keep(config);
        self.0.set(keep.messages, keep.topics);
    }
}

pub(super) async fn open(config: &Config, tail: Arc<dyn Tail>) -> Result<Opened, OpenError> {
    match config.store.engine {
        Engine::Memory => {
            let mut keep = memory::Keep::default();
            if let Some(messages) = config.store.messages {
                keep.message_bytes = usize::try_from(messages).unwrap_or(usize::MAX);
            }
            Ok(Opened {
                store: Arc::new(Memory::new(keep, tail)),
                messages: None,
                backups: None,
            })
        }
        Engine::Embedded => {
            let path = config.store.path.clone();
            let options = options(config);
            let opened = tokio::task::spawn_blocking(move || {
                make_directory(&path);
                Embedded::open(&path, options, tail)
            });
            let path = config.store.path.clone();
            let opened = opened.await;
            let store =
                opened.unwrap_or_else(|error| Err(OpenError::Io(path, error.to_string())))?;
            Ok(Opened {
                messages: Some(MessageRules(store.keeping())),
                backups: Some(store.backups()),
                store: Arc::new(store),
            })
        }
    }
}

/// What clients sent is nobody else's to read, and no command believes a token that lies where others can write, as they can
/// by the umask of many machines.
fn make_directory(path: &Path) {
    let mut builder = DirBuilder::new();
    // Where that cannot be, the engine says why.
    let _ = builder.recursive(true).mode(0o700).create(path);
}

fn options(config: &Config) -> Options {
    let keep = keep(config);
    let checkpoint_bytes = (keep.messages.bytes / 8).clamp(CHECKPOINT.0, CHECKPOINT.1);
    Options {
        keep,
        checkpoint_bytes,
        segment_bytes: checkpoint_bytes / 4,
        ..Options::default()
    }
}

/// What the configuration says comes before what holds without it.
fn keep(config: &Config) -> Keep {
    let mut keep = Keep {
        result_bytes: config.store.results,
        ..Keep::default()
    };
    if let Some(bytes) = config.store.messages {
        keep.messages.bytes = bytes;
    }
    let rest = keep.messages;
    let rule = |topic: &TopicConfig| TopicRule {
        pattern: topic.pattern.clone(),
        keep: MessageBounds {
            age: topic.keep.age.unwrap_or(rest.age),
            bytes: topic.keep.bytes.unwrap_or(rest.bytes),
            last: topic.keep.last,
        },
    };
    let said = config.topics.iter().filter(|topic| topic.keep.is_set());
    let rules: Vec<_> = said.map(rule).collect();
    keep.topics.splice(0..0, rules);
    keep
}
