//! What a server has taken from the machine, as Linux counts it. Elsewhere nothing is known.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux counts a process's time in hundredths of a second for everyone who asks.
const TICK: Duration = Duration::from_millis(10);

/// The beginning of the names of threads that are the load's, and not a server's.
pub(in crate::cli::bench) const LOAD_THREADS: &str = "bench-load";

/// A process whose use is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// The servers in this process: everything but the load.
    Here,
    /// A process of its own, by its id.
    Process(u32),
}

/// So far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    /// Bytes that went to the disk.
    pub(super) written: u64,
}

impl Whose {
    pub(super) fn usage(self) -> Option<Usage> {
        let folder = match self {
            Self::Here => "/proc/self".to_owned(),
            Self::Process(id) => format!("/proc/{id}"),
        };
        let folder = Path::new(&folder);
        let all = process_time(&fs::read_to_string(folder.join("stat")).ok()?)?;
        let load = match self {
            Self::Here => load_time(folder)?,
            Self::Process(_) => Duration::ZERO,
        };
        Some(Usage {
            cpu: all.saturating_sub(load),
            written: written(&fs::read_to_string(folder.join("io")).ok()?)?,
        })
    }
}

impl Usage {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// Of all threads, those that ended included: the 14th and 15th field, counted from behind the name, which may have spaces.
fn process_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn written(io: &str) -> Option<u64> {
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line?.parse().ok()
}

fn load_time(folder: &Path) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(folder.join("task")).ok()? {
        let thread = thread.ok()?.path();
        // One that has ended meanwhile is none of the load's, which last longer than a turn.
        let Ok(name) = fs::read_to_string(thread.join("comm")) else {
            continue;
        };
        if name.starts_with(LOAD_THREADS) {
            let stat = fs::read_to_string(thread.join("schedstat")).ok()?;
            let nanoseconds = stat.split(' ').next()?.parse().ok()?;
            sum += Duration::from_nanos(nanoseconds);
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0";
        assert_eq!(process_time(stat), Some(Duration::from_secs(3)));
        let io = "rchar: 1\nwchar: 2\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n";
        assert_eq!(written(io), Some(4096));
        assert_eq!(process_time("7"), None);
        assert_eq!(written(""), None);
    }
}
