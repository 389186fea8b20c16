//! Which gateway a command is for, and its token.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Channel, Endpoint};
use tonic::{Request, Status};

use super::super::serve::{address, environment};
use super::Error;
use crate::cli::Failure;
use crate::config::{Config, Findings, Found, Place};
use crate::types::Token;
use crate::wire::admin::admin_client::AdminClient;

/// How long it may take to get through.
const CONNECTING: Duration = Duration::from_secs(5);

/// How long an answer may take: what is cleared is on disk before.
pub(super) const ANSWERING: Duration = Duration::from_secs(90);

/// How often a gateway that has not answered yet is asked whether it is there, and how long that may take.
const PINGS: Duration = Duration::from_secs(20);

/// More than the largest answer.
const ANSWER_BYTES: usize = 64 << 20;

// Where the gateway is: without any of these it is looked for where `tidegate serve` begins one in this directory. No doc
// comment, which would be told as what the command does.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The gateway that keeps everything in this directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The gateway that has this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The gateway whose Admin listens there; its token is looked for where gateways leave theirs, unless it is said
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// A file with the token; else TIDEGATE_ADMIN__TOKEN says it, or the gateway has left it in its directory
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Who calls `Admin`.
pub(super) type Client = AdminClient<InterceptedService<Channel, Bearer>>;

/// Says the token with every call.
#[derive(Debug, Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Where a gateway may be, and what opens it.
#[derive(Debug)]
struct Target {
    address: SocketAddr,
    /// The error is for a person.
    token: Result<Token, String>,
}

impl Target {
    fn at(address: SocketAddr, token: Result<Token, String>) -> Self {
        let address = reachable(address);
        Self { address, token }
    }
}

impl Where {
    /// To the first that is there: one that was killed leaves its files behind.
    pub(super) async fn connect(&self, answering: Duration) -> Result<Client, Failure> {
        let mut away = Vec::new();
        for Target { address, token } in self.targets()? {
            match channel(address, answering).await {
                Ok(channel) => return Ok(client(channel, &token.map_err(Error::NoToken)?)?),
                Err(error) => away.push(format!("{address} ({})", why(&error))),
            }
        }
        Err(Error::Away(away.join(", nor on ")).into())
    }

    /// At least one, the likeliest first.
    fn targets(&self) -> Result<Vec<Target>, Failure> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        if let Some(address) = self.admin {
            config.admin.listen = address;
        }
        let said = self.said(&config)?;
        let places = match (&self.data, self.admin, &said) {
            (Some(data), _, _) => vec![Place::named(data)],
            // All is said, and nothing is looked for.
            (None, Some(_), Some(_)) => Vec::new(),
            (None, _, _) => Place::all(&config).into(),
        };
        let Findings { gateways, aside } = Findings::in_places(&places);
        let mut targets: Vec<Target> = Vec::new();
        for Found { address, token, .. } in gateways {
            let token = said.clone().map_or(token, Ok);
            match self.admin {
                None => targets.push(Target::at(address, token)),
                // The token of another gateway would be told to a stranger.
                Some(admin) if listens_there(address, admin) => {
                    targets.push(Target::at(admin, token));
                }
                Some(_) => {}
            }
        }
        if let Some(said) = self.said_target(&config, said)
            && targets.iter().all(|found| found.address != said.address)
        {
            targets.push(said);
        }
        if targets.is_empty() {
            return Err(Error::Nowhere(self.why_nowhere(&config, aside)).into());
        }
        for aside in aside {
            // Not into what a program may read; who closed it does not want to know.
            let _ = writeln!(io::stderr(), "tidegate: {aside}");
        }
        Ok(targets)
    }

    /// Where it is by what was typed and by the configuration alone.
    fn said_target(&self, config: &Config, said: Option<Token>) -> Option<Target> {
        let listen = config.admin.listen;
        let token = match (self.admin, said) {
            (_, Some(token)) => Ok(token),
            (Some(_), None) => Err("say it by --token-file FILE or TIDEGATE_ADMIN__TOKEN".into()),
            (None, None) => return None,
        };
        let is_said = self.admin.is_some() || self.data.is_none() && listen.port() != 0;
        is_said.then(|| Target::at(listen, token))
    }

    fn said(&self, config: &Config) -> Result<Option<Token>, Error> {
        let Some(file) = &self.token_file else {
            return Ok(config.admin.token.clone());
        };
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| {
            Error::NoToken(format!("{} cannot be read: {error}", file.display()))
        })?;
        let token = Token::new(text.trim_end());
        let none = || Error::NoToken(format!("{} has no token", file.display()));
        token.map(Some).ok_or_else(none)
    }

    fn why_nowhere(&self, config: &Config, aside: Vec<String>) -> String {
        if !aside.is_empty() {
            return aside.join("; ");
        }
        let data = self.data.as_ref().unwrap_or(&config.store.path);
        format!(
            "{} is not there: say which one it is by --data DIR, or by --admin ADDR and --token-file FILE",
            Place::named(data).address_file().display()
        )
    }
}

async fn channel(address: SocketAddr, answering: Duration) -> Result<Channel, transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECTING)
        .timeout(answering)
        // One that is gone without a word is noticed, however long an answer may take.
        .http2_keep_alive_interval(PINGS)
        .keep_alive_timeout(PINGS);
    endpoint.connect().await
}

fn client(channel: Channel, token: &Token) -> Result<Client, Error> {
    let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", token.as_str())
        .parse()
        .map_err(|_| Error::NoToken("the token is no header".into()))?;
    bearer.set_sensitive(true);
    let client = AdminClient::with_interceptor(channel, Bearer(bearer));
    Ok(client.max_decoding_message_size(ANSWER_BYTES))
}

/// Whether a gateway that listens on `address` is the one at `admin`: on every address, also on the loopback.
fn listens_there(address: SocketAddr, admin: SocketAddr) -> bool {
    let everywhere = address.ip().is_unspecified() && address.port() == admin.port();
    address == admin || everywhere && admin.ip().is_loopback()
}

/// One that listens on every address of its machine is reached on the loopback of this one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The last of its causes: that is what happened.
fn why(error: &transport::Error) -> String {
    let mut why: &dyn std::error::Error = error;
    while let Some(cause) = why.source() {
        why = cause;
    }
    why.to_string()
}
