//! The command line.

mod action;
mod admin;
pub mod bench;
mod check;
mod client;
mod complete;
mod logs;
mod serve;
mod signals;
mod store;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::store::embedded::OpenError;
pub use admin::Error as AdminError;
pub use client::Error as ClientError;
use serve::Serve;

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command, it serves. What stands before `serve` counts as if it stood behind it.
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients until it is told to stop
    #[command(after_help = "\
Examples:
  tidegate serve                                   # on 127.0.0.1:50051, everything in tidegate-data
  tidegate serve --ephemeral --listen 127.0.0.1:0  # in memory, on a port that is free
  tidegate serve --config tidegate.toml --log tidegate=debug

SIGTERM and Ctrl-C stop it: it ends with 0 when everything that was taken is done, and with 1 when `server.drain` was over before; a
second signal ends it at once, with 130. At SIGHUP it reads its configuration again; the log says what became of that. It ends with 64 for what is wrong in the configuration and 69 for a port or a store that it
cannot have.")]
    Serve(Serve),
    Send(client::Send),
    Watch(client::Watch),
    Publish(client::Publish),
    List(client::List),
    Get(client::Get),
    Put(client::Put),
    Delete(client::Delete),
    Info(client::Info),
    Check(check::Check),
    Lanes(admin::Lanes),
    Flush(admin::Flush),
    Clear(admin::Clear),
    DeadLetters(admin::DeadLetters),
    Streams(admin::Streams),
    Backup(admin::Backup),
    Drain(admin::Drain),
    Store(store::Store),
    Bench(bench::Args),
    Completions(complete::Completions),
    Man(complete::Man),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Serve(_) => "serve",
            Self::Send(_) => "send",
            Self::Watch(_) => "watch",
            Self::Publish(_) => "publish",
            Self::List(_) => "list",
            Self::Get(_) => "get",
            Self::Put(_) => "put",
            Self::Delete(_) => "delete",
            Self::Info(_) => "info",
            Self::Check(_) => "check",
            Self::Lanes(_) => "lanes",
            Self::Flush(_) => "flush",
            Self::Clear(_) => "clear",
            Self::DeadLetters(_) => "dead-letters",
            Self::Streams(_) => "streams",
            Self::Backup(_) => "backup",
            Self::Drain(_) => "drain",
            Self::Store(_) => "store",
            Self::Bench(_) => "bench",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// Wrong usage, on the command line or in a configuration; as sysexits names it.
const USAGE: u8 = 64;

/// As the shell has it for what SIGPIPE ended.
const PIPE: u8 = 141;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] crate::config::Problems),
    #[error("{0}")]
    Filter(String),
    #[error(transparent)]
    Build(#[from] crate::app::BuildError),
    #[error(transparent)]
    Run(#[from] crate::app::RunError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Bench(#[from] bench::Error),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("{} is damaged: {}", .0.display(), findings(*.1))]
    Damaged(PathBuf, u64),
    #[error("what stands before `{0}` is for `serve`: leave it out")]
    Misplaced(&'static str),
    #[error("a second signal came before everything was done")]
    Interrupted,
}

impl Failure {
    /// As sysexits names them where it has a name: 69 is that what is needed is not there.
    fn code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Filter(_)
            | Self::Misplaced(_)
            | Self::Build(
                crate::app::BuildError::Exposed(_)
                | crate::app::BuildError::SamePort(_)
                | crate::app::BuildError::Handler(_)
                | crate::app::BuildError::Traces(_),
            ) => USAGE,
            Self::Build(
                crate::app::BuildError::Listen(..)
                | crate::app::BuildError::Token(..)
                | crate::app::BuildError::Store(_)
                | crate::app::BuildError::Restore(_),
            )
            | Self::Store(_) => 69,
            Self::Admin(error) => error.code(),
            Self::Client(error) => error.code(),
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => PIPE,
            Self::Run(_) | Self::Io(_) | Self::Bench(_) | Self::Damaged(..) => 1,
            Self::Interrupted => 130,
        }
    }
}

fn findings(count: u64) -> String {
    match count {
        1 => "one finding".to_owned(),
        _ => format!("{count} findings"),
    }
}

/// What was typed, or the code to end with when that was told (help, wrong usage).
pub fn typed() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|told| {
        // Whoever closed the pipe does not want to know.
        let _ = told.print();
        match told.use_stderr() {
            true => ExitCode::from(USAGE),
            false => ExitCode::SUCCESS,
        }
    })
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(serve)) => serve::run(&serve.over(arguments.serve)),
        Some(other) if arguments.serve != Serve::default() => Err(Failure::Misplaced(other.name())),
        Some(Command::Send(send)) => send.run(),
        Some(Command::Watch(watch)) => watch.run(),
        Some(Command::Publish(publish)) => publish.run(),
        Some(Command::List(list)) => list.run(),
        Some(Command::Get(get)) => get.run(),
        Some(Command::Put(put)) => put.run(),
        Some(Command::Delete(delete)) => delete.run(),
        Some(Command::Info(info)) => info.run(),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Lanes(lanes)) => lanes.run(),
        Some(Command::Flush(flush)) => flush.run(),
        Some(Command::Clear(clear)) => clear.run(),
        Some(Command::DeadLetters(letters)) => letters.run(),
        Some(Command::Streams(streams)) => streams.run(),
        Some(Command::Backup(backup)) => backup.run(),
        Some(Command::Drain(drain)) => drain.run(),
        Some(Command::Store(store)) => store::run(&store),
        Some(Command::Bench(args)) => Ok(bench::run(&args)?),
        Some(Command::Completions(shell)) => shell.run(),
        Some(Command::Man(man)) => man.run(),
    }
}

/// Tells a person why, and the shell that.
pub fn report(failure: &Failure) -> ExitCode {
    let code = failure.code();
    // Whoever closed the pipe has what it wanted, as `head` has.
    if code != PIPE {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(anstream::stderr(), "tidegate: {failure}");
    }
    ExitCode::from(code)
}
