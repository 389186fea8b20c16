//! What a step costs: time of commits, CPU of the whole process, memory, room on disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::engine::{Engine, Result, Table};
use crate::pattern::Pattern;

#[derive(Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) packets_per_second: f64,
    /// Of the process with the engine's threads, without what it took to make the rows.
    pub(crate) cpu_us_per_packet: f64,
    pub(crate) p50_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) longest_us: u64,
    pub(crate) disk: u64,
    pub(crate) resident: u64,
}

/// Runs commits of `n` packets while `more` says so, given the commits and packets so far.
pub(crate) fn phase(
    name: &str,
    engine: &mut dyn Engine,
    dir: &Path,
    pattern: &mut Pattern,
    n: usize,
    more: impl Fn(u64, u64) -> bool,
) -> Result<Phase> {
    let mut commits = 0;
    let mut packets = 0;
    let mut times = Histogram::<u64>::new(3)?;
    let mut making = Duration::ZERO;
    let (started, cpu) = (Instant::now(), cpu_time(ClockId::ProcessCPUTime));
    while more(commits, packets) {
        let before = cpu_time(ClockId::ThreadCPUTime);
        let commit = pattern.next(n);
        making += cpu_time(ClockId::ThreadCPUTime) - before;

        let at = Instant::now();
        if !commit.conditions.is_empty() {
            let keys: Vec<_> = commit
                .conditions
                .iter()
                .map(|(key, _)| key.as_slice())
                .collect();
            let found = engine.get(Table::Records, &keys)?;
            if !found
                .iter()
                .eq(commit.conditions.iter().map(|(_, value)| value))
            {
                return Err("a record is not what was written".into());
            }
        }
        engine.commit(&commit.rows)?;
        times.record(at.elapsed().as_micros() as u64)?;
        commits += 1;
        packets += commit.packets;
    }
    let spent = cpu_time(ClockId::ProcessCPUTime) - cpu - making;
    Ok(Phase {
        name: name.to_owned(),
        packets_per_second: packets as f64 / started.elapsed().as_secs_f64(),
        cpu_us_per_packet: spent.as_secs_f64() * 1e6 / packets as f64,
        p50_us: times.value_at_quantile(0.5),
        p999_us: times.value_at_quantile(0.999),
        longest_us: times.max(),
        disk: disk(dir)?,
        resident: resident()?,
    })
}

/// Room taken on disk, which for a file with holes is less than its length.
pub(crate) fn disk(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += disk(&entry.path())?,
            Ok(meta) => sum += meta.blocks() * 512,
            // An engine may remove a file while we look.
            Err(_) => {}
        }
    }
    Ok(sum)
}

pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

pub(crate) fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
