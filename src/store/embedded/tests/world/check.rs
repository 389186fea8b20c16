//! Everything that can be asked of a store, against the model.

use std::collections::BTreeMap;

use super::super::model::{Dead, Sent};
use super::super::plan::{HANDLERS, PlannedEffect, PlannedUnit};
use super::super::words::{result_of, said, text, text_of};
use super::{CLIENTS, World};
use crate::store::conformance::{ALL, at, client};
use crate::store::{
    Commit, DeadLetter, Domain, Filter, LetterId, LetterState, LossCause, Place, Position,
    ReqIdScope, Store, Which,
};
use crate::types::{HandlerName, Pattern};

impl World {
    /// Everything that can be asked, against the model; what was told here, too.
    pub(in super::super) async fn check(&mut self) {
        let seed = self.seed;
        self.check_records().await;
        self.check_messages().await;
        self.check_letters().await;
        for (at, name) in CLIENTS.iter().enumerate() {
            let page = self
                .store
                .results(&client(name), Position(0), ALL)
                .await
                .unwrap();
            let found: Vec<_> = page.entries.iter().map(result_of).collect();
            same(&found, &self.model.results(at), seed, "results");
            if self.model.lost.get(&at).is_some_and(|lost| *lost > 0) {
                assert!(
                    page.lost,
                    "seed {seed}: {name} is told that results are lost"
                );
            }
        }
        for ((of, handler), known) in self.model.queues.clone() {
            let which = Which::Places {
                handler: HandlerName::new(HANDLERS[handler]).unwrap(),
                from: 0,
            };
            let found = self
                .store
                .kept(&client(CLIENTS[of]), &which, ALL)
                .await
                .unwrap();
            let found: Vec<_> = found
                .items
                .iter()
                .filter(|kept| kept.answer.outcome.is_final())
                .map(|kept| (kept.seq, said(&kept.answer)))
                .collect();
            let kept = known
                .kept
                .iter()
                .map(|(seq, kept)| (*seq, kept.said.clone()));
            same(&found, &kept.collect::<Vec<_>>(), seed, "kept results");
        }
        self.check_repeats().await;
    }

    async fn check_records(&self) {
        let seed = self.seed;
        for (handler, name) in HANDLERS.iter().enumerate() {
            let page = self.store.list(name, "", None, ALL).await.unwrap();
            let found = page.items.iter().map(|record| {
                let content = record.content.as_ref().map(|(_, bytes)| text_of(bytes));
                (
                    record.key.to_string(),
                    record.version,
                    content.unwrap_or_default(),
                )
            });
            let records = self
                .model
                .records
                .iter()
                .filter(|((of, _), _)| *of == handler);
            let records = records
                .map(|((_, key), (version, content))| (key.clone(), *version, content.clone()));
            same(
                &found.collect::<Vec<_>>(),
                &records.collect::<Vec<_>>(),
                seed,
                "records",
            );
        }
    }

    /// All dead letters, of all handlers and of one.
    pub(super) async fn check_letters(&mut self) {
        let seed = self.seed;
        let page = self.store.dead_letters(None, LetterId(0), ALL).await;
        self.same_letters(&page.unwrap().items);
        let counts = self.store.letter_counts();
        let letters = &self.model.letters;
        let held = letters.iter().filter(|dead| dead.held).count() as u64;
        let expected = (letters.len() as u64 - held, held);
        assert_eq!((counts.kept, counts.held), expected, "seed {seed}");
        let one = &HandlerName::new(HANDLERS[0]).unwrap();
        let page = self.store.dead_letters(Some(one), LetterId(0), ALL).await;
        let of_one = letters.iter().filter(|dead| dead.handler == 0);
        assert_eq!(page.unwrap().items.len(), of_one.count(), "seed {seed}");
    }

    /// In their order, each as it was given up. Their numbers are learnt.
    pub(super) fn same_letters(&mut self, found: &[DeadLetter]) {
        let seed = self.seed;
        let mut letters = Vec::with_capacity(found.len());
        for letter in found {
            let packet = text_of(&letter.death.packet);
            let name: u64 = packet.trim_start_matches("packet ").parse().unwrap();
            let before = self.letters.insert(name, letter.id);
            let held = letter.state == LetterState::Held;
            let known = before.is_none_or(|before| before <= letter.id);
            assert!(known, "seed {seed}: a number that was given again");
            assert_eq!(letter.death.attempts, name as u32, "seed {seed}");
            assert_eq!(&*letter.death.message, format!("why {name}"), "seed {seed}");
            let dead = self.model.letters.iter().find(|dead| dead.name == name);
            let of = dead.map(|dead| (dead.client, dead.handler));
            letters.push(Dead {
                name,
                held,
                client: of.and_then(|(client, _)| client),
                handler: of.map_or(usize::MAX, |(_, handler)| handler),
                fingerprint: letter.fingerprint,
                req_id: letter.req_id.to_string(),
            });
            if let Some((client, handler)) = of {
                assert_eq!(*letter.origin, *self.origin(client, handler), "seed {seed}");
            }
        }
        same(&letters, &self.model.letters, seed, "dead letters");
    }

    /// All that is kept, at its position, and told where something is not.
    async fn check_messages(&self) {
        let seed = self.seed;
        let filter = everything();
        let (mut from, mut found, mut losses) = (0, Vec::new(), Vec::new());
        loop {
            let limit = crate::store::ScanLimit { items: 50, ..ALL };
            let page = self
                .store
                .scan(&filter, Position(from), limit)
                .await
                .unwrap();
            found.extend(
                page.entries
                    .iter()
                    .map(|entry| (entry.position.0, text(entry))),
            );
            losses.extend(page.loss);
            assert!(
                page.through.0 > from || from >= self.model.tail,
                "seed {seed}: it goes on"
            );
            from = page.through.0;
            if from >= self.model.tail {
                break;
            }
        }
        assert!(
            losses.iter().all(|loss| loss.cause == LossCause::Retention),
            "seed {seed}"
        );
        let mut found: BTreeMap<u64, String> = found.into_iter().collect();
        let now = self.model.now;
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for sent in self.model.messages.iter().rev() {
            let there = found.remove(&sent.position);
            let class = self.options.keep.class(&sent.topic);
            let bounds = self.options.keep.bounds(class);
            let rank = newest.entry(&sent.topic).or_default();
            *rank += 1;
            match there {
                Some(there) => assert_eq!(there, sent.text, "seed {seed}"),
                None => {
                    let by_last = bounds.last.is_some_and(|last| *rank > last);
                    let by_age = at(sent.time) + bounds.age < at(now);
                    let by_bytes = bounds.bytes < 1 << 30 && !losses.is_empty();
                    assert!(
                        by_last || (by_age && !losses.is_empty()) || by_bytes,
                        "seed {seed}: {sent:?} is not there, and nothing is said"
                    );
                }
            }
        }
        assert!(found.is_empty(), "seed {seed}: out of thin air: {found:?}");
        for entry in self.heard.entries.lock().iter() {
            let sent = self
                .model
                .messages
                .iter()
                .find(|sent| sent.position == entry.0);
            if let Some(Sent { text, .. }) = sent {
                assert_eq!(*text, entry.1, "seed {seed}: what was heard");
            }
        }
    }

    /// Everything that has a place or a req_id, to be sent again, and the place behind the next of each queue.
    pub(in super::super) fn repeats(&self) -> Vec<PlannedUnit> {
        let mut again = Vec::new();
        for ((of, handler), known) in &self.model.queues {
            for seq in (1..=known.reached).chain([known.reached + 2]) {
                again.push((Some(*of), *handler, Place::Seq(seq), String::new()));
            }
        }
        for (of, req_id) in self.model.once.keys() {
            let scope = match of {
                Some(_) => ReqIdScope::Client,
                None => ReqIdScope::Subject,
            };
            again.push((*of, 0, Place::ReqId(scope), req_id.clone()));
        }
        let again = again.into_iter().enumerate();
        let again = again.map(|(at, (client, handler, place, req_id))| PlannedUnit {
            client,
            handler,
            group: at as u64,
            place,
            fingerprint: 1,
            req_id,
            awaited: true,
            effect: PlannedEffect::Answer("again".into()),
            name: 0,
        });
        again.collect()
    }

    /// What is said to units that come alone, all in one commit; `None`: it was not taken.
    pub(in super::super) async fn ask(&mut self, units: &[PlannedUnit]) -> Option<Vec<String>> {
        let commit = Commit {
            units: units.iter().map(|unit| self.unit_of(unit)).collect(),
            ..Commit::new(Domain(0), self.terms[0], at(self.model.now))
        };
        let judged = self.store.commit(commit).await.ok()?.await.ok()?;
        Some(judged.iter().map(|judged| self.plain(judged)).collect())
    }

    /// All of that, one unit each: it does nothing but tell.
    async fn check_repeats(&mut self) {
        let seed = self.seed;
        let again = self.repeats();
        let mut plain = self.model.clone();
        let named = |unit: &PlannedUnit, said: &str| {
            let PlannedUnit {
                client,
                handler,
                place,
                req_id,
                ..
            } = unit;
            format!("{client:?} {handler} {place:?} {req_id}: {said}")
        };
        let expected = again.iter().map(|unit| named(unit, &plain.judged(unit)));
        let expected: Vec<_> = expected.collect();
        let said = self.ask(&again).await.expect("it takes commits");
        let said = again.iter().zip(&said);
        let said: Vec<_> = said.map(|(unit, said)| named(unit, said)).collect();
        same(&said, &expected, seed, "repeats");
        assert_eq!(
            self.store.tail().0,
            self.model.tail,
            "seed {seed}: repeats do nothing"
        );
    }
}

/// Two lists, of which the first difference is told.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    found: &[T],
    expected: &[T],
    seed: u64,
    what: &str,
) {
    let at = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    let at = at.unwrap_or_else(|| found.len().min(expected.len()));
    let (found, expected) = (found.get(at), expected.get(at));
    let brief = |one: Option<&T>| format!("{one:.200?}").chars().take(200).collect::<String>();
    assert!(
        found == expected,
        "seed {seed}: {what}, number {at}: {} is to be {}",
        brief(found),
        brief(expected)
    );
}

/// All topics: those of the gateway's own have to be named.
pub(in super::super) fn everything() -> Filter {
    let parse = |pattern: &str| Pattern::parse(pattern, "").unwrap();
    Filter {
        tenant: "".into(),
        patterns: vec![parse(">"), parse("records.>")],
    }
}
