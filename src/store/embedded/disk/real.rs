//! The file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::{Disk, DiskFile};

/// A directory of the file system.
#[derive(Debug)]
pub(in super::super) struct RealDisk {
    directory: PathBuf,
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    All,
    Read,
}

impl RealDisk {
    pub(in super::super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            access: Access::All,
        }
    }

    /// Where nothing can be changed: whatever would is refused.
    pub(in super::super) fn read_only(directory: &Path) -> Self {
        Self {
            access: Access::Read,
            ..Self::new(directory)
        }
    }

    fn may_write(&self) -> io::Result<()> {
        match self.access {
            Access::All => Ok(()),
            Access::Read => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(self.access == Access::All)
            .open(self.path(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.may_write()?;
        let file = File::create_new(self.path(path))?;
        drop(file);
        self.open(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.path(path).try_exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.may_write()?;
        fs::create_dir_all(self.path(dir))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.may_write()?;
        fs::remove_file(self.path(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.may_write()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::empty(), 0, len)?)
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, at)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
