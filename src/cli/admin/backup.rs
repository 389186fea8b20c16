//! A copy of what a running gateway keeps.

use std::path::PathBuf;
use std::time::Duration;

use super::{Error, Options, calling_for, show};
use crate::cli::Failure;
use crate::cli::text::{counted, shown, size};
use crate::wire::proto;

/// More than any takes: whether the gateway is still there is seen by other means.
const COPYING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Copies the data directory of a gateway that runs, as it is at one moment; what it does goes on meanwhile
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate backup copy-of-today                       # a directory that is not there yet, or is empty
  tidegate backup \"copy-of-$(date +%F)\" --json | jq .bytes

The gateway writes it, on its own machine: it must be allowed to, and the directory becomes that of its user alone. Everything that
was told before the command was typed is in it, and on disk when it ends with 0. Ctrl-C gives it up. What is left of one that
failed no gateway takes for its data.

To put it back: stop the gateway, move its directory away, move (or copy) this one there, start it. Cursors from before the copy go on
exactly; who has a later one is told by a Gap that its history is gone. `tidegate store --check DIR` says whether a copy is whole.")]
pub(in super::super) struct Backup {
    /// Where the copy is to be, on the gateway's machine
    directory: PathBuf,
    #[command(flatten)]
    options: Options,
}

impl Backup {
    pub(in super::super) fn run(&self) -> Result<(), Failure> {
        let directory = std::path::absolute(&self.directory)?;
        let Some(named) = directory.to_str() else {
            let text = format!("{} is no UTF-8: give another name", directory.display());
            return Err(Error::Wrong(text).into());
        };
        let request = proto::BackupRequest {
            directory: named.to_owned(),
        };
        let response = calling_for(COPYING, &self.options, async |client| {
            client
                .backup(request)
                .await
                .map(tonic::Response::into_inner)
        })?;
        let took = show::span(response.took.as_ref()).unwrap_or_default();
        let (bytes, files) = (response.bytes, response.files);
        let json = serde_json::json!({
            "directory": named,
            "bytes": bytes,
            "files": files,
            "took": took.as_secs_f64(),
        });
        self.options.write(&json, |out| {
            let files = counted(files, "file", "files");
            let seconds = took.as_secs_f64();
            writeln!(
                out,
                "{}: {} in {files}, after {seconds:.1} s",
                shown(named),
                size(bytes)
            )
        })
    }
}
