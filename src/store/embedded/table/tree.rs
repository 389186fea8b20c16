//! Reads redb's trees straight from the pages, without redb, so that a damaged file is read around its damage.
//!
//! redb stops at the first error, and a page that it needs to open the file may be the damaged one. This walks down from
//! the header instead: a branch page names the keys between its children, so what a damaged page held is known as a
//! range of keys. Every page is held against its own checksum and against the one that its parent has of it, so that a
//! page which the disk never wrote, and which is whole but old, is noticed as well. The format is redb's version 3, as its
//! `docs/design.md` has it.

use std::io;

use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_128;

use super::pages::{PAGE, Pages};

/// Deeper than any tree can be; only a crafted file gets there.
const DEEPEST: usize = 64;
/// Larger than any page that is written here; only a crafted file has one.
const LARGEST_ORDER: u32 = 20;

/// A stretch of keys that cannot be read: those after `after`, up to and with `through`. `None` has no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) after: Option<Vec<u8>>,
    pub(super) through: Option<Vec<u8>>,
    pub(super) why: String,
}

/// Where a tree starts: its root's page number and checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    page: u64,
    sum: u128,
}

/// A file's trees, as of its last commit.
#[derive(Debug)]
pub(super) struct Trees<'a> {
    pages: &'a Pages,
    region_header: u64,
    region: u64,
    user: Option<Root>,
    system: Option<Root>,
}

/// How long redb's file must be by its header. It is never shorter, whenever a crash happens: it is made longer before the
/// header says so, and shorter after.
pub(super) fn least_len(pages: &Pages) -> io::Result<u64> {
    let mut header = [0; 32];
    pages.read(0, &mut header)?;
    let [front, most, full, last] = [16, 20, 24, 28].map(|at| u32_at(&header, at).unwrap_or(0));
    let last = if last > 0 {
        front.saturating_add(last)
    } else {
        0
    };
    let pages = u64::from(full)
        .saturating_mul(u64::from(front) + u64::from(most))
        .saturating_add(u64::from(last) + 1);
    Ok(pages.saturating_mul(PAGE as u64))
}

/// A table as its row in the tree of tables has it.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) root: Option<Root>,
    pub(super) widths: Widths,
}

/// The lengths of keys and values that all have the same, which are not stored then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// What a walk calls for what it finds, in order of keys.
pub(super) trait Visitor {
    /// A page that could be read, of so many bytes.
    fn page(&mut self, _bytes: u64) {}
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), super::Error>;
    fn missing(&mut self, stretch: Stretch) -> Result<(), super::Error>;
}

impl<'a> Trees<'a> {
    pub(super) fn new(pages: &'a Pages) -> io::Result<Self> {
        let mut header = [0; 320];
        pages.read(0, &mut header)?;
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if !header.starts_with(b"redb") || u32_at(&header, 12) != Some(PAGE as u32) {
            return Err(bad(
                "the header is not one of redb with pages of 4096 bytes",
            ));
        }
        let slot_at = 64 + 128 * usize::from(header[9] & 1);
        let slot = &header[slot_at..slot_at + 128];
        if slot[112..] != xxh3_128(&slot[..112]).to_le_bytes() {
            return Err(bad("the header's commit does not match its checksum"));
        }
        let region_header = u64::from(u32_at(&header, 16).unwrap_or(0)) * PAGE as u64;
        let region_pages = u64::from(u32_at(&header, 20).unwrap_or(0)) * PAGE as u64;
        Ok(Self {
            pages,
            region_header,
            region: region_header + region_pages,
            user: (slot[1] != 0).then(|| root_at(slot, 8)).flatten(),
            system: (slot[2] != 0).then(|| root_at(slot, 40)).flatten(),
        })
    }

    /// The tables of the store: names and definitions.
    pub(super) fn tables(&self, visitor: &mut dyn Visitor) -> Result<(), super::Error> {
        self.walk(self.user, Widths::default(), visitor)
    }

    /// The tables that redb keeps for itself.
    pub(super) fn system_tables(&self, visitor: &mut dyn Visitor) -> Result<(), super::Error> {
        self.walk(self.system, Widths::default(), visitor)
    }

    /// All rows of a tree, and what of it cannot be read. Only the visitor fails.
    pub(super) fn walk(
        &self,
        root: Option<Root>,
        widths: Widths,
        visitor: &mut dyn Visitor,
    ) -> Result<(), super::Error> {
        match root {
            Some(root) => self.page(root, (None, None), widths, 0, visitor),
            None => Ok(()),
        }
    }

    fn page(
        &self,
        root: Root,
        (after, through): (Option<&[u8]>, Option<&[u8]>),
        widths: Widths,
        depth: usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(), super::Error> {
        let read = self
            .read(root)
            .and_then(|page| match Node::parse(&page, widths, root.sum) {
                Some(node) if depth < DEEPEST => Ok((page.clone(), node)),
                _ => Err(io::Error::other(format!(
                    "page {:#x} is not what its parent names",
                    root.page
                ))),
            });
        let (page, node) = match read {
            Ok(read) => read,
            Err(err) => {
                return visitor.missing(Stretch {
                    after: after.map(<[u8]>::to_vec),
                    through: through.map(<[u8]>::to_vec),
                    why: err.to_string(),
                });
            }
        };
        visitor.page(page.len() as u64);
        match node {
            Node::Leaf(rows) => {
                for (key, value) in rows {
                    visitor.row(&page[key], &page[value])?;
                }
            }
            Node::Branch(children, keys) => {
                for (at, child) in children.into_iter().enumerate() {
                    let after = match at.checked_sub(1) {
                        Some(before) => keys.get(before).map(|key| &page[key.clone()]),
                        None => after,
                    };
                    let through = keys.get(at).map(|key| &page[key.clone()]).or(through);
                    self.page(child, (after, through), widths, depth + 1, visitor)?;
                }
            }
        }
        Ok(())
    }

    fn read(&self, root: Root) -> io::Result<Vec<u8>> {
        let order = (root.page >> 59) as u32;
        if order > LARGEST_ORDER {
            return Err(io::Error::other(format!("no page is as large as {order}")));
        }
        let len = (PAGE as u64) << order;
        let index = root.page & (0x000F_FFFF >> order);
        let region = (root.page >> 20) & 0x000F_FFFF;
        let at = PAGE as u64 + region * self.region + self.region_header + index * len;
        if at + len > self.pages.len()?.max(self.pages.recorded_len()) {
            return Err(io::Error::other(format!(
                "page {} is beyond the end of the file",
                at / PAGE as u64
            )));
        }
        let mut page = vec![0; len as usize];
        self.pages.read(at, &mut page)?;
        Ok(page)
    }
}

impl Definition {
    pub(super) fn parse(row: &[u8]) -> Option<Self> {
        let width = |at: usize| match row.get(at)? {
            0 => Some(None),
            _ => Some(Some(u32_at(row, at + 1)? as usize)),
        };
        Some(Self {
            root: match row.get(9)? {
                0 => None,
                _ => Some(root_at(row, 10)?),
            },
            widths: Widths {
                key: width(42)?,
                value: width(47)?,
            },
        })
    }
}

type Range = std::ops::Range<usize>;

/// What a page holds, as ranges of its bytes that are all inside of it.
enum Node {
    Leaf(Vec<(Range, Range)>),
    Branch(Vec<Root>, Vec<Range>),
}

impl Node {
    /// `None` if anything is not as it should be, the checksum first of all.
    fn parse(page: &[u8], widths: Widths, sum: u128) -> Option<Self> {
        let count = usize::from(u16::from_le_bytes([*page.get(2)?, *page.get(3)?]));
        let (node, end) = match page.first()? {
            1 => Self::leaf(page, widths, count)?,
            2 => Self::branch(page, widths, count)?,
            _ => return None,
        };
        (xxh3_128(page.get(..end)?) == sum).then_some(node)
    }

    fn leaf(page: &[u8], widths: Widths, count: usize) -> Option<(Self, usize)> {
        let mut at = 4;
        let key_ends = ends(page, &mut at, widths.key, count);
        let value_ends = ends(page, &mut at, widths.value, count);
        let keys = ranges(page, &mut at, widths.key, key_ends, count)?;
        let values = ranges(page, &mut at, widths.value, value_ends, count)?;
        Some((Self::Leaf(keys.into_iter().zip(values).collect()), at))
    }

    fn branch(page: &[u8], widths: Widths, count: usize) -> Option<(Self, usize)> {
        let children = (0..=count)
            .map(|child| {
                let sum = page.get(8 + 16 * child..)?.first_chunk()?;
                let number = page
                    .get(8 + 16 * (count + 1) + 8 * child..)?
                    .first_chunk()?;
                Some(Root {
                    page: u64::from_le_bytes(*number),
                    sum: u128::from_le_bytes(*sum),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let mut at = 8 + 24 * (count + 1);
        let key_ends = ends(page, &mut at, widths.key, count);
        let keys = ranges(page, &mut at, widths.key, key_ends, count)?;
        Some((Self::Branch(children, keys), at))
    }
}

/// Steps over the table of ends, which is there when the width is not the same for all, and says where it is.
fn ends(page: &[u8], at: &mut usize, width: Option<usize>, count: usize) -> Range {
    let start = *at;
    if width.is_none() {
        *at = (start + 4 * count).min(page.len());
    }
    start..*at
}

/// The ranges of keys or values that begin at `at`, which is moved behind them.
fn ranges(
    page: &[u8],
    at: &mut usize,
    width: Option<usize>,
    ends: Range,
    count: usize,
) -> Option<Vec<Range>> {
    let mut ranges = Vec::with_capacity(count);
    for entry in 0..count {
        let end = match width {
            Some(width) => *at + width,
            None => u32_at(page.get(ends.clone())?, 4 * entry)? as usize,
        };
        if end < *at || end > page.len() {
            return None;
        }
        ranges.push(*at..end);
        *at = end;
    }
    Some(ranges)
}

fn root_at(bytes: &[u8], at: usize) -> Option<Root> {
    Some(Root {
        page: u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?),
        sum: u128::from_le_bytes(*bytes.get(at + 8..)?.first_chunk()?),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
