//! A log that a test writes, shows and tells as it likes: the three moments of a commit are apart.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use crate::events::Hub;
use crate::store::{
    Commit, Committing, DeadLetter, Domain, Entry, EntryKind, Epoch, Error, Filter, KeptResult,
    LetterCounts, LetterId, Loss, LossCause, OpenRun, Page, PageOf, Position, ResultsPage,
    ScanLimit, Store, Tail, Term, Unheard, Which,
};
use crate::types::{
    Answer, ClientKey, Form, HandlerName, Message, MessageBody, MessageId, Record, Topic,
};

pub(super) const EPOCH: u64 = 0xE0;

#[derive(Debug)]
pub(super) struct Log {
    hub: Hub,
    state: Mutex<State>,
    epochs: Mutex<Arc<[Epoch]>>,
}

#[derive(Debug, Default)]
struct State {
    /// Everything that was written, ephemeral messages among it, and so the numbers of messages.
    entries: Vec<Entry>,
    last: u64,
    /// How many of them readers see, and the hub was told.
    shown: usize,
    told: usize,
    /// Up to here messages are not kept any more.
    floor: Position,
    /// The same of results.
    results_floor: Position,
    /// So many reads fail.
    failures: usize,
}

impl Log {
    pub(super) fn new(hub: &Hub) -> Arc<Self> {
        let start = Position(0);
        Arc::new(Self {
            hub: hub.clone(),
            state: Mutex::default(),
            epochs: Mutex::new(Arc::new([Epoch { id: EPOCH, start }])),
        })
    }

    /// Writes, shows and tells one message.
    pub(super) fn publish(&self, topic: &str) -> u128 {
        self.publish_as("", &client("", "", ""), topic)
    }

    pub(super) fn publish_as(&self, tenant: &str, by: &ClientKey, topic: &str) -> u128 {
        let id = self.write(tenant, by, topic);
        self.show_and_tell();
        id
    }

    pub(super) fn publish_ephemeral(&self, topic: &str) -> u128 {
        let id = self.write_ephemeral(topic);
        self.show_and_tell();
        id
    }

    pub(super) fn write(&self, tenant: &str, by: &ClientKey, topic: &str) -> u128 {
        let mut state = self.state.lock();
        state.last += 1;
        let message = state.message(tenant, by, topic);
        state.push(EntryKind::Message(message))
    }

    pub(super) fn write_ephemeral(&self, topic: &str) -> u128 {
        let mut state = self.state.lock();
        let message = state.message("", &client("", "", ""), topic);
        state.push(EntryKind::Ephemeral(message))
    }

    pub(super) fn write_result(&self, client: &Arc<ClientKey>, awaited: bool) -> u128 {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.entries.len() as u128;
        state.push(EntryKind::Result(KeptResult {
            client: client.clone(),
            handler: HandlerName::new("orders").unwrap(),
            req_id: number.to_string().into(),
            seq: 1,
            answer: Answer::ok(),
            awaited,
        }))
    }

    pub(super) fn show(&self) {
        let mut state = self.state.lock();
        state.shown = state.entries.len();
    }

    pub(super) fn tell(&self) {
        let mut state = self.state.lock();
        let entries = state.entries[state.told..].to_vec();
        state.told = state.entries.len();
        drop(state);
        self.hub.committed(&entries);
    }

    pub(super) fn show_and_tell(&self) {
        self.show();
        self.tell();
    }

    /// Removes the messages up to here.
    pub(super) fn remove_through(&self, position: u64) {
        self.state.lock().floor = Position(position);
    }

    /// Removes the results up to here.
    pub(super) fn remove_results_through(&self, position: u64) {
        self.state.lock().results_floor = Position(position);
    }

    pub(super) fn fail(&self, times: usize) {
        self.state.lock().failures = times;
    }

    pub(super) fn set_epochs(&self, epochs: &[(u64, u64)]) {
        let epoch = |&(id, start)| Epoch {
            id,
            start: Position(start),
        };
        *self.epochs.lock() = epochs.iter().map(epoch).collect();
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.state.lock().entries.clone()
    }
}

pub(super) fn client(tenant: &str, subject: &str, client_id: &str) -> Arc<ClientKey> {
    Arc::new(ClientKey {
        tenant: tenant.into(),
        subject: subject.into(),
        client_id: client_id.into(),
    })
}

impl State {
    fn message(&self, tenant: &str, by: &ClientKey, topic: &str) -> Arc<Message> {
        Arc::new(Message {
            tenant: tenant.into(),
            topic: Topic::parse(topic, "").unwrap(),
            id: MessageId(self.entries.len() as u128),
            time: UNIX_EPOCH,
            publisher: by.subject.clone(),
            client_id: by.client_id.clone(),
            headers: Vec::new(),
            body: MessageBody::Content(Form::Text, Bytes::from_static("grüße".as_bytes())),
        })
    }

    fn push(&mut self, kind: EntryKind) -> u128 {
        let number = self.entries.len() as u128;
        let position = Position(self.last);
        self.entries.push(Entry { position, kind });
        number
    }

    fn tail(&self) -> Position {
        let last = self.entries[..self.shown].last();
        last.map_or(Position(0), |entry| entry.position)
    }

    fn matching(&self, filter: &Filter, from: Position) -> impl Iterator<Item = &Entry> {
        let shown = self.entries[..self.shown].iter();
        shown.filter(move |entry| match &entry.kind {
            EntryKind::Message(message) => {
                let mut patterns = filter.patterns.iter();
                entry.position > from.max(self.floor)
                    && message.tenant == filter.tenant
                    && patterns.any(|pattern| pattern.matches(&message.topic))
            }
            _ => false,
        })
    }

    fn failing(&mut self) -> Result<(), Error> {
        if self.failures == 0 {
            return Ok(());
        }
        self.failures -= 1;
        Err(Error::Unavailable("the test said so".into()))
    }

    fn scan(&mut self, filter: &Filter, from: Position, limit: ScanLimit) -> Result<Page, Error> {
        self.failing()?;
        let mut entries: Vec<Entry> = self.matching(filter, from).cloned().collect();
        let through = match entries.get(limit.items.min(3)) {
            Some(next) => Position(next.position.0 - 1),
            None => self.tail().max(from),
        };
        entries.truncate(limit.items.min(3));
        let loss = match from < self.floor {
            false => Vec::new(),
            true => vec![Loss {
                pattern: filter.patterns[0].as_str().into(),
                cause: LossCause::Retention,
                missed: self.floor.0 - from.0,
            }],
        };
        Ok(Page {
            entries,
            through,
            loss,
        })
    }
}

impl Store for Log {
    fn collections(&self, _: usize) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        unreachable!("streams read no records")
    }

    fn tail(&self) -> Position {
        self.state.lock().tail()
    }

    fn epochs(&self) -> Arc<[Epoch]> {
        self.epochs.lock().clone()
    }

    fn scan<'a>(
        &'a self,
        filter: &'a Filter,
        from: Position,
        limit: ScanLimit,
    ) -> BoxFuture<'a, Result<Page, Error>> {
        ready(self.state.lock().scan(filter, from, limit)).boxed()
    }

    fn last<'a>(
        &'a self,
        filter: &'a Filter,
        count: usize,
    ) -> BoxFuture<'a, Result<Position, Error>> {
        let state = self.state.lock();
        let all: Vec<&Entry> = state.matching(filter, Position(0)).collect();
        let skipped = all.len().saturating_sub(count);
        let from = match all.get(skipped) {
            Some(first) => Position(first.position.0 - 1),
            None => state.tail(),
        };
        ready(Ok(from)).boxed()
    }

    fn latest<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<(Vec<Entry>, Position), Error>> {
        let state = self.state.lock();
        let all: Vec<&Entry> = state.matching(filter, Position(0)).collect();
        let topic = |entry: &Entry| match &entry.kind {
            EntryKind::Message(message) => Some(message.topic.clone()),
            _ => None,
        };
        let is_last = |at: &usize| {
            !all[at + 1..]
                .iter()
                .any(|later| topic(later) == topic(all[*at]))
        };
        let latest = (0..all.len()).filter(is_last).map(|at| all[at].clone());
        let found = (latest.collect(), state.tail());
        ready(Ok(found)).boxed()
    }

    fn results<'a>(
        &'a self,
        client: &'a ClientKey,
        from: Position,
        _limit: ScanLimit,
    ) -> BoxFuture<'a, Result<ResultsPage, Error>> {
        let mut state = self.state.lock();
        if let Err(error) = state.failing() {
            return ready(Err(error)).boxed();
        }
        let floor = state.results_floor;
        let owed = |entry: &&Entry| match &entry.kind {
            EntryKind::Result(result) => {
                entry.position > from.max(floor) && *result.client == *client && !result.awaited
            }
            _ => false,
        };
        let all = state.entries[..state.shown].iter().filter(owed);
        let mut entries: Vec<Entry> = all.cloned().collect();
        let more = entries.len() > 2;
        entries.truncate(2);
        let lost = from < floor;
        ready(Ok(ResultsPage {
            entries,
            more,
            lost,
        }))
        .boxed()
    }

    fn kept<'a>(
        &'a self,
        _: &'a ClientKey,
        _: &'a Which,
        _: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<KeptResult>, Error>> {
        unreachable!("streams ask for results by position")
    }

    fn unheard<'a>(
        &'a self,
        _: &'a ClientKey,
        _: u64,
        _: usize,
    ) -> BoxFuture<'a, Result<Unheard, Error>> {
        unreachable!("streams ask for entries")
    }

    fn dead_letters<'a>(
        &'a self,
        _: Option<&'a HandlerName>,
        _: LetterId,
        _: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<DeadLetter>, Error>> {
        unreachable!("streams only read entries")
    }

    fn letter_counts(&self) -> LetterCounts {
        unreachable!("streams only read entries")
    }

    fn open_runs(&self) -> BoxFuture<'_, Result<Vec<OpenRun>, Error>> {
        unreachable!("streams only read")
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        unreachable!("streams only read")
    }

    fn take_over(&self, _: Domain) -> BoxFuture<'_, Result<Term, Error>> {
        unreachable!("streams only read")
    }

    fn commit(&self, _: Commit) -> BoxFuture<'_, Result<Committing, Error>> {
        unreachable!("streams only read")
    }

    fn record<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, Error>> {
        unreachable!("streams read no records")
    }

    fn list<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a str>,
        _: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<Record>, Error>> {
        unreachable!("streams read no records")
    }

    fn history<'a>(
        &'a self,
        _: &'a str,
        _: &'a Topic,
        _: Position,
        _: ScanLimit,
    ) -> BoxFuture<'a, Result<PageOf<(Position, Arc<Message>)>, Error>> {
        unreachable!("streams scan")
    }
}
