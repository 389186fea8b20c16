use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
#[cfg(feature = "tls")]
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::events::EventConnections;
use crate::{Client, Error};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Also while nothing is going on: a connection that a proxy forgot is found before it is needed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How much may be on its way to this client that it has not read yet: HTTP/2's receive windows.
///
/// A stream that is not read costs at most `stream` bytes of this client's memory, and the gateway holds the rest back. One
/// connection carries `streams` of them and has a window of `stream × streams` bytes (4 MiB as it stands), so no number of
/// unread streams stalls another. The next stream gets a new connection, which costs a socket and some ten kilobytes on both
/// sides. A stream's throughput is at most `stream` bytes a round trip: raise it for much data over a long way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Of one call's answer.
    pub call: u32,
    /// Of one event stream. No event needs to fit: a larger one flows through.
    pub stream: u32,
    /// How many event streams share a connection; at least 1.
    pub streams: u32,
}

impl Default for Windows {
    /// 4 MiB a call, so that the largest answer arrives without waiting; 256 KiB a stream, 16 streams a connection.
    fn default() -> Self {
        Self {
            call: 4 << 20,
            stream: 256 << 10,
            streams: 16,
        }
    }
}

/// What a [`Client`] is made from.
#[derive(Debug, Clone)]
pub struct Builder {
    uri: String,
    subject: Option<String>,
    client_id: String,
    call_timeout: Duration,
    windows: Windows,
    /// `None`: the system's authorities are trusted.
    #[cfg(feature = "tls")]
    ca: Option<Vec<u8>>,
}

impl Builder {
    pub(crate) fn new(uri: String) -> Self {
        Self {
            uri,
            subject: None,
            client_id: String::new(),
            call_timeout: CALL_TIMEOUT,
            windows: Windows::default(),
            #[cfg(feature = "tls")]
            ca: None,
        }
    }

    /// Who the caller is, sent as the metadata `tidegate-subject`. A gateway believes it only where it runs without identity.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Stands in every request that names no `client_id` of its own. Default: none.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// The deadline of a call, which the gateway is told: it answers a little earlier. A `Sync` whose `wait` is longer gets the
    /// longer one. Default: 10 s. Streams have none.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// HTTP/2's receive windows.
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self
    }

    /// Certificates (PEM) that an `https://` address is trusted by, instead of those of the system's authorities.
    #[cfg(feature = "tls")]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Connects, for calls; connections for streams are made when a stream is opened. Lost ones are made again when they are
    /// next needed.
    pub async fn connect(self) -> Result<Client, Error> {
        let subject = self.metadata()?;
        let endpoint = self.endpoint()?;
        // A call always reads its answer, so a few large answers at once are all that this window must hold.
        let calls = endpoint
            .clone()
            .initial_stream_window_size(self.windows.call)
            .initial_connection_window_size(self.windows.call.saturating_mul(4).min(MAX_WINDOW))
            .connect()
            .await
            .map_err(|source| Error::Connect {
                uri: self.uri,
                source,
            })?;
        let streams = EventConnections::new(endpoint, self.windows);
        Ok(Client::new(
            calls,
            streams,
            subject,
            self.client_id,
            self.call_timeout,
        ))
    }

    fn metadata(&self) -> Result<Option<MetadataValue<Ascii>>, Error> {
        let Some(subject) = &self.subject else {
            return Ok(None);
        };
        match MetadataValue::try_from(subject) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(Error::Subject {
                subject: subject.clone(),
                source,
            }),
        }
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let endpoint =
            Endpoint::from_shared(self.uri.clone()).map_err(|source| Error::Address {
                uri: self.uri.clone(),
                source,
            })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        #[cfg(feature = "tls")]
        let endpoint = self.with_tls(endpoint)?;
        Ok(endpoint)
    }

    #[cfg(feature = "tls")]
    fn with_tls(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let tls = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint.tls_config(tls).map_err(|source| Error::Connect {
            uri: self.uri.clone(),
            source,
        })
    }
}

/// HTTP/2 allows no larger one.
pub(crate) const MAX_WINDOW: u32 = i32::MAX as u32;
