//! Packets, origins and a store for the tests of handlers.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::store::memory::{Keep, Memory};
use crate::store::{
    Commit, Domain, Draft, Effect, Entry, Judged, Origin, Place, Store, Tail, Unit,
};
use crate::types::{
    Action, Answer, ClientKey, Content, Form, HandlerName, MessageId, Packet, Principal, Topic,
};

#[derive(Debug)]
struct Nobody;

impl Tail for Nobody {
    fn committed(&self, _entries: &[Entry]) {}
}

pub(super) fn store() -> Arc<dyn Store> {
    Arc::new(Memory::new(Keep::default(), Arc::new(Nobody)))
}

/// Applies an effect and gives its answer.
pub(super) async fn apply(store: &dyn Store, origin: &Origin, effect: Effect) -> Answer {
    let domain = Domain(1);
    let unit = Unit {
        origin: Arc::new(origin.clone()),
        group: 0,
        place: Place::None,
        fingerprint: 0,
        req_id: "r1".into(),
        awaited: true,
        effect,
    };
    let term = store.take_over(domain).await.unwrap();
    let commit = Commit {
        units: vec![unit],
        ..Commit::new(domain, term, SystemTime::now())
    };
    let mut judged = store.commit(commit).await.unwrap().await.unwrap();
    match judged.remove(0) {
        Judged::Done(answer) => answer,
        other => panic!("{other:?} is not done"),
    }
}

pub(super) fn origin(tenant: &str, subject: &str, handler: &str) -> Origin {
    let client = ClientKey {
        tenant: tenant.into(),
        subject: subject.into(),
        client_id: "c1".into(),
    };
    Origin {
        principal: Arc::new(Principal {
            subject: subject.into(),
            tenant: tenant.into(),
            roles: Vec::new(),
        }),
        client: Some(Arc::new(client)),
        handler: HandlerName::new(handler).unwrap(),
    }
}

/// A message of one text.
pub(crate) fn draft(topic: &str, text: &[u8]) -> Draft {
    Draft {
        topic: Topic::parse(topic, "").unwrap(),
        id: MessageId(1),
        headers: Vec::new(),
        form: Form::Text,
        data: Bytes::copy_from_slice(text),
        ephemeral: false,
    }
}

pub(crate) fn packet(action: Action, key: &str) -> Packet {
    Packet {
        req_id: "r1".into(),
        handler: "todos".into(),
        seq: 0,
        action,
        key: key.into(),
        content: Content::default(),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: 0,
        size: 0,
        raw: Bytes::new(),
        carried: None,
        refusal: None,
    }
}
