//! `tidegate store`.

mod text;

use std::io::{self, Write};
use std::path::PathBuf;

use super::Failure;
use super::text::size;
use crate::store::embedded::Embedded;
use crate::store::embedded::inspect::{Depth, Inspection};

/// Shows what takes the room in a data directory, and checks it; nobody may serve from it meanwhile
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate store tidegate-data            # what takes the room
  tidegate store --check tidegate-data    # reads all of it, and says what is damaged and missing
  tidegate store --compact tidegate-data  # gives back the room of deleted rows

Nothing is changed, but by --compact. It ends with 0 when everything is whole, 1 when something is damaged, and 69 when the directory
cannot be looked at: it is no store, or another process has it.")]
pub(super) struct Store {
    /// The data directory of a gateway that is stopped, or a copy of one
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Read every frame, block, page and row, and compare what is counted
    #[arg(long)]
    check: bool,
    /// Give room back that deleted rows took in the table; everything else gives it back by itself
    #[arg(long, conflicts_with = "check")]
    compact: bool,
    /// For programs: one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(store: &Store) -> Result<(), Failure> {
    if store.compact {
        let (before, after) = Embedded::compact(&store.directory)?;
        writeln!(
            io::stdout(),
            "the table of rows had {}, and has {}",
            size(before),
            size(after)
        )?;
        return Ok(());
    }
    let depth = match store.check {
        true => Depth::Check,
        false => Depth::Overview,
    };
    let found = Inspection::of(&store.directory, depth)?;
    let mut out = io::stdout().lock();
    if store.json {
        serde_json::to_writer_pretty(&mut out, &found).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        text::write(&found, depth, &mut out)?;
    }
    out.flush()?;
    match found.damage.len() as u64 + found.more_damage {
        0 => Ok(()),
        count => Err(Failure::Damaged(store.directory.clone(), count)),
    }
}
