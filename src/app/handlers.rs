//! The registry that a configuration asks for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::HashMap;

use crate::config::{Config, HandlerConfig, HandlerKind};
use crate::handler::{
    BatchLimits, Drive, Echo, HandlerSettings, Kind, Ordering, Publishing, Records, Registry,
    Remote, RemoteSettings, TopicRules, Topics, Unlisted,
};
use crate::store::{Error, Store};
use crate::types::{HandlerName, Retry, limits};

/// Of each remote handler: messages of results that were not published, counted on when it is reloaded.
pub(super) type DropCounts = HashMap<HandlerName, Arc<AtomicU64>>;

/// `custom`: handlers of the process's own. The error is for a person.
pub(super) fn registry(
    config: &Config,
    custom: Vec<HandlerSettings>,
    dropped: &mut DropCounts,
) -> Result<Registry, String> {
    let mut listed = custom;
    for handler in config.handlers.iter().flatten() {
        listed.push(settings(handler, config, dropped)?);
    }
    for handler in besides(config) {
        if listed.iter().all(|listed| listed.name != handler.name) {
            listed.push(settings(&handler, config, dropped)?);
        }
    }
    let unlisted = match config.handlers {
        Some(_) => Unlisted::AreUnknown,
        None => Unlisted::AreCollections,
    };
    let collection = built_in(HandlerKind::Records, "records");
    let collection = settings(&collection, config, dropped)?;
    Ok(Registry::new(listed, collection, unlisted))
}

/// The handlers that are driven otherwise by a new configuration, which has the same ones. The error is for a person.
pub(super) fn others(
    old: &Config,
    new: &Config,
    registry: &Registry,
    dropped: &mut DropCounts,
) -> Result<Vec<HandlerSettings>, String> {
    let before = all(old);
    let other_rules = rules(old) != rules(new);
    let mut others = Vec::new();
    for handler in all(new) {
        let Some(was) = before.iter().find(|was| was.name == handler.name) else {
            continue;
        };
        let other_drive = other_rules && publishes(&handler) || was.remote != handler.remote;
        let present = registry.resolve(handler.name.as_str())?;
        // What the process brought itself comes before what is there besides.
        if *was == handler && !other_drive || present.kind == Kind::Custom {
            continue;
        }
        let mut settings = settings(&handler, new, dropped)?;
        if !other_drive {
            // Its connections are as good as they were.
            settings.drive = present.drive.clone();
        }
        others.push(settings);
    }
    Ok(others)
}

/// Whether the rules of topics count for what it does.
fn publishes(handler: &HandlerConfig) -> bool {
    let remote = handler.remote.as_ref();
    handler.kind == HandlerKind::Topics || remote.is_some_and(|remote| !remote.publish.is_empty())
}

fn all(config: &Config) -> Vec<HandlerConfig> {
    let listed = config.handlers.iter().flatten().cloned();
    listed.chain(besides(config)).collect()
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

/// Handlers that are there although nobody lists them.
fn besides(config: &Config) -> Vec<HandlerConfig> {
    let topics = built_in(HandlerKind::Topics, "topics");
    let mut besides = vec![topics];
    if config.handlers.is_none() {
        besides.push(built_in(HandlerKind::Echo, "echo"));
    }
    let listed: Vec<_> = config.handlers.iter().flatten().collect();
    besides.retain(|handler| listed.iter().all(|listed| listed.name != handler.name));
    besides
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

fn settings(
    handler: &HandlerConfig,
    config: &Config,
    dropped: &mut DropCounts,
) -> Result<HandlerSettings, String> {
    let (kind, drive) = match handler.kind {
        HandlerKind::Records => (Kind::Records, Drive::Planned(Arc::new(Records))),
        HandlerKind::Topics => {
            let rules = rules(config);
            (Kind::Topics, Drive::Planned(Arc::new(Topics { rules })))
        }
        HandlerKind::Echo => (Kind::Echo, Drive::Called(Arc::new(Echo))),
        HandlerKind::Grpc => (
            Kind::Grpc,
            Drive::Called(Arc::new(remote(handler, config, dropped)?)),
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

fn remote(
    handler: &HandlerConfig,
    config: &Config,
    dropped: &mut DropCounts,
) -> Result<Remote, String> {
    let name = &handler.name;
    let remote = handler.remote.clone();
    let remote = remote.ok_or_else(|| format!("the handler {name}: it has no addresses"))?;
    let remote = Remote::new(RemoteSettings {
        name: name.clone(),
        addresses: remote.addresses,
        call_timeout: remote.call_timeout,
        ca: remote.ca,
        publishing: Publishing {
            allowed: remote.publish,
            rules: rules(config),
        },
        dropped: dropped.entry(name.clone()).or_default().clone(),
    });
    remote.map_err(|error| format!("the handler {name}: {error}"))
}
