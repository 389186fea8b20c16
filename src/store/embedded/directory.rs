//! The directory: whose it is, and who has it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::disk::{Disk, RealDisk};
use super::open::OpenError;

/// The file that says what the directory is.
pub(super) const FORMAT: &str = "FORMAT";
pub(super) const FORMAT_TEXT: &str = "tidegate store, format 2\n";

/// The same, before it is whole.
pub(super) const UNFINISHED: &str = "FORMAT.new";

/// Locked by the process that has the directory.
const LOCK: &str = "LOCK";

/// A directory that this process has to itself.
#[derive(Debug)]
pub(super) struct Directory {
    /// Open as long as it is locked.
    _lock: File,
}

impl Directory {
    /// Makes it if it is not there.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::Io(path.to_owned(), error.to_string());
        is_no_file(path)?;
        fs::create_dir_all(path).map_err(failed)?;
        // Before anything is written into what is somebody else's.
        check_format(path, &RealDisk::new(path))?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(failed)?;
        if let Err(error) = lock.try_lock() {
            return Err(held(path, &mut lock, &error));
        }
        lock.set_len(0).map_err(failed)?;
        write!(lock, "process {}", std::process::id()).map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}

/// What the system says about a file in place of a directory helps nobody.
pub(super) fn is_no_file(path: &Path) -> Result<(), OpenError> {
    if path.is_file() {
        let why = "it is a file: give a directory, or a name that nothing has yet";
        return Err(OpenError::Io(path.to_owned(), why.to_owned()));
    }
    Ok(())
}

/// For those who only look: keeps everyone out who would write, and changes nothing. `None`: nobody ever had it.
pub(super) fn lock_shared(path: &Path) -> Result<Option<File>, OpenError> {
    let mut lock = match File::open(path.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::Io(path.to_owned(), error.to_string())),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(error) => Err(held(path, &mut lock, &error)),
    }
}

fn held(path: &Path, lock: &mut File, error: &fs::TryLockError) -> OpenError {
    let fs::TryLockError::WouldBlock = error else {
        return OpenError::Io(path.to_owned(), error.to_string());
    };
    let mut holder = String::new();
    // Only for the person who reads it.
    let _ = lock.read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => String::new(),
        holder => format!(" ({holder})"),
    };
    OpenError::InUse(path.to_owned(), holder)
}

/// A directory that is not empty must say that it is a store, and of a format that is known. True: it does.
pub(super) fn check_format(path: &Path, disk: &dyn Disk) -> Result<bool, OpenError> {
    let failed = |error: io::Error| OpenError::Io(path.to_owned(), error.to_string());
    let name = Path::new(FORMAT);
    if disk.exists(name).map_err(failed)? {
        let file = disk.open(name).map_err(failed)?;
        let mut text = vec![0; file.len().map_err(failed)?.min(1024) as usize];
        file.read_at(0, &mut text).map_err(failed)?;
        if text == FORMAT_TEXT.as_bytes() {
            return Ok(true);
        }
        let text = String::from_utf8_lossy(&text);
        let why = format!(
            "{FORMAT} says {:?}, and {:?} is known",
            text.trim(),
            FORMAT_TEXT.trim()
        );
        return Err(OpenError::Foreign(path.to_owned(), why));
    }
    let ours = [LOCK, UNFINISHED];
    let names = disk.list(Path::new("")).map_err(failed)?;
    if let Some(other) = names.iter().find(|name| !ours.contains(&name.as_str())) {
        let why = format!(
            "it has {other:?}, and no {FORMAT}: give an empty directory, or one that is not there"
        );
        return Err(OpenError::Foreign(path.to_owned(), why));
    }
    Ok(false)
}

/// A new directory gets its format.
pub(super) fn format(path: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    if check_format(path, disk)? {
        return Ok(());
    }
    sign(disk).map_err(|error| OpenError::Io(path.to_owned(), error.to_string()))
}

/// Makes a store of what is there: durable when this returns, and before a directory that no gateway takes for one.
pub(super) fn sign(disk: &dyn Disk) -> io::Result<()> {
    let (new, name) = (Path::new(UNFINISHED), Path::new(FORMAT));
    if disk.exists(new)? {
        disk.remove(new)?;
    }
    let file = disk.create(new)?;
    file.write_at(0, FORMAT_TEXT.as_bytes())?;
    file.sync()?;
    disk.rename(new, name)?;
    disk.sync_dir(Path::new(""))
}
