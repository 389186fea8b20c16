//! The command line.

pub mod bench;
mod logs;
mod serve;
mod signals;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use serve::Serve;

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command, it serves.
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients until it is told to stop.
    Serve(Serve),
    Bench(bench::Args),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] crate::config::Problems),
    #[error(transparent)]
    Build(#[from] crate::app::BuildError),
    #[error(transparent)]
    Run(#[from] crate::app::RunError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bench(#[from] bench::Error),
    #[error("a second signal came before everything was done")]
    Interrupted,
}

impl Failure {
    /// As sysexits names them where it has a name: 64 is wrong usage, 69 what is needed is not there.
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Build(crate::app::BuildError::Exposed(_)) => 64,
            Self::Build(crate::app::BuildError::Listen(..)) => 69,
            Self::Run(_) | Self::Io(_) | Self::Bench(_) => 1,
            Self::Interrupted => 130,
        }
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(serve)) => serve::run(&serve),
        Some(Command::Bench(args)) => Ok(bench::run(&args)?),
    }
}

/// Tells a person why, and the shell that.
pub fn report(failure: &Failure) -> ExitCode {
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "tidegate: {failure}");
    ExitCode::from(failure.code())
}
