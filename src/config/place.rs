//! Where a gateway leaves the address and the token of `Admin`, and where its commands look for them: in its data directory,
//! or, where everything is in memory, in a directory of the user's own that is named by the port.

mod found;
mod trust;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{Config, Engine};
use crate::types::Token;
pub use found::{Findings, Found};
use trust::{Directory, Trust};

const TOKEN: &str = "admin-token";
const ADDRESS: &str = "admin-address";

/// A directory that has them, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Where a gateway keeps everything.
    Data,
    /// The same, as the command line says.
    Named,
    /// For nothing else.
    Own,
}

/// What a gateway left there; gone with it.
#[derive(Debug)]
pub struct Left {
    place: Place,
    /// Open, so that no later file is given the number of one of these while they are compared by it.
    files: Vec<(PathBuf, File)>,
}

impl Place {
    /// Of a gateway with this configuration, whose `Admin` listens there.
    pub fn of(config: &Config, port: u16) -> Self {
        match config.store.engine {
            Engine::Embedded => Self::in_data(&config.store.path),
            Engine::Memory => Self::own(port),
        }
    }

    /// Where gateways with this configuration may be, whatever keeps their data.
    pub fn all(config: &Config) -> [Self; 2] {
        [
            Self::in_data(&config.store.path),
            Self::own(config.admin.listen.port()),
        ]
    }

    /// A data directory that a person named, and so answers for.
    pub fn named(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            kind: Kind::Named,
        }
    }

    fn in_data(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            kind: Kind::Data,
        }
    }

    fn own(port: u16) -> Self {
        Self {
            directory: own_directory(port),
            kind: Kind::Own,
        }
    }

    pub fn token_file(&self) -> PathBuf {
        self.directory.join(TOKEN)
    }

    pub fn address_file(&self) -> PathBuf {
        self.directory.join(ADDRESS)
    }

    /// Why commands leave aside what is here, where they do unless `--data` names it.
    pub fn doubt(&self) -> Option<String> {
        match Directory::open(&self.directory, self.trust()) {
            Ok(found) => found.and_then(|found| Some(found.doubt()?.to_owned())),
            Err(why) => Some(why),
        }
    }

    /// `token`: one that was made, to be found here.
    pub fn leave(&self, address: SocketAddr, token: Option<&Token>) -> io::Result<Left> {
        if self.kind == Kind::Own {
            make_private(&self.directory)?;
            if let Some(doubt) = self.doubt() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, doubt));
            }
        }
        let mut left = Left {
            place: self.clone(),
            files: Vec::new(),
        };
        match token {
            Some(token) => left.write(self.token_file(), token.as_str())?,
            // Of an earlier start: it would only mislead.
            None => remove(&self.token_file())?,
        }
        // Last, as it says that everything is here.
        left.write(self.address_file(), &address.to_string())?;
        Ok(left)
    }

    fn trust(&self) -> Trust {
        match self.kind {
            Kind::Data | Kind::Own => Trust::Own,
            Kind::Named => Trust::Named,
        }
    }
}

impl Left {
    fn write(&mut self, file: PathBuf, text: &str) -> io::Result<()> {
        let open = replace(&file, text)?;
        self.files.push((file, open));
        Ok(())
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        for (file, open) in self.files.iter().rev() {
            if is_the_one(file, open) {
                // What stays is of no use to anybody, and is replaced by the next start.
                let _ = remove(file);
            }
        }
        if self.place.kind == Kind::Own {
            let _ = fs::remove_dir(&self.place.directory);
        }
    }
}

/// Whether what has this name is the file that is open: another gateway may have written the same text there.
fn is_the_one(file: &Path, open: &File) -> bool {
    let (Ok(there), Ok(ours)) = (fs::symlink_metadata(file), open.metadata()) else {
        return false;
    };
    (there.dev(), there.ino()) == (ours.dev(), ours.ino())
}

/// At once and whole, and readable to its owner only from the first byte on.
fn replace(file: &Path, text: &str) -> io::Result<File> {
    let unfinished = file.with_extension("new");
    remove(&unfinished)?;
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut open = options.open(&unfinished)?;
    writeln!(open, "{text}")?;
    fs::rename(&unfinished, file)?;
    Ok(open)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn own_directory(port: u16) -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(runtime) => Path::new(&runtime).join(format!("tidegate-{port}")),
        None => {
            let user = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("tidegate-{user}-{port}"))
        }
    }
}

/// One may be there already, of an earlier gateway: or anybody's, as its name is no secret.
fn make_private(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS_LEFT: ([u8; 4], u16) = ([127, 0, 0, 1], 50052);

    #[test]
    fn a_gateway_takes_away_only_what_it_left_itself() {
        let data = tempfile::tempdir().unwrap();
        let place = Place::in_data(data.path());
        let files = [place.address_file(), place.token_file()];
        let token = Token::random();
        let leave = || place.leave(ADDRESS_LEFT.into(), Some(&token)).unwrap();
        let first = leave();
        let second = leave();
        drop(first);
        assert!(files.iter().all(|file| file.exists()), "they are another's");
        drop(second);
        assert!(!files.iter().any(|file| file.exists()));
    }

    #[test]
    fn a_directory_for_it_alone_must_be_nobody_elses() {
        let held = tempfile::tempdir().unwrap();
        let place = Place {
            directory: held.path().join("own"),
            kind: Kind::Own,
        };
        let leave = || place.leave(ADDRESS_LEFT.into(), None);
        drop(leave().unwrap());
        assert!(!place.directory.exists(), "it goes with what is in it");
        fs::create_dir(&place.directory).unwrap();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&place.directory, everybody).unwrap();
        let refused = leave().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(!place.address_file().exists());
    }
}
