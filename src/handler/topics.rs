//! Publishes messages, and lists their history.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::Planner;
use super::fields;
use super::page::{self, After};
use crate::store::{Draft, Effect, Origin, Position, Store};
use crate::types::{Action, Answer, Body, MessageId, Packet, Pattern, Reason, Topic, limits};

/// What holds for the topics that match a pattern. The first rule that matches holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// Topics that are told to those who listen now, and kept nowhere.
    pub ephemeral: Vec<Pattern>,
}

impl TopicRules {
    pub fn is_ephemeral(&self, topic: &Topic) -> bool {
        self.ephemeral.iter().any(|pattern| pattern.matches(topic))
    }
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
        fields::check(packet)?;
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
                "clients cannot publish on {}: topics that start with `records.` or `@` are the gateway's",
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
        let ephemeral = self.rules.is_ephemeral(&topic);
        let ids = ids(origin, packet);
        let drafts = items.iter().zip(ids).map(|(item, id)| Draft {
            topic: topic.clone(),
            id,
            headers: packet.headers().cloned().collect(),
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
    fields::check(packet)?;
    let topic = topic(origin, packet)?;
    if topic.is_private_to_another(&origin.principal.subject) {
        let why = match &*origin.principal.subject {
            "" => "an inbox needs a subject, and the caller has none",
            _ => "your own inbox is @me",
        };
        let message = format!("{} is not yours to read: {why}", topic.as_str());
        return Err(Answer::rejected(Reason::Forbidden, message));
    }
    let from = match page::after(packet, topic.as_str())? {
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
    let next = last.map(|(position, _)| page::token(&After::Position(position.0), topic.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::{apply, origin, packet, store};
    use crate::types::{Content, Form, Message, MessageBody, More, Outcome};
    use std::sync::Arc;

    fn publish(topic: &str, items: &[&str]) -> Packet {
        let items = items.iter().map(|item| item.to_string().into()).collect();
        let form = Form::Text;
        Packet {
            content: Content { form, items },
            ..packet(Action::Create, topic)
        }
    }

    fn topics(ephemeral: &[&str]) -> Topics {
        let parse = |pattern: &&str| Pattern::parse(pattern, "").unwrap();
        let ephemeral = ephemeral.iter().map(parse).collect();
        Topics {
            rules: TopicRules { ephemeral },
        }
    }

    fn drafts(origin: &Origin, packet: &Packet) -> Vec<Draft> {
        match topics(&["live.>"]).plan(origin, packet) {
            Effect::Publish(drafts) => drafts.into_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn text(message: &Arc<Message>) -> String {
        match &message.body {
            MessageBody::Content(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            MessageBody::Record(record) => panic!("{record:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_published_is_the_history_oldest_first() {
        let (store, ann) = (store(), origin("", "ann", "topics"));
        for items in [&["a", "b"][..], &["c"]] {
            let plan = topics(&[]).plan(&ann, &publish("chat.room", items));
            assert_eq!(apply(&*store, &ann, plan).await, Answer::ok());
        }
        let list = |topic: &str, token: &str, page_size| Packet {
            more: Some(Box::new(More {
                page_token: token.into(),
                page_size,
                ..More::default()
            })),
            ..packet(Action::List, topic)
        };
        let page = async |token: &str| {
            let answer = topics(&[])
                .read(&*store, &ann, &list("chat.room", token, 2))
                .await;
            let body = answer.body.expect("a page");
            let texts: Vec<_> = body.messages.iter().map(text).collect();
            (texts.concat(), body.next_page_token)
        };
        let (first, token) = page("").await;
        assert_eq!(first, "ab");
        assert_eq!(page(&token).await, ("c".into(), "".into()));
        let of_records = page::token(&After::Key("a".into()), "chat.room");
        for (topic, token) in [("chat.room", &*of_records), ("chat.hall", &*token)] {
            let wrong = topics(&[])
                .read(&*store, &ann, &list(topic, token, 2))
                .await;
            assert_eq!(wrong.reason, Reason::InvalidPacket, "{topic}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_its_reason() {
        let (store, ann) = (store(), origin("", "ann", "topics"));
        let many = vec!["x"; limits::ITEMS_AT_ONCE + 1];
        use Reason::{Forbidden, InvalidPacket, UnsupportedAction};
        let cases = [
            (publish("chat", &[]), InvalidPacket, "needs content"),
            (publish("", &["x"]), InvalidPacket, "needs a topic"),
            (publish("chat", &many), InvalidPacket, "64 are the most"),
            (publish("chat.*", &["x"]), InvalidPacket, "wildcard"),
            (
                publish("records.todos.k", &["x"]),
                Forbidden,
                "are the gateway's",
            ),
            (publish("@me", &["x"]), Forbidden, "are the gateway's"),
            (publish("@user.bob", &["x"]), Forbidden, "are the gateway's"),
            (packet(Action::Put, "chat"), UnsupportedAction, "no PUT"),
        ];
        for (packet, reason, why) in cases {
            let plan = topics(&[]).plan(&ann, &packet);
            let answer = apply(&*store, &ann, plan).await;
            assert_eq!((answer.outcome, answer.reason), (Outcome::Rejected, reason));
            assert!(answer.message.contains(why), "{}", answer.message);
        }
        for (topic, outcome) in [
            ("@user.bob", Outcome::Rejected),
            ("@me", Outcome::Ok),
            ("none", Outcome::Ok),
        ] {
            let answer = topics(&[])
                .read(&*store, &ann, &packet(Action::List, topic))
                .await;
            assert_eq!(answer.outcome, outcome, "{topic}");
        }
        let nobody = origin("", "", "topics");
        let inbox = packet(Action::List, "@user.bob");
        let answer = topics(&[]).read(&*store, &nobody, &inbox).await;
        assert!(answer.message.contains("needs a subject"), "{answer:?}");
    }

    #[test]
    fn a_repeat_has_the_same_ids_and_nothing_else_has() {
        let ann = origin("", "ann", "topics");
        let ids = |origin: &Origin, packet: &Packet| -> Vec<MessageId> {
            drafts(origin, packet)
                .iter()
                .map(|draft| draft.id)
                .collect()
        };
        let placed = |seq| Packet {
            seq,
            ..publish("chat", &["a", "b"])
        };
        let first = ids(&ann, &placed(1));
        assert_ne!(first[0], first[1]);
        assert_eq!(ids(&ann, &placed(1)), first);
        assert_ne!(ids(&ann, &placed(2)), first);
        assert_ne!(ids(&origin("", "bob", "topics"), &placed(1)), first);
        assert_ne!(ids(&origin("acme", "ann", "topics"), &placed(1)), first);
        assert_eq!(
            ids(&ann, &placed(0)),
            ids(&ann, &placed(0)),
            "by its req_id"
        );
        let unnamed = Packet {
            req_id: "".into(),
            ..placed(0)
        };
        assert_ne!(ids(&ann, &unnamed), ids(&ann, &unnamed));
        let nobody = Origin {
            client: None,
            ..origin("", "", "topics")
        };
        assert_ne!(
            ids(&nobody, &placed(0)),
            ids(&nobody, &placed(0)),
            "it only correlates"
        );
    }

    #[test]
    fn rules_say_what_is_ephemeral() {
        let ann = origin("", "ann", "topics");
        assert!(drafts(&ann, &publish("live.mouse", &["x"]))[0].ephemeral);
        assert!(!drafts(&ann, &publish("chat", &["x"]))[0].ephemeral);
    }
}
