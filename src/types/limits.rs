//! The limits of the contract that no configuration changes. What each one guards stands beside its field in `proto/`.

use std::time::Duration;

pub const REQUEST_BYTES: usize = 4 << 20;
pub const REQUEST_PACKETS: usize = 10_000;
pub const REQUEST_SETTLED: usize = 1_000;
pub const REQUEST_SETTLED_IDS: usize = 10_000;

pub const PACKET_BYTES: usize = 1_000_000;
pub const PACKET_ITEMS: usize = 1_000;
pub const PACKET_HEADERS: usize = 64;
pub const PACKET_HEADER_BYTES: usize = 16 << 10;
pub const PACKET_FILES: usize = 64;
pub const ID_BYTES: usize = 128;
pub const HANDLER_BYTES: usize = 128;
pub const KEY_BYTES: usize = 512;
pub const METHOD_CHARS: usize = 64;

/// An answer to `Sync` or `Results`: stock clients refuse more than 4 MiB.
pub const ANSWER_BYTES: usize = 3 << 20 | 512 << 10;
pub const RESULT_BYTES: usize = 1 << 20;
pub const EVENT_BYTES: usize = 2 << 20;

/// Items of one packet to `records` (CREATE) or `topics`.
pub const ITEMS_AT_ONCE: usize = 64;
/// Messages that are published with one result, and their topics, headers and contents together.
pub const RESULT_MESSAGES: usize = 64;
pub const RESULT_MESSAGE_BYTES: usize = 2 << 20;
pub const PAGE_SIZE: u32 = 100;
pub const PAGE_SIZE_MAX: u32 = 1_000;
pub const PAGE_BYTES: usize = 1 << 20;

pub const PATTERNS: usize = 128;
pub const CURSOR_BYTES: usize = 512;
pub const STREAMS_PER_SUBJECT: usize = 100;

pub const WAIT: Duration = Duration::from_secs(10);
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Without a configuration file, how many collections come into being by being named.
pub const COLLECTIONS: usize = 1_000;

/// How long a token of `Admin` is: not short enough to be guessed, nor longer than what metadata has room for.
pub const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=512;

/// Dead letters that are kept, beside those that are held.
pub const DEAD_LETTERS: usize = 100_000;
