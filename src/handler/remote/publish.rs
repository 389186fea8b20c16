//! What may be published with a result.

use smallvec::SmallVec;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_128;

use crate::handler::{ItemId, TopicRules};
use crate::store::Draft;
use crate::types::{HandlerName, MessageId, Pattern, Topic, limits};
use crate::wire::handling::{self, Published};
use crate::wire::proto::Publication;

/// What the results of a handler may publish.
#[derive(Debug, Clone, Default)]
pub struct Publishing {
    /// The topics, as far as a handler may publish on them at all.
    pub allowed: Vec<Pattern>,
    pub rules: TopicRules,
}

/// Messages of one batch that are not published.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// What is no topic, or one that no handler publishes on.
    wrong: usize,
    /// Topics that the configuration does not allow.
    outside: usize,
    /// Beyond what a result may publish.
    beyond: usize,
}

impl Publishing {
    /// The messages of one result, in their order. The first that does not fit ends them.
    pub(super) fn drafts(
        &self,
        item: ItemId,
        publications: Vec<Publication>,
        dropped: &mut Dropped,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let (mut bytes, mut left) = (0, publications.len());
        for publication in publications {
            left -= 1;
            let published = handling::published(publication);
            let Some(topic) = topic(&published.topic) else {
                dropped.wrong += 1;
                continue;
            };
            if !self.allowed.iter().any(|pattern| pattern.matches(&topic)) {
                dropped.outside += 1;
                continue;
            }
            let draft = self.draft(item, drafts.len(), topic, published);
            bytes += draft.size();
            if drafts.len() == limits::RESULT_MESSAGES || bytes > limits::RESULT_MESSAGE_BYTES {
                dropped.beyond += 1 + left;
                break;
            }
            drafts.push(draft);
        }
        drafts
    }

    fn draft(&self, item: ItemId, number: usize, topic: Topic, published: Published) -> Draft {
        Draft {
            id: id(item, number, &topic, &published.data),
            ephemeral: self.rules.is_ephemeral(&topic),
            topic,
            headers: published.headers,
            form: published.form,
            data: published.data,
        }
    }
}

impl Dropped {
    pub(super) fn count(&self) -> u64 {
        (self.wrong + self.outside + self.beyond) as u64
    }

    /// One line a batch, however many there are.
    pub(super) fn tell(&self, handler: &HandlerName) {
        let Self {
            wrong,
            outside,
            beyond,
        } = *self;
        if self.count() > 0 {
            warn!(
                %handler,
                wrong_topic = wrong,
                outside_publish = outside,
                beyond_bounds = beyond,
                "messages of results are not published"
            );
        }
    }
}

/// `None`: it is no topic, or one of the gateway's own that is no inbox.
fn topic(name: &str) -> Option<Topic> {
    // `@me` is nobody here: an inbox is named by its subject.
    let topic = Topic::parse(name, "").ok();
    topic.filter(|topic| !topic.is_reserved() || topic.is_inbox())
}

/// The same for every attempt that publishes the same, so that one whose commit is in doubt is not another message.
fn id(item: ItemId, number: usize, topic: &Topic, data: &[u8]) -> MessageId {
    let mut name: SmallVec<[u8; 512]> = SmallVec::new();
    name.extend_from_slice(&item.0.to_le_bytes());
    name.extend_from_slice(&(number as u64).to_le_bytes());
    name.extend_from_slice(&xxh3_128(data).to_le_bytes());
    name.extend_from_slice(topic.as_str().as_bytes());
    MessageId(xxh3_128(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: ItemId = ItemId(7);

    fn publishing(allowed: &[&str], ephemeral: &[&str]) -> Publishing {
        let patterns = |texts: &[&str]| {
            let parse = |text: &&str| Pattern::parse(text, "").unwrap();
            texts.iter().map(parse).collect()
        };
        Publishing {
            allowed: patterns(allowed),
            rules: TopicRules {
                ephemeral: patterns(ephemeral),
            },
        }
    }

    fn on(topic: &str, text: &str) -> Publication {
        Publication {
            topic: topic.into(),
            text: text.into(),
            ..Publication::default()
        }
    }

    fn of(publishing: &Publishing, publications: Vec<Publication>) -> (Vec<Draft>, Dropped) {
        let mut dropped = Dropped::default();
        let drafts = publishing.drafts(ITEM, publications, &mut dropped);
        (drafts, dropped)
    }

    #[test]
    fn only_what_is_allowed_is_published_and_never_what_is_the_gateways() {
        let publishing = publishing(
            &["orders.>", ">", "*.>", "@user.>", "records.>", "@users.*"],
            &[],
        );
        for (topic, goes) in [
            ("orders.new", true),
            ("@user.ann", true),
            ("@user.ann.orders", true),
            ("@user.a%40b", true),
            // Nobody's: a subject that was not encoded.
            ("@user.ann@example", false),
            ("@user", false),
            ("@user.", false),
            ("@me", false),
            ("@users.ann", false),
            ("records.todos.k", false),
            ("records", false),
            ("orders.*", false),
            ("orders..new", false),
            ("", false),
        ] {
            let (drafts, dropped) = of(&publishing, vec![on(topic, "x")]);
            assert_eq!(
                (drafts.len(), dropped.wrong),
                (goes.into(), (!goes).into()),
                "{topic}"
            );
        }
    }

    #[test]
    fn an_inbox_is_granted_by_name_and_by_no_wildcard() {
        for (allowed, goes) in [
            (&["@user.>"][..], true),
            (&["@user.*"], true),
            (&["@user.ann"], true),
            (&["@user.bob"], false),
            (&[">", "*.*", "*.ann"], false),
            (&[], false),
        ] {
            let (drafts, dropped) = of(&publishing(allowed, &[]), vec![on("@user.ann", "x")]);
            let expected = (usize::from(goes), usize::from(!goes));
            assert_eq!((drafts.len(), dropped.outside), expected, "{allowed:?}");
        }
    }

    #[test]
    fn a_result_publishes_so_many_and_so_much() {
        let publishing = publishing(&["t"], &[]);
        let most = limits::RESULT_MESSAGES;
        let (drafts, dropped) = of(&publishing, vec![on("t", "x"); most]);
        assert_eq!((drafts.len(), dropped.beyond), (most, 0));
        // What is not allowed takes no room.
        let mut many = vec![on("other", "x")];
        many.extend(vec![on("t", "x"); most + 3]);
        let (drafts, dropped) = of(&publishing, many);
        assert_eq!(
            (drafts.len(), dropped.outside, dropped.beyond),
            (most, 1, 3)
        );

        let half = "x".repeat(limits::RESULT_MESSAGE_BYTES / 2 - 200);
        let halves = vec![on("t", &half), on("t", &half)];
        assert_eq!(of(&publishing, halves).0.len(), 2);
        let header = ("h".to_owned(), "v".repeat(400));
        let mut with_header = on("t", &half);
        with_header.headers.extend([header]);
        // The last would fit; it stays behind the one that does not.
        let more = vec![on("t", &half), with_header, on("t", "x")];
        let (drafts, dropped) = of(&publishing, more);
        assert_eq!((drafts.len(), dropped.beyond), (1, 2));
    }

    #[test]
    fn a_message_is_what_the_handler_made_it() {
        let publishing = publishing(&[">"], &["live.>"]);
        let mut bytes = on("live.mouse", "");
        bytes.data = vec![0xff].into();
        bytes.headers.extend([("h".to_owned(), "v".to_owned())]);
        let publications = vec![on("t", "text"), bytes, on("t", "")];
        let (drafts, _) = of(&publishing, publications.clone());
        let shown = |draft: &Draft| (draft.form, draft.data.to_vec(), draft.ephemeral);
        use crate::types::Form::{Bytes, Text};
        assert_eq!(
            drafts.iter().map(shown).collect::<Vec<_>>(),
            [
                (Text, b"text".to_vec(), false),
                (Bytes, vec![0xff], true),
                (Bytes, Vec::new(), false)
            ]
        );
        assert_eq!(drafts[1].headers, [("h".into(), "v".into())]);

        let ids = |item, publications| -> Vec<MessageId> {
            let drafts = publishing.drafts(item, publications, &mut Dropped::default());
            drafts.iter().map(|draft| draft.id).collect()
        };
        let first = ids(ITEM, publications.clone());
        assert_eq!(ids(ITEM, publications.clone()), first, "another attempt");
        assert_ne!(ids(ItemId(8), publications), first);
        let same = ids(ITEM, vec![on("t", "x"), on("t", "x")]);
        assert_ne!(same[0], same[1], "it was published twice");
    }
}
