//! How far a call of `send` came, kept in a file for the next one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lines::Mark;
use super::report::Tally;
use crate::cli::client::{Error, random_name};

/// Lines up to here are final, and their packets' places are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// What is made of the lines, and where they go: of another call these are not the places.
    pub(super) of: String,
    /// The queue whose places these are.
    pub(super) client_id: String,
    pub(super) mark: Mark,
    /// The last place of each handler.
    pub(super) places: BTreeMap<String, u64>,
    pub(super) tally: Tally,
}

impl Position {
    pub(super) fn new(of: &str) -> Self {
        Self {
            of: of.to_owned(),
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
    /// Its lock is all that it is for: what is read and written goes by the path.
    _locked: File,
    path: PathBuf,
}

impl Kept {
    /// With what it has, or a new position, which is then on disk: what is sent is never sent under a name that is lost.
    pub(super) fn open(path: &Path, of: &str) -> Result<(Self, Position), Error> {
        let wrong = |text: String| Error::Usage(format!("--position {}: {text}", path.display()));
        let (file, text) = loop {
            if let Some(found) = locked(path).map_err(|error| wrong(error.to_string()))? {
                break found;
            }
        };
        let position: Position = match text.trim_end() {
            "" => Position::new(of),
            written => serde_json::from_str(written).map_err(|error| {
                wrong(format!("it is no position, and is left as it is: {error}"))
            })?,
        };
        if position.of != of {
            let whose = &position.of;
            return Err(wrong(format!(
                "it belongs to a call with {whose}, and this one has {of}: give each a file of its own"
            )));
        }
        let mut kept = Self {
            _locked: file,
            path: path.to_owned(),
        };
        kept.save(&position)?;
        Ok((kept, position))
    }

    /// In another file that then takes its name: whoever is killed leaves the one or the other.
    pub(super) fn save(&mut self, position: &Position) -> Result<(), Error> {
        self.replace(position)
            .map_err(|error| Error::File(format!("--position {}: {error}", self.path.display())))
    }

    fn replace(&mut self, position: &Position) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = directory.join(name);
        let mut file = File::create(&new)?;
        // Before it has the name, so that nobody else ever finds it without.
        file.lock()?;
        serde_json::to_writer(&mut file, position).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        file.sync_data()?;
        fs::rename(&new, &self.path)?;
        File::open(directory)?.sync_all()?;
        self._locked = file;
        Ok(())
    }
}

/// `None`: it was replaced meanwhile.
fn locked(path: &Path) -> io::Result<Option<(File, String)>> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another `tidegate send` is using it"),
        TryLockError::Error(error) => error,
    })?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(is_still(&file, path)?.then_some((file, text)))
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (ours, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

#[cfg(not(unix))]
fn is_still(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_call_finds_what_the_last_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("position");
        let (mut kept, mut position) = Kept::open(&path, "todos create").unwrap();
        position.mark.lines = 1_000_000;
        position.places.insert("a-long-name".into(), 7);
        kept.save(&position).unwrap();
        let taken = Kept::open(&path, "todos create").unwrap_err().to_string();
        assert!(taken.contains("another"), "{taken}");
        position.places.clear();
        kept.save(&position).unwrap();
        drop(kept);
        let other = Kept::open(&path, "people put").unwrap_err().to_string();
        assert!(other.contains("with todos create, and"), "{other}");
        let (_, found) = Kept::open(&path, "todos create").unwrap();
        assert_eq!(found, position);
    }

    #[test]
    fn what_is_no_position_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letter");
        std::fs::write(&path, "dear all\n").unwrap();
        assert!(Kept::open(&path, "todos create").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear all\n");
    }
}
