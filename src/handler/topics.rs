//! Publishes messages, and lists their history.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::Planner;
use super::page::{self, After};
use crate::store::{Draft, Effect, Origin, Position, Store};
use crate::types::{Action, Answer, Body, MessageId, Packet, Pattern, Reason, Topic, limits};

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

impl Planner for Topics {
    fn plan(&self, origin: &Origin, packet: &Packet) -> Effect {
        match self.drafts(origin, packet) {
            Ok(drafts) => Effect::Publish(drafts),
            Err(refusal) => Effect::Answer(refusal),
        }
    }

    fn read<'a>(
        &'a self,
        store: &'a dyn Store,
        origin: &'a Origin,
        packet: &'a Packet,
    ) -> BoxFuture<'a, Answer> {
        let answer = history(store, origin, packet);
        answer
            .map(|answer| answer.unwrap_or_else(|refusal| refusal))
            .boxed()
    }

    fn actions(&self) -> &[Action] {
        &[Action::Create, Action::List]
    }
}

impl Topics {
    fn drafts(&self, origin: &Origin, packet: &Packet) -> Result<SmallVec<[Draft; 1]>, Answer> {
        if packet.action != Action::Create {
            return Err(unsupported(packet));
        }
        if packet
            .more
            .as_ref()
            .is_some_and(|more| !more.files.is_empty())
        {
            return Err(invalid("a message has no files: send content"));
        }
        if packet.if_version.is_some() {
            return Err(invalid("a message has no version: leave if_version out"));
        }
        let topic = topic(origin, packet)?;
        if topic.is_reserved() {
            let message = format!(
                "nobody publishes on {}: names below records. and with @ are the gateway's own",
                topic.as_str()
            );
            return Err(Answer::rejected(Reason::Forbidden, message));
        }
        let items = &packet.content.items;
        if items.is_empty() {
            return Err(invalid(
                "CREATE needs content: a message for each item of data or text",
            ));
        }
        if items.len() > limits::ITEMS_AT_ONCE {
            return Err(invalid(format!(
                "CREATE has {} items: {} are the most",
                items.len(),
                limits::ITEMS_AT_ONCE
            )));
        }
        let ephemeral = self
            .rules
            .ephemeral
            .iter()
            .any(|pattern| pattern.matches(&topic));
        let ids = ids(origin, packet);
        let drafts = items.iter().zip(ids).map(|(item, id)| Draft {
            topic: topic.clone(),
            id,
            headers: packet.headers().to_vec(),
            form: packet.content.form,
            data: item.clone(),
            ephemeral,
        });
        Ok(drafts.collect())
    }
}

/// The kept messages of one topic, oldest first.
async fn history(store: &dyn Store, origin: &Origin, packet: &Packet) -> Result<Answer, Answer> {
    if packet.action != Action::List {
        return Err(unsupported(packet));
    }
    let topic = topic(origin, packet)?;
    if topic.is_private_to_another(&origin.principal.subject) {
        let message = format!("{} is not yours to read", topic.as_str());
        return Err(Answer::rejected(Reason::Forbidden, message));
    }
    let from = match page::after(packet)? {
        None => Position(0),
        Some(After::Position(position)) => Position(position),
        Some(After::Key(_)) => {
            return Err(invalid(
                "the page_token is of records, not of a topic's history",
            ));
        }
    };
    let tenant = &origin.principal.tenant;
    let page = store
        .history(tenant, &topic, from, page::limit(packet))
        .await;
    let page = page.map_err(|error| Answer::retry(Reason::StoreUnavailable, error.to_string()))?;
    let last = page.items.last().filter(|_| page.more);
    let next = last.map(|(position, _)| page::token(&After::Position(position.0)));
    let body = Body {
        messages: page.items.into_iter().map(|(_, message)| message).collect(),
        next_page_token: next.unwrap_or_default().into(),
        ..Body::default()
    };
    Ok(Answer {
        body: Some(Box::new(body)),
        ..Answer::ok()
    })
}

fn topic(origin: &Origin, packet: &Packet) -> Result<Topic, Answer> {
    if packet.key.is_empty() {
        let action = packet.action.name();
        return Err(invalid(format!("{action} needs a topic in key")));
    }
    Topic::parse(&packet.key, &origin.principal.subject).map_err(|error| invalid(error.0))
}

/// The ids of a packet's messages: the same for a repeat of the packet, by chance where nothing tells a repeat.
fn ids(origin: &Origin, packet: &Packet) -> impl Iterator<Item = MessageId> {
    let principal = &origin.principal;
    let client = origin
        .client
        .as_ref()
        .map_or("", |client| &client.client_id);
    let scoped = !client.is_empty() || !principal.subject.is_empty();
    let known = (packet.seq > 0 && !client.is_empty()) || (!packet.req_id.is_empty() && scoped);
    let mut name: SmallVec<[u8; 256]> = SmallVec::new();
    if known {
        // A place names its packet alone; a req_id does within the client, or the subject.
        let req_id = if packet.seq > 0 { "" } else { &*packet.req_id };
        let handler = origin.handler.as_str();
        for part in [
            &principal.tenant,
            &principal.subject,
            client,
            handler,
            req_id,
        ] {
            name.extend_from_slice(&(part.len() as u32).to_le_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        name.extend_from_slice(&packet.seq.to_le_bytes());
        // Without a place the req_id may be used again once it is forgotten: other content is another publication.
        name.extend_from_slice(&packet.fingerprint.to_le_bytes());
    } else {
        name.extend_from_slice(&rand::random::<[u8; 16]>());
    }
    let framed = name.len();
    (0_u32..).map(move |item| {
        name.truncate(framed);
        name.extend_from_slice(&item.to_le_bytes());
        MessageId(xxh3_128(&name))
    })
}

fn unsupported(packet: &Packet) -> Answer {
    let action = packet.action.name();
    let message = format!("topics have no {action}: CREATE publishes, LIST is the history");
    Answer::rejected(Reason::UnsupportedAction, message)
}

fn invalid(message: impl Into<bytestring::ByteString>) -> Answer {
    Answer::rejected(Reason::InvalidPacket, message)
}
