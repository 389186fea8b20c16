//! Who wants what: patterns in a tree of tokens per tenant, clients in a table. An entry is matched once, however many
//! streams and patterns there are, and nobody is looked at whom it does not concern.

use std::sync::Arc;

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use super::live::StreamId;
use crate::types::ClientKey;

/// One pattern of one tenant, or one client's results, whoever wants it.
///
/// Numbers are used again when the last stream that wanted one has gone. That is safe although ring items carry them: a
/// stream never looks at items from before it came.
pub(super) type InterestId = usize;

/// The interests that one entry meets; one or two as a rule.
pub(super) type Met = SmallVec<[InterestId; 2]>;

#[derive(Debug, Default)]
pub(super) struct Interests {
    tenants: HashMap<Box<str>, Node>,
    clients: HashMap<Arc<ClientKey>, InterestId>,
    all: Slab<Interest>,
}

#[derive(Debug)]
struct Interest {
    wanted: Wanted,
    streams: Vec<StreamId>,
}

/// Where an interest is found again when it goes.
#[derive(Debug)]
enum Wanted {
    Pattern { tenant: Box<str>, pattern: Box<str> },
    Client(Arc<ClientKey>),
}

/// What follows the tokens that led here.
#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, Node>,
    /// `*`
    any: Option<Box<Node>>,
    /// `>`: met by one token or more.
    rest: Option<InterestId>,
    /// A pattern that ends here.
    end: Option<InterestId>,
}

impl Interests {
    pub(super) fn want_pattern(
        &mut self,
        stream: StreamId,
        tenant: &str,
        pattern: &str,
    ) -> InterestId {
        let mut node = self.tenants.entry(tenant.into()).or_default();
        let mut tokens = pattern.split('.');
        let place = loop {
            node = match tokens.next() {
                None => break &mut node.end,
                Some(">") => break &mut node.rest,
                Some("*") => node.any.get_or_insert_default(),
                Some(token) => node.literal.entry(token.into()).or_default(),
            }
        };
        let id = *place.get_or_insert_with(|| {
            self.all.insert(Interest {
                wanted: Wanted::Pattern {
                    tenant: tenant.into(),
                    pattern: pattern.into(),
                },
                streams: Vec::new(),
            })
        });
        self.join(id, stream)
    }

    pub(super) fn want_results(&mut self, stream: StreamId, client: &Arc<ClientKey>) -> InterestId {
        let id = *self.clients.entry(client.clone()).or_insert_with(|| {
            self.all.insert(Interest {
                wanted: Wanted::Client(client.clone()),
                streams: Vec::new(),
            })
        });
        self.join(id, stream)
    }

    /// Takes a stream out of an interest, and the interest away with its last stream.
    pub(super) fn leave(&mut self, id: InterestId, stream: StreamId) {
        let interest = &mut self.all[id];
        if let Some(at) = interest.streams.iter().position(|&other| other == stream) {
            interest.streams.swap_remove(at);
        }
        if !interest.streams.is_empty() {
            return;
        }
        match self.all.remove(id).wanted {
            Wanted::Client(client) => {
                self.clients.remove(&client);
            }
            Wanted::Pattern { tenant, pattern } => {
                if let Some(root) = self.tenants.get_mut(&tenant) {
                    root.remove(pattern.split('.'));
                    if root.is_empty() {
                        self.tenants.remove(&tenant);
                    }
                }
            }
        }
    }

    /// The patterns that a message meets.
    pub(super) fn of_topic(&self, tenant: &str, topic: &str) -> Met {
        let mut met = Met::new();
        let Some(root) = self.tenants.get(tenant) else {
            return met;
        };
        // A wildcard in the first token never matches a name of the gateway's own.
        if topic.starts_with('@') {
            let (token, rest) = split(topic);
            if let Some(node) = root.literal.get(token) {
                node.collect(rest, &mut met);
            }
        } else {
            root.collect(Some(topic), &mut met);
        }
        met
    }

    pub(super) fn of_client(&self, client: &ClientKey) -> Met {
        self.clients.get(client).copied().into_iter().collect()
    }

    pub(super) fn streams(&self, id: InterestId) -> &[StreamId] {
        &self.all[id].streams
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.tenants.is_empty() && self.clients.is_empty()
    }

    fn join(&mut self, id: InterestId, stream: StreamId) -> InterestId {
        let streams = &mut self.all[id].streams;
        if streams.last() != Some(&stream) {
            streams.push(stream);
        }
        id
    }
}

impl Node {
    fn collect(&self, topic: Option<&str>, met: &mut Met) {
        let Some(topic) = topic else {
            met.extend(self.end);
            return;
        };
        met.extend(self.rest);
        let (token, rest) = split(topic);
        if let Some(node) = self.literal.get(token) {
            node.collect(rest, met);
        }
        if let Some(node) = &self.any {
            node.collect(rest, met);
        }
    }

    /// Removes a pattern, and the nodes that led only to it.
    fn remove<'a>(&mut self, mut tokens: impl Iterator<Item = &'a str>) {
        match tokens.next() {
            None => self.end = None,
            Some(">") => self.rest = None,
            Some("*") => {
                if let Some(node) = &mut self.any {
                    node.remove(tokens);
                    if node.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some(token) => {
                if let Some(node) = self.literal.get_mut(token) {
                    node.remove(tokens);
                    if node.is_empty() {
                        self.literal.remove(token);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.literal.is_empty() && self.any.is_none() && self.rest.is_none() && self.end.is_none()
    }
}

fn split(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (topic, None),
    }
}
