//! Messages: a page is of one level, so that nothing moves between levels while it is made.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::store::embedded::levels::{Mem, Shared};
use crate::store::embedded::parts::{Damage, Part, Step};
use crate::store::memory::log::Found;
use crate::store::packed::PackedMessage;
use crate::store::{Entry, EntryKind, Error, Filter, Page, PageOf, Placed, Position, ScanLimit};
use crate::types::{Pattern, Topic};

/// Messages of one part that one page passes by.
const EXAMINED: usize = 4_096;

/// What a page is made from, and up to where that goes.
enum Level {
    /// It was in memory, and this is it.
    Memory(Found),
    Frozen(Arc<Mem>),
    Parts(Arc<[Arc<Part>]>, u64),
}

/// Goes on to the next level where one has nothing more, so that a page that ends early ends for its limit or for its cost.
pub(in super::super) fn scan(
    shared: &Shared,
    filter: &Filter,
    from: u64,
    limit: ScanLimit,
) -> Result<Page, Error> {
    let mut messages: Vec<(u64, PackedMessage)> = Vec::new();
    let mut through = from;
    loop {
        let bytes: usize = messages.iter().map(|(_, message)| message.len()).sum();
        let left = ScanLimit {
            items: limit.items.saturating_sub(messages.len()),
            bytes: limit.bytes.saturating_sub(bytes),
        };
        if (left.items == 0 || left.bytes == 0) && !messages.is_empty() {
            break;
        }
        let (found, last) = scan_level(shared, filter, through, left)?;
        through = found.through;
        messages.extend(found.messages);
        if found.more || last == Last::Level {
            break;
        }
    }
    let floors = shared.levels.read().floors.clone();
    Ok(Page {
        loss: floors.loss(filter, from, through),
        entries: messages.into_iter().map(entry).collect(),
        through: Position(through),
    })
}

/// Whether there is another level behind one.
#[derive(PartialEq, Eq)]
enum Last {
    Level,
    NotYet,
}

/// A page of one level.
fn scan_level(
    shared: &Shared,
    filter: &Filter,
    from: u64,
    limit: ScanLimit,
) -> Result<(Found, Last), Error> {
    let level = {
        let levels = shared.levels.read();
        let active = &levels.active;
        match &levels.frozen {
            _ if from >= active.start => {
                Level::Memory(active.log.scan(filter, from, active.header.tail, limit))
            }
            Some(frozen) if from >= frozen.start => Level::Frozen(frozen.clone()),
            Some(frozen) => Level::Parts(levels.parts.clone(), frozen.start),
            None => Level::Parts(levels.parts.clone(), active.start),
        }
    };
    Ok(match level {
        Level::Memory(found) => (found, Last::Level),
        Level::Frozen(frozen) => {
            let tail = frozen.header.tail;
            (frozen.log.scan(filter, from, tail, limit), Last::NotYet)
        }
        Level::Parts(parts, end) => {
            let found = match exact(filter) {
                Some(topics) => {
                    by_index(shared, &parts, &filter.tenant, &topics, from, end, limit)?
                }
                None => by_walking(shared, &parts, filter, from, end, limit)?,
            };
            (found, Last::NotYet)
        }
    })
}

pub(in super::super) fn history(
    shared: &Shared,
    tenant: &str,
    topic: &Topic,
    from: u64,
    limit: ScanLimit,
) -> Result<PageOf<Placed>, Error> {
    let filter = exactly(tenant, topic)?;
    let tail = shared.levels.read().active.header.tail;
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    let (mut from, mut bytes) = (from, 0);
    while from < tail {
        let left = ScanLimit {
            items: limit.items.saturating_sub(page.items.len()),
            bytes: limit.bytes.saturating_sub(bytes),
        };
        if (left.items == 0 || left.bytes == 0) && !page.items.is_empty() {
            page.more = true;
            break;
        }
        let found = scan(shared, &filter, from, left)?;
        from = found.through.0;
        for entry in found.entries {
            if let EntryKind::Message(message) = entry.kind {
                bytes += message.size();
                page.items.push((entry.position, message));
            }
        }
    }
    Ok(page)
}

/// The position from which a scan finds the last `count` messages that match.
pub(in super::super) fn last(
    shared: &Shared,
    filter: &Filter,
    count: usize,
) -> Result<Position, Error> {
    let (mut newest, frozen, parts, tail) = {
        let levels = shared.levels.read();
        let active = &levels.active;
        let newest = active.log.newest(filter, count);
        (
            newest,
            levels.frozen.clone(),
            levels.parts.clone(),
            active.header.tail,
        )
    };
    if count == 0 {
        return Ok(Position(tail));
    }
    if let Some(frozen) = frozen {
        newest.extend(frozen.log.newest(filter, count - newest.len()));
    }
    // Parts that end last first. One that ends before what was found is needed no more.
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.info().last));
    for part in parts {
        if newest.len() >= count && newest.last().is_some_and(|first| *first > part.info().last) {
            break;
        }
        newest.extend(newest_of(shared, part, filter, count)?);
        newest.sort_unstable_by_key(|position| std::cmp::Reverse(*position));
        newest.truncate(count);
    }
    Ok(Position(newest.last().map_or(tail, |first| first - 1)))
}

/// The last kept message of each topic that matches.
pub(in super::super) fn latest(
    shared: &Shared,
    filter: &Filter,
) -> Result<(Vec<Entry>, Position), Error> {
    let (active, frozen, parts, tail) = {
        let levels = shared.levels.read();
        let active = levels.active.log.latest(filter);
        let tail = levels.active.header.tail;
        (active, levels.frozen.clone(), levels.parts.clone(), tail)
    };
    let frozen = frozen.map_or_else(Vec::new, |frozen| frozen.log.latest(filter));
    // By topic, the newest last.
    let mut in_parts: BTreeMap<String, (u64, &Arc<Part>)> = BTreeMap::new();
    for part in parts.iter() {
        for pattern in &filter.patterns {
            let found = part
                .topics(&filter.tenant, literal(pattern))
                .map_err(unreadable)?;
            found.damage.iter().for_each(|damage| tell(shared, damage));
            for (topic, position) in found.found {
                let is_newer = in_parts
                    .get(&topic)
                    .is_none_or(|(before, _)| *before < position);
                if pattern.matches_name(&topic) && is_newer {
                    in_parts.insert(topic, (position, part));
                }
            }
        }
    }
    let mut found: BTreeMap<u64, PackedMessage> = BTreeMap::new();
    let in_memory: BTreeMap<String, (u64, PackedMessage)> = frozen
        .into_iter()
        .chain(active)
        .map(|(position, message)| (message.names().1.to_owned(), (position, message)))
        .collect();
    for (topic, (position, part)) in in_parts {
        if in_memory.contains_key(&topic) {
            continue;
        }
        match part.get(position).map_err(unreadable)? {
            Some(Step::Message(_, message)) => drop(found.insert(position, message)),
            Some(Step::Lost(damage)) => tell(shared, &damage),
            None => {}
        }
    }
    found.extend(in_memory.into_values());
    Ok((found.into_iter().map(entry).collect(), Position(tail)))
}

fn by_index(
    shared: &Shared,
    parts: &[Arc<Part>],
    tenant: &str,
    topics: &[&Topic],
    from: u64,
    end: u64,
    limit: ScanLimit,
) -> Result<Found, Error> {
    // One more than a page has, so that it is known whether there is more.
    let most = limit.items.saturating_add(1);
    let mut places: Vec<(u64, &Arc<Part>)> = Vec::new();
    let mut looked = end;
    for part in parts.iter().filter(|part| part.info().last > from) {
        if places.len() >= most && places.iter().all(|(at, _)| *at < part.info().first) {
            // It is looked at when what was found has turned out to be there.
            looked = looked.min(part.info().first - 1);
            break;
        }
        for topic in topics {
            let found = part
                .topic(tenant, topic.as_str(), from, most)
                .map_err(unreadable)?;
            found.damage.iter().for_each(|damage| tell(shared, damage));
            if found.found.len() >= most {
                looked = looked.min(found.found[most - 1]);
            }
            places.extend(found.found.into_iter().map(|at| (at, part)));
        }
    }
    places.sort_unstable_by_key(|(at, _)| *at);
    places.dedup_by_key(|(at, _)| *at);
    let mut page = Filling::new(limit);
    let mut through = from;
    for (at, part) in places.into_iter().filter(|(at, _)| *at <= looked) {
        match part.get(at).map_err(unreadable)? {
            Some(Step::Message(_, message)) => {
                let taken = page.take(at, message);
                if !taken {
                    return Ok(page.found(through, true));
                }
            }
            Some(Step::Lost(damage)) => tell(shared, &damage),
            None => {}
        }
        through = at;
    }
    Ok(page.found(looked.max(from), looked < end))
}

fn by_walking(
    shared: &Shared,
    parts: &[Arc<Part>],
    filter: &Filter,
    from: u64,
    end: u64,
    limit: ScanLimit,
) -> Result<Found, Error> {
    let mut left = parts
        .iter()
        .filter(|part| part.info().last > from)
        .peekable();
    // The first, and those that overlap it: they have what comes next.
    let mut cluster: Vec<&Arc<Part>> = Vec::new();
    let mut cluster_end = 0;
    while let Some(part) =
        left.next_if(|part| cluster.is_empty() || part.info().first <= cluster_end)
    {
        cluster_end = part.info().last.max(cluster_end);
        cluster.push(part);
    }
    let mut through = if left.peek().is_some() {
        cluster_end.min(end)
    } else {
        end
    };
    let whole = through;
    let mut all: Vec<(u64, PackedMessage)> = Vec::new();
    for part in cluster {
        let (found, looked) = walk(shared, part, filter, from, through)?;
        through = looked;
        all.extend(found);
    }
    all.sort_unstable_by_key(|(position, _)| *position);
    let mut page = Filling::new(limit);
    let mut last = from;
    for (position, message) in all {
        if position > through {
            break;
        }
        if !page.take(position, message) {
            return Ok(page.found(last, true));
        }
        last = position;
    }
    Ok(page.found(through.max(from), through < whole))
}

/// A part's messages that match, and how far it was looked.
fn walk(
    shared: &Shared,
    part: &Part,
    filter: &Filter,
    from: u64,
    through: u64,
) -> Result<(Vec<(u64, PackedMessage)>, u64), Error> {
    let mut found = Vec::new();
    let mut examined = 0;
    let mut looked = from;
    let mut whole = true;
    let walked = part.scan(from, &mut |step| {
        match step {
            Step::Message(position, _) if position > through => return ControlFlow::Break(()),
            Step::Message(position, message) => {
                looked = position;
                if is_meant(filter, &message) {
                    found.push((position, message));
                }
            }
            Step::Lost(damage) => tell(shared, &damage),
        }
        examined += 1;
        if examined >= EXAMINED {
            whole = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    walked.map_err(unreadable)?;
    Ok((found, if whole { through } else { looked }))
}

/// The newest positions of a part that match, newest first.
fn newest_of(
    shared: &Shared,
    part: &Part,
    filter: &Filter,
    count: usize,
) -> Result<Vec<u64>, Error> {
    let mut newest = Vec::new();
    if let Some(topics) = exact(filter) {
        for topic in topics {
            let found = part.topic_before(&filter.tenant, topic.as_str(), u64::MAX, count);
            let found = found.map_err(unreadable)?;
            found.damage.iter().for_each(|damage| tell(shared, damage));
            newest.extend(found.found);
        }
        newest.sort_unstable_by_key(|position| std::cmp::Reverse(*position));
        newest.dedup();
        return Ok(newest);
    }
    let mut last = VecDeque::new();
    let walked = part.scan(0, &mut |step| {
        match step {
            Step::Message(position, message) if is_meant(filter, &message) => {
                last.push_front(position);
                last.truncate(count);
            }
            Step::Message(..) => {}
            Step::Lost(damage) => tell(shared, &damage),
        }
        ControlFlow::Continue(())
    });
    walked.map_err(unreadable)?;
    Ok(last.into())
}

/// The topics of a filter without wildcards, each once.
fn exact(filter: &Filter) -> Option<Vec<&Topic>> {
    let mut topics: Vec<&Topic> = Vec::with_capacity(filter.patterns.len());
    for pattern in &filter.patterns {
        let topic = pattern.exact()?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    Some(topics)
}

fn exactly(tenant: &str, topic: &Topic) -> Result<Filter, Error> {
    let pattern = Pattern::parse(topic.as_str(), "");
    let pattern = pattern.map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(Filter {
        tenant: tenant.into(),
        patterns: vec![pattern],
    })
}

/// What every topic that matches begins with.
fn literal(pattern: &Pattern) -> &str {
    let text = pattern.as_str();
    let wild = text
        .split('.')
        .take_while(|token| *token != "*" && *token != ">");
    let len: usize = wild.map(|token| token.len() + 1).sum();
    &text[..len.min(text.len())]
}

fn is_meant(filter: &Filter, message: &PackedMessage) -> bool {
    let (tenant, topic) = message.names();
    *tenant == *filter.tenant
        && filter
            .patterns
            .iter()
            .any(|pattern| pattern.matches_name(topic))
}

/// What cannot be read is missing for everyone who looks for it.
pub(in super::super) fn tell(shared: &Shared, damage: &Damage) {
    let Some(positions) = &damage.positions else {
        shared
            .damages
            .tell(format!("{}: {}", damage.part, damage.what));
        return;
    };
    let mut levels = shared.levels.write();
    let mut floors = (*levels.floors).clone();
    if floors.damage(*positions.start(), *positions.end()) {
        levels.floors = Arc::new(floors);
        drop(levels);
        shared.damages.tell(format!(
            "{}: {}; missing are its messages from position {} to {}",
            damage.part,
            damage.what,
            positions.start(),
            positions.end()
        ));
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

fn entry((position, message): (u64, PackedMessage)) -> Entry {
    Entry {
        position: Position(position),
        kind: EntryKind::Message(Arc::new(message.unpack())),
    }
}

/// A page up to its limit. The first message always fits.
struct Filling {
    messages: Vec<(u64, PackedMessage)>,
    limit: ScanLimit,
    bytes: usize,
}

impl Filling {
    fn new(limit: ScanLimit) -> Self {
        Self {
            messages: Vec::new(),
            limit,
            bytes: 0,
        }
    }

    fn take(&mut self, position: u64, message: PackedMessage) -> bool {
        let bytes = self.bytes + message.len();
        let full = self.messages.len() >= self.limit.items || bytes > self.limit.bytes;
        if full && !self.messages.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.messages.push((position, message));
        true
    }

    fn found(self, through: u64, more: bool) -> Found {
        Found {
            messages: self.messages,
            through,
            more,
        }
    }
}
