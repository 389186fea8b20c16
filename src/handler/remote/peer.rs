//! One address: its connection, and whether anyone answers there.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing::info;

use super::balance::Balance;
use super::{RemoteSettings, status};
use crate::types::{HandlerName, TRACEPARENT};
use crate::wire::handler::handler_client::HandlerClient;
use crate::wire::proto;

/// How long a connection may take. A call that ends before it has one did not reach the handler.
const CONNECT: Duration = Duration::from_secs(2);

/// While a call is open a connection that brings nothing for the first of these is asked whether it is there, and is dead
/// after the second: together well below the 10 s in which a stopped peer must be noticed. Not while idle: nobody waits then,
/// and many servers close a connection that asks too often without a call.
const QUIET: Duration = Duration::from_secs(4);
const UNANSWERED: Duration = Duration::from_secs(4);

/// What an answer has at most, far above what a batch of 1 MiB asks for: 500 results of 1 MiB each would be half of all that
/// the broker holds. A larger one fails as OUT_OF_RANGE does.
const ANSWER_BYTES: usize = 16 << 20;

/// The pause between questions to an address that is out: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Peer {
    address: String,
    channel: Channel,
    /// Asks whether it is back; ends with the peer.
    asking: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Peer {
    pub(super) fn new(address: &str, settings: &RemoteSettings) -> Result<Self, String> {
        let cannot = |error: &dyn std::error::Error| {
            let why = status::causes(error);
            format!("{address} cannot be used: {why}")
        };
        let connect = CONNECT.min(settings.call_timeout / 2);
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| cannot(&error))?;
        let mut endpoint = endpoint
            .connect_timeout(connect)
            .http2_keep_alive_interval(QUIET)
            .keep_alive_timeout(UNANSWERED)
            .keep_alive_while_idle(false)
            // An answer of some hundred results comes without waiting for the window.
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        if endpoint.uri().scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new().timeout(connect);
            let tls = match &settings.ca {
                Some(ca) => tls.ca_certificate(Certificate::from_pem(ca)),
                None => tls.with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(|error| cannot(&error))?;
        }
        Ok(Self {
            address: address.to_owned(),
            channel: endpoint.connect_lazy(),
            asking: Mutex::default(),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The handler is told how long it has, and which trace it continues.
    pub(super) async fn handle(
        &self,
        request: proto::HandleRequest,
        trace: Option<&str>,
        limit: Duration,
    ) -> Result<proto::HandleResponse, tonic::Status> {
        let client = HandlerClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(ANSWER_BYTES);
        let mut request = Request::new(request);
        request.set_timeout(limit);
        if let Some(trace) = trace.and_then(|trace| trace.parse().ok()) {
            request.metadata_mut().insert(TRACEPARENT, trace);
        }
        Ok(client.handle(request).await?.into_inner())
    }

    /// Asks until someone answers: that a connection comes about says nothing, as the kernel of a stopped process takes it.
    pub(super) fn ask(&self, balance: Arc<Mutex<Balance>>, at: usize, handler: HandlerName) {
        let (channel, address) = (self.channel.clone(), self.address.clone());
        let asking = tokio::spawn(async move {
            until_answered(channel).await;
            if balance.lock().is_back(at) {
                info!(%handler, address, "the address answers again");
            }
        });
        *self.asking.lock() = Some(AbortOnDropHandle::new(asking));
    }
}

/// Any answer will do, also that there is no such service: whoever gives it is there.
async fn until_answered(channel: Channel) {
    let mut client = HealthClient::new(channel);
    let mut longest = FIRST_PAUSE;
    loop {
        let asked = timeout(UNANSWERED, client.check(HealthCheckRequest::default())).await;
        match asked {
            Ok(Ok(_)) => return,
            Ok(Err(status)) if status::is_of_peer(&status) => return,
            Ok(Err(_)) | Err(_) => {}
        }
        // Gateways that lost it together do not come back together.
        let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
        sleep(pause).await;
        longest = LONGEST_PAUSE.min(longest * 2);
    }
}
