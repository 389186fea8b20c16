//! The process as such. What Linux tells of it is there only on Linux.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use super::{Family, Kind, Source};

/// Linux counts a process's time in hundredths of a second for everyone who asks.
const TICKS: f64 = 100.0;

/// Tells since when it is there, and what the process takes.
#[derive(Debug)]
pub struct Process {
    began: Instant,
    began_at: SystemTime,
    /// Of this build.
    version: &'static str,
}

impl Process {
    /// It begins now.
    pub fn new(version: &'static str) -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemTime::now(),
            version,
        }
    }

    fn all(&self) -> Vec<Family> {
        let gauge = |name, help, level: Option<f64>| {
            let mut family = Family::new(name, Kind::Gauge, help);
            if let Some(level) = level {
                family.level(&[], level);
            }
            family
        };
        let mut build = Family::new(
            "tidegate_build_info",
            Kind::Gauge,
            "1; its label is the version that runs.",
        );
        build.level(&[("version", self.version)], 1.0);
        let began_at = self.began_at.duration_since(UNIX_EPOCH);
        let files = fs::read_dir("/proc/self/fd").ok();
        vec![
            build,
            gauge(
                "tidegate_uptime_seconds",
                "Since the gateway was built, in seconds.",
                Some(self.began.elapsed().as_secs_f64()),
            ),
            gauge(
                "process_start_time_seconds",
                "When the gateway was built, in seconds since 1970.",
                Some(began_at.unwrap_or_default().as_secs_f64()),
            ),
            gauge(
                "process_resident_memory_bytes",
                "Memory that the process has resident, in bytes.",
                read("/proc/self/status", resident),
            ),
            gauge(
                "process_cpu_seconds",
                "Processor time that the process took since its start, in seconds.",
                read("/proc/self/stat", processor),
            ),
            gauge(
                "process_open_fds",
                "Files and connections that the process has open.",
                files.map(|files| files.count() as f64),
            ),
        ]
    }
}

impl Source for Process {
    fn figures(&self) -> BoxFuture<'_, Vec<Family>> {
        ready(self.all()).boxed()
    }
}

fn read(path: &str, find: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    find(&fs::read_to_string(path).ok()?)
}

fn resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// The 14th and 15th field, counted from behind the name, which may have spaces.
fn processor(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_writes_is_read() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0";
        assert_eq!(processor(stat), Some(3.0));
        let status = "VmPeak:\t  9 kB\nVmRSS:\t    20 kB\nThreads:\t3\n";
        assert_eq!(resident(status), Some(20480.0));
        assert_eq!((processor(""), resident("")), (None, None));
    }
}
