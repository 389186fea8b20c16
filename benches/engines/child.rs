//! A step in a process of its own, which prints one line of JSON and may crash, panic or hang.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::{Kind, Result};

pub(crate) enum Outcome {
    Ended {
        status: ExitStatus,
        out: String,
        err: String,
    },
    Hung,
}

/// A call of this bench for one step of one engine.
pub(crate) fn command(step: &str, kind: Kind, dir: &Path) -> Result<Command> {
    let mut command = self::step(step, dir)?;
    command.args(["--engine", kind.name()]);
    Ok(command)
}

/// The same for what is no engine.
pub(crate) fn step(step: &str, dir: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--step", step, "--dir"]).arg(dir);
    Ok(command)
}

pub(crate) fn run(mut command: Command, limit: Duration) -> Result<Outcome> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (done, wait) = mpsc::channel();
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let errors = std::thread::spawn(move || {
            let mut err = String::new();
            let _ = stderr.read_to_string(&mut err);
            err
        });
        std::thread::spawn(move || {
            let mut out = String::new();
            let _ = stdout.read_to_string(&mut out);
            let _ = done.send((out, errors.join().unwrap_or_default()));
        });
    }
    match wait.recv_timeout(limit) {
        Ok((out, err)) => Ok(Outcome::Ended {
            status: child.wait()?,
            out,
            err,
        }),
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Ok(Outcome::Hung)
        }
    }
}

/// Runs a step that must succeed, and reads what it tells.
pub(crate) fn told<T: DeserializeOwned>(command: Command, limit: Duration) -> Result<T> {
    match run(command, limit)? {
        Outcome::Ended { status, out, .. } if status.success() => Ok(serde_json::from_str(&out)?),
        Outcome::Ended { status, err, .. } => Err(format!("a step failed, {status}: {err}").into()),
        Outcome::Hung => Err(format!("a step took longer than {limit:?}").into()),
    }
}

/// What a step says to the process that called it.
pub(crate) fn tell(told: &impl Serialize) -> Result<()> {
    Ok(serde_json::to_writer(std::io::stdout(), told)?)
}
