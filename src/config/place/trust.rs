//! Whose files are believed: where temporary files are, and wherever others can write, anybody can leave an address that
//! a token would be told to.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// In bytes: more than a token or an address takes.
const LONGEST: u64 = 4096;

/// The superuser: who has to fear it has lost already.
const ROOT: u32 = 0;

/// Which directory is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// One of this user or of the superuser, that nobody else can write in. What leads to it must not be a link.
    Own,
    /// Any, as a person named it: then its owner is believed too.
    Named,
}

/// A directory that is open: what is read is in the one that was looked at, whatever its path leads to by then.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    open: File,
    /// Whose files are believed.
    believed: Vec<u32>,
    /// What speaks against believing anything that is in it.
    doubt: Option<String>,
}

/// What a file says, and since when.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) at: SystemTime,
}

impl Directory {
    /// `None`: it is not there. The error is for a person.
    pub(super) fn open(path: &Path, trust: Trust) -> Result<Option<Self>, String> {
        let aside = |why: &str| aside(path, why);
        let links = match trust {
            Trust::Own => OFlags::NOFOLLOW,
            Trust::Named => OFlags::empty(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | links;
        let open = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(open) => File::from(open),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(aside("it is a link, or no directory"));
            }
            Err(error) => return Err(aside(&error.to_string())),
        };
        let about = open.metadata().map_err(|error| aside(&error.to_string()))?;
        let mut believed = vec![rustix::process::geteuid().as_raw(), ROOT];
        let doubt = match trust {
            Trust::Own => doubt(about.uid(), about.mode(), &believed),
            Trust::Named => {
                believed.push(about.uid());
                None
            }
        };
        Ok(Some(Self {
            path: path.to_owned(),
            open,
            believed,
            doubt: doubt.map(|doubt| format!("its directory {doubt}")),
        }))
    }

    pub(super) fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// The file of this name; `None`: it is not there. The error is for a person.
    pub(super) fn read(&self, name: &str) -> Result<Option<Written>, String> {
        let path = self.path.join(name);
        let aside = |why: &str| aside(&path, why);
        let failed = |error: std::io::Error| aside(&error.to_string());
        // To open a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = match rustix::fs::openat(&self.open, name, flags, Mode::empty()) {
            Ok(open) => File::from(open),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(aside("it is a link")),
            Err(error) => return Err(aside(&error.to_string())),
        };
        if let Some(doubt) = &self.doubt {
            return Err(aside(doubt));
        }
        let about = open.metadata().map_err(failed)?;
        if let Some(doubt) = self.doubt_file(&about) {
            return Err(aside(&doubt));
        }
        let mut text = String::new();
        open.take(LONGEST)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Ok(Some(Written {
            text: text.trim_end().to_owned(),
            at: about.modified().map_err(failed)?,
        }))
    }

    fn doubt_file(&self, about: &Metadata) -> Option<String> {
        if !about.is_file() {
            return Some("it is no file".into());
        }
        let doubt = doubt(about.uid(), about.mode(), &self.believed);
        doubt.map(|doubt| format!("it {doubt}"))
    }
}

fn aside(path: &Path, why: &str) -> String {
    format!("{} is left aside: {why}", path.display())
}

/// What speaks against what has this owner and this mode.
fn doubt(owner: u32, mode: u32, believed: &[u32]) -> Option<String> {
    const OTHERS_WRITE: u32 = 0o022;
    if !believed.contains(&owner) {
        return Some(format!("belongs to the user with the id {owner}"));
    }
    (mode & OTHERS_WRITE != 0).then(|| {
        let mode = mode & 0o777;
        format!("can be written by others than its owner (mode {mode:o})")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_owners_that_are_believed_and_nobody_beside_them() {
        let me = 1000;
        let believed = [me, ROOT];
        for (owner, mode) in [(me, 0o700), (me, 0o755), (ROOT, 0o100_644)] {
            assert_eq!(doubt(owner, mode, &believed), None, "{owner} {mode:o}");
        }
        for (owner, mode) in [(1001, 0o700), (me, 0o770), (me, 0o702), (ROOT, 0o1777)] {
            assert!(doubt(owner, mode, &believed).is_some(), "{owner} {mode:o}");
        }
        let stranger = doubt(1001, 0o700, &believed).unwrap();
        assert!(stranger.contains("1001"), "{stranger}");
    }

    #[test]
    fn a_directory_that_others_can_write_in_says_nothing_unless_it_is_named() {
        let held = tempfile::tempdir().unwrap();
        fs::write(held.path().join("file"), "text\n").unwrap();
        set_mode(held.path(), 0o777);
        let found = |trust| Directory::open(held.path(), trust).unwrap().unwrap();
        let told = found(Trust::Own).read("file").unwrap_err();
        assert!(told.contains("file is left aside: its directory"), "{told}");
        assert!(found(Trust::Own).read("nothing").unwrap().is_none());
        let named = found(Trust::Named).read("file").unwrap().unwrap();
        assert_eq!(named.text, "text");
        set_mode(held.path(), 0o755);
        assert!(found(Trust::Own).read("file").unwrap().is_some());
    }

    #[test]
    fn links_are_not_followed() {
        let held = tempfile::tempdir().unwrap();
        let (real, link) = (held.path().join("real"), held.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::write(real.join("file"), "text").unwrap();
        symlink(&real, &link).unwrap();
        let told = Directory::open(&link, Trust::Own).unwrap_err();
        assert!(told.contains("a link"), "{told}");
        let named = Directory::open(&link, Trust::Named).unwrap().unwrap();
        assert_eq!(named.read("file").unwrap().unwrap().text, "text");
        symlink(real.join("file"), real.join("other")).unwrap();
        let told = named.read("other").unwrap_err();
        assert!(told.contains("other is left aside: it is a link"), "{told}");
    }

    #[test]
    fn what_is_no_file_or_anybodys_to_write_is_not_read() {
        let held = tempfile::tempdir().unwrap();
        let file = held.path().join("file");
        fs::write(&file, "text").unwrap();
        set_mode(&file, 0o666);
        fs::create_dir(held.path().join("directory")).unwrap();
        for trust in [Trust::Own, Trust::Named] {
            let found = Directory::open(held.path(), trust).unwrap().unwrap();
            let told = found.read("file").unwrap_err();
            assert!(told.contains("it can be written by others"), "{told}");
            let told = found.read("directory").unwrap_err();
            assert!(told.contains("it is no file"), "{told}");
        }
        let missing = Directory::open(&held.path().join("missing"), Trust::Own);
        assert!(missing.unwrap().is_none());
    }
}
