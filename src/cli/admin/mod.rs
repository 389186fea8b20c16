//! What those type who run a gateway: commands that call its `Admin`.

mod backup;
mod find;
mod json;
mod letters;
mod show;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use serde_json::Value;
use tonic::{Code, Status};

use super::Failure;
use super::action::ActionName;
use super::text::{counted, size};
use crate::wire::proto;
pub(super) use backup::Backup;
use find::{ANSWERING, Client, Where};
pub(super) use letters::DeadLetters;

/// Why a command of these failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no running gateway is found: {0}")]
    Nowhere(String),
    #[error("no gateway answers on {0}")]
    Away(String),
    #[error("there is no token: {0}")]
    NoToken(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Wrong(String),
    #[error("the gateway did not do it: {0}")]
    Refused(String),
    #[error("{0} cannot be taken back: say --yes where nobody can be asked")]
    Unasked(&'static str),
    #[error("nothing was done")]
    Declined,
    #[error("{0} were left as they are")]
    Left(u64),
}

impl Error {
    /// As sysexits names them: 64 wrong usage, 69 not there, 77 not allowed.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Wrong(_) | Self::Unasked(_) => super::USAGE,
            Self::Nowhere(_) | Self::Away(_) => 69,
            Self::NoToken(_) | Self::Denied(_) => 77,
            Self::Refused(_) | Self::Declined | Self::Left(_) => 1,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(text),
            Code::InvalidArgument | Code::NotFound => Self::Wrong(text),
            Code::FailedPrecondition => Self::Refused(text),
            code => Self::Refused(format!("{text} ({code:?})")),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Error::from(status).into()
    }
}

/// What waits and how it goes out, lane by lane: packets for one handler that may share a batch
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate lanes         # every lane of the gateway that was begun in this directory
  tidegate lanes orders  # those of one handler
  tidegate lanes --json | jq '.lanes[] | select(.waiting.packets > 1000) | .handler'

A lane goes a minute after its last packet, and what is counted of it too. It ends with 0, with 69 where no gateway answers, and with
77 where its token is not there or another one.")]
pub(super) struct Lanes {
    /// Only those of this handler
    handler: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// Lets everything that is ready leave now, whatever the size of its batches
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate flush                # all lanes
  tidegate flush orders create  # those with CREATEs for orders

What waits for a pause after a failure, or for a handler that is away, goes on waiting for that.")]
pub(super) struct Flush {
    /// Only lanes of this handler
    handler: Option<String>,
    /// Only lanes with packets of this action
    #[arg(requires = "handler")]
    action: Option<ActionName>,
    /// With CALL: only those of this method
    #[arg(long, value_name = "NAME", requires = "action")]
    method: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// Rejects what waits for a handler, for good: its senders get REJECTED with CLEARED
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate clear orders         # everything that waits for orders
  tidegate clear orders update  # only its UPDATEs
  tidegate clear orders --yes   # without a question, as in a script

What is in flight goes on. When it ends with 0, all of it is on disk. Where nobody can be asked it needs --yes, and ends with 64
without.")]
pub(super) struct Clear {
    /// Whose packets
    handler: String,
    /// Only those of this action
    action: Option<ActionName>,
    /// With CALL: only those of this method
    #[arg(long, value_name = "NAME", requires = "action")]
    method: Option<String>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    options: Options,
}

/// The event streams that are open: who reads them, how far behind, and what went over them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate streams
  tidegate streams --json | jq '.streams[] | select(.lag > 1000) | .peer'")]
pub(super) struct Streams {
    /// So many at most, the oldest first
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    options: Options,
}

/// Stops the gateway as SIGTERM does: what was taken is done, streams are told to go
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It ends when the gateway has begun to stop. While it stops, /readyz and health say so; its process ends with 0 when everything was
done, and with 1 when `server.drain` was over before.")]
pub(super) struct Drain {
    #[command(flatten)]
    options: Options,
}

// What all of them take. No doc comment, which would be told as what the command does.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// For programs: one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

impl Lanes {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let request = proto::LanesRequest {
            handler: self.handler.clone().unwrap_or_default(),
        };
        let response = calling(&self.options, async |client| client.lanes(request).await)?;
        self.options.write(&json::lanes(&response), |out| {
            show::lanes(&response.lanes, out)
        })
    }
}

impl Flush {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let request = proto::FlushRequest {
            handler: self.handler.clone().unwrap_or_default(),
            action: self.action.map_or(0, ActionName::number),
            method: self.method.clone().unwrap_or_default(),
        };
        let response = calling(&self.options, async |client| client.flush(request).await)?;
        let shown = serde_json::json!({ "lanes": response.lanes, "packets": response.packets });
        self.options.write(&shown, |out| {
            let packets = counted(response.packets, "packet leaves", "packets leave");
            let lanes = counted(response.lanes.into(), "lane", "lanes");
            writeln!(out, "{packets}, of {lanes}")
        })
    }
}

impl Clear {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let question = format!("what waits for {} is rejected for good", self.handler);
        confirm(self.yes, "clear", &question)?;
        let request = proto::ClearRequest {
            handler: self.handler.clone(),
            action: self.action.map_or(0, ActionName::number),
            method: self.method.clone().unwrap_or_default(),
        };
        let response = calling(&self.options, async |client| client.clear(request).await)?;
        let cleared = response.cleared.unwrap_or_default();
        let in_flight = response.in_flight.unwrap_or_default();
        let shown = serde_json::json!({
            "cleared": json::amount(Some(&cleared)),
            "in_flight": json::amount(Some(&in_flight)),
        });
        self.options.write(&shown, |out| {
            let (one, more) = ("packet was cleared", "packets were cleared");
            let packets = counted(cleared.packets, one, more);
            write!(out, "{packets} ({})", size(cleared.bytes))?;
            match in_flight.packets {
                0 => writeln!(out),
                count => writeln!(
                    out,
                    "; {}, and went on",
                    counted(count, "was in flight", "were in flight")
                ),
            }
        })
    }
}

impl Streams {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let limit = self.limit;
        let (streams, open) = calling_with(&self.options, async |client| {
            let mut request = proto::StreamsRequest {
                page_size: 1000,
                page_token: String::new(),
            };
            let mut streams = Vec::new();
            loop {
                let page = client.streams(request.clone()).await?.into_inner();
                streams.extend(page.streams);
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() || streams.len() >= limit {
                    streams.truncate(limit);
                    return Ok((streams, page.open));
                }
            }
        })?;
        self.options.write(&json::streams(&streams, open), |out| {
            show::streams(&streams, open, out)
        })
    }
}

impl Drain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let request = proto::DrainRequest {};
        let response = calling(&self.options, async |client| client.drain(request).await)?;
        let limit = show::span(response.limit.as_ref()).unwrap_or_default();
        let shown = serde_json::json!({ "limit": limit.as_secs_f64() });
        self.options.write(&shown, |out| {
            writeln!(out, "the gateway stops; that takes {limit:?} at most")
        })
    }
}

impl Options {
    fn write(
        &self,
        json: &Value,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, json).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            text(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// One call, and what it brings.
fn calling<T>(
    options: &Options,
    call: impl AsyncFnOnce(&mut Client) -> Result<tonic::Response<T>, Status>,
) -> Result<T, Failure> {
    calling_with(options, async |client| {
        call(client).await.map(tonic::Response::into_inner)
    })
}

fn calling_with<T>(
    options: &Options,
    calls: impl AsyncFnOnce(&mut Client) -> Result<T, Status>,
) -> Result<T, Failure> {
    calling_for(ANSWERING, options, calls)
}

/// `answering`: how long an answer may take.
fn calling_for<T>(
    answering: Duration,
    options: &Options,
    calls: impl AsyncFnOnce(&mut Client) -> Result<T, Status>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut client = options.place.connect(answering).await?;
        Ok(calls(&mut client).await?)
    })
}

/// Asks whoever sits there.
fn confirm(yes: bool, command: &'static str, question: &str) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::Unasked(command));
    }
    // Not into what a program may read.
    let mut err = io::stderr().lock();
    // Who closed it sees no question, and is taken to say no.
    let _ = write!(err, "{question}. Go on? [y/N] ").and_then(|()| err.flush());
    let mut said = String::new();
    let _ = io::stdin().read_line(&mut said);
    match said.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Declined),
    }
}
