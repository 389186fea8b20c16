//! One stream: what it was promised, in order, each event with the place that the stream has reached by it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use prost::Message as _;
use tokio::time::{Instant, Sleep};

use super::about::About;
use super::cursor::{Cursor, Place};
use super::figures::Sending;
use super::hub::Hub;
use super::live::{self, Found, Joined, StreamId};
use super::reader::{Read, Reader};
use super::{Start, Subscription};
use crate::store::{Entry, EntryKind, Loss, LossCause, Position};
use crate::types::Message;
use crate::wire::answer::duration;
use crate::wire::event::{self, GapCause, LeaveCause, ResultsEvent};
use crate::wire::proto;

/// What a stream takes out of the ring at once.
const BATCH_EVENTS: usize = 64;
const BATCH_BYTES: usize = 32 << 10;

/// Within what a stream that ends of age is asked to come back.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// One stream. It holds at most one batch of events, reads on only when that was taken, and unregisters when it is dropped.
#[derive(Debug)]
pub struct Session {
    hub: Hub,
    stream: StreamId,
    about: Arc<About>,
    reader: Arc<Reader>,
    epoch: u64,
    subscription: Subscription,
    phase: Phase,
    /// Everything that is owed up to here was put into `ready`, so at the latest taken when that is empty.
    reached: Place,
    /// The ring takes over when both positions have reached this.
    target: Position,
    /// Nothing was owed before the first page: what the rules removed earlier is no gap.
    fresh: bool,
    /// The same of the first page of results.
    fresh_results: bool,
    ready: Batch,
    sending: Sending,
    timer: Pin<Box<Sleep>>,
    /// When silence has lasted long enough; `None` while it has not begun.
    heartbeat_at: Option<Instant>,
    leave_at: Instant,
}

/// Encoded events that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: VecDeque<Bytes>,
    bytes: usize,
}

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Resumed(Place),
    /// Its cursor is of another history.
    Lost,
    Fresh(Start),
}

enum Phase {
    /// Its first place is being looked up; nothing was sent yet.
    Opening(BoxFuture<'static, Read>),
    /// The last message of each topic, some of them sent.
    Latest(vec::IntoIter<Entry>, Position),
    /// It must read the store, if it has not reached the target.
    Behind,
    Reading(BoxFuture<'static, Read>),
    /// It reads the ring.
    Following,
    Ended,
}

impl Session {
    pub(super) fn new(
        hub: Hub,
        joined: Joined,
        epoch: u64,
        reader: Arc<Reader>,
        subscription: Subscription,
        origin: Origin,
        tail: Position,
    ) -> Self {
        let age = hub.settings().age;
        let leave_at = Instant::now() + age.mul_f64(0.9) + hub.jitter(age.mul_f64(0.2));
        let mut session = Self {
            hub,
            stream: joined.stream,
            about: joined.about,
            reader,
            epoch,
            subscription,
            phase: Phase::Behind,
            reached: Place::at(Position(0)),
            target: tail,
            fresh: false,
            fresh_results: !matches!(origin, Origin::Resumed(_)),
            ready: Batch::default(),
            sending: Sending::default(),
            timer: Box::pin(tokio::time::sleep_until(leave_at)),
            heartbeat_at: None,
            leave_at,
        };
        session.begin(origin, tail);
        session
    }

    /// The next event, encoded as `tidegate.v1.Event`. `None` after a GoAway. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn begin(&mut self, origin: Origin, tail: Position) {
        let start = match origin {
            Origin::Resumed(place) => return self.connect(place, origin),
            Origin::Lost => {
                self.fresh = true;
                self.connect(Place::at(Position(0)), origin);
                return self.tell_lost();
            }
            Origin::Fresh(start) => start,
        };
        match start {
            Start::Earliest => {
                self.fresh = true;
                self.connect(self.starting(Position(0)), origin);
            }
            Start::Latest if self.has_patterns() => {
                self.phase = Phase::Opening(Box::pin(self.reader.clone().latest()));
            }
            Start::Last(count) if self.has_patterns() => {
                self.phase = Phase::Opening(Box::pin(self.reader.clone().last(count)));
            }
            Start::Now | Start::Latest | Start::Last(_) => {
                self.connect(self.starting(tail), origin);
            }
        }
    }

    /// The place before the first message; a client's results are owed from the first kept one.
    fn starting(&self, messages: Position) -> Place {
        let results = match self.subscription.client {
            Some(_) => Position(0),
            None => messages,
        };
        Place { messages, results }
    }

    fn connect(&mut self, place: Place, origin: Origin) {
        self.reached = place;
        let connected = proto::Connected {
            node: self.hub.settings().node.clone(),
            resumed: matches!(origin, Origin::Resumed(_)),
            heartbeat_interval: Some(duration(self.hub.settings().heartbeat)),
            subject: self.subscription.principal.subject.to_string(),
        };
        self.send(event::connected(self.cursor(), connected));
    }

    /// Tells that everything before this history may be missing. A stream without patterns misses results.
    fn tell_lost(&mut self) {
        let patterns = &self.subscription.patterns;
        let mut names: Vec<String> = patterns.iter().map(|one| one.as_str().to_owned()).collect();
        if names.is_empty() {
            names.push(String::new());
        }
        for name in names {
            self.send(event::gap(self.cursor(), GapCause::History, &name, 0));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(event) = self.ready.pop() {
                self.heartbeat_at = None;
                self.about.sent(event.len());
                self.show();
                self.sending.event(event.len());
                return Poll::Ready(Some(event));
            }
            self.sending.add_to(self.hub.sent());
            let stepped = match &mut self.phase {
                Phase::Ended => return Poll::Ready(None),
                Phase::Opening(read) => {
                    // Nothing comes before Connected, not even a heartbeat.
                    let read = ready!(read.as_mut().poll(cx));
                    self.opened(read);
                    continue;
                }
                _ if self.leave_at <= Instant::now() => {
                    self.leave(LeaveCause::Age, BACK_WITHIN);
                    continue;
                }
                Phase::Following => self.follow(cx),
                Phase::Latest(..) | Phase::Behind | Phase::Reading(_) => self.catch_up(cx),
            };
            if stepped.is_pending() {
                ready!(self.wait(cx));
            }
        }
    }

    fn opened(&mut self, read: Read) {
        let (place, phase) = match read {
            Read::Latest(entries, through) => {
                // Who resumes from here gets all of them, and what lies between them.
                let before = entries
                    .first()
                    .map_or(through.0, |first| first.position.0.saturating_sub(1));
                let place = self.starting(Position(before));
                (place, Phase::Latest(entries.into_iter(), through))
            }
            Read::Last(from) => {
                self.fresh = from == Position(0);
                (self.starting(from), Phase::Behind)
            }
            Read::Messages(_) | Read::Results { .. } => return,
        };
        self.connect(place, Origin::Fresh(Start::Now));
        self.phase = phase;
    }

    /// One step through the store. Pending: the waker is with the store and with the hub.
    fn catch_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (results, draining) = self.hub.look(self.stream, cx.waker());
        if let Some(spread) = draining {
            self.leave(LeaveCause::Draining, spread);
            return Poll::Ready(());
        }
        match &mut self.phase {
            Phase::Reading(read) => {
                let read = ready!(read.as_mut().poll(cx));
                self.phase = Phase::Behind;
                self.take(read);
            }
            Phase::Latest(entries, through) => {
                let through = *through;
                let some: Vec<Entry> = entries.take(BATCH_EVENTS).collect();
                if some.is_empty() {
                    self.phase = Phase::Behind;
                    self.passed(through);
                }
                self.send_messages(&some);
            }
            _ => self.read_on(results),
        }
        Poll::Ready(())
    }

    /// Reads the store where it is behind: results first, also those told in the middle of a long history, and the ring
    /// from where it is not.
    fn read_on(&mut self, told_results: Position) {
        let reader = self.reader.clone();
        let results = self.reached.results;
        let has_client = self.subscription.client.is_some();
        self.phase = if has_client && results < self.target.max(told_results) {
            Phase::Reading(Box::pin(reader.results(results)))
        } else if self.has_patterns() && self.reached.messages < self.target {
            Phase::Reading(Box::pin(reader.messages(self.reached.messages)))
        } else {
            self.reached.advance(self.target);
            Phase::Following
        };
    }

    fn take(&mut self, read: Read) {
        match read {
            Read::Messages(page) => {
                let fresh = std::mem::take(&mut self.fresh);
                let due = |loss: &&Loss| !fresh || loss.cause != LossCause::Retention;
                for loss in page.loss.iter().filter(due) {
                    let cause = match loss.cause {
                        LossCause::Retention => GapCause::Retention,
                        LossCause::Damage => GapCause::Damage,
                    };
                    self.send(event::gap(self.cursor(), cause, &loss.pattern, loss.missed));
                }
                self.send_messages(&page.entries);
                self.passed(page.through);
            }
            Read::Results {
                entries,
                through,
                lost,
            } => {
                let fresh = std::mem::take(&mut self.fresh_results);
                if lost && !fresh {
                    self.send(event::gap(self.cursor(), GapCause::Retention, "", 0));
                }
                self.send_results(&entries);
                self.reached.results = through;
            }
            Read::Latest(..) | Read::Last(_) => {}
        }
    }

    /// Reads the ring. Pending: the waker is with the hub.
    fn follow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let hub = &self.hub;
        match hub.read(self.stream, &mut self.reached, &mut self.ready, cx.waker()) {
            Found::Items => Poll::Ready(()),
            Found::Tail => Poll::Pending,
            Found::Behind { target, lost } => {
                self.target = target;
                self.phase = Phase::Behind;
                for (want, missed) in lost {
                    if let Some(pattern) = self.subscription.patterns.get(want) {
                        let gap =
                            event::gap(self.cursor(), GapCause::Slow, pattern.as_str(), missed);
                        self.send(gap);
                    }
                }
                Poll::Ready(())
            }
            Found::Draining(spread) => {
                self.leave(LeaveCause::Draining, spread);
                Poll::Ready(())
            }
        }
    }

    /// Waits for the next heartbeat or the end. The timer may be armed too early, which costs less than to arm it anew after
    /// every event.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.show();
        let now = Instant::now();
        let heartbeat = self.hub.settings().heartbeat;
        let heartbeat_at = *self.heartbeat_at.get_or_insert(now + heartbeat);
        if heartbeat_at <= now {
            // A stream that is silent holds no empty buffers.
            self.ready = Batch::default();
            self.send(event::heartbeat(self.cursor()));
            return Poll::Ready(());
        }
        let due = heartbeat_at.min(self.leave_at);
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }

    /// For those who look at it.
    fn show(&self) {
        let follows = matches!(self.phase, Phase::Following);
        self.about.reached(self.reached.messages, follows);
    }

    fn leave(&mut self, cause: LeaveCause, within: Duration) {
        let delay = duration(self.hub.jitter(within));
        self.send(event::go_away(self.cursor(), cause, delay));
        self.phase = Phase::Ended;
    }

    fn send_messages(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.passed(entry.position);
            if let EntryKind::Message(message) = &entry.kind
                && !self.skips(message)
            {
                self.send(event::of_message(self.cursor(), message));
            }
        }
    }

    fn send_results(&mut self, mut entries: &[Entry]) {
        while let [.., _] = entries {
            let (group, rest) = entries.split_at(live::together(entries));
            entries = rest;
            if let (Some(last), Some(client)) = (group.last(), &self.subscription.client) {
                self.reached.results = last.position;
                let client_id = &client.client_id;
                let results = live::results(group);
                let event = ResultsEvent::new(self.cursor(), client_id, results);
                self.ready.push(event.to_bytes());
            }
        }
    }

    /// No message up to here is owed any more.
    fn passed(&mut self, position: Position) {
        self.reached.messages = self.reached.messages.max(position);
        if self.subscription.client.is_none() {
            self.reached.results = self.reached.messages;
        }
    }

    fn skips(&self, message: &Message) -> bool {
        let own = self.subscription.client.as_ref();
        self.subscription.skip_own && own.is_some_and(|client| live::is_own(client, message))
    }

    fn has_patterns(&self) -> bool {
        !self.subscription.patterns.is_empty()
    }

    fn cursor(&self) -> String {
        let cursor = Cursor {
            epoch: self.epoch,
            place: self.reached,
        };
        cursor.to_string()
    }

    fn send(&mut self, event: proto::Event) {
        self.ready.push(event.encode_to_vec().into());
    }
}

impl Stream for Session {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.get_mut().poll(cx)
    }

    /// What it holds already.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ready.events.len(), None)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sending.add_to(self.hub.sent());
        self.hub.leave(self.stream);
    }
}

impl Batch {
    pub(super) fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }

    fn pop(&mut self) -> Option<Bytes> {
        let event = self.events.pop_front()?;
        self.bytes -= event.len();
        Some(event)
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening(_) => "Opening",
            Self::Latest(..) => "Latest",
            Self::Behind => "Behind",
            Self::Reading(_) => "Reading",
            Self::Following => "Following",
            Self::Ended => "Ended",
        })
    }
}
