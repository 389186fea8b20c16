//! Which handlers there are, and how each is driven.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::Drive;
use crate::types::{BatchLimits, HandlerName, Ordering, Retry, beginning, limits};

/// What kind of handler a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Records,
    Topics,
    Echo,
    /// A service in another process.
    Grpc,
    /// One that the process itself brought: tests, and who embeds the gateway.
    Custom,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Topics => "topics",
            Self::Echo => "echo",
            Self::Grpc => "grpc",
            Self::Custom => "custom",
        }
    }
}

/// One handler, as the broker drives it.
#[derive(Debug, Clone)]
pub struct HandlerSettings {
    pub name: HandlerName,
    pub kind: Kind,
    pub ordering: Ordering,
    /// Packets of different actions may share a batch.
    pub mixed_actions: bool,
    /// Packets of different tenants never share a batch.
    pub isolate_tenants: bool,
    pub batch: BatchLimits,
    /// Of one that is called: a packet is on disk before it is handed over, and its answer before it is told. What plans is
    /// always durable.
    pub durable: bool,
    /// Of one that is called.
    pub retry: Retry,
    pub drive: Drive,
}

impl HandlerSettings {
    /// Whether its packets have places, and are on disk before anyone is told of them.
    pub fn is_durable(&self) -> bool {
        self.durable || !self.drive.is_called()
    }

    /// Whether its packets are taken first, and called with and answered later.
    pub fn takes_first(&self) -> bool {
        self.durable && self.drive.is_called()
    }
}

/// All handlers by name.
#[derive(Debug)]
pub struct Registry {
    /// A lock and not a task, for the same reason as below: only [`Registry::replace`] writes.
    listed: RwLock<HashMap<HandlerName, Arc<HandlerSettings>>>,
    /// Without a configuration, every other name is a collection: those that were named so far. A lock and not a task,
    /// because a look-up takes no time and every request makes one.
    named: Option<RwLock<HashMap<HandlerName, Arc<HandlerSettings>>>>,
    /// What a named one is made from.
    collection: Arc<HandlerSettings>,
}

impl Registry {
    /// `open`: names that are not listed are collections, made from `collection`.
    pub fn new(listed: Vec<HandlerSettings>, collection: HandlerSettings, open: Unlisted) -> Self {
        let by_name = |settings: HandlerSettings| (settings.name.clone(), Arc::new(settings));
        Self {
            listed: RwLock::new(listed.into_iter().map(by_name).collect()),
            named: (open == Unlisted::AreCollections).then(RwLock::default),
            collection: Arc::new(collection),
        }
    }

    /// The handler of this name. Where every name is a collection, this one is as it would be: it comes into being by
    /// [`Registry::establish`]. The error is for a person.
    pub fn resolve(&self, name: &str) -> Result<Arc<HandlerSettings>, String> {
        if let Some(settings) = self.listed.read().get(name) {
            return Ok(settings.clone());
        }
        if name.is_empty() {
            return Err(format!(
                "handler is empty: name one, with 1 to {} of A-Z a-z 0-9 _ -",
                limits::HANDLER_BYTES
            ));
        }
        let Some(name) = HandlerName::new(name) else {
            return Err(format!(
                "{:?} cannot be a handler: 1 to {} of A-Z a-z 0-9 _ - are a name",
                beginning(name, limits::HANDLER_BYTES),
                limits::HANDLER_BYTES
            ));
        };
        let Some(named) = &self.named else {
            return Err(format!(
                "there is no handler {name}; Info lists those there are"
            ));
        };
        if let Some(settings) = named.read().get(&name) {
            return Ok(settings.clone());
        }
        let settings = HandlerSettings {
            name,
            ..(*self.collection).clone()
        };
        Ok(Arc::new(settings))
    }

    /// Something is written to it: a collection that was only named until now is one of those there are. Reading a name that
    /// was mistyped makes none.
    pub fn establish(&self, settings: &Arc<HandlerSettings>) -> Result<(), String> {
        let Some(named) = &self.named else {
            return Ok(());
        };
        let name = &settings.name;
        if self.listed.read().contains_key(name) || named.read().contains_key(name) {
            return Ok(());
        }
        let mut named = named.write();
        if named.len() >= limits::COLLECTIONS && !named.contains_key(name) {
            return Err(format!(
                "{name} would be collection number {}: list your handlers in a configuration file",
                limits::COLLECTIONS + 1
            ));
        }
        named
            .entry(name.clone())
            .or_insert_with(|| settings.clone());
        Ok(())
    }

    /// A handler that is listed has these settings from now on. For the broker, which has them count at one moment for all of
    /// its packets; one that is not listed stays unknown.
    pub fn replace(&self, settings: Arc<HandlerSettings>) {
        if let Some(present) = self.listed.write().get_mut(&settings.name) {
            *present = settings;
        }
    }

    /// Every handler there is now, by name.
    pub fn all(&self) -> Vec<Arc<HandlerSettings>> {
        let mut all: Vec<_> = self.listed.read().values().cloned().collect();
        if let Some(named) = &self.named {
            all.extend(named.read().values().cloned());
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// What a name is that is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    AreUnknown,
    AreCollections,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Records;

    fn collection() -> HandlerSettings {
        HandlerSettings {
            name: HandlerName::new("any").unwrap(),
            kind: Kind::Records,
            ordering: Ordering::Client,
            mixed_actions: true,
            isolate_tenants: false,
            batch: BatchLimits::default(),
            durable: true,
            retry: Retry::default(),
            drive: Drive::Planned(Arc::new(Records)),
        }
    }

    fn names(registry: &Registry) -> Vec<String> {
        let all = registry.all();
        all.iter()
            .map(|settings| settings.name.to_string())
            .collect()
    }

    #[test]
    fn a_collection_is_there_once_something_is_written() {
        let registry = Registry::new(Vec::new(), collection(), Unlisted::AreCollections);
        let todos = registry.resolve("todos").unwrap();
        assert!(names(&registry).is_empty(), "naming it makes none");
        registry.establish(&todos).unwrap();
        registry.establish(&todos).unwrap();
        assert_eq!(names(&registry), ["todos"]);
    }

    #[test]
    fn there_are_so_many_collections_and_no_more() {
        let registry = Registry::new(Vec::new(), collection(), Unlisted::AreCollections);
        for number in 0..limits::COLLECTIONS {
            let settings = registry.resolve(&format!("c{number}")).unwrap();
            registry.establish(&settings).unwrap();
        }
        let more = registry.resolve("more").unwrap();
        let message = registry.establish(&more).unwrap_err();
        assert!(message.contains("collection number 1001"), "{message}");
        assert_eq!(registry.all().len(), limits::COLLECTIONS);
    }

    #[test]
    fn what_is_not_listed_is_unknown_where_handlers_are_listed() {
        let registry = Registry::new(vec![collection()], collection(), Unlisted::AreUnknown);
        assert!(registry.resolve("any").is_ok());
        assert!(registry.resolve("other").is_err());
    }
}
