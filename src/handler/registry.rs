//! Which handlers there are, and how each is driven.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::Drive;
use crate::types::{BatchLimits, HandlerName, Ordering, limits};

/// What kind of handler a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Records,
    Topics,
    Echo,
    /// One that the process itself brought: tests, and who embeds the gateway.
    Custom,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Topics => "topics",
            Self::Echo => "echo",
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
    pub drive: Drive,
}

/// All handlers by name.
#[derive(Debug)]
pub struct Registry {
    listed: HashMap<HandlerName, Arc<HandlerSettings>>,
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
            listed: listed.into_iter().map(by_name).collect(),
            named: (open == Unlisted::AreCollections).then(RwLock::default),
            collection: Arc::new(collection),
        }
    }

    /// The handler of this name, which comes into being where every name is a collection. The error is for a person.
    pub fn resolve(&self, name: &str) -> Result<Arc<HandlerSettings>, String> {
        if let Some(settings) = self.listed.get(name) {
            return Ok(settings.clone());
        }
        // What is no name is not repeated: it may be as long as a packet.
        if name.is_empty() {
            return Err(format!(
                "handler is empty: name one, with 1 to {} of A-Z a-z 0-9 _ -",
                limits::HANDLER_BYTES
            ));
        }
        let Some(name) = HandlerName::new(name) else {
            return Err(format!(
                "handler is {} bytes that are no name: 1 to {} of A-Z a-z 0-9 _ - are",
                name.len(),
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
        let mut named = named.write();
        if named.len() >= limits::COLLECTIONS && !named.contains_key(&name) {
            return Err(format!(
                "{name} would be collection number {}: list your handlers in a configuration file",
                limits::COLLECTIONS + 1
            ));
        }
        let settings = HandlerSettings {
            name: name.clone(),
            ..(*self.collection).clone()
        };
        Ok(named
            .entry(name)
            .or_insert_with(|| Arc::new(settings))
            .clone())
    }

    /// Every handler there is now, by name.
    pub fn all(&self) -> Vec<Arc<HandlerSettings>> {
        let mut all: Vec<_> = self.listed.values().cloned().collect();
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
