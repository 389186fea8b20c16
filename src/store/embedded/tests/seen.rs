//! What can be read of a store, and of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::history::Item;
use super::model::{Model, Once};
use super::plan::HANDLERS;
use super::words::{result_of, said, text, text_of};
use super::world::{CLIENTS, everything};
use crate::store::conformance::{ALL, client};
use crate::store::embedded::Embedded;
use crate::store::{Error, LossCause, Position, ScanLimit, Store, Which};
use crate::types::HandlerName;

/// Everything that a store says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) items: BTreeMap<Item, String>,
    /// Stretches of positions of which it was said that messages in them are damaged.
    pub(super) lossy: Vec<RangeInclusive<u64>>,
    pub(super) tail: u64,
}

impl Seen {
    fn put(&mut self, item: Item, text: String) {
        let before = self.items.insert(item.clone(), text);
        assert!(before.is_none(), "{item:?} is there twice");
    }

    pub(super) fn of_model(model: &Model) -> Self {
        let mut seen = Self::default();
        for ((handler, key), (version, content)) in &model.records {
            let item = Item::Record(*handler, key.clone());
            seen.put(item, format!("{version} {content}"));
        }
        for sent in &model.messages {
            seen.put(Item::Message(sent.position), sent.text.clone());
        }
        for (at, _) in CLIENTS.iter().enumerate() {
            for (position, req_id, said) in model.results(at) {
                seen.put(Item::Result(at, position), format!("{req_id} {said}"));
            }
        }
        for (queue, known) in &model.queues {
            for (seq, kept) in &known.kept {
                seen.put(Item::Place(*queue, *seq), kept.said.clone());
            }
        }
        for ((of, req_id), once) in &model.once {
            if let (Some(_), Once::Kept(_, kept)) = (of, once) {
                seen.put(Item::ReqId(*of, req_id.clone()), kept.said.clone());
            }
        }
        for taken in &model.open {
            let item = Item::Open(format!("packet {}", taken.name));
            seen.put(item, format!("{:?} {}", taken.place, taken.req_id));
        }
        seen
    }

    async fn of_store(store: &Embedded, model: &Model) -> Result<Self, Error> {
        let mut seen = Self {
            tail: store.tail().0,
            ..Self::default()
        };
        let mut from = 0;
        while from < seen.tail {
            let limit = ScanLimit { items: 1, ..ALL };
            let page = store.scan(&everything(), Position(from), limit).await?;
            for entry in &page.entries {
                seen.put(Item::Message(entry.position.0), text(entry));
            }
            if page.loss.iter().any(|loss| loss.cause == LossCause::Damage) {
                seen.lossy.push(from + 1..=page.through.0);
            }
            assert!(page.through.0 > from, "it goes on");
            from = page.through.0;
        }
        for (handler, name) in HANDLERS.iter().enumerate() {
            for record in store.list(name, "", None, ALL).await?.items {
                let content = record.content.as_ref().map(|(_, bytes)| text_of(bytes));
                let text = format!("{} {}", record.version, content.unwrap_or_default());
                seen.put(Item::Record(handler, record.key.to_string()), text);
            }
        }
        for (at, name) in CLIENTS.iter().enumerate() {
            let client = client(name);
            for entry in store.results(&client, Position(0), ALL).await?.entries {
                let (position, req_id, said) = result_of(&entry);
                seen.put(Item::Result(at, position), format!("{req_id} {said}"));
            }
            for (number, handler) in HANDLERS.iter().enumerate() {
                let handler = HandlerName::new(handler).unwrap();
                let which = Which::Places { handler, from: 0 };
                for kept in store.kept(&client, &which, ALL).await?.items {
                    if kept.answer.outcome.is_final() {
                        let item = Item::Place((at, number), kept.seq);
                        seen.put(item, said(&kept.answer));
                    }
                }
            }
            let of = model.once.keys().filter(|(of, _)| *of == Some(at));
            let of = of.map(|(_, req_id)| req_id.as_str().into());
            let which = Which::ReqIds(of.collect());
            for kept in store.kept(&client, &which, ALL).await?.items {
                if kept.answer.outcome.is_final() {
                    let item = Item::ReqId(Some(at), kept.req_id.to_string());
                    seen.put(item, said(&kept.answer));
                }
            }
        }
        for packet in store
            .open_runs()
            .await?
            .into_iter()
            .flat_map(|run| run.packets)
        {
            let text = format!("{:?} {}", packet.place, packet.req_id);
            seen.put(Item::Open(text_of(&packet.packet)), text);
        }
        Ok(seen)
    }

    /// What a reader gets who asks again when it fails: a damaged table is mended meanwhile.
    pub(super) async fn at_last(store: &Embedded, model: &Model) -> Self {
        let mut refused = 0;
        loop {
            match Self::of_store(store, model).await {
                Ok(seen) => return seen,
                Err(error) => {
                    refused += 1;
                    assert!(refused < 10_000, "it can be read again: {error}");
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// What differs from what is to be there.
    pub(super) fn differs(&self, whole: &Self) -> BTreeSet<Item> {
        let all = self.items.keys().chain(whole.items.keys());
        let differs = all.filter(|item| self.items.get(item) != whole.items.get(item));
        differs.cloned().collect()
    }
}
