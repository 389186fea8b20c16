//! A collection of versioned records.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smallvec::{SmallVec, smallvec};

use super::Planner;
use super::fields;
use super::page::{self, After};
use crate::store::{Change, Effect, Op, Origin, Store};
use crate::types::{Action, Answer, Packet, Reason, limits, record_key, record_prefix};

/// The `records` handler: one for all collections.
#[derive(Debug)]
pub struct Records;

impl Planner for Records {
    fn plan(&self, origin: &Origin, packet: &Packet) -> Effect {
        match changes(origin, packet) {
            Ok(changes) => Effect::Change {
                collection: collection(origin),
                changes,
            },
            Err(refusal) => Effect::Answer(refusal),
        }
    }

    fn read<'a>(
        &'a self,
        store: &'a dyn Store,
        origin: &'a Origin,
        packet: &'a Packet,
    ) -> BoxFuture<'a, Answer> {
        let answer = async move {
            fields::check(packet)?;
            match packet.action {
                Action::List => list(store, origin, packet).await,
                _ => read(store, origin, packet).await,
            }
        };
        answer
            .map(|answer| answer.unwrap_or_else(|refusal| refusal))
            .boxed()
    }

    fn actions(&self) -> &[Action] {
        const ALL_BUT_CALL: [Action; 6] = [
            Action::Create,
            Action::Read,
            Action::Update,
            Action::Delete,
            Action::Put,
            Action::List,
        ];
        &ALL_BUT_CALL
    }
}

/// What the packet changes, or why it cannot be.
fn changes(origin: &Origin, packet: &Packet) -> Result<SmallVec<[Change; 1]>, Answer> {
    fields::check(packet)?;
    if packet
        .more
        .as_ref()
        .is_some_and(|more| !more.files.is_empty())
    {
        return Err(invalid(
            "a record has no files: send content, or use a handler that takes files",
        ));
    }
    match packet.action {
        Action::Create => create(origin, packet),
        Action::Update => Ok(smallvec![change(Op::Update, origin, packet)?]),
        Action::Put => Ok(smallvec![change(Op::Put, origin, packet)?]),
        Action::Delete => Ok(smallvec![delete(origin, packet)?]),
        Action::Read | Action::List | Action::Call => Err(Answer::rejected(
            Reason::UnsupportedAction,
            format!("a collection of records has no {}", packet.action.name()),
        )),
    }
}

/// With a key, one record. Without, a record with a key of its own for each item.
fn create(origin: &Origin, packet: &Packet) -> Result<SmallVec<[Change; 1]>, Answer> {
    if !packet.key.is_empty() {
        return Ok(smallvec![change(Op::Create, origin, packet)?]);
    }
    let items = &packet.content.items;
    if items.is_empty() {
        return Err(invalid("CREATE needs content: the record, in data or text"));
    }
    if items.len() > limits::ITEMS_AT_ONCE {
        return Err(invalid(format!(
            "CREATE has {} items: {} are the most",
            items.len(),
            limits::ITEMS_AT_ONCE
        )));
    }
    let made = items.iter().map(|item| Change {
        op: Op::Create,
        key: make_key(),
        if_version: packet.if_version,
        content: Some((packet.content.form, item.clone())),
    });
    Ok(made.collect())
}

fn change(op: Op, origin: &Origin, packet: &Packet) -> Result<Change, Answer> {
    let action = packet.action.name();
    let [item] = packet.content.items.as_slice() else {
        return Err(invalid(match (op, packet.content.is_empty()) {
            (_, true) => format!("{action} needs content: the record, in data or text"),
            (Op::Create, _) => {
                "CREATE with a key makes one record: several items go without a key".to_owned()
            }
            _ => format!("{action} makes one record: give one item"),
        }));
    };
    Ok(Change {
        op,
        key: key(origin, packet)?,
        if_version: packet.if_version,
        content: Some((packet.content.form, item.clone())),
    })
}

fn delete(origin: &Origin, packet: &Packet) -> Result<Change, Answer> {
    if !packet.content.is_empty() {
        return Err(invalid("DELETE has no content: only a key"));
    }
    Ok(Change {
        op: Op::Delete,
        key: key(origin, packet)?,
        if_version: packet.if_version,
        content: None,
    })
}

async fn read(store: &dyn Store, origin: &Origin, packet: &Packet) -> Result<Answer, Answer> {
    let key = key(origin, packet)?;
    match store.record(&collection(origin), &key).await {
        Ok(Some(record)) => Ok(Answer::records(vec![record])),
        Ok(None) => {
            let message = format!("there is no record under the key {key:?}");
            Err(Answer::rejected(Reason::NotFound, message))
        }
        Err(error) => Err(Answer::retry(Reason::StoreUnavailable, error.to_string())),
    }
}

async fn list(store: &dyn Store, origin: &Origin, packet: &Packet) -> Result<Answer, Answer> {
    let subject = &origin.principal.subject;
    let prefix = record_prefix(&packet.key, subject).map_err(|error| invalid(error.0))?;
    let collection = collection(origin);
    // What a page's token is good for.
    let listed = format!("{collection}.{prefix}");
    let after = match page::after(packet, &listed)? {
        None => None,
        Some(After::Key(key)) => Some(key),
        Some(After::Position(_)) => {
            return Err(invalid(
                "the page_token is of a topic's history, not of records",
            ));
        }
    };
    let page = store.list(&collection, &prefix, after.as_deref(), page::limit(packet));
    let page = page
        .await
        .map_err(|error| Answer::retry(Reason::StoreUnavailable, error.to_string()))?;
    let last = page.items.last().filter(|_| page.more);
    let next = last.map(|record| page::token(&After::Key(record.key.to_string()), &listed));
    let mut answer = Answer::records(page.items);
    if let (Some(body), Some(next)) = (&mut answer.body, next) {
        body.next_page_token = next.into();
    }
    Ok(answer)
}

fn key(origin: &Origin, packet: &Packet) -> Result<ByteString, Answer> {
    if packet.key.is_empty() {
        let action = packet.action.name();
        return Err(invalid(format!("{action} needs the key of a record")));
    }
    match record_key(&packet.key, &origin.principal.subject) {
        Ok(Cow::Borrowed(_)) => Ok(packet.key.clone()),
        Ok(Cow::Owned(key)) => Ok(key.into()),
        Err(error) => Err(invalid(error.0)),
    }
}

/// The tenant's own collection of this handler. A handler's name has no `/`, so the last one separates.
fn collection(origin: &Origin) -> Arc<str> {
    let tenant = &origin.principal.tenant;
    match &**tenant {
        "" => origin.handler.as_str().into(),
        tenant => format!("{tenant}/{}", origin.handler).into(),
    }
}

/// 26 characters, each key of this process above the one before, so that LIST gives what was made in the order it was made:
/// milliseconds and a count, then 64 bits of chance.
fn make_key() -> ByteString {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = (since.unwrap_or_default().as_millis() as u64) << 16;
    let above = |last: u64| now.max(last + 1);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        Some(above(last))
    });
    let made = above(last.unwrap_or_else(|last| last));
    let number = u128::from(made) << 64 | u128::from(rand::random::<u64>());
    let digit = |at: u32| char::from(DIGITS[(number >> (5 * at)) as usize & 31]);
    (0..26).rev().map(digit).collect::<String>().into()
}

fn invalid(message: impl Into<ByteString>) -> Answer {
    Answer::rejected(Reason::InvalidPacket, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::{apply, origin, packet, store};
    use crate::types::{Body, Content, Form, More, Outcome};

    fn with(action: Action, key: &str, items: &[&str]) -> Packet {
        let items = items.iter().map(|item| item.to_string().into()).collect();
        let form = Form::Text;
        Packet {
            content: Content { form, items },
            ..packet(action, key)
        }
    }

    async fn done(store: &dyn Store, origin: &Origin, packet: &Packet) -> Answer {
        match packet.action.is_read() {
            true => Records.read(store, origin, packet).await,
            false => apply(store, origin, Records.plan(origin, packet)).await,
        }
    }

    fn body(answer: &Answer) -> &Body {
        assert_eq!(answer.outcome, Outcome::Ok, "{answer:?}");
        answer.body.as_ref().unwrap()
    }

    fn keys(answer: &Answer) -> Vec<&str> {
        let records = &body(answer).records;
        records.iter().map(|record| &*record.key).collect()
    }

    #[tokio::test]
    async fn every_item_without_a_key_gets_one_of_its_own_in_order() {
        let (store, ann) = (store(), origin("", "ann", "todos"));
        let made = done(&*store, &ann, &with(Action::Create, "", &["a", "b", "c"])).await;
        let more = done(&*store, &ann, &with(Action::Create, "", &["d"])).await;
        let all: Vec<_> = [keys(&made), keys(&more)].concat();
        for key in &all {
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(key.len() == 26 && key.bytes().all(legal), "{key}");
        }
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        let listed = done(&*store, &ann, &packet(Action::List, "")).await;
        assert_eq!(keys(&listed), all);
        let content = body(&listed)
            .records
            .iter()
            .map(|record| record.content.clone());
        let texts = ["a", "b", "c", "d"].map(|text| Some((Form::Text, text.into())));
        assert!(content.eq(texts));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_its_reason() {
        let (store, ann) = (store(), origin("", "ann", "todos"));
        let many = vec!["x"; limits::ITEMS_AT_ONCE + 1];
        let long = "x".repeat(limits::KEY_BYTES + 1);
        let cases = [
            (with(Action::Create, "", &[]), "needs content"),
            (with(Action::Create, "", &many), "64 are the most"),
            (with(Action::Create, "k", &["a", "b"]), "without a key"),
            (with(Action::Create, "k", &[]), "needs content"),
            (with(Action::Update, "", &["a"]), "UPDATE needs the key"),
            (with(Action::Put, "k", &["a", "b"]), "give one item"),
            (with(Action::Delete, "k", &["a"]), "no content"),
            (with(Action::Delete, "", &[]), "DELETE needs the key"),
            (with(Action::Read, "", &[]), "READ needs the key"),
            (with(Action::Put, "a..b", &["a"]), "empty token"),
            (with(Action::Put, &long, &["a"]), "512 are the most"),
        ];
        for (packet, why) in cases {
            let answer = done(&*store, &ann, &packet).await;
            assert_eq!(answer.reason, Reason::InvalidPacket, "{packet:?}");
            assert!(answer.message.contains(why), "{}", answer.message);
        }
        let most = vec!["x"; limits::ITEMS_AT_ONCE];
        let full = done(&*store, &ann, &with(Action::Create, "", &most)).await;
        assert_eq!(body(&full).records.len(), limits::ITEMS_AT_ONCE);
        let call = done(&*store, &ann, &with(Action::Call, "k", &["a"])).await;
        assert_eq!(call.reason, Reason::UnsupportedAction);
        assert!(!Records.actions().contains(&Action::Call));
    }

    #[tokio::test]
    async fn a_mismatch_brings_the_present_record() {
        let (store, ann) = (store(), origin("", "ann", "todos"));
        done(&*store, &ann, &with(Action::Put, "k", &["milk"])).await;
        let stale = Packet {
            if_version: Some(9),
            ..with(Action::Update, "k", &["bread"])
        };
        let answer = done(&*store, &ann, &stale).await;
        assert_eq!(answer.reason, Reason::VersionMismatch);
        let present = &answer.body.as_ref().unwrap().records[0];
        assert_eq!(present.content, Some((Form::Text, "milk".into())));
        done(&*store, &ann, &with(Action::Delete, "k", &[])).await;
        let gone = done(&*store, &ann, &packet(Action::Read, "k")).await;
        assert_eq!(gone.reason, Reason::NotFound);
    }

    #[tokio::test]
    async fn pages_go_on_where_the_one_before_ended() {
        let (store, ann) = (store(), origin("", "ann", "todos"));
        for key in ["l.1", "l.2", "l.3", "m"] {
            done(&*store, &ann, &with(Action::Put, key, &["x"])).await;
        }
        let page = |prefix: &str, token: &str, page_size| Packet {
            more: Some(Box::new(More {
                page_token: token.into(),
                page_size,
                ..More::default()
            })),
            ..packet(Action::List, prefix)
        };
        let list = |token: &str, page_size| page("l.", token, page_size);
        let first = done(&*store, &ann, &list("", 2)).await;
        assert_eq!(keys(&first), ["l.1", "l.2"]);
        let second = done(&*store, &ann, &list(&body(&first).next_page_token, 2)).await;
        assert_eq!(keys(&second), ["l.3"]);
        assert_eq!(&*body(&second).next_page_token, "");
        let whole = done(&*store, &ann, &list("", 3)).await;
        assert_eq!(
            &*body(&whole).next_page_token,
            "",
            "nothing is behind a full last page"
        );
        let position = page::token(&After::Position(1), "todos.l.");
        for wrong in ["what", &position] {
            let answer = done(&*store, &ann, &list(wrong, 2)).await;
            assert_eq!(answer.reason, Reason::InvalidPacket, "{wrong}");
        }
        let token = &body(&first).next_page_token;
        let others = origin("", "ann", "others");
        for (origin, prefix) in [(&ann, ""), (&ann, "l"), (&others, "l.")] {
            let answer = done(&*store, origin, &page(prefix, token, 2)).await;
            assert!(answer.message.contains("another list"), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn me_is_the_callers_token_and_tenants_have_their_own() {
        let (store, dotted) = (store(), origin("", "a.b", "todos"));
        let made = done(&*store, &dotted, &with(Action::Put, "@me.k", &["x"])).await;
        assert_eq!(keys(&made), ["a%2Eb.k"]);
        let listed = done(&*store, &dotted, &packet(Action::List, "@me.")).await;
        assert_eq!(keys(&listed), ["a%2Eb.k"]);
        let other = origin("acme", "a.b", "todos");
        let theirs = done(&*store, &other, &packet(Action::List, "")).await;
        assert!(keys(&theirs).is_empty());
        let nobody = origin("", "", "todos");
        let refused = done(&*store, &nobody, &packet(Action::Read, "@me.k")).await;
        assert!(refused.message.contains("needs a subject"), "{refused:?}");
    }
}
