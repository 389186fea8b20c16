//! The transport: one port for gRPC and gRPC-Web, HTTP/2 and HTTP/1.1.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpSocket};
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::Service;

/// Connections that wait to be accepted: as many as a crowd of clients opens at once after a restart.
const BACKLOG: u32 = 1024;

/// Binds the port, so that the address is known and a port in use is told before anything runs.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the closed connections of the process before it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` ends and every connection is closed.
pub(super) async fn serve(
    listener: TcpListener,
    service: impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    // Small answers must not wait for the acknowledgement of the ones before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    transport()
        .serve_with_incoming_shutdown(service, incoming, stop)
        .await
}

fn transport() -> Server {
    Server::builder()
        // gRPC-Web of browsers and of those without HTTP/2.
        .accept_http1(true)
        // A half-open connection is found within 40 s, and proxies that end idle ones see traffic.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        // A request of 1000 packets of 100 bytes fits without waiting for the window; one of 4 MiB waits a few round trips.
        .initial_stream_window_size(1 << 20)
        // A whole request of the largest size; what a connection can make us buffer unread.
        .initial_connection_window_size(4 << 20)
        // Fixed windows: an adaptive one grows with whoever sends most.
        .http2_adaptive_window(Some(false))
        // Fewer headers for large requests; small enough that calls on one connection do not wait for each other.
        .max_frame_size(64 << 10)
        // A backend that puts all its callers on one connection has them in flight at once; more wait in the client.
        .max_concurrent_streams(1024)
        // Metadata is a few names and a token.
        .http2_max_header_list_size(16 << 10)
}
