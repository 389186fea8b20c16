use tonic::metadata::errors::InvalidMetadataValue;

/// Why a call has no answer. What became of one packet is never an error: it is in its result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used as one.
    #[error("{uri:?} is no address of a gateway, such as http://127.0.0.1:50051")]
    Address {
        /// As it was given.
        uri: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// Nothing that speaks HTTP/2 answered there.
    #[error("cannot connect to {uri}: {}", causes(source))]
    Connect {
        /// Where.
        uri: String,
        /// What went wrong.
        source: tonic::transport::Error,
    },
    /// The subject cannot travel as metadata.
    #[error("the subject {subject:?} cannot be sent: printable ASCII can")]
    Subject {
        /// As it was given.
        subject: String,
        /// What is wrong with it.
        source: InvalidMetadataValue,
    },
    /// The gateway, or what is between here and there, refused the call as a whole or lost it. After UNAVAILABLE, CANCELLED
    /// and DEADLINE_EXCEEDED its packets may have been taken: the same packets, with the same `seq` or `req_id`, may be sent
    /// again.
    #[error("the call failed ({:?}): {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
}

/// The error and everything below it: tonic's own text says no more than that it is a transport error.
fn causes(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        // Some say what their cause says.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

impl Error {
    /// The gRPC status, when there is one.
    pub fn code(&self) -> Option<tonic::Code> {
        match self {
            Self::Status(status) => Some(status.code()),
            _ => None,
        }
    }
}
