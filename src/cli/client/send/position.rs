//! How far a call of `send` came, kept in a file for the next one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lines::Mark;
use super::report::Tally;
use crate::cli::client::{Error, random_name};

/// Lines up to here are final, and their packets' places are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// The queue whose places these are.
    pub(super) client_id: String,
    pub(super) mark: Mark,
    /// The last place of each handler.
    pub(super) places: BTreeMap<String, u64>,
    pub(super) tally: Tally,
}

impl Position {
    pub(super) fn new() -> Self {
        Self {
            client_id: random_name(),
            mark: Mark::default(),
            places: BTreeMap::new(),
            tally: Tally::default(),
        }
    }
}

/// The file, locked: two that send under one name would be told of each other's packets.
#[derive(Debug)]
pub(super) struct Kept {
    file: File,
    path: PathBuf,
    length: usize,
}

impl Kept {
    /// With what it has, or a new position.
    pub(super) fn open(path: &Path) -> Result<(Self, Position), Error> {
        let wrong = |text: String| Error::Usage(format!("--position {}: {text}", path.display()));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| wrong(error.to_string()))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => wrong("another `tidegate send` is using it".into()),
            TryLockError::Error(error) => wrong(error.to_string()),
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        let position = match text.trim_end() {
            "" => Position::new(),
            written => serde_json::from_str(written).map_err(|error| {
                wrong(format!("it is no position, and is left as it is: {error}"))
            })?,
        };
        let kept = Self {
            file,
            path: path.to_owned(),
            length: text.len(),
        };
        Ok((kept, position))
    }

    /// In one write over what was there, so that whoever is killed leaves the one or the other.
    pub(super) fn save(&mut self, position: &Position) -> io::Result<()> {
        let mut text = serde_json::to_string(position).map_err(io::Error::from)?;
        // What is shorter than it was covers it all the same.
        let length = self.length.max(text.len() + 1) - 1;
        text.extend(std::iter::repeat_n(' ', length - text.len()));
        text.push('\n');
        self.length = text.len();
        write_at_start(&self.file, text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| io::Error::other(format!("{}: {error}", self.path.display())))
    }
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_call_finds_what_the_last_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("position");
        let (mut kept, mut position) = Kept::open(&path).unwrap();
        position.mark.lines = 1_000_000;
        position.places.insert("a-long-name".into(), 7);
        kept.save(&position).unwrap();
        let taken = Kept::open(&path).unwrap_err().to_string();
        assert!(taken.contains("another"), "{taken}");
        position.places.clear();
        kept.save(&position).unwrap();
        drop(kept);
        let (_, found) = Kept::open(&path).unwrap();
        assert_eq!(found, position);
    }

    #[test]
    fn what_is_no_position_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letter");
        std::fs::write(&path, "dear all\n").unwrap();
        assert!(Kept::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear all\n");
    }
}
