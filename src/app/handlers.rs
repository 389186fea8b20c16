//! The registry that a configuration asks for.

use std::sync::Arc;

use crate::config::{Config, HandlerConfig, HandlerKind};
use crate::handler::{
    BatchLimits, Drive, Echo, HandlerSettings, Kind, Ordering, Publishing, Records, Registry,
    Remote, RemoteSettings, TopicRules, Topics, Unlisted,
};
use crate::store::{Error, Store};
use crate::types::{HandlerName, Retry, limits};

/// `custom`: handlers of the process's own. The error is for a person.
pub(super) fn registry(config: &Config, custom: Vec<HandlerSettings>) -> Result<Registry, String> {
    let mut listed = custom;
    for handler in config.handlers.iter().flatten() {
        let settings = settings(handler, config);
        let name = &handler.name;
        listed.push(settings.map_err(|error| format!("the handler {name}: {error}"))?);
    }
    add_missing(&mut listed, HandlerKind::Topics, "topics", config)?;
    let unlisted = match config.handlers {
        Some(_) => Unlisted::AreUnknown,
        None => {
            add_missing(&mut listed, HandlerKind::Echo, "echo", config)?;
            Unlisted::AreCollections
        }
    };
    let collection = settings(&built_in(HandlerKind::Records, "records"), config)?;
    Ok(Registry::new(listed, collection, unlisted))
}

/// Records that nobody reaches, because a configuration came that does not list their collections.
pub(super) async fn tell_hidden(store: &dyn Store, registry: &Registry) {
    match hidden(store, registry).await {
        Ok(names) if names.is_empty() => {}
        Ok(names) => tracing::warn!(
            collections = names.join(", "),
            "records are kept that nobody reaches: list these as handlers of kind \"records\" to have them again"
        ),
        Err(error) => tracing::warn!(%error, "the store does not say which collections it has"),
    }
}

async fn hidden(store: &dyn Store, registry: &Registry) -> Result<Vec<String>, Error> {
    let mut names = store.collections(limits::COLLECTIONS).await?;
    names.retain(|name| {
        let settings = registry.resolve(name);
        !settings.is_ok_and(|settings| settings.kind == Kind::Records)
    });
    Ok(names)
}

fn add_missing(
    listed: &mut Vec<HandlerSettings>,
    kind: HandlerKind,
    name: &str,
    config: &Config,
) -> Result<(), String> {
    if listed.iter().all(|handler| handler.name.as_str() != name) {
        listed.push(settings(&built_in(kind, name), config)?);
    }
    Ok(())
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
        retry: Retry::default(),
        remote: None,
    }
}

fn settings(handler: &HandlerConfig, config: &Config) -> Result<HandlerSettings, String> {
    let (kind, drive) = match handler.kind {
        HandlerKind::Records => (Kind::Records, Drive::Planned(Arc::new(Records))),
        HandlerKind::Topics => {
            let rules = rules(config);
            (Kind::Topics, Drive::Planned(Arc::new(Topics { rules })))
        }
        HandlerKind::Echo => (Kind::Echo, Drive::Called(Arc::new(Echo))),
        HandlerKind::Grpc => (
            Kind::Grpc,
            Drive::Called(Arc::new(remote(handler, config)?)),
        ),
    };
    Ok(HandlerSettings {
        name: handler.name.clone(),
        kind,
        ordering: handler.ordering,
        mixed_actions: handler.mixed_actions,
        isolate_tenants: handler.isolate_tenants,
        batch: handler.batch,
        durable: handler.durable,
        retry: handler.retry,
        drive,
    })
}

fn rules(config: &Config) -> TopicRules {
    let topics = config.topics.iter().filter(|topic| topic.ephemeral);
    let ephemeral = topics.map(|topic| topic.pattern.clone()).collect();
    TopicRules { ephemeral }
}

fn remote(handler: &HandlerConfig, config: &Config) -> Result<Remote, String> {
    let remote = handler.remote.clone();
    let remote = remote.ok_or("a handler of kind grpc has addresses")?;
    Remote::new(RemoteSettings {
        name: handler.name.clone(),
        addresses: remote.addresses,
        call_timeout: remote.call_timeout,
        ca: remote.ca,
        publishing: Publishing {
            allowed: remote.publish,
            rules: rules(config),
        },
    })
}
