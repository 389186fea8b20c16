//! Dead letters, for whoever looks after the gateway: seen, sent anew, discarded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::apply::Applier;
use super::core::{Anew, Decision, Undecided, discarded};
use super::restore;
use super::worker::Command;
use super::{Broker, PERMIT_BYTES};
use crate::handler::{ItemId, Registry};
use crate::store::{self, Error, LetterCounts, LetterId, LetterState, PageOf, ScanLimit, Store};
use crate::types::{HandlerName, Outcome, Packet};

/// Of dead letters that one call sees or decides about, and of their bytes.
pub const LETTERS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 16 << 20;
const AT_ONCE: ScanLimit = ScanLimit {
    items: LETTERS_AT_ONCE,
    bytes: BYTES_AT_ONCE,
};

/// How long it is waited until what was decided is on disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A dead letter, and the packet in it.
#[derive(Debug)]
pub struct DeadLetter {
    pub letter: store::DeadLetter,
    /// What its handler knew it by.
    pub item: ItemId,
    pub packet: Packet,
}

/// Which dead letters are meant.
#[derive(Debug, Clone)]
pub enum Letters {
    Ids(Vec<LetterId>),
    /// Those of one handler or of all, the oldest first.
    Between {
        handler: Option<HandlerName>,
        /// Beginning after this one.
        after: LetterId,
        /// No later ones: with [`LetterCounts::newest`] as it was at first, what fails again is not tried over and over.
        through: LetterId,
    },
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Decided {
    /// Sent anew, called again, or discarded.
    pub done: usize,
    /// The others, each with why, for a person.
    pub failed: Vec<(LetterId, String)>,
    /// There may be more after this one. Where it is set, none was left out up to it.
    pub next: Option<LetterId>,
}

/// What the handle needs besides the worker.
#[derive(Debug)]
pub(super) struct Shelf {
    store: Arc<dyn Store>,
    applier: Applier,
    registry: Arc<Registry>,
}

impl Shelf {
    pub(super) fn new(store: Arc<dyn Store>, applier: Applier, registry: Arc<Registry>) -> Self {
        Self {
            store,
            applier,
            registry,
        }
    }
}

impl Broker {
    /// Dead letters of one handler or of all, after this one, the oldest first: [`LETTERS_AT_ONCE`] and 16 MiB at most.
    pub async fn dead_letters(
        &self,
        handler: Option<&HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> Result<PageOf<DeadLetter>, Error> {
        let page = self.letters_after(handler, after, limit).await?;
        let letters = page.items.into_iter().map(|letter| DeadLetter {
            item: ItemId::of_taken(letter.taken),
            packet: restore::packet_of(&letter),
            letter,
        });
        Ok(PageOf {
            items: letters.collect(),
            more: page.more,
        })
    }

    /// How many there are. Cheap.
    pub fn letter_counts(&self) -> LetterCounts {
        self.shelf.store.letter_counts()
    }

    /// Has them tried again. One whose packet is held is called again in its place, with the same item id and a new budget;
    /// any other is sent as a new packet of the same principal, with an id of its own, at the end of its chain. No client
    /// waits for that one, and none gets its result: what its client was told stands. If it fails again it is a dead letter
    /// again. [`LETTERS_AT_ONCE`] at most.
    pub async fn retry_dead_letters(&self, which: &Letters) -> Result<Decided, Error> {
        let (letters, mut decided) = self.chosen(which).await?;
        let (held, others): (Vec<_>, Vec<_>) = letters
            .into_iter()
            .partition(|letter| letter.state == LetterState::Held);
        let deciding = held
            .iter()
            .map(|letter| self.decide(letter, Decision::Retry));
        for (letter, said) in held.iter().zip(join_all(deciding).await) {
            let said = match said {
                Ok(said) => said,
                Err(Undecided::NotHere) => Err(format!(
                    "{} takes no packets any more that are called later: give it back to the gateway as it was, or discard this",
                    letter.origin.handler
                )),
                Err(Undecided::Decided) => Err(DECIDED.into()),
            };
            decided.note(letter.id, said);
        }
        self.send_anew(others, &mut decided).await;
        Ok(decided)
    }

    /// Has them go. A packet that is held gets its final answer: `REJECTED`. [`LETTERS_AT_ONCE`] at most.
    pub async fn discard_dead_letters(&self, which: &Letters) -> Result<Decided, Error> {
        let (letters, mut decided) = self.chosen(which).await?;
        let (held, others): (Vec<_>, Vec<_>) = letters
            .into_iter()
            .partition(|letter| letter.state == LetterState::Held);
        let Shelf {
            applier, registry, ..
        } = &*self.shelf;
        let deciding = held
            .iter()
            .map(|letter| self.decide(letter, Decision::Discard));
        for (letter, said) in held.iter().zip(join_all(deciding).await) {
            let said = match said {
                Ok(said) => said,
                // Nobody drives it: its handler is gone.
                Err(Undecided::NotHere) => {
                    let answer = Arc::new(discarded());
                    applier
                        .finish_one(registry, letter.taken, &letter.origin, answer)
                        .await
                }
                Err(Undecided::Decided) => Err(DECIDED.into()),
            };
            decided.note(letter.id, said);
        }
        let ids: Vec<_> = others.iter().map(|letter| letter.id).collect();
        let said = match ids.is_empty() {
            true => Ok(()),
            false => applier.discard(registry, others).await,
        };
        for id in ids {
            decided.note(id, said.clone());
        }
        Ok(decided)
    }

    async fn letters_after(
        &self,
        handler: Option<&HandlerName>,
        after: LetterId,
        limit: ScanLimit,
    ) -> Result<PageOf<store::DeadLetter>, Error> {
        let limit = ScanLimit {
            items: limit.items.clamp(1, LETTERS_AT_ONCE),
            bytes: limit.bytes.min(BYTES_AT_ONCE),
        };
        self.shelf.store.dead_letters(handler, after, limit).await
    }

    /// Those that are there; the others are told already.
    async fn chosen(&self, which: &Letters) -> Result<(Vec<store::DeadLetter>, Decided), Error> {
        let mut decided = Decided::default();
        let ids = match which {
            Letters::Between {
                handler,
                after,
                through,
            } => {
                let page = self.letters_after(handler.as_ref(), *after, AT_ONCE);
                let PageOf { mut items, more } = page.await?;
                let last = items.last().map(|letter| letter.id);
                decided.next = last.filter(|last| more && last < through);
                items.retain(|letter| letter.id <= *through);
                return Ok((items, decided));
            }
            Letters::Ids(ids) => ids,
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        for &id in ids {
            if found.len() >= LETTERS_AT_ONCE || bytes > BYTES_AT_ONCE {
                let message = "too many at once: ask for this one again";
                decided.failed.push((id, message.into()));
                continue;
            }
            let before = LetterId(id.0.saturating_sub(1));
            let one = ScanLimit {
                items: 1,
                ..AT_ONCE
            };
            let next = self.letters_after(None, before, one).await?.items.pop();
            match next.filter(|letter| letter.id == id) {
                Some(letter) => {
                    bytes += letter.death.packet.len();
                    found.push(letter);
                }
                None => decided.failed.push((id, GONE.into())),
            }
        }
        Ok((found, decided))
    }

    async fn send_anew(&self, letters: Vec<store::DeadLetter>, decided: &mut Decided) {
        let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
        if ids.is_empty() {
            return;
        }
        let bytes = letters.iter().map(|letter| letter.death.packet.len());
        let permits = bytes.sum::<usize>() / PERMIT_BYTES + 1;
        let room = self
            .intake
            .clone()
            .acquire_many_owned(permits.min(self.intake_permits) as u32);
        let anew = letters.into_iter().map(|letter| Anew {
            letter: letter.id,
            packet: Arc::new(restore::packet_of(&letter)),
            origin: letter.origin,
        });
        let (reply, answer) = oneshot::channel();
        let sent = async {
            let command = Command::SendAnew {
                letters: anew.collect(),
                wait: PATIENCE,
                reply,
                room: room.await.map_err(|_| STOPPING)?,
            };
            self.commands.send(command).await.map_err(|_| STOPPING)?;
            answer.await.map_err(|_| STOPPING)
        };
        let response = match timeout(2 * PATIENCE, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => return ids.iter().for_each(|id| decided.note(*id, Err(why.into()))),
            Err(_) => {
                return ids
                    .iter()
                    .for_each(|id| decided.note(*id, Err(SLOW.into())));
            }
        };
        for (id, (_, answer)) in ids.into_iter().zip(response.answers) {
            let said = match answer.outcome {
                Outcome::Accepted | Outcome::Ok => Ok(()),
                Outcome::Forgotten => Err(GONE.into()),
                _ => Err(answer.message.to_string()),
            };
            decided.note(id, said);
        }
    }

    /// Ends when it is on disk, or with why it may not be.
    async fn decide(
        &self,
        letter: &store::DeadLetter,
        decision: Decision,
    ) -> Result<Result<(), String>, Undecided> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Decide {
            taken: letter.taken,
            decision,
            reply,
        };
        if self.commands.send(command).await.is_err() {
            return Ok(Err(STOPPING.into()));
        }
        match timeout(PATIENCE, answer).await {
            Ok(Ok(Ok(()))) => Ok(Ok(())),
            Ok(Ok(Err(undecided))) => Err(undecided),
            Ok(Err(_)) => Ok(Err(STOPPING.into())),
            Err(_) => Ok(Err(SLOW.into())),
        }
    }
}

impl Decided {
    fn note(&mut self, id: LetterId, said: Result<(), String>) {
        match said {
            Ok(()) => self.done += 1,
            Err(why) => self.failed.push((id, why)),
        }
    }
}

const GONE: &str = "there is no such dead letter, or it was decided about already";
const DECIDED: &str = "something is being decided about it: ask again";
const STOPPING: &str = "the gateway is stopping";
const SLOW: &str = "it is not on disk yet: see whether it is still listed";

#[cfg(test)]
mod tests;
