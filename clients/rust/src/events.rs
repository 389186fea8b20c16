use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio_stream::StreamExt;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::builder::MAX_WINDOW;
use crate::proto::Event;
use crate::{Error, Windows};

/// The events of one subscription. Reading it is what lets the gateway send more; dropping it ends it at the gateway.
///
/// It ends after a `GoAway`, and with an error when the connection is lost: open another one with the last cursor.
#[derive(Debug)]
pub struct EventStream {
    events: Streaming<Event>,
    /// Counts this stream among those of its connection, which closes with the last of them.
    _connection: Arc<Channel>,
}

impl EventStream {
    pub(crate) fn new(events: Streaming<Event>, connection: Arc<Channel>) -> Self {
        Self {
            events,
            _connection: connection,
        }
    }

    /// The next event. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        StreamExt::next(self).await
    }
}

impl Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.events).poll_next(context);
        next.map(|event| event.map(|event| event.map_err(Error::from)))
    }
}

/// The connections that carry streams and nothing else.
#[derive(Debug)]
pub(crate) struct EventConnections {
    endpoint: Endpoint,
    streams: usize,
    /// Each held by its streams alone. A lock and not a task: it is held for a look at a few counters.
    open: Mutex<Vec<Weak<Channel>>>,
}

impl EventConnections {
    pub(crate) fn new(endpoint: Endpoint, windows: Windows) -> Self {
        let streams = windows.streams.max(1);
        let together = windows.stream.saturating_mul(streams).min(MAX_WINDOW);
        Self {
            endpoint: endpoint
                .initial_stream_window_size(windows.stream)
                .initial_connection_window_size(together),
            streams: streams as usize,
            open: Mutex::default(),
        }
    }

    /// A connection with room for one more stream, which has that room for as long as it holds what it got.
    pub(crate) fn get(&self) -> Arc<Channel> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| connection.strong_count() > 0);
        let roomy = open
            .iter()
            .filter(|connection| connection.strong_count() < self.streams)
            .find_map(Weak::upgrade);
        roomy.unwrap_or_else(|| {
            let connection = Arc::new(self.endpoint.connect_lazy());
            open.push(Arc::downgrade(&connection));
            connection
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(streams: u32) -> EventConnections {
        let endpoint = Endpoint::from_static("http://127.0.0.1:1");
        let windows = Windows {
            streams,
            ..Windows::default()
        };
        EventConnections::new(endpoint, windows)
    }

    #[tokio::test]
    async fn a_connection_takes_so_many_streams_and_no_more() {
        let connections = connections(2);
        let (a, b, c) = (connections.get(), connections.get(), connections.get());
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &c));
        drop(a);
        assert!(
            Arc::ptr_eq(&b, &connections.get()),
            "its room is free again"
        );
    }

    #[tokio::test]
    async fn a_connection_goes_with_its_last_stream() {
        let connections = connections(2);
        let first = Arc::downgrade(&connections.get());
        assert!(first.upgrade().is_none());
        let _second = connections.get();
        assert_eq!(connections.open.lock().unwrap().len(), 1);
    }
}
