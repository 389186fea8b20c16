//! The tasks of a running gateway: watched, joined, and ended with it.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tonic::transport;

use super::RunError;

/// Dropped, it ends them all.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) server: JoinHandle<Result<(), transport::Error>>,
    /// The same for those who run it.
    pub(super) admin: JoinHandle<Result<(), transport::Error>>,
    pub(super) worker: JoinHandle<()>,
    pub(super) canary: JoinHandle<()>,
}

impl Tasks {
    /// The first that ends before it was told to.
    pub(super) async fn ended(&mut self) -> RunError {
        tokio::select! {
            ended = &mut self.server => RunError::Server(untold(ended)),
            ended = &mut self.admin => RunError::Server(untold(ended)),
            ended = &mut self.worker => RunError::Broker(match ended {
                Ok(()) => "nobody told it to".into(),
                Err(error) => error.to_string(),
            }),
            ended = &mut self.canary => RunError::Health(match ended {
                Ok(()) => "nobody told it to".into(),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// It was told to end, and waits for nothing.
    pub(super) async fn join_canary(&mut self) -> Result<(), RunError> {
        let ended = (&mut self.canary).await;
        ended.map_err(|error| RunError::Health(error.to_string()))
    }

    /// Every packet has its answer: what is left is to tell it. The worker ends with the last connection.
    pub(super) async fn join(&mut self, closing: Duration) -> Result<(), RunError> {
        let both = async { tokio::join!(&mut self.server, &mut self.admin) };
        let Ok(both) = timeout(closing, both).await else {
            tracing::info!("some clients did not read to the end: their connections are cut");
            return Ok(());
        };
        for served in [both.0, both.1] {
            served
                .map_err(|error| RunError::Server(error.to_string()))?
                .map_err(|error| RunError::Server(error.to_string()))?;
        }
        let worked = (&mut self.worker).await;
        worked.map_err(|error| RunError::Broker(error.to_string()))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.server.abort();
        self.admin.abort();
        self.worker.abort();
        self.canary.abort();
    }
}

/// Why a server ended that was not told to.
fn untold(ended: Result<Result<(), transport::Error>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "nobody told it to".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}
