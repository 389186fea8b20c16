//! The port of those who run the gateway: bound, with a token, and left where their commands find both.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{BuildError, bound};
use crate::config::{Config, Engine, Left, Place};
use crate::layers::{NeedsToken, Reach};
use crate::rpc::OPEN_PAGES;
use crate::types::Token;

/// A port that is bound.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Port {
    pub(super) fn bind(config: &Config) -> Result<Self, BuildError> {
        let (listener, address) = bound(config.admin.listen, "--admin-listen")?;
        Ok(Self { listener, address })
    }

    pub(super) fn reach(&self) -> Reach {
        match self.address.ip().to_canonical().is_loopback() {
            true => Reach::Loopback,
            false => Reach::Anywhere,
        }
    }
}

/// What opens it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) rule: NeedsToken,
    /// Where it is found, for who started the gateway.
    pub(super) found: String,
    /// Gone from its place with it.
    pub(super) left: Option<Left>,
}

impl Key {
    /// To be called by whoever has the data directory to itself: what another one left there is replaced.
    pub(super) fn new(config: &Config, port: &Port) -> Result<Self, BuildError> {
        let (address, reach) = (port.address, port.reach());
        if reach == Reach::Anywhere {
            tracing::warn!(%address, "Admin can be reached by others: its token goes over the network as it is, so this is for one that others cannot listen to");
        }
        let place = Place::of(config, address.port());
        if let (Engine::Embedded, Some(doubt)) = (config.store.engine, place.doubt()) {
            let directory = config.store.path.display();
            tracing::warn!(%directory, "commands find this gateway only by --data: {doubt}");
        }
        let leave = |token: Option<&Token>| {
            let left = place.leave(address, token);
            left.map_err(|error| BuildError::Token(place.token_file(), error.to_string()))
        };
        let (token, found, left) = match &config.admin.token {
            Some(token) => {
                let left = match config.store.engine {
                    Engine::Embedded => Some(leave(None)?),
                    // Who gave it the token knows where it is.
                    Engine::Memory => None,
                };
                let found = "it is what TIDEGATE_ADMIN__TOKEN, or `token` of [admin], says";
                (token.clone(), found.to_owned(), left)
            }
            None => {
                let token = Token::random();
                let left = leave(Some(&token))?;
                let file = place.token_file();
                let found = format!("it is in {}", file.display());
                (token, found, Some(left))
            }
        };
        let rule = NeedsToken {
            token: Arc::new(token),
            // To those of this machine: elsewhere it would tell strangers whose files to look for.
            found: (reach == Reach::Loopback).then(|| found.as_str().into()),
            open: OPEN_PAGES,
        };
        Ok(Self { rule, found, left })
    }
}
