//! The rows that the embedded store writes, as commits that can be made again from the beginning: content follows from
//! its key, so whatever is read back can be verified without keeping it.
//!
//! A request of N packets is a run when it is taken; when it is finished, a row of results takes the run's place, and the
//! client has by then settled its previous one. A records commit upserts N records under a condition, with a message
//! and an index row each. What is older than the bounds is deleted in the same commits.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::engine::{Row, Table};

const CLIENTS: usize = 500;
const RECORDS: u64 = 100_000;
const TOPICS: u64 = 1_000;
const BLOCK: usize = 64;
const MESSAGE: usize = 200;
/// Rows of results kept for the clients that never settle any, which is every tenth.
const UNSETTLED: usize = 500;

/// What a commit asks for and writes.
pub(crate) struct Commit {
    /// Records, and what they must hold before this commit.
    pub(crate) conditions: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) rows: Vec<Row>,
    /// Packets that are final with this commit.
    pub(crate) packets: u64,
}

/// What must be found later on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Known {
    /// A record's version; 0 before it is first written.
    pub(crate) versions: Vec<u32>,
    /// First position and number of messages of each block that is kept.
    pub(crate) blocks: VecDeque<(u64, usize)>,
}

pub(crate) struct Pattern {
    pub(crate) known: Known,
    keep_messages: usize,
    content: Content,
    step: usize,
    client: usize,
    run: u64,
    position: u64,
    messages: usize,
    /// Runs that are taken and not finished, with their client and number of packets.
    taken: VecDeque<(u64, usize, usize)>,
    /// The position of the results that each client has not settled.
    results: Vec<Option<u64>>,
    unsettled: VecDeque<(usize, u64)>,
}

#[derive(Clone, Copy)]
enum Step {
    Take,
    Finish,
    Records,
}

impl Pattern {
    pub(crate) fn new(keep_messages: usize) -> Pattern {
        Pattern {
            known: Known {
                versions: vec![0; RECORDS as usize],
                blocks: VecDeque::new(),
            },
            keep_messages,
            content: Content::new(),
            step: 0,
            client: 0,
            run: 0,
            position: 0,
            messages: 0,
            taken: VecDeque::new(),
            results: vec![None; CLIENTS],
            unsettled: VecDeque::new(),
        }
    }

    /// The next commit, of `n` packets.
    pub(crate) fn next(&mut self, n: usize) -> Commit {
        use Step::{Finish, Records, Take};
        let step = [Take, Finish, Take, Records, Finish, Take, Finish, Records][self.step % 8];
        self.step += 1;
        let mut commit = Commit {
            conditions: Vec::new(),
            rows: Vec::new(),
            packets: 0,
        };
        match step {
            Take => self.take(n, &mut commit),
            Finish => self.finish(&mut commit),
            Records => self.records(n, &mut commit),
        }
        commit
    }

    fn take(&mut self, n: usize, commit: &mut Commit) {
        self.run += 1;
        self.client = (self.client + 1) % CLIENTS;
        self.taken.push_back((self.run, self.client, n));
        commit.put(
            Table::Runs,
            number(self.run),
            self.content.of(self.run, 64 + n * 110),
        );
        self.queue(self.client, commit);
    }

    fn finish(&mut self, commit: &mut Commit) {
        let Some((run, client, n)) = self.taken.pop_front() else {
            return;
        };
        commit.delete(Table::Runs, number(run));
        self.result(client, n, commit);
        self.queue(client, commit);
        commit.packets = n as u64;
    }

    fn records(&mut self, n: usize, commit: &mut Commit) {
        self.client = (self.client + 1) % CLIENTS;
        let first = xxh3_64_with_seed(b"record", self.step as u64);
        for i in 0..n as u64 {
            // The stride has no factor in common with the number of records, so a commit has each at most once.
            let record = (first % RECORDS + i * 7_919) % RECORDS;
            let version = self.known.versions[record as usize];
            commit.conditions.push((
                record_key(record),
                (version > 0).then(|| self.content.record(record, version)),
            ));
            commit.put(
                Table::Records,
                record_key(record),
                self.content.record(record, version + 1),
            );
            self.known.versions[record as usize] = version + 1;
        }
        let start = self.position;
        for from in (0..n).step_by(BLOCK) {
            let (first, count) = (start + from as u64, BLOCK.min(n - from));
            commit.put(
                Table::Messages,
                number(first),
                self.content.block(first, count),
            );
            self.known.blocks.push_back((first, count));
        }
        for position in start..start + n as u64 {
            commit.put(
                Table::Topics,
                topic_key(position),
                vec![1, (position - start) as u8],
            );
        }
        self.position += n as u64;
        self.messages += n;
        self.result(self.client, n, commit);
        self.queue(self.client, commit);
        self.expire_messages(commit);
        commit.packets = n as u64;
    }

    /// A row of results, in place of the one that the client settles with this request.
    fn result(&mut self, client: usize, n: usize, commit: &mut Commit) {
        let position = self.position;
        self.position += 1;
        commit.put(
            Table::Results,
            result_key(client, position),
            self.content.of(position, n * 130),
        );
        if client.is_multiple_of(10) {
            self.unsettled.push_back((client, position));
            if self.unsettled.len() > UNSETTLED
                && let Some((client, position)) = self.unsettled.pop_front()
            {
                commit.delete(Table::Results, result_key(client, position));
            }
        } else if let Some(settled) = self.results[client].replace(position) {
            commit.delete(Table::Results, result_key(client, settled));
        }
    }

    fn queue(&self, client: usize, commit: &mut Commit) {
        commit.put(
            Table::Queues,
            client_hash(client).to_vec(),
            self.content.of(self.step as u64, 60),
        );
    }

    fn expire_messages(&mut self, commit: &mut Commit) {
        while let Some(&(first, count)) = self.known.blocks.front()
            && self.messages >= self.keep_messages + count
        {
            self.known.blocks.pop_front();
            self.messages -= count;
            commit.delete_block(first, count);
        }
    }
}

impl Commit {
    pub(crate) fn empty() -> Commit {
        Commit {
            conditions: Vec::new(),
            rows: Vec::new(),
            packets: 0,
        }
    }

    pub(crate) fn delete_block(&mut self, first: u64, count: usize) {
        self.delete(Table::Messages, number(first));
        for position in first..first + count as u64 {
            self.delete(Table::Topics, topic_key(position));
        }
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.push(Row {
            table,
            key,
            value: Some(value),
        });
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.rows.push(Row {
            table,
            key,
            value: None,
        });
    }
}

/// Bytes that no engine can compress, cut from one pool at a place that follows from what they belong to.
pub(crate) struct Content {
    pool: Vec<u8>,
}

impl Content {
    pub(crate) fn new() -> Content {
        let bytes = |i: u64| xxh3_64_with_seed(b"pool", i).to_le_bytes();
        Content {
            pool: (0..1 << 17).flat_map(bytes).collect(),
        }
    }

    fn of(&self, seed: u64, len: usize) -> Vec<u8> {
        let at = xxh3_64_with_seed(b"content", seed) as usize % (self.pool.len() - len);
        self.pool[at..at + len].to_vec()
    }

    pub(crate) fn record(&self, record: u64, version: u32) -> Vec<u8> {
        let mut value = self.of(record ^ (u64::from(version) << 32), 150);
        value[..4].copy_from_slice(&version.to_be_bytes());
        value
    }

    pub(crate) fn block(&self, first: u64, count: usize) -> Vec<u8> {
        self.of(first, count * MESSAGE)
    }
}

pub(crate) fn record_key(record: u64) -> Vec<u8> {
    format!("orders\0order-{record:08}").into_bytes()
}

fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn client_hash(client: usize) -> [u8; 16] {
    xxh3_128(&client.to_be_bytes()).to_be_bytes()
}

fn result_key(client: usize, position: u64) -> Vec<u8> {
    [&client_hash(client)[..], &position.to_be_bytes()].concat()
}

fn topic_key(position: u64) -> Vec<u8> {
    let topic = xxh3_64_with_seed(b"topic", position) % TOPICS;
    [
        format!("tenant\0chat.room-{topic:04}\0").as_bytes(),
        &position.to_be_bytes(),
    ]
    .concat()
}
