//! Filling, and then working with expiry beside the load; opening again what a process left that was not closed;
//! deleting most of it and getting the room back.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::child;
use crate::engine::{Kind, Result, Size, Table};
use crate::measure::{self, Phase};
use crate::pattern::{Commit, Content, Known, Pattern, record_key};
use crate::report::{mib, ms, table};

pub(crate) struct Scale {
    pub(crate) fill: u64,
    /// Packets per commit, and how many commits.
    pub(crate) commits: [(usize, u64); 3],
}

const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Serialize, Deserialize)]
struct Reopened {
    open_us: u64,
    resident: u64,
    records_us: u64,
    scan_us: u64,
}

#[derive(Serialize, Deserialize)]
struct Shrunk {
    before: u64,
    longest_delete_us: u64,
    deleted: u64,
    after: u64,
    longest_step_us: u64,
    all_steps_us: u64,
    reopened: u64,
}

pub(crate) fn section(root: &Path, kinds: &[Kind], scale: &Scale, quick: bool) -> Result<String> {
    let (mut phases, mut starts, mut spaces) = (Vec::new(), Vec::new(), Vec::new());
    for &kind in kinds {
        let dir = root.join(format!("load-{}", kind.name()));
        std::fs::create_dir_all(&dir)?;
        let mut load = child::command("load", kind, &dir)?;
        load.args(quick.then_some("--quick"))
            .args(["--packets", &scale.fill.to_string()]);
        for phase in child::told::<Vec<Phase>>(load, LIMIT)? {
            phases.push(vec![
                kind.name().to_owned(),
                phase.name,
                format!("{:.0}", phase.packets_per_second),
                format!("{:.2}", phase.cpu_us_per_packet),
                ms(phase.p50_us),
                ms(phase.p999_us),
                ms(phase.longest_us),
                mib(phase.disk),
                mib(phase.resident),
            ]);
        }
        for left in ["killed", "closed"] {
            let start: Reopened = child::told(child::command("reopen", kind, &dir)?, LIMIT)?;
            starts.push(vec![
                kind.name().to_owned(),
                left.to_owned(),
                ms(start.open_us),
                mib(start.resident),
                ms(start.records_us),
                ms(start.scan_us),
            ]);
        }
        let space: Shrunk = child::told(child::command("shrink", kind, &dir)?, LIMIT)?;
        spaces.push(vec![
            kind.name().to_owned(),
            mib(space.before),
            mib(space.deleted),
            ms(space.longest_delete_us),
            mib(space.after),
            ms(space.longest_step_us),
            ms(space.all_steps_us),
            mib(space.reopened),
        ]);
        std::fs::remove_dir_all(&dir)?;
    }
    let head = [
        "engine",
        "phase",
        "packets/s",
        "CPU µs/packet",
        "p50 ms",
        "p99.9 ms",
        "longest ms",
        "disk MiB",
        "RSS MiB",
    ];
    let mut out = table("Load, every commit fsynced", &head, &phases);
    let head = [
        "engine",
        "left",
        "open ms",
        "RSS MiB",
        "10 000 records ms",
        "scan of messages ms",
    ];
    out += &table("Opening again, page cache warm", &head, &starts);
    let head = [
        "engine",
        "before MiB",
        "9/10 deleted",
        "longest commit ms",
        "shrunk MiB",
        "longest step ms",
        "all steps ms",
        "reopened MiB",
    ];
    out += &table("Room given back", &head, &spaces);
    Ok(out)
}

/// Ends without closing, so that the next start finds what a killed process leaves.
pub(crate) fn load(kind: Kind, dir: &Path, scale: &Scale) -> Result<()> {
    let data = dir.join("data");
    let mut engine = kind.open(&data, Size::Usual)?;
    // Two packets in five are records, so this is a little less than what the fill brings.
    let mut pattern = Pattern::new(scale.fill as usize * 2 / 5 * 9 / 10);
    let fill = |_, packets| packets < scale.fill;
    let mut phases = vec![measure::phase(
        "fill by 1000",
        &mut *engine,
        &data,
        &mut pattern,
        1_000,
        fill,
    )?];
    for (n, wanted) in scale.commits {
        let name = format!("{wanted} of {n}");
        phases.push(measure::phase(
            &name,
            &mut *engine,
            &data,
            &mut pattern,
            n,
            |commits, _| commits < wanted,
        )?);
    }
    std::fs::write(dir.join("known.json"), serde_json::to_vec(&pattern.known)?)?;
    child::tell(&phases)?;
    std::process::exit(0);
}

pub(crate) fn reopen(kind: Kind, dir: &Path) -> Result<()> {
    let at = Instant::now();
    let engine = kind.open(&dir.join("data"), Size::Usual)?;
    let open_us = at.elapsed().as_micros() as u64;
    let resident = measure::resident()?;

    let known: Known = serde_json::from_slice(&std::fs::read(dir.join("known.json"))?)?;
    let content = Content::new();
    let mut records_us = 0;
    for i in 0..10_000_u64 {
        let record = i * 48_271 % known.versions.len() as u64;
        let version = known.versions[record as usize];
        let at = Instant::now();
        let found = engine.get(Table::Records, &[&record_key(record)])?;
        records_us += at.elapsed().as_nanos() as u64;
        if found[0] != (version > 0).then(|| content.record(record, version)) {
            return Err(format!("record {record} is not what was written").into());
        }
    }
    let mut blocks = known.blocks.iter();
    let at = Instant::now();
    engine.scan(Table::Messages, &mut |key, value| match blocks.next() {
        Some(&(first, count))
            if key == first.to_be_bytes() && value == content.block(first, count) =>
        {
            Ok(())
        }
        _ => Err("a block of messages is not what was written".into()),
    })?;
    let scan_us = at.elapsed().as_micros() as u64;
    if blocks.next().is_some() {
        return Err("blocks of messages are missing".into());
    }
    engine.close()?;
    child::tell(&Reopened {
        open_us,
        resident,
        records_us: records_us / 1_000,
        scan_us,
    })
}

/// Deletes nine tenths of the messages, sixteen blocks a commit, and has the engine give the room back.
pub(crate) fn shrink(kind: Kind, dir: &Path) -> Result<()> {
    let data = dir.join("data");
    let known: Known = serde_json::from_slice(&std::fs::read(dir.join("known.json"))?)?;
    let blocks: Vec<_> = known.blocks.into();
    let mut engine = kind.open(&data, Size::Usual)?;
    let before = measure::disk(&data)?;
    let mut longest_delete_us = 0;
    for some in blocks[..blocks.len() / 10 * 9].chunks(16) {
        let mut commit = Commit::empty();
        some.iter()
            .for_each(|&(first, count)| commit.delete_block(first, count));
        let at = Instant::now();
        engine.commit(&commit.rows)?;
        longest_delete_us = longest_delete_us.max(at.elapsed().as_micros() as u64);
    }
    let deleted = measure::disk(&data)?;
    let (started, mut longest_step_us) = (Instant::now(), 0);
    loop {
        let at = Instant::now();
        let more = engine.shrink()?;
        longest_step_us = longest_step_us.max(at.elapsed().as_micros() as u64);
        if !more {
            break;
        }
    }
    let all_steps_us = started.elapsed().as_micros() as u64;
    let after = measure::disk(&data)?;
    engine.close()?;
    // An engine that keeps old files for readers may only now see that there are none.
    kind.open(&data, Size::Usual)?.close()?;
    let reopened = measure::disk(&data)?;
    child::tell(&Shrunk {
        before,
        longest_delete_us,
        deleted,
        after,
        longest_step_us,
        all_steps_us,
        reopened,
    })
}
