//! What shells and `man` want to know of the command line.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Arguments, Failure};

/// Writes what completes these commands in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completions zsh > ~/.zfunc/_tidegate
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish")]
pub(super) struct Completions {
    shell: Shell,
}

/// Writes the manual: this command's page, or with --into a page for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate man > tidegate.1
  tidegate man --into ~/.local/share/man/man1")]
pub(super) struct Man {
    /// A directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "tidegate",
            &mut script,
        );
        Ok(io::stdout().write_all(&script)?)
    }
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let command = Arguments::command();
        if let Some(directory) = &self.into {
            fs::create_dir_all(directory)?;
            return Ok(clap_mangen::generate_to(command, directory)?);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        Ok(io::stdout().write_all(&page)?)
    }
}
