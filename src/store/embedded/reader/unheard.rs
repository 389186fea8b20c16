//! Results that calls of an earlier start were to carry.

use std::collections::BTreeMap;

use super::results::Settled;
use crate::store::embedded::levels::Shared;
use crate::store::embedded::rows::{Key, OwnedRow, ResultsRow, Scope, Seed, Space};
use crate::store::{Error, Owed, QueueKey, Unheard};
use crate::types::ClientKey;

/// Rows that are read at once.
const TOGETHER: usize = 64;

/// Those of a client that have no position and are not settled, in rows from the number `from` up to `began`, the last one
/// of the start before. Whole rows, and no more of them once there are `limit`.
pub(in super::super) fn unheard(
    shared: &Shared,
    seed: Seed,
    began: u64,
    client: &ClientKey,
    from: u64,
    limit: usize,
) -> Result<Unheard, Error> {
    let owner = seed.client(client);
    let mut settled = Settled::default();
    let mut found = Unheard::default();
    let (mut next, end) = (Key::owned(owner, from), Key::owned(owner, began).next());
    loop {
        let (rows, _) = shared.range(&BTreeMap::new(), &next, &end, TOGETHER)?;
        let Some((last, _)) = rows.last() else {
            return Ok(found);
        };
        next = last.next();
        for (key, row) in rows {
            let number = key.last_number();
            if found.owed.len() >= limit {
                found.next = Some(number);
                return Ok(found);
            }
            let owned = OwnedRow::read(row);
            // What was owed has its position.
            if owned.key.space() == Space::Owed as u8 {
                continue;
            }
            let Some(row) = shared.get(&owned.key)?.map(ResultsRow::read) else {
                continue;
            };
            for (index, entry) in row.entries().enumerate() {
                if entry.position > 0 || settled.has(shared, &owned, &row, number, index)? {
                    continue;
                }
                let seq = row.place(index);
                let copy = match (row.scope, owned.last) {
                    (Scope::Places(_), Some((queue, _))) => Key::placed(Space::Owed, queue, seq),
                    _ => Key::owed_once(owner, seed.once(owner, &entry.req_id)),
                };
                if shared.get(&copy)?.is_none() {
                    found.owed.push(Owed {
                        queue: QueueKey {
                            client: row.client.clone(),
                            handler: row.handler.clone(),
                        },
                        seq,
                        req_id: entry.req_id,
                    });
                }
            }
        }
    }
}
