//! What is in a directory, and whether it is whole: looked at from outside, changing nothing, while nobody has it.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::damage::QUARANTINE;
use super::directory::{self, FORMAT, FORMAT_TEXT};
use super::disk::{Disk, RealDisk};
use super::frame::Header;
use super::keeper::PARTS;
use super::meta::{self, FRAME, HEADER};
use super::open::{self, LOG, OpenError, TABLE};
use super::parts::{Blocks, Part, PartInfo};
use super::rows::Space;
use super::{damage, log, table};
use rows::{Recent, Rows};

/// How many findings are told apart.
const TOLD: usize = 1_000;

/// How closely it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Log, table, and where the parts' blocks are.
    Overview,
    /// Every block of every part as well, what each row says, and whether what is counted is there.
    Check,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Inspection {
    pub path: PathBuf,
    pub format: String,
    /// Everything was read. Otherwise `damage` may not say all.
    pub checked: bool,
    /// Of all files.
    pub bytes: u64,
    pub log: LogUse,
    /// By the rule that keeps them; the empty one is for what no rule is about.
    pub parts: Vec<PartsUse>,
    pub table: TableUse,
    /// Records of each collection, as it is after the log.
    pub collections: BTreeMap<String, u64>,
    /// Queues, each of one client's packets to one handler.
    pub places: u64,
    /// Packets that were given up, with those that are held.
    pub dead_letters: u64,
    pub epochs: Vec<EpochUse>,
    /// The position of the newest entry.
    pub tail: u64,
    /// Copies of what was damaged at an earlier start.
    pub quarantine_bytes: u64,
    /// What is not as it usually is, and no damage.
    pub notes: Vec<String>,
    /// What cannot be read, and what is missing for it. Empty: it is whole, as far as it was looked at.
    pub damage: Vec<String>,
    /// Findings beyond those.
    pub more_damage: u64,
}

/// The commit log.
#[derive(Debug, Default, Serialize)]
pub struct LogUse {
    pub segments: u64,
    pub bytes: u64,
    /// The frames that are not in parts and table yet; 0: there is none.
    pub first_frame: u64,
    pub last_frame: u64,
    pub frames: u64,
    /// What is in them.
    pub rows: u64,
    pub messages: Messages,
}

/// Parts of one class.
#[derive(Debug, Default, Serialize)]
pub struct PartsUse {
    pub class: String,
    pub parts: u64,
    pub file_bytes: u64,
    pub messages: Messages,
}

/// Messages, wherever they are.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Messages {
    pub count: u64,
    pub bytes: u64,
    /// Positions; 0: there is none.
    pub first: u64,
    pub last: u64,
    #[serde(serialize_with = "as_text")]
    pub oldest: Option<SystemTime>,
    #[serde(serialize_with = "as_text")]
    pub newest: Option<SystemTime>,
}

/// The table of rows.
#[derive(Debug, Default, Serialize)]
pub struct TableUse {
    pub bytes: u64,
    pub spaces: Vec<SpaceUse>,
    /// Bytes of the file that nothing needs: they are used again.
    pub free_bytes: u64,
}

/// One kind of rows.
#[derive(Debug, Default, Serialize)]
pub struct SpaceUse {
    pub name: String,
    /// As they are after the log.
    pub rows: u64,
    /// Of their pages in the table.
    pub bytes: u64,
}

/// A start.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EpochUse {
    /// A string of digits for programs: most of them round numbers beyond 2^53.
    #[serde(serialize_with = "as_digits")]
    pub id: u64,
    /// The position at which it began.
    pub start: u64,
}

impl Inspection {
    /// Looks at a directory. Blocks. An error: it is not a store of this gateway, or another process has it.
    pub fn of(path: &Path, depth: Depth) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::Io(path.to_owned(), error.to_string());
        path.metadata().map_err(failed)?;
        directory::is_no_file(path)?;
        let disk = RealDisk::read_only(path);
        if !disk.exists(Path::new(FORMAT)).map_err(failed)? {
            let why = format!("there is no {FORMAT} in it");
            return Err(OpenError::Foreign(path.to_owned(), why));
        }
        directory::check_format(path, &disk)?;
        // Nobody begins to write before the end.
        let _lock = directory::lock_shared(path)?;
        Self::on(path, &disk, depth)
    }

    /// On a disk of whatever kind, that nobody else has.
    pub(super) fn on(path: &Path, disk: &dyn Disk, depth: Depth) -> Result<Self, OpenError> {
        let looked = Self {
            path: path.to_owned(),
            format: FORMAT_TEXT.trim().to_owned(),
            checked: depth == Depth::Check,
            ..Self::default()
        };
        let looked = looked.look(disk, depth);
        looked.map_err(|error| OpenError::Io(path.to_owned(), error.to_string()))
    }

    fn look(mut self, disk: &dyn Disk, depth: Depth) -> io::Result<Self> {
        let mut meta = BTreeMap::new();
        let has_table = disk.exists(Path::new(TABLE))?;
        if has_table {
            // What is damaged is told when all of it is read.
            let shown = &mut |_: u8, key: &[u8], row: &[u8]| {
                meta.insert(key.to_vec(), row.to_vec());
            };
            let only = Some(Space::Meta as u8);
            let _ = look_at_table(table::look(disk, Path::new(TABLE), only, shown))?;
        } else {
            self.tell(format!("{TABLE} is not there; missing are all rows in it"));
        }
        let number = |name: &str| meta.get(name.as_bytes()).map_or(0, |row| open::number(row));
        let header = meta.get(HEADER.as_bytes());
        let header = header.map_or_else(Header::default, |row| Header::read(row.clone().into()));

        let recent = self.look_at_log(disk, number(FRAME), header)?;
        self.tail = recent.header.tail;
        let mut rows = Rows::new(recent, depth, number(meta::SEED));
        if has_table {
            let shown = &mut |space: u8, key: &[u8], row: &[u8]| rows.of_table(space, key, row);
            match look_at_table(table::look(disk, Path::new(TABLE), None, shown))? {
                Ok(looked) => {
                    self.table = use_of(&looked, disk.open(Path::new(TABLE))?.len()?);
                    for missing in &looked.missing {
                        self.tell(damage::of_table(missing));
                    }
                }
                Err(what) => self.tell(format!("the table of rows: {what}; missing are all rows")),
            }
        }
        rows.finish(self.damage.is_empty());
        for what in std::mem::take(&mut rows.wrong) {
            self.tell(what);
        }
        self.more_damage += rows.more_wrong;
        for space in Space::ALL {
            self.space(space).rows += rows.count(space);
        }
        self.table
            .spaces
            .retain(|space| space.rows + space.bytes > 0);
        self.places = rows.count(Space::Queue);
        self.dead_letters = rows.count(Space::Dead);
        self.collections = std::mem::take(&mut rows.collections);
        self.epochs = rows.epochs.to_vec();
        self.look_at_parts(disk, &rows.parts, depth)?;
        self.bytes = size(disk, Path::new(""))?;
        if disk.exists(Path::new(QUARANTINE))? {
            self.quarantine_bytes = size(disk, Path::new(QUARANTINE))?;
        }
        Ok(self)
    }

    fn look_at_log(&mut self, disk: &dyn Disk, from: u64, header: Header) -> io::Result<Recent> {
        let mut recent = Recent::new(header);
        let marker = Path::new(LOG).join(log::MARKER_NAME);
        if !self.epochs.is_empty() && !disk.exists(&marker)? {
            self.tell(open::no_marker(from));
        }
        if !disk.exists(Path::new(LOG))? {
            return Ok(recent);
        }
        for name in disk.list(Path::new(LOG))? {
            let file = disk.open(&Path::new(LOG).join(&name))?;
            self.log.segments += u64::from(name.ends_with(".log"));
            self.log.bytes += file.len()?;
        }
        let options = log::Options::new(Path::new(LOG));
        let mut missing = Vec::new();
        let mut frames = (0, from, 0);
        let recovered = log::verify(disk, &options, from, &mut |number, payload| {
            if number > frames.1 + 1 {
                missing.push((recent.header.tail + 1, open::before(&payload)));
            }
            let first = if frames.2 == 0 { number } else { frames.0 };
            frames = (first, number, frames.2 + 1);
            recent.apply(payload);
        })?;
        if frames.2 > 0 {
            (self.log.first_frame, self.log.last_frame, self.log.frames) = frames;
        }
        self.log.rows = recent.rows.len() as u64;
        self.log.messages = recent.messages.clone();
        if let Some(torn) = &recovered.torn {
            self.notes.push(format!(
                "the commit log ends with {} bytes that were being written when the process or the machine stopped: nobody was told of them, and the next start removes them",
                torn.bytes
            ));
        }
        for damaged in &recovered.damaged {
            self.tell(log::describe(damaged));
        }
        for (first, last) in missing.into_iter().filter(|(first, last)| first <= last) {
            self.tell(format!("missing are the positions {first} to {last}"));
        }
        Ok(recent)
    }

    fn look_at_parts(
        &mut self,
        disk: &dyn Disk,
        rows: &BTreeMap<String, PartInfo>,
        depth: Depth,
    ) -> io::Result<()> {
        let blocks = Blocks::new(0);
        for (name, row) in rows {
            let path = Path::new(PARTS).join(name);
            self.count_part(row);
            let found = match Part::open(disk, &path, blocks.clone(), Some(row)) {
                Ok(part) if depth == Depth::Check => part.verify()?,
                Ok(part) => part.damage(),
                Err(super::parts::Error::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(error) => {
                    self.tell(format!(
                        "{}: {error}; missing are {} messages from position {} to {}",
                        path.display(),
                        row.messages,
                        row.first,
                        row.last
                    ));
                    continue;
                }
            };
            for damaged in &found {
                self.tell(damage::of_part(damaged));
            }
        }
        if !disk.exists(Path::new(PARTS))? {
            return Ok(());
        }
        for name in disk.list(Path::new(PARTS))? {
            if !rows.contains_key(&name) {
                self.notes.push(format!(
                    "{PARTS}/{name} is in no row: a checkpoint did not come to its end, or its row is missing; the next start removes it"
                ));
            }
        }
        Ok(())
    }

    fn count_part(&mut self, info: &PartInfo) {
        let known = self.parts.iter().position(|part| part.class == info.class);
        let at = known.unwrap_or_else(|| {
            self.parts.push(PartsUse {
                class: info.class.clone(),
                ..PartsUse::default()
            });
            self.parts.len() - 1
        });
        let class = &mut self.parts[at];
        class.parts += 1;
        class.file_bytes += info.file_bytes;
        class.messages.add(&Messages {
            count: info.messages,
            bytes: info.bytes,
            first: info.first,
            last: info.last,
            oldest: Some(info.oldest),
            newest: Some(info.newest),
        });
    }

    /// The line of a space; some share one.
    fn space(&mut self, space: Space) -> &mut SpaceUse {
        let spaces = &mut self.table.spaces;
        let known = spaces.iter().position(|line| line.name == space.name());
        let at = known.unwrap_or_else(|| {
            spaces.push(SpaceUse {
                name: space.name().to_owned(),
                ..SpaceUse::default()
            });
            spaces.len() - 1
        });
        &mut spaces[at]
    }

    fn tell(&mut self, what: String) {
        if self.damage.len() < TOLD {
            self.damage.push(what);
        } else {
            self.more_damage += 1;
        }
    }
}

impl Messages {
    fn add(&mut self, more: &Self) {
        if more.count == 0 {
            return;
        }
        self.first = match self.count {
            0 => more.first,
            _ => self.first.min(more.first),
        };
        self.last = self.last.max(more.last);
        self.oldest = [self.oldest, more.oldest].into_iter().flatten().min();
        self.newest = self.newest.max(more.newest);
        self.count += more.count;
        self.bytes += more.bytes;
    }
}

/// Damage is an answer, any other error is not.
fn look_at_table(
    looked: Result<table::Looked, table::Error>,
) -> io::Result<Result<table::Looked, String>> {
    match looked {
        Ok(looked) => Ok(Ok(looked)),
        Err(table::Error::Damaged(what)) => Ok(Err(what)),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

fn use_of(looked: &table::Looked, bytes: u64) -> TableUse {
    let mut spaces: Vec<SpaceUse> = Vec::new();
    let mut used = looked.own;
    for (space, bytes) in &looked.spaces {
        used += bytes;
        let name = damage::space_name(*space);
        match spaces.iter_mut().find(|line| line.name == name) {
            Some(line) => line.bytes += bytes,
            None => spaces.push(SpaceUse {
                name: name.to_owned(),
                rows: 0,
                bytes: *bytes,
            }),
        }
    }
    TableUse {
        bytes,
        spaces,
        free_bytes: bytes.saturating_sub(used),
    }
}

/// Of all files in it and below.
fn size(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for name in disk.list(dir)? {
        let path = dir.join(&name);
        let is_dir = [LOG, PARTS, QUARANTINE]
            .iter()
            .any(|dir| path == Path::new(dir));
        bytes += if is_dir {
            size(disk, &path)?
        } else {
            disk.open(&path)?.len()?
        };
    }
    Ok(bytes)
}

fn as_text<S: serde::Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(&humantime::format_rfc3339_millis(*time)),
        None => to.serialize_none(),
    }
}

fn as_digits<S: serde::Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}
