//! The registry that a configuration asks for.

use std::sync::Arc;

use crate::config::{Config, HandlerConfig, HandlerKind};
use crate::handler::{
    BatchLimits, Drive, Echo, HandlerSettings, Kind, Ordering, Records, Registry, TopicRules,
    Topics, Unlisted,
};
use crate::types::HandlerName;

/// `custom`: handlers of the process's own.
pub(super) fn registry(config: &Config, custom: Vec<HandlerSettings>) -> Registry {
    let mut listed = custom;
    for handler in config.handlers.iter().flatten() {
        listed.push(settings(handler, config));
    }
    add_missing(&mut listed, HandlerKind::Topics, "topics", config);
    let unlisted = match config.handlers {
        Some(_) => Unlisted::AreUnknown,
        None => {
            add_missing(&mut listed, HandlerKind::Echo, "echo", config);
            Unlisted::AreCollections
        }
    };
    let collection = settings(&built_in(HandlerKind::Records, "records"), config);
    Registry::new(listed, collection, unlisted)
}

fn add_missing(listed: &mut Vec<HandlerSettings>, kind: HandlerKind, name: &str, config: &Config) {
    if listed.iter().all(|handler| handler.name.as_str() != name) {
        listed.push(settings(&built_in(kind, name), config));
    }
}

fn built_in(kind: HandlerKind, name: &str) -> HandlerConfig {
    HandlerConfig {
        name: HandlerName::new(name).expect("the names of built-in handlers are names"),
        kind,
        ordering: Ordering::default(),
        mixed_actions: kind.mixes_actions(),
        isolate_tenants: false,
        batch: BatchLimits::default(),
        durable: kind.is_durable(),
    }
}

fn settings(handler: &HandlerConfig, config: &Config) -> HandlerSettings {
    let (kind, drive) = match handler.kind {
        HandlerKind::Records => (Kind::Records, Drive::Planned(Arc::new(Records))),
        HandlerKind::Topics => {
            let topics = config.topics.iter().filter(|topic| topic.ephemeral);
            let ephemeral = topics.map(|topic| topic.pattern.clone()).collect();
            let rules = TopicRules { ephemeral };
            (Kind::Topics, Drive::Planned(Arc::new(Topics { rules })))
        }
        HandlerKind::Echo => (Kind::Echo, Drive::Called(Arc::new(Echo))),
    };
    HandlerSettings {
        name: handler.name.clone(),
        kind,
        ordering: handler.ordering,
        mixed_actions: handler.mixed_actions,
        isolate_tenants: handler.isolate_tenants,
        batch: handler.batch,
        durable: handler.durable,
        drive,
    }
}
