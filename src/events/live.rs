//! What the committer and all streams share: the ring, who wants what, and for each stream the first item that it has not
//! read. A stream with none is at the tail, however much of the ring has passed it by.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use slab::Slab;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Subscription;
use super::about::{About, StreamView};
use super::cursor::{Cursor, Place};
use super::figures::Levels;
use super::interest::{InterestId, Interests, Met};
use super::ring::{Item, ItemKind, Ring};
use super::session::Batch;
use crate::store::{Entry, EntryKind, KeptResult, Position};
use crate::types::{ClientKey, Message};
use crate::wire::event::{self, ResultsEvent};

/// A stream's own number. Used again only after it has gone.
pub(super) type StreamId = usize;

/// Those to wake when the lock is free again.
pub(super) type Wakers = SmallVec<[Waker; 16]>;

/// How many ring items a read looks at before it lets others have the lock.
const LOOK: usize = 1024;

/// Results of one client that one event carries, at most, and about how large together.
const RESULTS_TOGETHER: usize = 1_000;
const RESULTS_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Live {
    ring: Ring,
    interests: Interests,
    streams: Slab<Slot>,
    /// How many streams there were.
    numbers: u64,
    /// The newest entry that was told.
    tail: Position,
    /// Of the store, known since the first stream.
    epoch: u64,
    draining: Option<Duration>,
    /// How often the ring went past a stream, and the ephemeral messages that were lost by that.
    overtaken: u64,
    lost: u64,
}

/// One stream, as the committer sees it.
#[derive(Debug)]
struct Slot {
    about: Arc<About>,
    wants: SmallVec<[Want; 1]>,
    /// The client whose own messages it skips.
    own: Option<Arc<ClientKey>>,
    /// The number of the first ring item that it may have to read.
    unread: Option<u64>,
    /// One more than the number of the last item counted for it, so that overlapping patterns count once.
    counted: u64,
    /// The newest result that it was told of.
    results: Position,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Want {
    interest: InterestId,
    /// Ephemeral messages that were told and not read.
    ephemeral: u64,
}

/// A stream that has begun.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) stream: StreamId,
    pub(super) about: Arc<About>,
    /// The newest entry that was told before.
    pub(super) told: Position,
}

/// What a stream found in the ring.
#[derive(Debug)]
pub(super) enum Found {
    /// Something was read, or there may be more to look at.
    Items,
    /// Nothing; the waker is woken when there is.
    Tail,
    /// It must read the store up to `target` first. For every want of its own, by index: ephemeral messages that are lost.
    Behind {
        target: Position,
        lost: SmallVec<[(usize, u64); 1]>,
    },
    Draining(Duration),
}

impl Live {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        Self {
            ring: Ring::new(max_items, max_bytes),
            interests: Interests::default(),
            streams: Slab::new(),
            numbers: 0,
            tail: Position(0),
            epoch: 0,
            draining: None,
            overtaken: 0,
            lost: 0,
        }
    }

    /// From here on everything that the stream wants is counted for it. Its wants are those of its patterns, in order, and
    /// then its client's results.
    pub(super) fn join(&mut self, subscription: &Subscription, epoch: u64) -> Joined {
        self.epoch = epoch;
        self.numbers += 1;
        let about = Arc::new(About::new(self.numbers, subscription));
        let slots = self.streams.vacant_entry();
        let stream = slots.key();
        let tenant = &subscription.principal.tenant;
        let mut wants = SmallVec::new();
        for pattern in &subscription.patterns {
            let interest = self
                .interests
                .want_pattern(stream, tenant, pattern.as_str());
            wants.push(Want {
                interest,
                ephemeral: 0,
            });
        }
        if let Some(client) = &subscription.client {
            let interest = self.interests.want_results(stream, client);
            wants.push(Want {
                interest,
                ephemeral: 0,
            });
        }
        slots.insert(Slot {
            about: about.clone(),
            wants,
            own: subscription
                .client
                .clone()
                .filter(|_| subscription.skip_own),
            unread: None,
            counted: 0,
            results: Position(0),
            waker: None,
        });
        Joined {
            stream,
            about,
            told: self.tail,
        }
    }

    pub(super) fn leave(&mut self, stream: StreamId) {
        let slot = self.streams.remove(stream);
        let mut left = SmallVec::<[InterestId; 4]>::new();
        for want in &slot.wants {
            if !left.contains(&want.interest) {
                left.push(want.interest);
                self.interests.leave(want.interest, stream);
            }
        }
        if self.streams.is_empty() {
            self.ring.clear();
        }
    }

    pub(super) fn publish(&mut self, entries: &[Entry], wake: &mut Wakers) {
        let mut rest = entries;
        while let [first, ..] = rest {
            let group;
            (group, rest) = rest.split_at(together(rest));
            self.tell(first, group, wake);
        }
        if let Some(last) = entries.last() {
            self.tail = self.tail.max(last.position);
        }
    }

    /// Reads what a stream has not read, into `batch`, and moves `reached`. At the tail `reached` is the tail's place.
    pub(super) fn read(
        &mut self,
        stream: StreamId,
        reached: &mut Place,
        batch: &mut Batch,
        waker: &Waker,
    ) -> Found {
        if let Some(spread) = self.draining {
            return Found::Draining(spread);
        }
        let slot = &mut self.streams[stream];
        let Some(unread) = slot.unread else {
            reached.advance(self.tail);
            slot.wait(waker);
            return Found::Tail;
        };
        if unread < self.ring.first() {
            let target = self.tail;
            let lost = slot.skip_all();
            self.overtaken += 1;
            self.lost += lost.iter().map(|(_, missed)| missed).sum::<u64>();
            return Found::Behind { target, lost };
        }
        let end = self.ring.end().min(unread + LOOK as u64);
        for number in unread..end {
            slot.unread = Some(number);
            if batch.is_full() {
                return Found::Items;
            }
            let Some(item) = self.ring.get(number) else {
                break;
            };
            let Some(want) = slot.wanted(item, stream) else {
                continue;
            };
            match item.kind {
                ItemKind::Ephemeral => slot.wants[want].ephemeral -= 1,
                ItemKind::Message if item.position <= reached.messages => continue,
                ItemKind::Results { .. } if item.position <= reached.results => continue,
                // Some of them were sent: the store has the others one by one.
                ItemKind::Results { first } if first <= reached.results => {
                    let (target, lost) = (item.position, SmallVec::new());
                    return Found::Behind { target, lost };
                }
                ItemKind::Message | ItemKind::Results { .. } => {}
            }
            reached.advance(item.position);
            batch.push(under(item, *reached, self.epoch));
        }
        if end < self.ring.end() {
            slot.unread = Some(end);
            return Found::Items;
        }
        slot.unread = None;
        reached.advance(self.tail);
        if batch.is_empty() {
            slot.wait(waker);
            return Found::Tail;
        }
        Found::Items
    }

    /// For a stream that reads the store: the newest result that it was told of, and whether it is told to go.
    pub(super) fn look(&mut self, stream: StreamId, waker: &Waker) -> (Position, Option<Duration>) {
        let slot = &mut self.streams[stream];
        slot.wait(waker);
        (slot.results, self.draining)
    }

    pub(super) fn drain(&mut self, spread: Duration, wake: &mut Wakers) {
        self.draining = Some(spread);
        let waiting = self.streams.iter_mut();
        wake.extend(waiting.filter_map(|(_, slot)| slot.waker.take()));
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The streams of a higher number than this, so many at most, the lowest first.
    pub(super) fn after(&self, number: u64, limit: usize, tail: Position) -> Vec<StreamView> {
        let slots = self.streams.iter().map(|(_, slot)| slot);
        let mut later: Vec<&Slot> = slots.filter(|slot| slot.about.number > number).collect();
        later.sort_unstable_by_key(|slot| slot.about.number);
        let (now, tail) = (Instant::now(), self.tail.max(tail));
        let first = later.iter().take(limit);
        first
            .map(|slot| slot.about.view(now, tail, slot.unread.is_some()))
            .collect()
    }

    /// Looks at every stream.
    pub(super) fn levels(&self) -> Levels {
        let unread = self.streams.iter().filter_map(|(_, slot)| slot.unread);
        Levels {
            streams: self.streams.len(),
            lag: unread.min().map_or(0, |first| self.ring.end() - first),
            overtaken: self.overtaken,
            lost: self.lost,
        }
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.interests.is_empty()
    }

    /// Puts a group of entries into the ring as one item, if anybody wants it.
    fn tell(&mut self, first: &Entry, group: &[Entry], wake: &mut Wakers) {
        let met = match &first.kind {
            EntryKind::Message(message) | EntryKind::Ephemeral(message) => {
                let topic = message.topic.as_str();
                self.interests.of_topic(&message.tenant, topic)
            }
            EntryKind::Result(result) if result.awaited => return,
            EntryKind::Result(result) => self.interests.of_client(&result.client),
        };
        if met.is_empty() {
            return;
        }
        let position = group.last().unwrap_or(first).position;
        let cursor = Cursor {
            epoch: self.epoch,
            place: Place::at(position),
        };
        let cursor = cursor.to_string();
        let (kind, event) = match &first.kind {
            EntryKind::Message(message) => {
                let event = event::of_message(cursor, message);
                (ItemKind::Message, self.ring.encode(&event))
            }
            EntryKind::Ephemeral(message) => {
                let event = event::of_message(cursor, message);
                (ItemKind::Ephemeral, self.ring.encode(&event))
            }
            EntryKind::Result(result) => {
                let first = first.position;
                let client_id = &result.client.client_id;
                let event = ResultsEvent::new(cursor, client_id, results(group));
                let event = self.ring.encode_results(&event);
                (ItemKind::Results { first }, event)
            }
        };
        let skipped_by = self.count(&met, kind, first, position, wake);
        self.ring.push(Item {
            kind,
            position,
            met,
            skipped_by,
            event,
        });
    }

    /// Counts the coming ring item for everyone whom it concerns. Gives those who skip it.
    fn count(
        &mut self,
        met: &Met,
        kind: ItemKind,
        entry: &Entry,
        position: Position,
        wake: &mut Wakers,
    ) -> SmallVec<[StreamId; 2]> {
        let number = self.ring.end();
        let mut skipped_by = SmallVec::new();
        for &interest in met {
            for &stream in self.interests.streams(interest) {
                let slot = &mut self.streams[stream];
                if slot.counted == number + 1 {
                    continue;
                }
                slot.counted = number + 1;
                if slot.own.as_ref().is_some_and(|own| published(own, entry)) {
                    skipped_by.push(stream);
                    continue;
                }
                match kind {
                    ItemKind::Message => {}
                    ItemKind::Results { .. } => slot.results = position,
                    ItemKind::Ephemeral => slot.want(interest).ephemeral += 1,
                }
                if slot.unread.is_none() {
                    slot.unread = Some(number);
                    wake.extend(slot.waker.take());
                }
            }
        }
        skipped_by
    }
}

impl Slot {
    /// Woken at the next item if nothing is unread by then. Whoever has something unread looks before it waits.
    fn wait(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn want(&mut self, interest: InterestId) -> &mut Want {
        let of = |want: &&mut Want| want.interest == interest;
        let found = self.wants.iter_mut().find(of);
        found.expect("a stream is listed only under interests that it has")
    }

    /// Which of its wants an item is for: the one that it was counted under.
    fn wanted(&self, item: &Item, stream: StreamId) -> Option<usize> {
        if item.skipped_by.contains(&stream) {
            return None;
        }
        let at = |interest: &InterestId| {
            let mut wants = self.wants.iter();
            wants.position(|want| want.interest == *interest)
        };
        item.met.iter().find_map(at)
    }

    /// Forgets what is unread. Gives the ephemeral messages among it.
    fn skip_all(&mut self) -> SmallVec<[(usize, u64); 1]> {
        self.unread = None;
        let mut lost = SmallVec::new();
        for (at, want) in self.wants.iter_mut().enumerate() {
            if want.ephemeral > 0 {
                lost.push((at, std::mem::take(&mut want.ephemeral)));
            }
        }
        lost
    }
}

/// How many of the first entries make one event: results of the same client go together.
pub(super) fn together(entries: &[Entry]) -> usize {
    let Some(EntryKind::Result(first)) = entries.first().map(|entry| &entry.kind) else {
        return 1;
    };
    let mut bytes = 0;
    let same = |entry: &&Entry| match &entry.kind {
        EntryKind::Result(result) => {
            bytes += result.answer.size();
            result.client == first.client
                && result.awaited == first.awaited
                && bytes <= RESULTS_BYTES
        }
        EntryKind::Message(_) | EntryKind::Ephemeral(_) => false,
    };
    let count = entries
        .iter()
        .take(RESULTS_TOGETHER)
        .take_while(same)
        .count();
    count.max(1)
}

/// The results among entries.
pub(super) fn results(entries: &[Entry]) -> impl Iterator<Item = &KeptResult> + Clone {
    entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Result(result) => Some(result),
        EntryKind::Message(_) | EntryKind::Ephemeral(_) => None,
    })
}

/// Whether this client published a message.
pub(super) fn is_own(client: &ClientKey, message: &Message) -> bool {
    message.client_id == client.client_id
        && message.publisher == client.subject
        && message.tenant == client.tenant
}

fn published(client: &ClientKey, entry: &Entry) -> bool {
    match &entry.kind {
        EntryKind::Message(message) | EntryKind::Ephemeral(message) => is_own(client, message),
        EntryKind::Result(_) => false,
    }
}

/// The event of an item under the cursor of a stream that has reached this place: as it was encoded, but for a stream that
/// is ahead of the item with one of its two positions.
fn under(item: &Item, reached: Place, epoch: u64) -> Bytes {
    if reached == Place::at(item.position) {
        return item.event.clone();
    }
    let cursor = Cursor {
        epoch,
        place: reached,
    };
    event::under_cursor(&item.event, &cursor.to_string())
}
