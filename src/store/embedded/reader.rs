//! What is read: only what is durable, from the newest level down.

mod letters;
mod messages;
mod results;
mod unheard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub(super) use letters::dead_letters;
pub(super) use messages::{history, last, latest, scan, tell};
pub(super) use results::{FoundOnce, Looked, kept, open_result, results};
pub(super) use unheard::unheard;

use super::levels::Shared;
use super::rows::{Key, Space, collection_prefix, end_of, split_record};
use crate::store::coding::Reader;
use crate::store::read::Room;
use crate::store::{Error, PageOf, ScanLimit};
use crate::types::Record;

/// Rows of a page that are read at once.
const TOGETHER: usize = 256;

/// Rows between two keys, one after the other.
struct Walk<'a> {
    shared: &'a Shared,
    /// Those that were read together, and not given yet.
    rows: IntoIter<(Key, Bytes)>,
    /// Where the next ones begin.
    from: Key,
    end: Key,
    more: bool,
}

impl<'a> Walk<'a> {
    fn new(shared: &'a Shared, from: Key, end: Key) -> Self {
        Self {
            shared,
            rows: Vec::new().into_iter(),
            from,
            end,
            more: true,
        }
    }

    fn next(&mut self) -> Result<Option<(Key, Bytes)>, Error> {
        if self.rows.len() == 0 && self.more {
            let (from, end) = (&self.from, &self.end);
            let (rows, more) = self.shared.range(&BTreeMap::new(), from, end, TOGETHER)?;
            self.more = more;
            if let Some((last, _)) = rows.last() {
                self.from = last.next();
            }
            self.rows = rows.into_iter();
        }
        Ok(self.rows.next())
    }
}

/// What may wait for the disk runs where it holds up nobody.
pub(super) fn blocking<T: Send + 'static>(
    shared: Arc<Shared>,
    read: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
) -> BoxFuture<'static, Result<T, Error>> {
    async move {
        let read = tokio::task::spawn_blocking(move || read(&shared)).await;
        read.unwrap_or_else(|_| Err(Error::Unavailable("reading it has panicked".into())))
    }
    .boxed()
}

pub(super) async fn record(
    shared: Arc<Shared>,
    collection: &str,
    key: &str,
) -> Result<Option<Record>, Error> {
    let key = Key::record(Space::Record, collection, key);
    let row = match shared.in_memory(&key) {
        Some(row) => row,
        None => blocking(shared, move |shared| shared.get(&key)).await?,
    };
    Ok(row.map(|row| Reader(row).record()))
}

pub(super) fn list(
    shared: &Shared,
    collection: &str,
    prefix: &str,
    after: Option<&str>,
    limit: ScanLimit,
) -> Result<PageOf<Record>, Error> {
    let first = Key::record(Space::Record, collection, prefix);
    let end = end_of(&first);
    let from = match after {
        Some(after) if after >= prefix => Key::record(Space::Record, collection, after).next(),
        _ => first,
    };
    let mut rows = Walk::new(shared, from, end);
    let mut room = Room::new(limit);
    let mut page = PageOf {
        items: Vec::new(),
        more: false,
    };
    while let Some((_, row)) = rows.next()? {
        let record = Reader(row).record();
        if !room.takes(record.size()) {
            page.more = true;
            break;
        }
        page.items.push(record);
    }
    Ok(page)
}

/// One look for each of them: what they hold is passed over.
pub(super) fn collections(shared: &Shared, limit: usize) -> Result<Vec<String>, Error> {
    let mut from = Key::named(Space::Record, "");
    let end = end_of(&from);
    let mut names: Vec<String> = Vec::new();
    while names.len() < limit {
        let (rows, _) = shared.range(&BTreeMap::new(), &from, &end, 1)?;
        let Some((key, _)) = rows.first() else {
            break;
        };
        let Some((name, _)) = split_record(key.rest()) else {
            break;
        };
        from = end_of(&collection_prefix(Space::Record, name));
        names.push(name.to_owned());
    }
    // By their lengths first, as their keys are.
    names.sort_unstable();
    Ok(names)
}
