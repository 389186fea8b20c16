//! Where a gateway leaves the address and the token of `Admin`, and where its commands look for them: in its data directory,
//! or, where everything is in memory, in a directory of the user's own that is named by the port.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Config, Engine};
use crate::types::Token;

const TOKEN: &str = "admin-token";
const ADDRESS: &str = "admin-address";

/// A directory that has them, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    /// It is for nothing else.
    own: bool,
}

/// What a gateway left there; gone with it.
#[derive(Debug)]
pub struct Left {
    place: Place,
    address: String,
    token: Option<Token>,
}

impl Place {
    /// Of a gateway with this configuration, whose `Admin` listens there.
    pub fn of(config: &Config, port: u16) -> Self {
        match config.store.engine {
            Engine::Embedded => Self::in_data(&config.store.path),
            Engine::Memory => Self::own(port),
        }
    }

    pub fn in_data(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            own: false,
        }
    }

    fn own(port: u16) -> Self {
        Self {
            directory: own_directory(port),
            own: true,
        }
    }

    /// Where a gateway with this configuration may be: of its data directory and the one for what is in memory that in which
    /// one was begun last; `None` where there is none.
    pub fn find(config: &Config) -> Option<Self> {
        let places = [
            Self::in_data(&config.store.path),
            Self::own(config.admin.listen.port()),
        ];
        let begun = |place: Self| Some((place.begun()?, place));
        let found = places.into_iter().filter_map(begun);
        found.max_by_key(|(time, _)| *time).map(|(_, place)| place)
    }

    pub fn token_file(&self) -> PathBuf {
        self.directory.join(TOKEN)
    }

    pub fn address_file(&self) -> PathBuf {
        self.directory.join(ADDRESS)
    }

    /// Where it listens. The error is for a person.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let file = self.address_file();
        let text = read(&file)?;
        let address = text.parse();
        address.map_err(|_| format!("{} has no address: {text:?}", file.display()))
    }

    /// `token`: one that was made, to be found here.
    pub fn leave(&self, address: SocketAddr, token: Option<&Token>) -> io::Result<Left> {
        if self.own {
            make_private(&self.directory)?;
        }
        if let Some(token) = token {
            replace(&self.token_file(), token.as_str())?;
        } else {
            // Of an earlier start: it would only mislead.
            remove(&self.token_file())?;
        }
        // Last, as it says that everything is here.
        let address = address.to_string();
        replace(&self.address_file(), &address)?;
        Ok(Left {
            place: self.clone(),
            address,
            token: token.cloned(),
        })
    }

    fn begun(&self) -> Option<SystemTime> {
        fs::metadata(self.address_file()).ok()?.modified().ok()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let is_ours = |file: &Path, text: &str| read(file).is_ok_and(|found| found == text);
        let files = [
            (self.place.address_file(), Some(self.address.as_str())),
            (
                self.place.token_file(),
                self.token.as_ref().map(Token::as_str),
            ),
        ];
        for (file, text) in files {
            if text.is_some_and(|text| is_ours(&file, text)) {
                // What stays is of no use to anybody, and is replaced by the next start.
                let _ = remove(&file);
            }
        }
        if self.place.own {
            let _ = fs::remove_dir(&self.place.directory);
        }
    }
}

/// The text of one of these files.
fn read(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(text.trim_end().to_owned())
}

/// At once and whole, and readable to its owner only from the first byte on.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let unfinished = file.with_extension("new");
    remove(&unfinished)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(&unfinished)?;
    writeln!(open, "{text}")?;
    fs::rename(&unfinished, file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn own_directory(port: u16) -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(runtime) => Path::new(&runtime).join(format!("tidegate-{port}")),
        None => {
            let user = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("tidegate-{user}-{port}"))
        }
    }
}

#[cfg(not(unix))]
fn own_directory(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-{port}"))
}

/// One that is there already must be nobody else's to write in: where temporary files are, anybody can make one of this
/// name.
fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::symlink_metadata(directory)?;
        let ours = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !ours || found.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is there, and others can write in it",
            ));
        }
    }
    Ok(())
}
