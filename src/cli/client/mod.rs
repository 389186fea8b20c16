//! What those type who use a gateway: commands over the Rust client.

mod answer;
mod content;
mod info;
mod json;
mod publish;
mod records;
mod send;
mod show;
mod watch;

use std::time::Duration;

use rand::Rng as _;
use tidegate_client::proto::{Action, BatchRequest, InfoResponse, Outcome, Packet, PacketResult};
use tidegate_client::{Client, Code, Error as CallError};
use tokio::time::{Instant, sleep};

use super::{Failure, USAGE};
pub(super) use info::Info;
pub(super) use publish::Publish;
pub(super) use records::{Delete, Get, List, Put};
pub(super) use send::Send;
pub(super) use watch::Watch;

/// Pauses between tries are drawn from nothing to this, doubled with each failure up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For one packet.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer has this long at least, however little time is left for trying.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// The gateway takes no longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a command of these failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody was there from the beginning.
    #[error(
        "no gateway answers: {0}; `tidegate serve` starts one, --gateway says where another is"
    )]
    Away(CallError),
    #[error("{0}")]
    Address(CallError),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("{0}")]
    Refused(String),
    /// What became of it is open.
    #[error("{0}")]
    Open(String),
    #[error("{0}")]
    Usage(String),
    /// Lines that cannot be read as what they are to be.
    #[error("{0}")]
    Input(String),
    /// A file of one's own cannot be written.
    #[error("{0}")]
    File(String),
    #[error("stopped by a signal: {0}")]
    Interrupted(String),
}

impl Error {
    /// As sysexits names them: 64 wrong usage, 65 wrong input, 69 not there, 74 a file cannot be written, 75 try again later, 77 not allowed.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Address(_) | Self::Usage(_) => USAGE,
            Self::Input(_) => 65,
            Self::Away(_) => 69,
            Self::Refused(_) => 1,
            Self::File(_) => 74,
            Self::Open(_) => 75,
            Self::Interrupted(_) => 130,
            Self::Call(error) => match error.code() {
                Some(Code::Unauthenticated | Code::PermissionDenied) => 77,
                Some(Code::InvalidArgument | Code::Unimplemented | Code::ResourceExhausted) => 1,
                _ => 75,
            },
        }
    }
}

// What all of them take. No doc comment, which would be told as what the command does.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where the gateway is
    #[arg(
        long,
        value_name = "URL",
        env = "TIDEGATE_GATEWAY",
        default_value = "http://127.0.0.1:50051"
    )]
    gateway: String,
    /// Who calls; believed only by a gateway that runs without identity
    #[arg(long, value_name = "NAME", env = "TIDEGATE_SUBJECT")]
    subject: Option<String>,
    /// For programs: a JSON object on each line
    #[arg(long)]
    json: bool,
}

// For commands that end with an answer.
#[derive(Debug, clap::Args)]
pub(super) struct Patience {
    /// For how long it is tried where the gateway cannot answer now [default: 30s; with lines 5m without progress]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

impl Patience {
    fn of_one(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }
}

impl Options {
    /// `client_id`: empty for none.
    async fn connect(&self, client_id: &str) -> Result<Client, Error> {
        let uri = match self.gateway.contains("://") {
            true => self.gateway.clone(),
            false => format!("http://{}", self.gateway),
        };
        let mut builder = Client::builder(uri).client_id(client_id);
        if let Some(subject) = &self.subject {
            builder = builder.subject(subject);
        }
        builder.connect().await.map_err(|error| match error {
            CallError::Connect { .. } => Error::Away(error),
            _ => Error::Address(error),
        })
    }

    /// The final result of one packet; of a READ or LIST, what it brought. What may pass is tried again in the packet's own name, so
    /// that it is applied once.
    async fn one(&self, patience: &Patience, packet: Packet) -> Result<PacketResult, Error> {
        let client = self.connect(&random_name()).await?;
        let repeats = match packet.action() {
            Action::Read | Action::List => Repeats::Harmless,
            _ => Repeats::at(&client.info().await?, &packet.handler),
        };
        once(&client, packet, repeats, patience.of_one()).await
    }
}

/// Runs a command to its end.
fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

/// A name that nobody else has.
fn random_name() -> String {
    format!("cli-{:032x}", rand::rng().random::<u128>())
}

/// Sends a packet until it is final, or refused for now for longer than this.
async fn once(
    client: &Client,
    packet: Packet,
    repeats: Repeats,
    limit: Duration,
) -> Result<PacketResult, Error> {
    let deadline = Instant::now() + limit;
    let packet = packet.req_id("1");
    let mut tries = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = BatchRequest::from(packet.clone()).wait(left.clamp(LEAST_WAIT, LONGEST_WAIT));
        let (result, pause) = match client.sync(request).await {
            Ok(answer) => {
                let Some(result) = answer.results.into_iter().next() else {
                    return Err(Error::Open("the gateway answered with no result".into()));
                };
                let repeat = match needs(&result) {
                    Needs::Nothing => false,
                    Needs::Repeat => true,
                    Needs::SafeRepeat => repeats == Repeats::Harmless,
                };
                if !repeat {
                    return Ok(result);
                }
                let pause = pause_of(&result, tries);
                (Ok(result), pause)
            }
            Err(error) if may_pass(&error) && repeats == Repeats::Harmless => {
                (Err(error), backoff(tries))
            }
            Err(error) => return Err(error.into()),
        };
        tries += 1;
        let now = Instant::now();
        if now >= deadline {
            return Ok(result?);
        }
        sleep(pause.min(deadline - now)).await;
    }
}

/// What a result that was told leaves to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// It was not applied, or a repeat joins it.
    Repeat,
    /// It may have been applied: only where a repeat is not applied again.
    SafeRepeat,
}

fn needs(result: &PacketResult) -> Needs {
    match result.outcome() {
        Outcome::Ok | Outcome::Rejected | Outcome::Expired | Outcome::Forgotten => Needs::Nothing,
        Outcome::Accepted | Outcome::Retry => Needs::Repeat,
        Outcome::InDoubt | Outcome::Unspecified => Needs::SafeRepeat,
    }
}

/// What becomes of a packet that is sent again although it may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// It is applied once.
    Harmless,
    /// Its handler keeps nothing.
    MayDouble,
}

impl Repeats {
    /// A handler that is not listed is a collection, or unknown and does nothing.
    fn at(info: &InfoResponse, handler: &str) -> Self {
        let handler = info.handlers.iter().find(|info| info.name == handler);
        match handler.is_none_or(|info| info.durable) {
            true => Self::Harmless,
            false => Self::MayDouble,
        }
    }
}

/// Whether the same call may go through later.
fn may_pass(error: &CallError) -> bool {
    match error.code() {
        Some(code) => !matches!(
            code,
            Code::Unauthenticated
                | Code::PermissionDenied
                | Code::InvalidArgument
                | Code::ResourceExhausted
                | Code::Unimplemented
        ),
        None => matches!(error, CallError::Connect { .. }),
    }
}

/// How long the gateway wants to be left alone, else a backoff.
fn pause_of(result: &PacketResult, tries: u32) -> Duration {
    let asked = result
        .retry_after
        .and_then(|after| Duration::try_from(after).ok());
    asked.unwrap_or_else(|| backoff(tries))
}

/// With full jitter.
fn backoff(tries: u32) -> Duration {
    let most = FIRST_PAUSE * 2_u32.saturating_pow(tries.min(16));
    rand::rng().random_range(Duration::ZERO..=most.min(LONGEST_PAUSE))
}

/// OK, or why not.
fn judged(result: PacketResult) -> Result<PacketResult, Error> {
    match result.outcome() {
        Outcome::Ok => Ok(result),
        outcome if outcome.is_final() => Err(Error::Refused(show::why(&result))),
        Outcome::Accepted => Err(Error::Open(format!(
            "{}: it is taken and will be done, and is not yet",
            show::why(&result)
        ))),
        _ => Err(Error::Open(show::why(&result))),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_client::proto::{HandlerInfo, Reason};

    use super::*;

    #[test]
    fn a_doubt_is_sent_again_only_where_that_applies_it_once() {
        let told = |outcome: Outcome| PacketResult {
            outcome: outcome.into(),
            // Whatever the reason.
            reason: Reason::HandlerTimeout.into(),
            ..PacketResult::default()
        };
        assert_eq!(needs(&told(Outcome::InDoubt)), Needs::SafeRepeat);
        assert_eq!(needs(&told(Outcome::Accepted)), Needs::Repeat);
        assert_eq!(needs(&told(Outcome::Retry)), Needs::Repeat);
        assert_eq!(needs(&told(Outcome::Forgotten)), Needs::Nothing);

        let handler = |name: &str, durable| HandlerInfo {
            name: name.into(),
            durable,
            ..HandlerInfo::default()
        };
        let info = InfoResponse {
            handlers: vec![handler("echo", false), handler("orders", true)],
            ..InfoResponse::default()
        };
        assert_eq!(Repeats::at(&info, "echo"), Repeats::MayDouble);
        assert_eq!(Repeats::at(&info, "orders"), Repeats::Harmless);
        assert_eq!(Repeats::at(&info, "todos"), Repeats::Harmless);
    }
}
