//! Keys: the space, then what orders and finds the row in it.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::types::ClientKey;

/// A kind of rows. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(in super::super) enum Space {
    /// Collection and key → record.
    Record = 1,
    /// Collection and key → the version of its deletion, and its row in `Deletion`.
    Deleted = 2,
    /// Position → a deletion, so that the oldest are found.
    Deletion = 3,
    /// Collection → the highest version of a deletion that is not kept any more.
    Floor = 4,
    /// Queue → its place.
    Queue = 5,
    /// Queue and first place → results of places without a hole.
    Results = 6,
    /// Number → results of packets without a place.
    Once = 7,
    /// Number → which of them are settled.
    OnceSettled = 8,
    /// Queue and place, or owner and req_id → a result that a call was to carry and did not.
    Owed = 9,
    /// Owner and number → where results are, in order of time.
    Owned = 10,
    /// Owner → what it holds.
    Holder = 11,
    /// Number → packets that were taken, as they came.
    Run = 12,
    /// Number → which of them are finished, and which are settled.
    Done = 13,
    /// Name → a value of the store itself.
    Meta = 14,
    /// Name → a part.
    Part = 15,
    /// Space and key → the same row of `Meta` or `Part` again, as the rest cannot be found without them.
    Again = 16,
    /// Number → a packet that was given up, but for its bytes.
    Dead = 17,
    /// The same number → its bytes.
    DeadPacket = 18,
}

impl Space {
    pub(in super::super) const ALL: [Self; 18] = [
        Self::Record,
        Self::Deleted,
        Self::Deletion,
        Self::Floor,
        Self::Queue,
        Self::Results,
        Self::Once,
        Self::OnceSettled,
        Self::Owed,
        Self::Owned,
        Self::Holder,
        Self::Run,
        Self::Done,
        Self::Meta,
        Self::Part,
        Self::Again,
        Self::Dead,
        Self::DeadPacket,
    ];

    /// For people.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Record => "records",
            Self::Deleted | Self::Deletion => "deletions",
            Self::Floor => "floors",
            Self::Queue => "places",
            Self::Results => "results",
            Self::Once | Self::OnceSettled => "req_ids",
            Self::Owed => "owed results",
            Self::Owned | Self::Holder => "owners of results",
            Self::Run | Self::Done => "taken packets",
            Self::Meta => "the store's own",
            Self::Part => "parts",
            Self::Again => "copies of the store's own",
            Self::Dead | Self::DeadPacket => "dead letters",
        }
    }
}

/// The key of a row, its space in front.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Key(SmallVec<[u8; 40]>);

/// One client's packets to one handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct QueueHash(pub(in super::super) u128);

/// Whose results: a client, or a subject without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Owner(pub(in super::super) u128);

/// Every store has its own, so that nobody can find two names with one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Seed(pub(in super::super) u64);

impl Key {
    fn of(space: Space, parts: &[&[u8]]) -> Self {
        let mut key = SmallVec::new();
        key.push(space as u8);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        Self(key)
    }

    pub(in super::super) fn named(space: Space, name: &str) -> Self {
        Self::of(space, &[name.as_bytes()])
    }

    pub(in super::super) fn number(space: Space, number: u64) -> Self {
        Self::of(space, &[&number.to_be_bytes()])
    }

    pub(in super::super) fn record(space: Space, collection: &str, key: &str) -> Self {
        let mut prefix = collection_prefix(space, collection);
        prefix.0.extend_from_slice(key.as_bytes());
        prefix
    }

    pub(in super::super) fn queue(queue: QueueHash) -> Self {
        Self::of(Space::Queue, &[&queue.0.to_be_bytes()])
    }

    pub(in super::super) fn placed(space: Space, queue: QueueHash, seq: u64) -> Self {
        Self::of(space, &[&queue.0.to_be_bytes(), &seq.to_be_bytes()])
    }

    pub(in super::super) fn owned(owner: Owner, number: u64) -> Self {
        Self::of(
            Space::Owned,
            &[&owner.0.to_be_bytes(), &number.to_be_bytes()],
        )
    }

    pub(in super::super) fn owed_once(owner: Owner, once: u128) -> Self {
        Self::of(Space::Owed, &[&owner.0.to_be_bytes(), &once.to_be_bytes()])
    }

    pub(in super::super) fn holder(owner: Owner) -> Self {
        Self::of(Space::Holder, &[&owner.0.to_be_bytes()])
    }

    pub(in super::super) fn joined(space: u8, rest: &[u8]) -> Self {
        let mut key = SmallVec::with_capacity(1 + rest.len());
        key.push(space);
        key.extend_from_slice(rest);
        Self(key)
    }

    /// As it was written.
    pub(in super::super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }

    pub(in super::super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(in super::super) fn space(&self) -> u8 {
        self.0[0]
    }

    /// Without its space.
    pub(in super::super) fn rest(&self) -> &[u8] {
        &self.0[1..]
    }

    /// The number at its end.
    pub(in super::super) fn last_number(&self) -> u64 {
        let mut number = [0; 8];
        let at = self.0.len() - 8;
        number.copy_from_slice(&self.0[at..]);
        u64::from_be_bytes(number)
    }

    /// Behind this one, and before every other.
    pub(in super::super) fn next(&self) -> Self {
        let mut key = self.0.clone();
        key.push(0);
        Self(key)
    }
}

/// What the keys of a collection start with; its own row in `Floor`.
pub(in super::super) fn collection_prefix(space: Space, collection: &str) -> Key {
    let len = (collection.len() as u32).to_be_bytes();
    Key::of(space, &[&len, collection.as_bytes()])
}

/// The first key behind all that start with this one.
pub(in super::super) fn end_of(prefix: &Key) -> Key {
    let mut key = prefix.0.clone();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    Key(key)
}

/// A key without its space, for a person: a collection and a key, a name, or hexadecimal digits.
pub(in super::super) fn shown(space: u8, rest: &[u8]) -> String {
    let is = |known: Space| space == known as u8;
    if is(Space::Meta) || is(Space::Part) {
        return format!("{:?}", String::from_utf8_lossy(rest));
    }
    if is(Space::Record) || is(Space::Deleted) || is(Space::Floor) {
        return match split_record(rest) {
            Some((collection, key)) => format!("{collection:?} {key:?}"),
            None => format!("{:?}", String::from_utf8_lossy(rest)),
        };
    }
    rest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collection and key of a row of `Record` or `Deleted`.
pub(in super::super) fn split_record(rest: &[u8]) -> Option<(&str, &str)> {
    let (len, rest) = rest.split_first_chunk()?;
    let (collection, key) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    Some((
        std::str::from_utf8(collection).ok()?,
        std::str::from_utf8(key).ok()?,
    ))
}

impl QueueHash {
    /// Of a row of `Queue`.
    pub(in super::super) fn of_key(key: &Key) -> Self {
        Self(first_wide(key))
    }
}

impl Owner {
    /// Of a row of `Holder`.
    pub(in super::super) fn of_key(key: &Key) -> Self {
        Self(first_wide(key))
    }
}

fn first_wide(key: &Key) -> u128 {
    let mut wide = [0; 16];
    wide.copy_from_slice(&key.rest()[..16]);
    u128::from_be_bytes(wide)
}

impl Seed {
    pub(in super::super) fn client(self, client: &ClientKey) -> Owner {
        Owner(self.hash(&[
            b"c",
            client.tenant.as_bytes(),
            client.subject.as_bytes(),
            client.client_id.as_bytes(),
        ]))
    }

    pub(in super::super) fn subject(self, tenant: &str, subject: &str) -> Owner {
        Owner(self.hash(&[b"s", tenant.as_bytes(), subject.as_bytes()]))
    }

    pub(in super::super) fn queue(self, owner: Owner, handler: &str) -> QueueHash {
        QueueHash(self.hash(&[b"q", &owner.0.to_be_bytes(), handler.as_bytes()]))
    }

    pub(in super::super) fn once(self, owner: Owner, req_id: &str) -> u128 {
        self.hash(&[b"r", &owner.0.to_be_bytes(), req_id.as_bytes()])
    }

    fn hash(self, parts: &[&[u8]]) -> u128 {
        let mut framed: SmallVec<[u8; 256]> = SmallVec::new();
        for part in parts {
            framed.extend_from_slice(&(part.len() as u32).to_le_bytes());
            framed.extend_from_slice(part);
        }
        xxh3_128_with_seed(&framed, self.0)
    }
}
