//! Which gateway a command is for, and its token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::super::serve::{address, environment};
use super::Error;
use crate::cli::Failure;
use crate::config::{Config, Place};
use crate::types::Token;
use crate::wire::admin::admin_client::AdminClient;

/// How long it may take to get through.
const CONNECTING: Duration = Duration::from_secs(5);

/// How long an answer may take: what is cleared is on disk before.
const ANSWERING: Duration = Duration::from_secs(90);

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
    /// The gateway that has its Admin there; its token is to be said too
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

/// A gateway, and what opens it.
#[derive(Debug)]
struct Target {
    address: SocketAddr,
    token: Token,
}

impl Where {
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        let Target { address, token } = self.find()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Error::Away(address, error.to_string()))?
            .connect_timeout(CONNECTING)
            .timeout(ANSWERING);
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Error::Away(address, why(&error)))?;
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", token.as_str())
            .parse()
            .map_err(|_| Error::NoToken("the token is no header".into()))?;
        bearer.set_sensitive(true);
        let client = AdminClient::with_interceptor(channel, Bearer(bearer));
        Ok(client.max_decoding_message_size(ANSWER_BYTES))
    }

    fn find(&self) -> Result<Target, Failure> {
        let mut config = Config::load(self.config.as_deref(), environment())?;
        let place = match &self.data {
            Some(data) => {
                config.store.path.clone_from(data);
                Some(Place::in_data(data))
            }
            None => Place::find(&config),
        };
        let left = match (&place, &self.data) {
            (Some(place), Some(_)) => Some(place.address().map_err(Error::Nowhere)?),
            (Some(place), None) => place.address().ok(),
            (None, _) => None,
        };
        let address = match (self.admin, left) {
            (Some(address), _) | (None, Some(address)) => address,
            (None, None) if config.admin.token.is_some() && config.admin.listen.port() != 0 => {
                config.admin.listen
            }
            (None, None) => {
                let file = Place::in_data(&config.store.path).address_file();
                let why = format!(
                    "{} is not there: say which one it is by --data DIR, or by --admin ADDR and --token-file FILE",
                    file.display()
                );
                return Err(Error::Nowhere(why).into());
            }
        };
        // Of another gateway it would be told to a stranger.
        let place = place.filter(|_| left == Some(address));
        let token = self.token(&config, place.as_ref())?;
        let address = reachable(address);
        Ok(Target { address, token })
    }

    fn token(&self, config: &Config, place: Option<&Place>) -> Result<Token, Error> {
        let file = match (&self.token_file, &config.admin.token, place) {
            (Some(file), _, _) => file.clone(),
            (None, Some(token), _) => return Ok(token.clone()),
            (None, None, Some(place)) => place.token_file(),
            (None, None, None) => {
                let why = "say the token by --token-file FILE or TIDEGATE_ADMIN__TOKEN";
                return Err(Error::NoToken(why.into()));
            }
        };
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|error| {
            Error::NoToken(format!("{} cannot be read: {error}", file.display()))
        })?;
        Token::new(text.trim_end())
            .ok_or_else(|| Error::NoToken(format!("{} has no token", file.display())))
    }
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
fn why(error: &tonic::transport::Error) -> String {
    let mut why: &dyn std::error::Error = error;
    while let Some(cause) = why.source() {
        why = cause;
    }
    why.to_string()
}
