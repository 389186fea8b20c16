//! Packets and origins for the tests of handlers.

use std::sync::Arc;

use crate::store::Origin;
use crate::types::{Action, ClientKey, Content, HandlerName, Packet, Principal};

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

pub(super) fn packet(action: Action, key: &str) -> Packet {
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
        refusal: None,
    }
}
