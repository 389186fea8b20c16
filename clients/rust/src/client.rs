use std::sync::Arc;
use std::time::Duration;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::events::{EventConnections, EventStream};
use crate::proto::gateway_client::GatewayClient;
use crate::proto::{
    BatchRequest, BatchResponse, EventsRequest, InfoRequest, InfoResponse, ResultsRequest,
    ResultsResponse,
};
use crate::{Builder, Error};

/// An answer is at most 3.5 MiB and an event 2 MiB; this leaves room for what stands around them.
const MAX_MESSAGE: usize = 8 << 20;
/// How much longer than its `wait` a call may take.
const WAIT_MARGIN: Duration = Duration::from_secs(1);

/// A client of one gateway. Cheap to clone; clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    calls: Channel,
    streams: EventConnections,
    subject: Option<MetadataValue<Ascii>>,
    /// Empty: none.
    client_id: String,
    call_timeout: Duration,
}

impl Client {
    /// Connects to the gateway at `uri`, such as `http://127.0.0.1:50051`.
    pub async fn connect(uri: impl Into<String>) -> Result<Self, Error> {
        Self::builder(uri).connect().await
    }

    /// Says more about the client before it connects.
    pub fn builder(uri: impl Into<String>) -> Builder {
        Builder::new(uri.into())
    }

    pub(crate) fn new(
        calls: Channel,
        streams: EventConnections,
        subject: Option<MetadataValue<Ascii>>,
        client_id: String,
        call_timeout: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
            calls,
            streams,
            subject,
            client_id,
            call_timeout,
        });
        Self { shared }
    }

    /// Sends packets (one, several, or a whole request) and gets a result for each, in order. Dropping the future stops the
    /// waiting, not the packets.
    pub async fn sync(&self, batch: impl Into<BatchRequest>) -> Result<BatchResponse, Error> {
        let mut batch = batch.into();
        self.name(&mut batch.client_id);
        let deadline = match batch.wait.and_then(|wait| Duration::try_from(wait).ok()) {
            Some(wait) => self.shared.call_timeout.max(wait + WAIT_MARGIN),
            None => self.shared.call_timeout,
        };
        let request = self.request(batch, Some(deadline));
        let response = bare(self.shared.calls.clone()).sync(request).await?;
        Ok(response.into_inner())
    }

    /// Opens a stream of results and messages. It begins when the gateway has accepted the request; its first event is
    /// `Connected`. Dropping it ends it.
    pub async fn events(&self, mut request: EventsRequest) -> Result<EventStream, Error> {
        self.name(&mut request.client_id);
        let request = self.request(request, None);
        let connection = self.shared.streams.get();
        let response = bare(Channel::clone(&connection)).events(request).await?;
        Ok(EventStream::new(response.into_inner(), connection))
    }

    /// The results that the gateway keeps for some packets of a client.
    pub async fn results(&self, mut request: ResultsRequest) -> Result<ResultsResponse, Error> {
        self.name(&mut request.client_id);
        let request = self.request(request, Some(self.shared.call_timeout));
        let response = bare(self.shared.calls.clone()).results(request).await?;
        Ok(response.into_inner())
    }

    /// The gateway's version, limits and handlers, and who it takes the caller for.
    pub async fn info(&self) -> Result<InfoResponse, Error> {
        let request = self.request(InfoRequest {}, Some(self.shared.call_timeout));
        let response = bare(self.shared.calls.clone()).info(request).await?;
        Ok(response.into_inner())
    }

    fn name(&self, client_id: &mut String) {
        if client_id.is_empty() {
            client_id.clone_from(&self.shared.client_id);
        }
    }

    fn request<M>(&self, message: M, deadline: Option<Duration>) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(subject) = &self.shared.subject {
            let metadata = request.metadata_mut();
            metadata.insert("tidegate-subject", subject.clone());
        }
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

fn bare(channel: Channel) -> GatewayClient<Channel> {
    GatewayClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}
